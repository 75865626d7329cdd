// carillon.js in Node, against a gateway that says what each test wants it to say.

import assert from "node:assert/strict";
import { once } from "node:events";
import { afterEach, beforeEach, mock, test as nodeTest } from "node:test";

import { Gateway, until } from "./gateway.mjs";
import { created, hex, item, items, retracted, snapshot, updated } from "./items.mjs";

const BY_HASH = { clientId: "dev", userId: "u", userHash: "hash" };
const NOW = Date.parse("2026-01-01T00:00:00Z");
const HOUR = 3600;

// Most of what may go wrong here is that something does not come.
const test = (name, body) => nodeTest(name, { timeout: 30_000 }, body);

let gateway;

beforeEach(async () => {
  gateway = await Gateway.start();
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"], now: NOW });
});

afterEach(async () => {
  await gateway.stop();
  mock.timers.reset();
});

const live = (welcome = snapshot(items(2, 1)), options = BY_HASH) => gateway.live(welcome, options);
const seconds = (number) => mock.timers.tick(number * 1000);
const jwt = (fields) => `h.${Buffer.from(JSON.stringify(fields)).toString("base64url")}.s`;
const token = (ttl, fields = {}) => {
  const now = Date.now() / 1000;
  return jwt({ aud: "dev", sub: "ü", iat: now, exp: now + ttl, ...fields });
};
// The first try is half a second away at most.
const reconnected = async () => {
  seconds(0.5);
  return gateway.accept();
};
const lost = (told) => until(told.state, ({ state }) => state === "reconnecting");

test("says hello, and is live with the welcome", async () => {
  const { client, told } = gateway.client({ ...BY_HASH, limit: 7 });
  assert.equal(client.state, "closed");
  client.connect();
  const session = await gateway.accept();
  assert.deepEqual(session.hello, { type: "hello", client_id: "dev", user_id: "u", user_hash: "hash", limit: 7 });
  assert.equal((await told.state.take()).state, "connecting");

  session.send(snapshot(items(2, 1), { unread_count: 5 }));
  assert.equal((await told.state.take()).state, "live");
  assert.deepEqual(await told.change.take(), { kind: "welcome", ids: ["i2", "i1"], resume: "snapshot" });
  await told.preferences.take();
  assert.equal(client.unreadCount, 5);
  assert.deepEqual(client.view().items, items(2, 1));
});

test("says hello without a hash, where none is given", async () => {
  const { client } = gateway.client({ clientId: "dev", userId: "u" });
  client.connect();
  const session = await gateway.accept();

  assert.deepEqual(session.hello, { type: "hello", client_id: "dev", user_id: "u", limit: 50 });
});

test("tells each change, and what is new once", async () => {
  const { client, told, session } = await live();
  await told.change.take();
  session.send(created(item(3)));
  session.send(updated(["i3"], { title: "x" }, { rev: hex(4) }));
  session.send(created(item(3, { rev: hex(5) })));
  session.send(retracted(["i3"]));
  for (const kind of ["created", "updated", "created", "retracted"]) {
    assert.deepEqual(await told.change.take(), { kind, ids: ["i3"] });
  }
  assert.equal((await told.new.take()).item.id, "i3");
  assert.equal(told.new.size, 0);
  assert.equal(client.view("inbox"), client.view());
});

for (const code of [1001, 1011, 4000, 4001, 4002, 4008, 4009, 4029]) {
  test(`comes back after ${code}, with its cursor`, async () => {
    const { client, told, session } = await live();
    session.close(code, "why");
    assert.deepEqual(await told.state.take(), { state: "reconnecting", code, reason: "why" });
    assert.equal((await reconnected()).hello.cursor, "c0");
    assert.equal(client.view().items.length, 2);
  });
}

for (const code of [1009, 4500, 4501, 4502, 4510]) {
  test(`stays away after ${code}`, async () => {
    const { client, told, session } = await live();
    session.close(code, "why");
    assert.deepEqual(await told.state.take(), { state: "signed-out", code, reason: "why" });
    seconds(HOUR);
    await assert.rejects(client.open("i1"), { code: "NOT_CONNECTED" });

    client.connect();
    await gateway.accept();
  });
}

