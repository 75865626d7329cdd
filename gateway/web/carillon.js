// @ts-check
// A client of the gateway without a face: a user's inbox, live. For browsers, and for Node with the package ws.
//
// It is put together here; the parts are beside it. What each frame means is in gateway/README.md.

import { Connection } from "./carillon-connection.js";
import { CarillonError, inFrames, Requests, selection } from "./carillon-requests.js";
import { SavedState } from "./carillon-saved.js";
import { Store, VIEWS } from "./carillon-store.js";
import { readClaims, Tokens } from "./carillon-tokens.js";
import { View } from "./carillon-view.js";

export { CarillonError, View };

const MAX_PAGE = 100;
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const TOKEN_IS_OVER = 4003;

/**
 * @typedef {import("./carillon-types.js").Item} Item
 * @typedef {import("./carillon-store.js").ViewName} ViewName
 * @typedef {import("./carillon-store.js").Frame} Frame
 * @typedef {import("./carillon-connection.js").State} State
 * @typedef {import("./carillon-types.js").Options} Options
 * @typedef {import("./carillon-types.js").Mark} Mark
 * @typedef {import("./carillon-types.js").Marked} Marked
 * @typedef {import("./carillon-types.js").Filter} Filter
 * @typedef {import("./carillon-types.js").ItemPage} ItemPage
 * @typedef {import("./carillon-types.js").Preference} Preference
 * @typedef {import("./carillon-types.js").PreferencePage} PreferencePage
 * @typedef {import("./carillon-types.js").Environment} Environment
 */

/**
 * Events, each with a `detail`:
 * - "state" `{ state, code, reason }`
 * - "change" `{ kind, ids }`: what is held, or the badge. `kind` is "welcome" (then with `resume`), "created",
 *   "updated", "retracted", "expired", "loaded" (a page) or "restored" (from the storage).
 * - "new" `{ item }`: one that the person has not had before, once.
 * - "preferences" `{}`: the choices may be others now.
 * - "problem" `{ code, message }`: what nobody has asked for, and somebody should see.
 */
export class CarillonClient extends EventTarget {
  #credentials;
  #limit;
  #url;
  #storage;
  #tokens;
  #requests;
  #connection;
  #store = new Store();
  /** @type {SavedState | undefined} */
  #saved;
  /** @type {string | undefined} */
  #owner;
  /** @type {Map<ViewName, View>} */
  #views = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #renewal;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #expiry;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #restoration;

