// @ts-check
// What outlives a page load: the cursor with what is held. No failure of it is one of the client.

const VERSION = 1;
const MOST_ITEMS = 100;
const MOST_CHARACTERS = 500_000;
const DELAY_MS = 500;

/**
 * @typedef {import("./carillon-store.js").Saved} Saved
 *
 * @typedef {object} Storage As sessionStorage is one.
 * @property {(key: string) => string | null} getItem
 * @property {(key: string, value: string) => void} setItem
 * @property {(key: string) => void} removeItem
 *
 * @typedef {{ url: string, clientId: string, userId: string }} Owner
 */

export class SavedState {
  #storage;
  #owner;
  #save;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {Storage} storage
   * @param {Owner} owner
   * @param {(most: number) => Saved | undefined} save Gives what is held, with so many items at most.
   */
  constructor(storage, owner, save) {
    this.#storage = storage;
    this.#owner = [owner.url, owner.clientId, owner.userId];
    this.#save = save;
  }

  get #key() {
    return `carillon ${JSON.stringify(this.#owner)}`;
  }

  /** @returns {Saved | undefined} */
  read() {
    try {
      const { version, owner, ...saved } = JSON.parse(this.#storage.getItem(this.#key) ?? "{}");
      const isOurs = version === VERSION && JSON.stringify(owner) === JSON.stringify(this.#owner);
      return isOurs && isSaved(saved) ? saved : undefined;
    } catch {
      return undefined;
    }
  }

  /** Writes what is held, a moment later and once for many calls. */
  writeSoon() {
    this.#timer ??= setTimeout(() => this.write(), DELAY_MS);
  }

  /** Writes what is held. */
  write() {
    this.stop();
    try {
      const text = this.#text();
      if (text) this.#storage.setItem(this.#key, text);
      else this.remove();
    } catch {
      // What was written before still belongs together.
    }
  }

  /** Writes nothing of what was to be written soon. */
  stop() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  remove() {
    this.stop();
    try {
      this.#storage.removeItem(this.#key);
    } catch {
      // Whoever reads it checks whose it is.
    }
  }

  #text() {
    for (let most = MOST_ITEMS; most >= 1; most = Math.floor(most / 2)) {
      const saved = this.#save(most);
      const text = saved && JSON.stringify({ version: VERSION, owner: this.#owner, ...saved });
      if (!text || text.length <= MOST_CHARACTERS) return text;
    }
    return undefined;
  }
}

/** @param {any} saved @returns {saved is Saved} */
function isSaved(saved) {
  const { cursor, unread_count, newest, horizon, items } = saved;
  return (
    typeof cursor === "string" &&
    typeof unread_count === "number" &&
    [newest, horizon, ...items].every((key) => typeof key?.date === "string" && typeof key.id === "string")
  );
}
