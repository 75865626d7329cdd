// A gateway in the page: the element and its client bear what it sends, and nothing else is measured.

import { CarillonClient } from "/web/carillon.js";
import { item } from "./samples.js";

const BODY = "It will be delivered to 124 Conch Street, between 12:10 and 12:25.";

let socket;
let cursor = 0;

class Socket extends EventTarget {
  readyState = 0;
  protocol = "carillon.v1";
  items;

  constructor() {
    super();
    socket = this;
    setTimeout(() => {
      this.readyState = 1;
      this.#happens("open");
    });
  }

  send(text) {
    const { type, ref } = JSON.parse(text);
    if (type === "hello") this.tell({ type: "welcome", resume: "snapshot", unread_count: Socket.items.length, items: Socket.items });
    else if (ref) this.tell({ type: "result", ref, items: [], next_page_token: "", notifications: [], preferences: [] });
  }

  tell(frame) {
    const data = JSON.stringify({ cursor: String(++cursor), ...frame });
    this.#happens("message", { data });
  }

  close() {
    this.readyState = 3;
  }

  #happens(type, fields = {}) {
    const event = Object.assign(new Event(type), fields);
    this.dispatchEvent(event);
    this[`on${type}`]?.(event);
  }
}

/** Gives the element a client with so many items. */
export function fill(count) {
  Socket.items = Array.from({ length: count }, (_, number) => item(number, { body: BODY }));
  const client = new CarillonClient({
    url: "ws://127.0.0.1/",
    clientId: "bench",
    userId: "bench",
    userHash: "bench",
    limit: count,
    WebSocket: Socket,
  });
  globalThis.inbox.client = client;
  client.connect();
}

/** Sends so many events a second, in bursts of a tenth of them: new items, changes, retractions. */
export async function run(seconds, perSecond) {
  let number = 10_000;
  for (let burst = 0; burst < seconds * 10; burst++) {
    for (let index = 0; index < perSecond / 10; index++) {
      number += 1;
      const rev = String(number).padStart(16, "0");
      const old = `i${String(number - 40).padStart(6, "0")}`;
      const ids = [number > 10_040 ? old : "i000001"];
      if (index % 5 === 3) socket.tell({ type: "updated", ids, revs: [rev], set: { unread: false, title: "Changed" }, unset: [], unread_change: -1 });
      else if (index % 5 === 4) socket.tell({ type: "retracted", ids, unread_change: -1 });
      else socket.tell({ type: "created", item: item(number, { rev, minutes: 0, body: BODY }), unread_change: 1 });
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Takes the element out, and lets go of all that this page holds of it. */
export function release() {
  globalThis.inbox.client.close();
  globalThis.inbox.remove();
  globalThis.inbox.client = null;
  globalThis.inbox = globalThis.client = socket = undefined;
  globalThis.heard.length = 0;
  Socket.items = [];
}
