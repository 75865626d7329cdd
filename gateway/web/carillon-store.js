// @ts-check
// The part of an inbox that this client holds: frames go in, what they changed comes out. No socket, no clock, no page.
//
// Of each view it holds everything from the newest item down to a horizon. What is older is passed over, until pages
// move the horizon down. Held items are right whichever view they are in: every frame is applied to all of them.

/**
 * @typedef {import("./carillon-types.js").Item} Item
 * @typedef {"inbox" | "unread" | "archive"} ViewName
 * @typedef {{ date: string, id: string }} Key Where an item stands in the order.
 * @typedef {{ type: string, [field: string]: any }} Frame
 *
 * @typedef {object} Change What a frame has changed.
 * @property {string} kind
 * @property {string[]} ids Those of items that are held, or were.
 * @property {Set<ViewName>} views Those that show something else now.
 * @property {Item[]} fresh What is new to the person, oldest first.
 *
 * @typedef {object} Page A page that is being asked for.
 * @property {ViewName} view
 * @property {Key} from
 * @property {{ before_time?: string, page_token?: string }} ask
 * @property {Frame[]} log What came since: the page may be of before it.
 *
 * @typedef {object} Saved
 * @property {string} cursor
 * @property {number} unread_count
 * @property {Key} newest
 * @property {Key} horizon
 * @property {Item[]} items
 */

/** @type {ViewName[]} */
export const VIEWS = ["inbox", "unread", "archive"];

// Newer than every item: nothing is held. Older than every item: all there are.
const NOTHING = { date: "~", id: "" };
const EVERYTHING = { date: "", id: "" };

export class Store {
  cursor = "";
  unreadCount = 0;

  /** @type {Map<string, Item>} */
  #items = new Map();
  // That of "unread" is never newer than that of "inbox", of which it is a part.
  /** @type {Record<ViewName, Key>} */
  #horizons = { inbox: NOTHING, unread: NOTHING, archive: NOTHING };
  // That of the inbox at the last welcome. A page is read at a moment of its own, so below this events may be behind it.
  #base = NOTHING;
  /** @type {Map<ViewName, { at: Key, ask: Page["ask"] }>} */
  #next = new Map();
  /** @type {Set<Page>} */
  #pages = new Set();
  /** @type {Map<ViewName, Item[]>} */
  #sorted = new Map();
  // The newest that was ever held; none before the first welcome.
  /** @type {Key | undefined} */
  #newest;
  #nextExpiry = Infinity;

  /** Makes a store with what another one saved; with nothing, an empty one. @param {Saved} [saved] */
  constructor(saved) {
    if (!saved) return;
    this.cursor = saved.cursor;
    this.unreadCount = saved.unread_count;
    this.#newest = saved.newest;
    this.#base = this.#horizons.inbox = this.#horizons.unread = saved.horizon;
    for (const item of saved.items) this.#hold(item);
  }

  /** When, in ms, `expire` has something to do; Infinity where nothing expires. */
  get nextExpiry() {
    return this.#nextExpiry;
  }

