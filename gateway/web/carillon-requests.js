// @ts-check
// Requests of one client: which wait, which have left, and what becomes of each.

// The gateway takes no more at once.
const MOST_AT_ONCE = 8;
const PATIENCE_MS = 10_000;
const MAX_FRAME_BYTES = 16 * 1024;
const MAX_IDS = 1000;
// With a reply of 4,096 bytes beside them.
const MAX_IDS_BYTES = 11_000;

/** @typedef {import("./carillon-store.js").Frame} Frame */

/** Why a request has no result: `code` as the gateway has it, NOT_CONNECTED, or TOO_LARGE. */
export class CarillonError extends Error {
  /** @param {string} code @param {string} message @param {string} [field] */
  constructor(code, message, field) {
    super(message);
    this.name = "CarillonError";
    this.code = code;
    this.field = field;
  }
}

/**
 * @typedef {object} Request
 * @property {() => Frame} make Called when it leaves: what it asks for may depend on what came meanwhile.
 * @property {(result: any) => void} resolve
 * @property {(error: CarillonError) => void} reject
 * @property {ReturnType<typeof setTimeout> | undefined} timer Runs while it waits for a connection.
 */

export class Requests {
  #isLive = false;
  /** @type {Request[]} */
  #waiting = [];
  /** @type {Map<string, Request>} */
  #asked = new Map();
  #lastRef = 0;
  #send;

  /** @param {(frame: Frame) => void} send */
  constructor(send) {
    this.#send = send;
  }

  /** Asks once there is a connection and a place. @param {() => Frame} make @returns {Promise<any>} */
  ask(make) {
    return new Promise((resolve, reject) => {
      const request = { make, resolve, reject, timer: undefined };
      this.#waiting.push(request);
      if (!this.#isLive) this.#limit(request);
      this.#leave();
    });
  }

  /** Tells that there is a connection. */
  begin() {
    this.#isLive = true;
    for (const request of this.#waiting) {
      clearTimeout(request.timer);
      request.timer = undefined;
    }
    this.#leave();
  }

  /** Tells that there is none any more. Nobody knows what became of what had left. */
  lose() {
    this.#isLive = false;
    const lost = [...this.#asked.values()];
    this.#asked.clear();
    for (const { reject } of lost) reject(notConnected("The connection was lost before the answer; ask again."));
    for (const request of this.#waiting) this.#limit(request);
  }

  /** Tells that there will be none. */
  end() {
    this.lose();
    for (const { timer, reject } of this.#waiting.splice(0)) {
      clearTimeout(timer);
      reject(notConnected("There is no connection."));
    }
  }

  /** Takes a frame that may answer a request; tells whether it does. @param {Frame} frame */
  answer({ type, ref, ...answer }) {
    const request = this.#asked.get(ref);
    if (!request || (type !== "result" && type !== "error")) return false;
    this.#asked.delete(ref);
    if (type === "result") request.resolve(answer);
    else request.reject(new CarillonError(answer.code, answer.message, answer.field));
    this.#leave();
    return true;
  }

  #leave() {
    while (this.#isLive && this.#waiting.length && this.#asked.size < MOST_AT_ONCE) {
      const request = /** @type {Request} */ (this.#waiting.shift());
      const ref = String(++this.#lastRef);
      const frame = { ...request.make(), ref };
      // The third such frame would end the session for good.
      if (byteLength(frame) > MAX_FRAME_BYTES) {
        request.reject(new CarillonError("TOO_LARGE", "This is more than fits in a frame; ask for less at once."));
        continue;
      }
      this.#asked.set(ref, request);
      this.#send(frame);
    }
  }

  /** @param {Request} request */
  #limit(request) {
    request.timer ??= setTimeout(() => {
      this.#waiting = this.#waiting.filter((one) => one !== request);
      request.reject(notConnected("There is no connection; try again in a moment."));
    }, PATIENCE_MS);
  }
}

/** @param {unknown} value */
const byteLength = (value) => new TextEncoder().encode(JSON.stringify(value)).length;

/** @param {string} message */
const notConnected = (message) => new CarillonError("NOT_CONNECTED", message);

/**
 * Says in the words of the protocol which items a view shows.
 * @param {import("./carillon-store.js").ViewName | "all"} view
 * @param {object} [filter]
 */
export function selection(view, filter) {
  const narrowed = view === "unread" ? { ...filter, unread: true } : filter;
  return { view: view === "unread" ? "INBOX" : view.toUpperCase(), filter: narrowed };
}

/** Parts ids into as many lists as it takes for each to fit in a frame. @param {string[]} ids */
export function* inFrames(ids) {
  /** @type {string[]} */
  let some = [];
  let bytes = 0;
  for (const id of ids) {
    const more = byteLength(id) + 1;
    if (some.length === MAX_IDS || bytes + more > MAX_IDS_BYTES) {
      yield some;
      some = [];
      bytes = 0;
    }
    some.push(id);
    bytes += more;
  }
  if (some.length) yield some;
}