test("pings, and holds a connection that answers no ping for dead", async () => {
  const { told, session } = await live();
  seconds(25);
  assert.deepEqual(await session.receive(), { type: "ping" });
  session.send({ type: "pong" });
  session.send({ type: "preferences_changed", cursor: "c9" });
  await told.preferences.take();
  await told.preferences.take();

  seconds(25);
  assert.deepEqual(await session.receive(), { type: "ping" });
  assert.equal(told.state.size, 0);
  seconds(10);
  assert.equal((await told.state.take()).state, "reconnecting");
  assert.equal((await reconnected()).hello.cursor, "c9");
});

test("each try that fails is followed by a longer wait, until a connection held", async (context) => {
  context.mock.method(Math, "random", () => 0.999);
  let { told, session } = await live();
  await told.change.take();
  // Waits for the close to arrive, then tells how long the client waits.
  const waits = async () => {
    session.close(4001);
    const before = gateway.tries;
    await once(session.socket, "close");
    let wait = 0;
    while (gateway.tries === before) {
      await new Promise(setImmediate);
      seconds(0.01);
      wait += 0.01;
    }
    session = await gateway.accept();
    return wait;
  };
  const [first, second, third] = [await waits(), await waits(), await waits()];
  // The close may arrive some turns later than it left.
  assert.ok(first >= 0.49 && second >= 0.99 && third >= 1.99, `${first} ${second} ${third}`);

  session.send(snapshot([]));
  await told.change.take();
  seconds(25);
  assert.ok((await waits()) < 1.9);
});

test("does not connect while it is cut off", async () => {
  const { client } = gateway.client(BY_HASH);
  const before = gateway.tries;
  client.cut();
  client.connect();
  assert.equal(client.state, "offline");
  await new Promise(setImmediate);
  seconds(HOUR);
  assert.equal(gateway.tries, before);
  client.restore();
  await gateway.accept();
});

test("gives up a try that has no welcome", async () => {
  const { client, told } = gateway.client(BY_HASH);
  client.connect();
  await gateway.accept();
  seconds(30);
  assert.equal((await until(told.state, ({ state }) => state !== "connecting")).state, "reconnecting");
  await reconnected();
});

test("is cut off, and comes back at once when that ends", async () => {
  const { client, told } = await live();
  client.cut();
  assert.equal((await told.state.take()).state, "offline");
  seconds(HOUR);
  client.restore();
  assert.equal((await told.state.take()).state, "reconnecting");
  await gateway.accept();

  client.cut(7);
  assert.equal((await told.state.take()).state, "offline");
  seconds(7);
  await gateway.accept();
});

test("closes, and can begin again", async () => {
  const { client, told, session } = await live();
  const asked = client.open("i1");
  await session.receive();
  client.close();
  assert.equal((await told.state.take()).state, "closed");
  await assert.rejects(asked, { code: "NOT_CONNECTED" });
  seconds(HOUR);

  client.connect();
  assert.equal((await gateway.accept()).hello.cursor, "c0");
});

// --- Tokens ---

test("asks for a token, and says no user beside it", async () => {
  const given = token(HOUR);
  const { client } = gateway.client({ onTokenNeeded: async () => given });
  client.connect();
  assert.deepEqual((await gateway.accept()).hello, { type: "hello", token: given, limit: 50 });
});

test("renews a token a little before it is over, without leaving live", async () => {
  const tokens = [token(HOUR), token(2 * HOUR)];
  const [first, second] = tokens;
  const { client, told, session } = await live(snapshot([]), { onTokenNeeded: () => tokens.shift() });
  assert.equal(session.hello.token, first);

  seconds(HOUR - 91);
  assert.equal(tokens.length, 1);
  seconds(1);
  const { ref, ...renewal } = await until(session.frames, ({ type }) => type !== "ping");
  assert.deepEqual(renewal, { type: "renew", token: second });
  session.send({ type: "result", ref, unread_count: 0, expire_time: "" });
  session.send(created(item(1)));
  await told.new.take();
  assert.equal(told.state.size, 0);

  session.close(4001);
  await lost(told);
  assert.equal((await reconnected()).hello.token, second);
  assert.equal(client.state, "reconnecting");
});

