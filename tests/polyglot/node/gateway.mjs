// A real websocket server that leaves the talking to the test, and clients of it.

import { once } from "node:events";

import { WebSocket, WebSocketServer } from "ws";

import { CarillonClient } from "../../../gateway/web/carillon.js";

/** Hands out what comes, in its order, to who awaits it. */
class Queue {
  #items = [];
  #takers = [];

  put(item) {
    const take = this.#takers.shift();
    if (take) take(item);
    else this.#items.push(item);
  }

  take() {
    if (this.#items.length) return Promise.resolve(this.#items.shift());
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  get size() {
    return this.#items.length;
  }
}

/** The gateway's end of one socket that has said hello. */
class Session {
  frames = new Queue();

  constructor(socket) {
    this.socket = socket;
    socket.on("message", (data) => this.frames.put(JSON.parse(data)));
  }

  /** Awaits the next frame of the client. */
  receive() {
    return this.frames.take();
  }

  send(frame) {
    this.socket.send(JSON.stringify(frame));
  }

  close(code, reason) {
    this.socket.close(code, reason);
  }
}

// Both ends of every socket: they have timers of their own, which must not outlive the test.
const open = new Set();

function watch(socket) {
  open.add(socket);
  socket.on("close", () => open.delete(socket));
}

class ClientSocket extends WebSocket {
  /** How many there were: how often somebody tried. */
  static count = 0;

  constructor(...arguments_) {
    super(...arguments_);
    ClientSocket.count += 1;
    watch(this);
  }
}

export class Gateway {
  #sessions = new Queue();
  #clients = [];

  static async start() {
    const gateway = new Gateway();
    gateway.server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    gateway.server.on("connection", async (socket) => {
      watch(socket);
      const session = new Session(socket);
      session.hello = await session.receive();
      gateway.#sessions.put(session);
    });
    await once(gateway.server, "listening");
    return gateway;
  }

  /** How often clients have tried to connect. */
  get tries() {
    return ClientSocket.count;
  }

  /** Awaits the next socket that says hello. */
  accept() {
    return this.#sessions.take();
  }

  /** Makes a client and what it tells, by the type of the event. */
  client(options = {}) {
    const client = new CarillonClient({
      url: `ws://127.0.0.1:${this.server.address().port}/v1/inbox`, WebSocket: ClientSocket, ...options,
    });
    const told = {};
    for (const type of ["state", "change", "new", "preferences", "problem"]) {
      const queue = (told[type] = new Queue());
      client.addEventListener(type, ({ detail }) => queue.put(detail));
    }
    this.#clients.push(client);
    return { client, told };
  }

  /** Makes a client, connects it and welcomes it. */
  async live(welcome, options) {
    const { client, told } = this.client(options);
    client.connect();
    const session = await this.accept();
    session.send(welcome);
    await until(told.state, ({ state }) => state === "live");
    return { client, told, session };
  }

  async stop() {
    for (const client of this.#clients) client.close();
    // Not by `once`, which raises the error of a socket that is closed before it is open.
    const closed = [...open].map((socket) => new Promise((resolve) => socket.on("close", resolve)));
    for (const socket of open) socket.terminate();
    await Promise.all(closed);
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** Takes from a queue until one is as wanted, and gives that. */
export async function until(queue, isWanted) {
  for (;;) {
    const item = await queue.take();
    if (isWanted(item)) return item;
  }
}
