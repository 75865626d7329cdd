// Follows one user's inbox: events as JSON lines on stdout, commands as JSON lines on stdin.
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import WebSocket from "ws";
import { CarillonClient } from "../gateway/web/carillon.js";

const { INBOX_URL, CLIENT_ID, USER_ID, USER_HASH, STATE_FILE } = process.env;
if (!(INBOX_URL && CLIENT_ID && USER_ID && USER_HASH && STATE_FILE)) {
  console.error("set INBOX_URL, CLIENT_ID, USER_ID, USER_HASH and STATE_FILE");
  process.exit(2);
}

const print = (event, fields) => console.log(JSON.stringify({ event, ...fields }));

const storage = {
  getItem: () => {
    try {
      return readFileSync(STATE_FILE, "utf8");
    } catch (error) {
      if (error.code === "ENOENT") return null; // nothing saved yet, as localStorage says it
      throw error;
    }
  },
  setItem: (_, text) => writeFileSync(STATE_FILE, text),
  removeItem: () => rmSync(STATE_FILE, { force: true }),
};

const client = new CarillonClient({
  url: INBOX_URL, clientId: CLIENT_ID, userId: USER_ID, userHash: USER_HASH, storage, WebSocket,
});
const inbox = client.view("inbox");
const shown = () => ({ unread_count: client.unreadCount, titles: inbox.items.map((item) => item.title) });

client.addEventListener("state", ({ detail }) => print("state", { state: detail.state }));
client.addEventListener("new", ({ detail: { item } }) => print("new", { id: item.id, title: item.title }));
client.addEventListener("change", ({ detail }) => {
  if (detail.kind === "welcome") print("welcome", { resume: detail.resume, ...shown() });
  else print("change", { kind: detail.kind, ...shown() });
});
client.addEventListener("problem", ({ detail }) => console.error(`problem ${detail.code}: ${detail.message}`));

const commands = {
  open: ({ id }) => client.open(id),
  archive: ({ id }) => client.archive([id]),
  mark_all: () => client.markAll({}),
  more: async () => {
    await inbox.loadMore();
    return { has_more: inbox.hasMore };
  },
  cut: ({ seconds }) => client.cut(seconds),
  mute: ({ notification_id }) =>
    client.patchPreferences([{ notification_id, channel: "INAPP_WEB", delivery_option: "OFF" }]),
  close: () => {
    lines.close();
    setTimeout(() => process.exit(0), 3000).unref(); // only if something still keeps the process up
    return client.close();
  },
};

// Commands run side by side: one that waits for the connection does not hold up the next.
async function run(line) {
  let command = {};
  try {
    command = JSON.parse(line) ?? {};
    if (!Object.hasOwn(commands, command.do)) throw Object.assign(new Error(line), { code: "UNKNOWN_COMMAND" });
    print("answer", { do: command.do, ...(await commands[command.do](command)) });
  } catch (error) {
    console.error(`${command.do}: ${error.message}${error.field ? ` (field ${error.field})` : ""}`);
    print("answer", { do: command.do, error: error.code ?? error.name });
  }
}

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => line.trim() && run(line));
client.connect();