test("a renewal that fails is told, and tried again", async () => {
  let calls = 0;
  // Short, so that it is over before a ping is missed.
  const given = token(40);
  const onTokenNeeded = () => {
    calls += 1;
    if (calls === 2) throw new Error("no network");
    return given;
  };
  const { told, session } = await live(snapshot([]), { onTokenNeeded });
  seconds(20);
  assert.deepEqual(await told.problem.take(), { code: "TOKEN_NEEDED", message: "no network" });
  seconds(10);
  const { ref } = await until(session.frames, ({ type }) => type === "renew");
  session.send({ type: "error", ref, code: "TOKEN_REVOKED", message: "revoked" });
  assert.deepEqual(await told.problem.take(), { code: "TOKEN_REVOKED", message: "revoked" });
});

test("a token that is over is followed by a new one", async () => {
  const tokens = [token(HOUR), token(2 * HOUR)];
  const second = tokens[1];
  const { told, session } = await live(snapshot([]), { onTokenNeeded: () => tokens.shift() });
  session.close(4003);
  await lost(told);
  assert.equal((await reconnected()).hello.token, second);
});

test("a token that is over by this clock is not tried first", async () => {
  const second = token(HOUR);
  const { client } = gateway.client({ token: token(-1), onTokenNeeded: () => second });
  client.connect();
  assert.equal((await gateway.accept()).hello.token, second);
});

test("without a way to a new token, one that is over signs out", async () => {
  const { told, session } = await live(snapshot([]), { token: token(HOUR) });
  session.close(4003, "over");
  assert.deepEqual(await told.state.take(), { state: "signed-out", code: 4003, reason: "over" });
});

test("where nobody is signed in there is no token, and no connection", async () => {
  const { client, told } = gateway.client({ onTokenNeeded: () => "" });
  client.connect();
  assert.equal((await until(told.state, ({ state }) => state !== "connecting")).state, "signed-out");
});

test("what a page raises instead of a token is told, and it is asked again", async () => {
  const answers = [() => Promise.reject(new Error("503")), () => token(HOUR)];
  const { client, told } = gateway.client({ onTokenNeeded: () => answers.shift()() });
  client.connect();
  assert.deepEqual(await told.problem.take(), { code: "TOKEN_NEEDED", message: "503" });
  assert.ok((await reconnected()).hello.token);
});

test("a token of somebody else shows nothing of whom it was before", async () => {
  const tokens = [token(HOUR), token(HOUR, { sub: "other" })];
  const { client, told, session } = await live(snapshot(items(1)), { onTokenNeeded: () => tokens.shift() });
  session.close(4003);
  await lost(told);
  const { hello } = await reconnected();
  assert.equal(hello.cursor, undefined);
  assert.deepEqual([client.view().items, client.unreadCount], [[], 0]);
});

// --- Requests ---

