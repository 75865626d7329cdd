// Runs the published SDKs in Node, as the tests ask: a line of JSON in, {id, code, argument, page}, and one out, {id, value}
// or {id, error}. `code` is a function of the argument; it runs in the page that it names, else beside the SDKs.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import net from "node:net";
import { createInterface } from "node:readline";
import tls from "node:tls";

import { NotificationAPIClientSDK as core } from "@notificationapi/core";
import { JSDOM, VirtualConsole } from "jsdom";
import server from "notificationapi-node-server-sdk";
import WebSocket from "ws";

// Node 20 has none, and core wants the browser's.
globalThis.WebSocket = WebSocket;

// What the SDKs print is not an answer.
console.log = console.error;

const pages = new Map();

/** Puts TLS before a port of this machine, as a proxy does before the gateway, and gives the port to call instead. */
async function terminateTls({ key, cert, port }) {
  const server = tls.createServer({ key, cert }, (outside) => {
    const inside = net.connect(port, "127.0.0.1");
    outside.pipe(inside).pipe(outside);
    outside.on("error", () => inside.destroy());
    inside.on("error", () => outside.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server.address().port;
}

/** Opens a page with one version of js-client, as a script tag would load it, and gives its number. */
function openPage({ html, scripts, url }) {
  const complaints = [];
  const virtualConsole = new VirtualConsole();
  virtualConsole.on("jsdomError", (error) => complaints.push(String(error.detail ?? error)));
  const { window } = new JSDOM(html, { url, runScripts: "outside-only", pretendToBeVisual: true, virtualConsole });
  window.fetch = fetch; // jsdom has none
  for (const script of scripts) {
    window.eval(readFileSync(script, "utf8"));
  }
  pages.set(pages.size, { window, complaints });
  return pages.size - 1;
}

/** Closes a page, and gives what went wrong in it. */
function closePage(number) {
  const { window, complaints } = pages.get(number);
  window.close();
  return complaints;
}

const scope = { core, server, terminateTls, openPage, closePage, heard: [] };

async function answer({ code, argument, page }) {
  if (page === null) {
    const names = Object.keys(scope);
    return new Function(...names, `return (${code})`)(...Object.values(scope))(argument);
  }
  return pages.get(page).window.eval(`(${code})`)(argument);
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, ...asked } = JSON.parse(line);
  answer(asked)
    .then((value) => ({ id, value }))
    .catch((error) => ({ id, error: String(error?.stack ?? error) }))
    .then((answered) => process.stdout.write(`${JSON.stringify(answered)}\n`));
}
process.exit(0);