  /** @param {Options} options */
  constructor({
    url,
    clientId,
    userId,
    userHash,
    token,
    onTokenNeeded,
    limit = 50,
    storage = null,
    WebSocket = globalThis.WebSocket,
  }) {
    super();
    this.#url = socketUrl(url);
    this.#credentials = { clientId, userId, userHash };
    this.#limit = limit;
    this.#storage = storage;
    this.#tokens = new Tokens(token, onTokenNeeded);
    this.#requests = new Requests((frame) => this.#connection.send(frame));
    this.#connection = new Connection(this.#url, WebSocket, {
      prepare: () => this.#prepare(),
      hello: () => this.#hello(),
      receive: (frame) => this.#receive(frame),
      lose: (code) => this.#lose(code),
      change: (state, close) => this.#changeState(state, close),
      fail: (error) => this.#tellProblem(error),
    });
    const source = {
      items: (/** @type {ViewName} */ view) => this.#store.items(view),
      hasMore: (/** @type {ViewName} */ view) => this.#store.hasMore(view),
      loadPage: (/** @type {ViewName} */ view) => this.#loadPage(view),
    };
    for (const name of VIEWS) this.#views.set(name, new View(name, source));
    // Who it is may be known only once there is a token.
    const claims = token ? readClaims(token) : undefined;
    this.#adopt(clientId ?? claims?.clientId, userId ?? claims?.userId);
  }

  /** @returns {State} */
  get state() {
    return this.#connection.state;
  }

  /** What the badge shows. */
  get unreadCount() {
    return this.#store.unreadCount;
  }

  /** Gives the live view of a name: always the same. @param {ViewName} [name] */
  view(name = "inbox") {
    const view = this.#views.get(name);
    if (!view) throw new TypeError(`there is no view ${name}; there are ${VIEWS.join(", ")}`);
    return view;
  }

  /** Connects, and comes back whenever the connection is lost; after "signed-out" or "closed" it begins again. */
  connect() {
    this.#connection.open();
  }

  /** Ends the connection; what was saved stays. */
  close() {
    this.#connection.close();
  }

  /**
   * Marks items. What changes comes by events, as it does in every other tab.
   * @param {string | string[]} ids
   * @param {{ set?: Mark[], clear?: Mark[], reply?: string }} marks
   * @returns {Promise<Marked>}
   */
  async mark(ids, { set, clear, reply }) {
    const answer = { changed_count: 0, unread_count: this.unreadCount };
    for (const some of inFrames([ids].flat())) {
      const { changed_count, unread_count } = await this.#ask({ type: "mark", ids: some, set, clear, reply });
      answer.changed_count += changed_count;
      answer.unread_count = unread_count;
    }
    return answer;
  }

  /**
   * Marks all items of a view up to the newest that is held, those that are not held too.
   * @param {{ view?: ViewName, set?: Mark[] }} [options]
   * @returns {Promise<Marked>}
   */
  async markAll({ view = "inbox", set = ["SEEN"] } = {}) {
    const [newest] = this.view(view).items;
    if (!newest) return { changed_count: 0, unread_count: this.unreadCount };
    return this.#ask({ type: "mark", until: { time: newest.date, ...selection(view) }, set });
  }

  /** @param {string | string[]} ids */
  archive(ids) {
    return this.mark(ids, { set: ["ARCHIVED"] });
  }

  /** @param {string | string[]} ids */
  unarchive(ids) {
    return this.mark(ids, { clear: ["ARCHIVED"] });
  }

  /** @param {string} id */
  open(id) {
    return this.mark(id, { set: ["OPENED"] });
  }

  /** @param {string} id */
  click(id) {
    return this.mark(id, { set: ["CLICKED"] });
  }

  /**
   * Reads one page of items, which is not kept. Its fields are those of the result: `items`, `next_page_token`.
   * @param {import("./carillon-types.js").ListOptions} [options]
   * @returns {Promise<ItemPage>}
   */
  list({ view = "inbox", filter, limit, pageToken, beforeTime } = {}) {
    const selected = selection(view, filter);
    return this.#ask({ type: "list", ...selected, limit, page_token: pageToken, before_time: beforeTime });
  }

  /** @param {{ limit?: number, pageToken?: string }} [options] @returns {Promise<PreferencePage>} */
  getPreferences({ limit, pageToken } = {}) {
    return this.#ask({ type: "get_preferences", limit, page_token: pageToken });
  }

  /** @param {Preference[]} preferences @returns {Promise<{ preferences: Preference[] }>} */
  patchPreferences(preferences) {
    return this.#ask({ type: "patch_preferences", preferences });
  }

  /**
   * @param {string} notificationId
   * @param {string} [subNotificationId] Absent: the notification and all its parts.
   * @returns {Promise<{ preferences: Preference[] }>}
   */
  deletePreferences(notificationId, subNotificationId) {
    return this.#ask({
      type: "delete_preferences",
      notification_id: notificationId,
      sub_notification_id: subNotificationId,
    });
  }

  /** @returns {Promise<Environment>} */
  getEnvironment() {
    return this.#ask({ type: "get_environment" });
  }

  /** Takes what `PushSubscription.toJSON()` gives. @param {PushSubscriptionJSON} subscription */
  addWebPush({ endpoint, keys }) {
    return this.#ask({ type: "add_web_push", subscription: { endpoint, keys } });
  }

  /** @param {string} endpoint */
  removeWebPush(endpoint) {
    return this.#ask({ type: "remove_web_push", endpoint });
  }

  /** Behaves as if the network were gone, until `restore`. For demos and tests. @param {number} [seconds] */
  cut(seconds) {
    clearTimeout(this.#restoration);
    if (seconds !== undefined) this.#restoration = setTimeout(() => this.restore(), seconds * 1000);
    this.#connection.cut();
  }

  restore() {
    clearTimeout(this.#restoration);
    this.#connection.restore();
  }

  /** @param {Frame} frame @returns {Promise<any>} */
  #ask(frame) {
    return this.#askWith(() => frame);
  }

  /** @param {() => Frame} make @returns {Promise<any>} */
  #askWith(make) {
    if (this.state === "closed" || this.state === "signed-out") {
      return Promise.reject(new CarillonError("NOT_CONNECTED", `This client is ${this.state}.`));
    }
    return this.#requests.ask(make);
  }

  async #prepare() {
    if (!this.#tokens.isUsed) return true;
    const token = await this.#tokens.get(Date.now());
    const { clientId, userId } = this.#credentials;
    const claims = readClaims(token);
    this.#adopt(clientId ?? claims?.clientId, userId ?? claims?.userId);
    return token !== "";
  }

  #hello() {
    const { clientId, userId, userHash } = this.#credentials;
    const { token } = this.#tokens;
    return {
      type: "hello",
      client_id: clientId,
      user_id: userId,
      ...(token ? { token } : { user_hash: userHash }),
      limit: this.#limit,
      cursor: this.#store.cursor || undefined,
    };
  }

  /**
   * Takes up the state of whom this is for now: never is one shown what another one held.
   * @param {string | undefined} clientId
   * @param {string | undefined} userId
   */
  #adopt(clientId, userId) {
    const owner = JSON.stringify([clientId, userId]);
    if (!clientId || !userId || owner === this.#owner) return;
    const isAnother = this.#owner !== undefined;
    this.#owner = owner;
    this.#saved?.stop();
    this.#saved =
      this.#storage === null
        ? undefined
        : new SavedState(this.#storage, { url: this.#url, clientId, userId }, (most) => this.#store.save(most));
    this.#store = new Store(this.#saved?.read());
    this.#store.expire(Date.now());
    this.#awaitExpiry();
    const isShown = isAnother || this.#store.cursor !== "";
    if (isShown) this.#tellChange({ kind: "restored", ids: [], views: new Set(VIEWS), fresh: [] });
  }

  /** @param {Frame} frame */
  #receive(frame) {
    if (this.#requests.answer(frame)) return;
    switch (frame.type) {
      case "welcome":
        this.#welcome(frame);
        break;
      case "created":
      case "updated":
      case "retracted":
        this.#tellChange(this.#store.apply(frame, { limit: this.#limit, now: Date.now() }));
        break;
      case "preferences_changed":
        this.#store.apply(frame, { limit: this.#limit, now: Date.now() });
        this.#saved?.writeSoon();
        this.#tell("preferences", {});
        break;
      case "error":
        this.#tell("problem", { code: frame.code, message: frame.message });
        break;
    }
  }

  /** @param {Frame} frame */
  #welcome(frame) {
    const hadArchive = this.view("archive").items.length > 0;
    const change = this.#store.apply(frame, { limit: this.#limit, now: Date.now() });
    this.#requests.begin();
    this.#awaitRenewal();
    this.#connection.settle();
    this.#tellChange(change, { resume: frame.resume });
    this.#tell("preferences", {});
    // Only the inbox comes with a snapshot; who looks at the archive should not have to ask for it again.
    if (hadArchive && this.view("archive").items.length === 0) this.view("archive").loadMore().catch(() => {});
  }

  /** @param {number | undefined} code */
  #lose(code) {
    clearTimeout(this.#renewal);
    this.#requests.lose();
    if (code !== TOKEN_IS_OVER) return true;
    this.#tokens.forget();
    return this.#tokens.canAsk;
  }

  /** @param {State} state @param {import("./carillon-connection.js").Close} close */
  #changeState(state, { code, reason }) {
    if (state === "closed" || state === "signed-out") {
      clearTimeout(this.#renewal);
      clearTimeout(this.#expiry);
      clearTimeout(this.#restoration);
      this.#requests.end();
      if (state === "signed-out") this.#saved?.remove();
      else this.#saved?.write();
    }
    this.#tell("state", { state, code, reason });
  }

  /** @param {ViewName} view */
  async #loadPage(view) {
    const store = this.#store;
    /** @type {import("./carillon-store.js").Page | undefined} */
    let page;
    try {
      const answer = await this.#askWith(() => {
        page = store.beginPage(view);
        const limit = Math.min(this.#limit, MAX_PAGE);
        return { type: "list", ...selection(view), limit, ...page.ask };
      });
      if (page && store === this.#store) this.#tellChange(store.endPage(page, answer, Date.now()));
    } finally {
      if (page) store.dropPage(page);
    }
  }

  /** @param {import("./carillon-store.js").Change} change @param {object} [more] */
  #tellChange({ kind, ids, views, fresh }, more) {
    this.#saved?.writeSoon();
    this.#awaitExpiry();
    for (const view of views) this.view(view).dispatchEvent(new Event("change"));
    this.#tell("change", { kind, ids, ...more });
    for (const item of fresh) this.#tell("new", { item });
  }

  #awaitExpiry() {
    clearTimeout(this.#expiry);
    const { nextExpiry } = this.#store;
    if (nextExpiry === Infinity) return;
    const wait = Math.min(Math.max(0, nextExpiry - Date.now()), LONGEST_TIMER_MS);
    this.#expiry = setTimeout(() => {
      const change = this.#store.expire(Date.now());
      if (change.ids.length) this.#tellChange(change);
      else this.#awaitExpiry();
    }, wait);
  }

  #awaitRenewal() {
    clearTimeout(this.#renewal);
    const wait = this.#tokens.renewalMs(Date.now());
    if (wait !== undefined) this.#renewal = setTimeout(() => void this.#renew(), Math.min(wait, LONGEST_TIMER_MS));
  }

  // What goes wrong here is not the end: it is tried again, at the latest when the gateway says that the token is over.
  async #renew() {
    try {
      const token = await this.#tokens.ask();
      if (!token) return;
      await this.#ask({ type: "renew", token });
    } catch (error) {
      this.#tellProblem(error);
    }
    if (this.state === "live") this.#awaitRenewal();
  }

  /** @param {unknown} error */
  #tellProblem(error) {
    const code = error instanceof CarillonError ? error.code : "TOKEN_NEEDED";
    const message = error instanceof Error ? error.message : String(error);
    if (code !== "NOT_CONNECTED") this.#tell("problem", { code, message });
  }

  /** @param {string} type @param {object} detail */
  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** @param {string} url */
function socketUrl(url) {
  const { href } = new URL(url, globalThis.location?.href);
  return href.replace(/^http/, "ws");
}