test("requests say what they ask in the words of the protocol", async () => {
  const { client, session } = await live();
  const subscription = { endpoint: "e", keys: { p256dh: "p", auth: "a" }, expirationTime: null };
  const asked = [
    [() => client.mark("i1", { set: ["SEEN"], reply: "ok" }), { type: "mark", ids: ["i1"], set: ["SEEN"], reply: "ok" }],
    [() => client.archive(["i1"]), { type: "mark", ids: ["i1"], set: ["ARCHIVED"] }],
    [() => client.unarchive("i1"), { type: "mark", ids: ["i1"], clear: ["ARCHIVED"] }],
    [() => client.open("i1"), { type: "mark", ids: ["i1"], set: ["OPENED"] }],
    [() => client.click("i1"), { type: "mark", ids: ["i1"], set: ["CLICKED"] }],
    [() => client.markAll(), { type: "mark", until: { time: item(2).date, view: "INBOX" }, set: ["SEEN"] }],
    [
      () => client.markAll({ view: "unread", set: ["ARCHIVED"] }),
      { type: "mark", until: { time: item(2).date, view: "INBOX", filter: { unread: true } }, set: ["ARCHIVED"] },
    ],
    [
      () => client.list({ view: "all", filter: { tags: ["t"] }, limit: 3, pageToken: "p", beforeTime: "b" }),
      { type: "list", view: "ALL", filter: { tags: ["t"] }, limit: 3, page_token: "p", before_time: "b" },
    ],
    [() => client.getPreferences({ limit: 5, pageToken: "p" }), { type: "get_preferences", limit: 5, page_token: "p" }],
    [() => client.patchPreferences([{ a: 1 }]), { type: "patch_preferences", preferences: [{ a: 1 }] }],
    [
      () => client.deletePreferences("n", "s"),
      { type: "delete_preferences", notification_id: "n", sub_notification_id: "s" },
    ],
    [() => client.getEnvironment(), { type: "get_environment" }],
    [
      () => client.addWebPush(subscription),
      { type: "add_web_push", subscription: { endpoint: "e", keys: subscription.keys } },
    ],
    [() => client.removeWebPush("e"), { type: "remove_web_push", endpoint: "e" }],
  ];
  for (const [ask, expected] of asked) {
    const answer = ask();
    const { ref, ...frame } = await session.receive();
    assert.deepEqual(frame, expected);
    session.send({ type: "result", ref, changed_count: 1, unread_count: 2 });
    assert.deepEqual(await answer, { changed_count: 1, unread_count: 2 });
  }
});

test("a refusal has its code and its field", async () => {
  const { client, session } = await live();
  const asked = client.list({ pageToken: "x" });
  const { ref } = await session.receive();
  session.send({ type: "error", ref, code: "PAGE_TOKEN_INVALID", message: "no", field: "page_token" });
  await assert.rejects(asked, { name: "CarillonError", code: "PAGE_TOKEN_INVALID", field: "page_token", message: "no" });
});

test("many ids go in as many frames as they need", async () => {
  const { client, session } = await live();
  const many = Array.from({ length: 1500 }, (_, number) => `item-${number}`.padEnd(36, "x"));
  const answer = client.mark(many, { set: ["SEEN"], reply: "r".repeat(4096) });
  const got = [];
  while (got.length < many.length) {
    const frame = await session.receive();
    assert.ok(JSON.stringify(frame).length <= 16 * 1024 && frame.ids.length <= 1000);
    got.push(...frame.ids);
    session.send({ type: "result", ref: frame.ref, changed_count: frame.ids.length, unread_count: 4 });
  }
  assert.deepEqual(got, many);
  assert.deepEqual(await answer, { changed_count: 1500, unread_count: 4 });
});

test("what does not fit in a frame is refused here, as it would end the session there", async () => {
  const { client } = await live();
  const preferences = [{ notification_id: "ü".repeat(9000), delivery_option: "OFF" }];
  await assert.rejects(client.patchPreferences(preferences), { code: "TOO_LARGE" });
});

test("at most eight requests are on their way", async () => {
  const { client, session } = await live();
  const asked = Array.from({ length: 10 }, () => client.getEnvironment());
  const frames = [];
  for (let count = 0; count < 8; count += 1) frames.push(await session.receive());
  seconds(20);
  session.send({ type: "result", ref: frames[0].ref, name: "n" });
  assert.deepEqual(await asked[0], { name: "n" });
  assert.equal((await session.receive()).ref, "9");
  assert.equal(session.frames.size, 0);

  client.close();
  await Promise.allSettled(asked);
});

test("a request waits for the connection, ten seconds at most", async () => {
  const { client, told, session } = await live();
  session.close(4001);
  await told.state.take();
  const waits = client.open("i1");
  const again = await reconnected();
  again.send(snapshot([]));
  const { ref } = await until(again.frames, ({ type }) => type === "mark");
  again.send({ type: "result", ref, changed_count: 1, unread_count: 0 });
  assert.equal((await waits).changed_count, 1);

  client.cut();
  const tooLong = client.open("i1");
  seconds(9);
  assert.equal(client.state, "offline");
  seconds(1);
  await assert.rejects(tooLong, { code: "NOT_CONNECTED" });
});