  /** What a view shows, newest first; the same array until it changes. @param {ViewName} view */
  items(view) {
    let items = this.#sorted.get(view);
    if (!items) {
      items = [...this.#items.values()].filter((item) => this.#shows(view, item)).sort((a, b) => compare(b, a));
      this.#sorted.set(view, items);
    }
    return items;
  }

  /** @param {string} id */
  item(id) {
    return this.#items.get(id);
  }

  /** Whether there may be older items than those that are held. @param {ViewName} view */
  hasMore(view) {
    return compare(this.#horizons[view], EVERYTHING) > 0;
  }

  /**
   * Applies a frame that tells of the inbox.
   * @param {Frame} frame
   * @param {{ now: number }} context
   * @returns {Change}
   */
  apply(frame, { now }) {
    const newest = this.#newest;
    const seen = new Sight(this, this.#items);
    if (frame.type === "welcome") {
      this.unreadCount = frame.unread_count;
      this.#newest ??= EVERYTHING;
      // What was asked for before it does not fit any more.
      this.#pages.clear();
      if (frame.resume === "full") this.#resume(frame.items, now, seen);
      else this.#begin(frame, now, seen);
      this.#base = this.#horizons.inbox;
    } else {
      this.unreadCount += frame.unread_change ?? 0;
      for (const page of this.#pages) page.log.push(frame);
      this.#follow(frame, now, seen);
    }
    if (frame.cursor) this.cursor = frame.cursor;
    return this.#change(frame.type, seen, newest);
  }

  /** Drops what is over by now. @param {number} now @returns {Change} */
  expire(now) {
    const seen = new Sight(this, this.#items);
    this.#nextExpiry = Infinity;
    for (const item of this.#items.values()) {
      if (isOver(item, now)) this.#drop(item.id, seen);
      else this.#note(item);
    }
    return this.#change("expired", seen, this.#newest);
  }

  /**
   * Begins the next page of a view; its `ask` says which. To be called when the request leaves, and followed by
   * `dropPage`, after `endPage` where there is an answer.
   * @param {ViewName} view
   * @returns {Page}
   */
  beginPage(view) {
    const from = this.#horizons[view];
    const next = this.#next.get(view);
    // Inclusive, as several items may have one date; those that are held already are told apart by their ids.
    const start = from === NOTHING ? {} : { before_time: from.date };
    const page = { view, from, ask: next && compare(next.at, from) === 0 ? next.ask : start, log: [] };
    this.#pages.add(page);
    return page;
  }

  /** @param {Page} page */
  dropPage(page) {
    this.#pages.delete(page);
    if (this.#pages.size > 0) return;
    for (const item of this.#items.values()) if (!this.#isReached(item)) this.#items.delete(item.id);
  }

  /**
   * Takes the answer to a page.
   * @param {Page} page
   * @param {{ items: Item[], next_page_token: string }} answer
   * @param {number} now
   * @returns {Change}
   */
  endPage(page, answer, now) {
    const { view } = page;
    const seen = new Sight(this, this.#items);
    if (this.#pages.has(page)) {
      const end = answer.next_page_token ? keyOf(/** @type {Item} */ (answer.items.at(-1))) : EVERYTHING;
      if (answer.next_page_token) {
        this.#next.set(view, { at: end, ask: { ...page.ask, page_token: answer.next_page_token } });
      }
      this.#extend(view, end, seen);
      for (const item of answer.items) {
        if (this.#isNews(item.id, item.rev)) this.#put(item, now, seen);
      }
      // Also to what was held before, to which that changes nothing: the last of it is what holds.
      for (const frame of page.log) this.#follow(frame, now, seen);
    }
    return { ...this.#change("loaded", seen, this.#newest), fresh: [] };
  }

  /**
   * Gives what is worth keeping, with the newest `most` items of the inbox.
   * @param {number} most
   * @returns {Saved | undefined}
   */
  save(most) {
    if (!this.cursor || !this.#newest) return undefined;
    const inbox = this.items("inbox");
    const items = inbox.slice(0, most);
    const last = items.at(-1);
    const horizon = last && inbox.length > most ? keyOf(last) : this.#horizons.inbox;
    return { cursor: this.cursor, unread_count: this.unreadCount, newest: this.#newest, horizon, items };
  }

  /** @param {ViewName} view @param {Item} item */
  #shows(view, item) {
    if (compare(item, this.#horizons[view]) < 0) return false;
    if (view === "archive") return Boolean(item.archive_time);
    return !item.archive_time && (view === "inbox" || item.unread);
  }

  /** Names the views that show an item. @param {Item | undefined} item */
  viewsOf(item) {
    return item ? VIEWS.filter((view) => this.#shows(view, item)) : [];
  }

  /** @param {Frame} frame @param {number} now @param {Sight} seen */
  #begin({ items, next_page_token }, now, seen) {
    for (const id of this.#items.keys()) seen.look(id);
    for (const view of VIEWS) seen.views.add(view);
    this.#items.clear();
    this.#nextExpiry = Infinity;
    const last = items.at(-1);
    const horizon = last && next_page_token ? keyOf(last) : EVERYTHING;
    this.#next.clear();
    if (next_page_token) this.#next.set("inbox", { at: horizon, ask: { page_token: next_page_token } });
    this.#horizons = { inbox: horizon, unread: horizon, archive: NOTHING };
    for (const item of items) this.#put(item, now, seen);
  }

  /** @param {(Item & { retract_time?: string })[]} items @param {number} now @param {Sight} seen */
  #resume(items, now, seen) {
    for (const item of items) {
      if (item.retract_time) this.#drop(item.id, seen);
      else this.#put(item, now, seen);
    }
  }

  /** @param {Frame} frame @param {number} now @param {Sight} seen */
  #follow(frame, now, seen) {
    switch (frame.type) {
      case "created":
        if (this.#isNews(frame.item.id, frame.item.rev)) this.#put(frame.item, now, seen);
        break;
      case "updated":
        for (const [index, id] of frame.ids.entries()) this.#update(id, frame.revs[index], frame, now, seen);
        break;
      case "retracted":
        for (const id of frame.ids) this.#drop(id, seen);
        break;
    }
  }

  /** Whether a state is newer than what is held of its item. @param {string} id @param {string} rev */
  #isNews(id, rev) {
    const held = this.#items.get(id);
    return !held || held.rev < rev;
  }

  /** @param {string} id @param {string} rev @param {Frame} frame @param {number} now @param {Sight} seen */
  #update(id, rev, { set, unset }, now, seen) {
    const held = this.#items.get(id);
    if (!held) {
      // It may have come into one of these two, somewhere in the part that is held without the inbox's.
      if (set?.archive_time) this.#cut("archive", this.#base, seen);
      if (set?.unread) this.#cut("unread", this.#horizons.inbox, seen);
      return;
    }
    if (!this.#isNews(id, rev)) return;
    const item = { ...held, ...set, rev };
    for (const name of unset ?? []) delete item[name];
    this.#put(item, now, seen);
  }

  /** Holds an item if that is in what is held of a view. @param {Item} item @param {number} now @param {Sight} seen */
  #put(item, now, seen) {
    // A page that is on its way may reach down to it, without knowing what has just become of it.
    const isWanted = this.#isReached(item) || (this.#pages.size > 0 && this.#items.has(item.id));
    if (isWanted && !isOver(item, now)) {
      seen.look(item.id);
      this.#hold(item);
    } else this.#drop(item.id, seen);
  }

  /** @param {Item} item */
  #isReached(item) {
    return compare(item, this.#horizons[item.archive_time ? "archive" : "unread"]) >= 0;
  }

  /** @param {Item} item */
  #hold(item) {
    this.#items.set(item.id, item);
    this.#note(item);
    if (this.#newest && compare(item, this.#newest) > 0) this.#newest = keyOf(item);
  }

  /** @param {Item} item */
  #note(item) {
    if (item.expire_time) this.#nextExpiry = Math.min(this.#nextExpiry, Date.parse(item.expire_time));
  }

  /** @param {string} id @param {Sight} seen */
  #drop(id, seen) {
    seen.look(id);
    this.#items.delete(id);
  }

  /** @param {ViewName} view @param {Key} horizon @param {Sight} seen */
  #extend(view, horizon, seen) {
    if (compare(horizon, this.#horizons[view]) >= 0) return;
    this.#horizons[view] = horizon;
    seen.views.add(view);
    if (view === "inbox") this.#extend("unread", horizon, seen);
  }

  /** Forgets what of a view is older. @param {ViewName} view @param {Key} horizon @param {Sight} seen */
  #cut(view, horizon, seen) {
    if (compare(this.#horizons[view], horizon) >= 0) return;
    this.#horizons[view] = horizon;
    seen.views.add(view);
  }

  /**
   * @param {string} kind
   * @param {Sight} seen
   * @param {Key | undefined} newest That of before.
   * @returns {Change}
   */
  #change(kind, seen, newest) {
    const { ids, views } = seen.end();
    for (const view of views) this.#sorted.delete(view);
    /** @type {Item[]} */
    const fresh = [];
    for (const id of newest ? ids : []) {
      const item = this.#items.get(id);
      if (item?.unread && newest && compare(item, newest) > 0) fresh.push(item);
    }
    return { kind, ids, views, fresh: fresh.sort(compare) };
  }
}

// Notes what items were before they changed, and so which views show something else afterwards.
class Sight {
  /** @type {Set<ViewName>} */
  views = new Set();
  /** @type {Map<string, Item | undefined>} */
  #before = new Map();
  #store;
  #items;

  /** @param {Store} store @param {Map<string, Item>} items */
  constructor(store, items) {
    this.#store = store;
    this.#items = items;
  }

  /** To be called before an item changes. @param {string} id */
  look(id) {
    if (this.#before.has(id)) return;
    const item = this.#items.get(id);
    this.#before.set(id, item);
    for (const view of this.#store.viewsOf(item)) this.views.add(view);
  }

  end() {
    /** @type {string[]} */
    const ids = [];
    for (const [id, before] of this.#before) {
      const item = this.#items.get(id);
      if (before || item) ids.push(id);
      for (const view of this.#store.viewsOf(item)) this.views.add(view);
    }
    return { ids, views: this.views };
  }
}

/** Orders items, and places among them, the oldest first. @param {Key} a @param {Key} b */
export function compare(a, b) {
  if (a.date !== b.date) return a.date < b.date ? -1 : 1;
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

/** @param {Key} item @returns {Key} */
const keyOf = ({ date, id }) => ({ date, id });

/** @param {Item} item @param {number} now */
const isOver = (item, now) => item.expire_time !== undefined && Date.parse(item.expire_time) <= now;
