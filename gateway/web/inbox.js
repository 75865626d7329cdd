// A client of the gateway without a face: one socket that comes back by itself, and the inbox that its frames describe.
//
// Events: "state" whenever `state` changes, with the `code` and `reason` of the close if one is behind it as `detail`; and
// each frame under its own type once it is applied ("welcome", "created", "updated", "retracted", "error"), as `detail`.

const SUBPROTOCOL = "carillon.v1";

// The gateway asks clients that cannot send protocol pings, and browsers cannot, to ping like this. A socket that was
// silent for a whole beat is dead, even if the browser has not noticed: a laptop that slept, a network that changed.
const BEAT_MS = 25_000;

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 30_000;

/** Connects to `url` as the user that `hello` names; `close()` on the answer ends it. */
export const connect = (url, hello) => new Inbox(url, hello);

class Inbox extends EventTarget {
  /** "connecting", "live", "reconnecting", or "signed out", which is final. */
  state = "connecting";

  /** What the badge shows. */
  unreadCount = 0;

  #url;
  #hello;
  #items = new Map();
  #socket;
  #heard;
  #beat;
  #retry;
  #failures = 0;

  constructor(url, hello) {
    super();
    this.#url = url;
    this.#hello = hello;
    addEventListener("online", this.#retryNow);
    this.#open();
  }

  /** The items that the inbox shows, newest first. */
  get items() {
    return [...this.#items.values()].sort((a, b) => compare(b.date, a.date) || compare(b.id, a.id));
  }

  /** Ends the connection for good. */
  close() {
    this.#drop();
    clearTimeout(this.#retry);
    removeEventListener("online", this.#retryNow);
  }

  #open() {
    this.#socket = new WebSocket(this.#url, SUBPROTOCOL);
    this.#socket.onopen = () => this.#send({ type: "hello", ...this.#hello });
    this.#socket.onmessage = (event) => this.#receive(JSON.parse(event.data));
    this.#socket.onclose = ({ code, reason }) => this.#lose({ code, reason });
    this.#heard = false;
    this.#beat = setInterval(() => this.#checkBeat(), BEAT_MS);
  }

  #send(frame) {
    this.#socket.send(JSON.stringify(frame));
  }

  #checkBeat() {
    if (!this.#heard) {
      this.#lose({});
      return;
    }
    // Only a connection that held counts as a success, else one that is cut after each welcome would never slow down.
    this.#failures = 0;
    this.#heard = false;
    this.#send({ type: "ping" });
  }

  #lose(close) {
    this.#drop();
    if (close.code >= 4500 && close.code < 5000) {
      this.close();
      this.#setState("signed out", close);
      return;
    }
    this.#setState("reconnecting", close);
    // Full jitter: after a restart of the gateway its clients come back spread out, not all at once.
    const longest = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#failures);
    this.#failures += 1;
    this.#retry = setTimeout(() => this.#open(), Math.random() * longest);
  }

  // Does not wait for the closing handshake, which a dead network never finishes.
  #drop() {
    clearInterval(this.#beat);
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
  }

  #retryNow = () => {
    if (this.state === "live") return;
    this.#drop();
    clearTimeout(this.#retry);
    this.#open();
  };

  #receive(frame) {
    this.#heard = true;
    this.#apply(frame);
    if (frame.type === "welcome") this.#setState("live");
    this.dispatchEvent(new CustomEvent(frame.type, { detail: frame }));
  }

  #apply(frame) {
    switch (frame.type) {
      case "welcome":
        this.#items = new Map(frame.items.map((item) => [item.id, item]));
        this.unreadCount = frame.unread_count;
        return;
      case "created":
        this.#items.set(frame.item.id, frame.item);
        break;
      case "updated":
        for (const id of frame.ids) this.#update(id, frame);
        break;
      case "retracted":
        for (const id of frame.ids) this.#items.delete(id);
        break;
    }
    this.unreadCount += frame.unread_change ?? 0;
  }

  #update(id, { rev, set, unset }) {
    const held = this.#items.get(id);
    if (!held) return;
    const item = { ...held, ...set, rev };
    for (const key of unset ?? []) delete item[key];
    this.#items.set(id, item);
  }

  #setState(state, detail = {}) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail }));
  }
}

const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