test("a request does not wait longer for each try that fails", async () => {
  const { client, told, session } = await live();
  session.close(4001);
  await told.state.take();
  const asked = assert.rejects(client.open("i1"), { code: "NOT_CONNECTED" });
  const again = await reconnected();
  again.close(4000);
  const before = gateway.tries;
  let waited = 0.5;
  for (; gateway.tries === before; waited += 0.1) {
    await new Promise(setImmediate);
    seconds(0.1);
  }
  seconds(10 - waited);
  await asked;
});

test("a request whose answer is lost says so", async () => {
  const { client, session } = await live();
  const asked = client.open("i1");
  await session.receive();
  session.close(1001);
  await assert.rejects(asked, { code: "NOT_CONNECTED" });
});

test("an error that answers nothing is a problem", async () => {
  const { told, session } = await live();
  session.send({ type: "error", code: "NOT_JSON", message: "m" });
  assert.deepEqual(await told.problem.take(), { code: "NOT_JSON", message: "m" });
});

// --- Views ---

test("a view loads more, once at a time, and says that it does", async () => {
  const { client, session } = await live(snapshot(items(9, 8), { next_page_token: "p0" }), { ...BY_HASH, limit: 2 });
  const view = client.view();
  let changes = 0;
  view.addEventListener("change", () => (changes += 1));
  const first = view.loadMore();
  assert.equal(view.loadMore(), first);
  assert.deepEqual([view.isLoading, view.hasMore, changes], [true, true, 1]);

  const { ref, ...frame } = await session.receive();
  assert.deepEqual(frame, { type: "list", view: "INBOX", limit: 2, page_token: "p0" });
  // Nothing of it is new here, so the next page follows by itself.
  session.send({ type: "result", ref, items: items(8), next_page_token: "p", unread_count: 2 });
  const { ref: next } = await session.receive();
  session.send({ type: "result", ref: next, items: items(7), next_page_token: "", unread_count: 2 });
  assert.deepEqual(await first, items(7));
  assert.deepEqual([view.isLoading, view.hasMore], [false, false]);
  assert.deepEqual(await view.loadMore(), []);
  assert.equal(session.frames.size, 0);
});

test("the archive is loaded again after a snapshot, if it was shown", async () => {
  const { client, told, session } = await live();
  const archived = item(0, { archive_time: item(0).date });
  const loading = client.view("archive").loadMore();
  const { ref } = await session.receive();
  session.send({ type: "result", ref, items: [archived], next_page_token: "", unread_count: 2 });
  await loading;

  session.close(4001);
  await told.state.take();
  const again = await reconnected();
  again.send(snapshot(items(2, 1)));
  const frame = await again.receive();
  assert.equal(frame.view, "ARCHIVE");
  again.send({ type: "result", ref: frame.ref, items: [archived], next_page_token: "", unread_count: 2 });
  await until(told.change, ({ kind, ids }) => kind === "loaded" && ids.length === 1);
  await until(told.change, ({ kind }) => kind === "loaded");
  assert.deepEqual(client.view("archive").items, [archived]);
});

test("an item goes when its time comes", async () => {
  const expire_time = new Date(NOW + 40 * 86_400_000).toISOString();
  const { client, told } = await live(snapshot([item(1, { expire_time })]));
  await told.change.take();
  client.cut();
  seconds(40 * 86_400 - 1);
  assert.equal(client.view().items.length, 1);
  seconds(1);
  assert.deepEqual(await told.change.take(), { kind: "expired", ids: ["i1"] });
  assert.equal(client.view().items.length, 0);
});

test("the address may be one of HTTP", () => {
  const url = `http://127.0.0.1:${gateway.server.address().port}/v1/inbox`;
  const { client } = gateway.client({ ...BY_HASH, url });
  client.connect();
  return gateway.accept();
});
