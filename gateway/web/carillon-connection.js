// @ts-check
// One socket that comes back by itself: when to try, when to wait, when a connection is dead, when to stay away.
//
// What is said over it belongs to the client, which it asks for each hello.

const SUBPROTOCOL = "carillon.v1";

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 30_000;
// From the first step of a try, which may be to have a token made, to its welcome.
const TRY_MS = 30_000;
// Browsers cannot send the ping of WebSocket itself, nor do they notice that a laptop slept or the network is another.
const BEAT_MS = 25_000;
const ANSWER_MS = 10_000;

const FRAME_TOO_LARGE = 1009;
const STAY_AWAY_FROM = 4500;
const STAY_AWAY_BEFORE = 5000;

/**
 * @typedef {import("./carillon-store.js").Frame} Frame
 * @typedef {"connecting" | "live" | "reconnecting" | "offline" | "signed-out" | "closed"} State
 * @typedef {{ code?: number, reason?: string }} Close
 *
 * @typedef {object} Handlers
 * @property {() => Promise<boolean>} prepare Comes before each socket; false: there is nobody to connect for.
 * @property {() => Frame} hello
 * @property {(frame: Frame) => void} receive
 * @property {(code: number | undefined) => boolean} lose A connection or a try ended; false: stay away.
 * @property {(state: State, close: Close) => void} change
 * @property {(error: unknown) => void} fail What `prepare` raised; it is tried again.
 */

export class Connection {
  /** @type {State} */
  state = "closed";

  #url;
  #WebSocket;
  #on;
  /** @type {WebSocket | undefined} */
  #socket;
  /** @type {object | undefined} */
  #try;
  #failures = 0;
  #isCut = false;
  #hasFailed = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retry;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #deadline;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #beat;

  /** @param {string} url @param {typeof globalThis.WebSocket} WebSocket @param {Handlers} handlers */
  constructor(url, WebSocket, handlers) {
    this.#url = url;
    this.#WebSocket = WebSocket;
    this.#on = handlers;
  }

  /** Connects, and goes on to; does nothing where it does already. */
  open() {
    if (!this.#isOver) return;
    this.#failures = 0;
    this.#hasFailed = false;
    globalThis.addEventListener?.("online", this.#tryNow);
    globalThis.addEventListener?.("offline", this.#loseNow);
    globalThis.document?.addEventListener("visibilitychange", this.#wake);
    this.#setState(this.#away);
    void this.#open();
  }

  /** Ends it. */
  close() {
    this.#end("closed", {});
  }

  /** @param {Frame} frame */
  send(frame) {
    this.#socket?.send(JSON.stringify(frame));
  }

  /** Says that the welcome was applied. */
  settle() {
    clearTimeout(this.#deadline);
    this.#deadline = undefined;
    clearInterval(this.#beat);
    this.#beat = setInterval(() => {
      // Only what held for a while is a success, else who is cut off after each welcome would never slow down.
      this.#failures = 0;
      this.#ping();
    }, BEAT_MS);
    this.#setState("live");
  }

  /** Behaves as if the network were gone. */
  cut() {
    this.#isCut = true;
    if (!this.#isOver) this.#lose({});
  }

  /** Ends `cut`, as if the network were back. */
  restore() {
    this.#isCut = false;
    this.#tryNow();
  }

  get #isOver() {
    return this.state === "closed" || this.state === "signed-out";
  }

  /** What it is while it is not live. @returns {State} */
  get #away() {
    if (this.#isCut || globalThis.navigator?.onLine === false) return "offline";
    return this.#hasFailed ? "reconnecting" : "connecting";
  }

  async #open() {
    this.#drop();
    if (this.#isCut) return;
    const current = (this.#try = {});
    this.#deadline = setTimeout(() => this.#lose({}), TRY_MS);
    let isWanted;
    try {
      isWanted = await this.#on.prepare();
    } catch (error) {
      if (current !== this.#try) return;
      this.#on.fail(error);
      this.#lose({});
      return;
    }
    if (current !== this.#try) return;
    if (!isWanted) {
      this.#end("signed-out", { reason: "there is no user token" });
      return;
    }
    const socket = new this.#WebSocket(this.#url, SUBPROTOCOL);
    this.#socket = socket;
    socket.onopen = () => this.send(this.#on.hello());
    socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
    socket.onclose = ({ code, reason }) => this.#lose({ code, reason });
    // Nobody's business: a close follows. In Node it would end the process if nobody heard it.
    socket.onerror = () => {};
  }

  /** @param {Frame} frame */
  #hear(frame) {
    if (this.state === "live") {
      clearTimeout(this.#deadline);
      this.#deadline = undefined;
    }
    this.#on.receive(frame);
  }

  #ping() {
    this.send({ type: "ping" });
    this.#deadline ??= setTimeout(() => this.#lose({}), ANSWER_MS);
  }

  /** @param {Close} close */
  #lose(close) {
    this.#drop();
    const { code } = close;
    const isFinal = code === FRAME_TOO_LARGE || (code && code >= STAY_AWAY_FROM && code < STAY_AWAY_BEFORE);
    if (!this.#on.lose(code) || isFinal) {
      this.#end("signed-out", close);
      return;
    }
    this.#hasFailed = true;
    if (!this.#isCut) {
      this.#retry = setTimeout(() => void this.#open(), backoffMs(this.#failures));
      this.#failures += 1;
    }
    this.#setState(this.#away, close);
  }

  /** @param {State} state @param {Close} close */
  #end(state, close) {
    this.#drop();
    globalThis.removeEventListener?.("online", this.#tryNow);
    globalThis.removeEventListener?.("offline", this.#loseNow);
    globalThis.document?.removeEventListener("visibilitychange", this.#wake);
    this.#setState(state, close);
  }

  // Does not wait for the closing handshake, which a dead network never finishes.
  #drop() {
    clearTimeout(this.#retry);
    clearTimeout(this.#deadline);
    clearInterval(this.#beat);
    this.#retry = this.#deadline = this.#try = undefined;
    if (!this.#socket) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = undefined;
  }

  #tryNow = () => {
    if (this.#isOver) return;
    if (this.state === "live") {
      this.#ping();
      return;
    }
    this.#setState(this.#away);
    void this.#open();
  };

  // It is tried again nevertheless: a gateway on this machine is there without a network.
  #loseNow = () => {
    if (!this.#isOver) this.#lose({});
  };

  #wake = () => {
    if (globalThis.document.visibilityState !== "visible") return;
    if (this.state === "live") this.#ping();
    else if (this.#retry) this.#tryNow();
  };

  /** @param {State} state @param {Close} [close] */
  #setState(state, close = {}) {
    if (state === this.state) return;
    this.state = state;
    this.#on.change(state, close);
  }
}

/**
 * Full jitter: after a restart of the gateway its clients come back spread out, not all at once.
 * @param {number} failures How many tries have failed since a connection held.
 */
export function backoffMs(failures, random = Math.random) {
  return random() * Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** failures);
}
