// @ts-check
// One view of an inbox, as a page shows it.

/**
 * @typedef {import("./carillon-store.js").Item} Item
 * @typedef {import("./carillon-store.js").ViewName} ViewName
 *
 * @typedef {object} Source
 * @property {(view: ViewName) => Item[]} items
 * @property {(view: ViewName) => boolean} hasMore
 * @property {(view: ViewName) => Promise<void>} loadPage
 */

/** A live view. Event "change": what it shows, `hasMore` or `isLoading` is another. */
export class View extends EventTarget {
  #source;
  /** @type {Promise<Item[]> | undefined} */
  #loading;

  /** @param {ViewName} name @param {Source} source */
  constructor(name, source) {
    super();
    this.name = name;
    this.#source = source;
  }

  /** Newest first; the same array until it changes. */
  get items() {
    return this.#source.items(this.name);
  }

  /** Whether `loadMore` may find more. Until it is known that there is nothing more, it may. */
  get hasMore() {
    return this.#source.hasMore(this.name);
  }

  get isLoading() {
    return this.#loading !== undefined;
  }

  /** Loads older items; gives those that the view has now and had not. While it is at it, it is not begun again. */
  loadMore() {
    if (!this.#loading && !this.hasMore) return Promise.resolve([]);
    if (!this.#loading) {
      this.#loading = this.#load().finally(() => {
        this.#loading = undefined;
        this.dispatchEvent(new Event("change"));
      });
      this.dispatchEvent(new Event("change"));
    }
    return this.#loading;
  }

  async #load() {
    const before = new Set(this.items.map(({ id }) => id));
    /** @type {Item[]} */
    let added = [];
    // A page may hold nothing that is not known already.
    while (added.length === 0 && this.hasMore) {
      await this.#source.loadPage(this.name);
      added = this.items.filter(({ id }) => !before.has(id));
    }
    return added;
  }
}
