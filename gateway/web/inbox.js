// A client of the gateway without a face: one socket that comes back by itself, and the inbox that its frames describe.
//
// Events: "state" whenever `state` changes, with the `code` and `reason` of the close if one is behind it as `detail`; and
// each frame under its own type once it is applied ("welcome", "created", "updated", "retracted", "error"), as `detail`.
// What answers a request settles the promise of that request instead.

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
  #requests = new Map();
  #lastRef = 0;

  constructor(url, hello) {
    super();
    this.#url = url;
    this.#hello = hello;
    addEventListener("online", this.#retryNow);
    this.#open();
  }

  /** The items that the inbox shows, newest first. */
  get items() {
    const shown = [...this.#items.values()].filter((item) => !item.archive_time);
    return shown.sort((a, b) => compare(b.date, a.date) || compare(b.id, a.id));
  }

  /**
   * Marks items: `{ids, set: ["OPENED"]}`, or `{until: {time}, set: ["SEEN"]}`; also `clear` and `reply`. Resolves with how
   * many changed; what changed comes as "updated", as it does in every other tab.
   */
  mark(request) {
    return this.#ask({ type: "mark", ...request });
  }

  /** Reads a page of items that this does not hold: `{limit, page_token, before_time, view, filter}`, all optional. */
  list(request) {
    return this.#ask({ type: "list", ...request });
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

  #ask(frame) {
    if (this.state !== "live") return Promise.reject(new Error("Not connected; try again in a moment."));
    const ref = String(++this.#lastRef);
    this.#send({ ...frame, ref });
    return new Promise((resolve, reject) => this.#requests.set(ref, { resolve, reject }));
  }

  // Whether the frame answers a request.
  #settle({ type, ref, ...answer }) {
    const request = this.#requests.get(ref);
    if (!request || !["result", "error"].includes(type)) return false;
    this.#requests.delete(ref);
    if (type === "result") request.resolve(answer);
    else request.reject(new Error(answer.message));
    return true;
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
    // Nobody knows what became of these. All of them can be repeated.
    for (const { reject } of this.#requests.values()) reject(new Error("The connection was lost; try again."));
    this.#requests.clear();
  }

  #retryNow = () => {
    if (this.state === "live") return;
    this.#drop();
    clearTimeout(this.#retry);
    this.#open();
  };

  #receive(frame) {
    this.#heard = true;
    if (this.#settle(frame)) return;
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
        frame.ids.forEach((id, index) => this.#update(id, frame.revs[index], frame));
        break;
      case "retracted":
        for (const id of frame.ids) this.#items.delete(id);
        break;
    }
    this.unreadCount += frame.unread_change ?? 0;
  }

  #update(id, rev, { set, unset }) {
    const held = this.#items.get(id);
    if (!held || held.rev >= rev) return;
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
