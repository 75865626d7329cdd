// @ts-check
// The panel behind the bell. It owns what is shown in it, and what keys and buttons in it do; what the user has is the
// client's, and how it opens and where is shell.js's.

import { button, element, setAttribute, setText } from "./dom.js";
import { icon } from "./icons.js";
import { ItemList } from "./item-list.js";
import { PreferencesPanel } from "./preferences-panel.js";
import { Shell } from "./shell.js";
import { skeleton, stateMessage } from "./states.js";
import { Tabs } from "./tabs.js";
import { Toast } from "./toast.js";

/**
 * @typedef {import("../carillon.js").CarillonClient} CarillonClient
 * @typedef {import("./item.js").Item} Item
 *
 * What the panel needs of the element.
 *
 * @typedef {object} Host
 * @property {import("./item.js").Saying} saying
 * @property {string} title
 * @property {HTMLElement} bell
 * @property {() => string} workerUrl
 * @property {() => CarillonClient | undefined} client
 * @property {() => void} schedule asks for render() in the next frame
 * @property {() => void} onToggle is called when it has opened or closed
 * @property {(item: Item) => boolean} mayOpen tells the page that an item is opened; whether to follow its link
 * @property {(item: Item, index: number) => boolean} mayAct the same for a button of an item
 */

const REFRESH_TIMES_MS = 15_000;
// A reconnection that takes no longer is not worth a word.
const PATIENCE_MS = 1_500;
/** @type {import("../carillon-types.js").Mark[]} */
const ACTIONS = ["FIRST_ACTION", "SECOND_ACTION"];

/** The panel. */
export class Panel {
  #host;
  #shell;
  #say;
  #tabs;
  #list;
  #preferences;
  #toast = new Toast();
  #title = element("h2", { id: "panel-title", className: "panel-title", part: "title" });
  #markAll;
  #settings;
  #back;
  #banner = element("div", { part: "banner", className: "banner", role: "status" });
  #scroller = element("div", { part: "body", className: "scroller", id: "panel-body", role: "tabpanel" });
  #state = element("div", { className: "state-place" });
  #loadMore;
  #loadFailed = element("p", { className: "hint", role: "alert" });
  #foot = element("div", { className: "foot", hidden: true });
  #region = element("div", { className: "visually-hidden", role: "status" });
  element;

  /** @type {import("../carillon.js").View | undefined} */
  #view;
  #shownState = "";
  #showsPreferences = false;
  #hasFailed = false;
  /** @type {string | undefined} The item that the keyboard goes to once it is shown. */
  #awaited;
  /** @type {IntersectionObserver} */
  #sentinel;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #clock;
  #lostAt = 0;

  /** @param {Host} host */
  constructor(host) {
    this.#host = host;
    const say = (this.#say = host.saying.say);
    this.#tabs = new Tabs(say, this.#scroller.id, () => this.#onView());
    this.#list = new ItemList(host.saying, this.#scroller, (...what) => this.#do(...what));
    this.#preferences = new PreferencesPanel(say, host.workerUrl);
    this.#preferences.element.hidden = true;
    this.#markAll = tool("checks", say("markAll"), () => this.#markAllRead());
    this.#settings = tool("settings", say("preferences"), () => this.#showPreferences(true));
    this.#back = tool("back", say("back"), () => this.#showPreferences(false));
    this.#loadMore = button("load-more", { onclick: () => this.#loadNext({ isAsked: true }) }, say("loadMore"));
    const close = tool("close", say("close"), () => this.close());

    this.#foot.append(this.#loadFailed, this.#loadMore);
    this.#scroller.append(this.#state, this.#list.element, this.#foot);
    const header = element(
      "div",
      { part: "header", className: "header" },
      ...[this.#back, this.#title, this.#markAll, this.#settings, close],
    );
    this.#shell = new Shell(host.bell, () => this.close());
    this.element = this.#shell.element;
    this.element.append(
      header,
      this.#tabs.element,
      this.#banner,
      this.#toast.element,
      this.#scroller,
      this.#preferences.element,
      this.#region,
    );
    this.element.setAttribute("aria-labelledby", this.#title.id);
    this.#showPreferences(false);

    this.element.addEventListener("keydown", (event) => this.#onKey(event));
    const onEnd = (/** @type {IntersectionObserverEntry[]} */ [entry]) => {
      if (entry.isIntersecting) void this.#loadNext({ isAsked: false });
    };
    this.#sentinel = new IntersectionObserver(onEnd, { root: this.#scroller, rootMargin: "400px" });
  }

  /** Where new items can be announced while the panel is over everything else. */
  get region() {
    return this.#region;
  }

  get isOpen() {
    return this.#shell.isOpen;
  }

  /** Opens it, and moves the keyboard in. */
  open() {
    if (this.isOpen) return;
    this.#clock = setInterval(() => this.#list.refreshTimes(), REFRESH_TIMES_MS);
    this.#list.refreshTimes();
    this.#shell.open();
    this.render();
    this.#host.onToggle();
  }

  /** Closes it; the keyboard goes back to the bell if it was in here. */
  close() {
    if (!this.isOpen) return;
    const hadFocus = this.element.matches(":focus-within");
    this.#shell.close();
    clearInterval(this.#clock);
    this.#toast.hide();
    this.#watch(undefined);
    this.#showPreferences(false);
    this.#host.onToggle();
    if (hadFocus) this.#host.bell.focus();
  }

  /** Closes it, and forgets all that it holds. */
  dispose() {
    this.close();
    this.#sentinel.disconnect();
    this.forget();
    this.element.remove();
  }

  /** Forgets what it shows: it is somebody else's now, or nobody's. */
  forget() {
    this.#watch(undefined);
    this.#list.clear();
    this.#preferences.clear();
    this.#hasFailed = false;
    this.#lostAt = 0;
  }

  /** The user's choices are others now. */
  onPreferences() {
    const client = this.#host.client();
    if (this.#showsPreferences && client) void this.#preferences.refresh(client);
  }

  /** The environment's logo is known now. */
  onLogo() {
    this.#list.refreshIcons();
  }

  /** Something went wrong that no button here asked for. */
  onProblem() {
    this.#hasFailed = true;
  }

  /** Brings it up to date. */
  render() {
    if (!this.isOpen) return;
    const client = this.#host.client();
    const isSignedOut = client?.state === "signed-out";
    this.#showBanner(client);
    const view = client && !isSignedOut ? client.view(this.#tabs.selected) : undefined;
    this.#watch(view);

    const count = client && !isSignedOut ? client.unreadCount : 0;
    this.#tabs.showUnread(count, badgeText(count));
    setAttribute(this.#scroller, "aria-labelledby", `tab-${this.#tabs.selected}`);
    this.#tabs.element.hidden = !view || this.#showsPreferences;
    this.#settings.hidden = !client || isSignedOut || this.#showsPreferences;
    this.#markAll.hidden = count === 0 || this.#tabs.selected === "archive" || this.#showsPreferences;
    if (isSignedOut && this.#showsPreferences) this.#showPreferences(false);

    const items = view?.items ?? [];
    const hadFocus = this.#list.element.matches(":focus-within");
    const isUnfinished = this.#list.render(items);
    if (hadFocus && items.length === 0) this.element.focus();
    if (this.#awaited && this.#list.focusItem(this.#awaited)) this.#awaited = undefined;
    this.#showState(this.#stateOf(client, view));
    this.#showFoot(client, view, isUnfinished);
    if (isUnfinished) this.#host.schedule();
  }

  // --- Showing ---

  /**
   * @param {CarillonClient | undefined} client
   * @param {import("../carillon.js").View | undefined} view
   */
  #stateOf(client, view) {
    if (!client) return "unconfigured";
    if (!view) return "signedOut";
    if (view.items.length > 0) return "";
    if (client.state === "live" && !view.isLoading && !view.hasMore) {
      return { inbox: "emptyInbox", unread: "emptyUnread", archive: "emptyArchive" }[this.#tabs.selected];
    }
    if (client.state === "offline" || client.state === "closed") return "offlineEmpty";
    return this.#hasFailed ? "failed" : "loading";
  }

  /** @param {string} name */
  #showState(name) {
    if (name === this.#shownState) return;
    this.#shownState = name;
    this.#scroller.ariaBusy = String(name === "loading");
    if (name === "") this.#state.replaceChildren();
    else if (name === "loading") this.#state.replaceChildren(skeleton(this.#say));
    else {
      const stateName = /** @type {import("./states.js").StateName} */ (name);
      this.#state.replaceChildren(stateMessage(stateName, this.#say, () => this.#retry()));
    }
  }

  /**
   * @param {CarillonClient | undefined} client
   * @param {import("../carillon.js").View | undefined} view
   * @param {boolean} isUnfinished
   */
  #showFoot(client, view, isUnfinished) {
    const hasMore = Boolean(view?.hasMore) && !isUnfinished;
    const isLoading = Boolean(view?.isLoading);
    // Where there is no item yet, the state says the same.
    this.#foot.hidden = !hasMore || view?.items.length === 0;
    this.#foot.classList.toggle("is-loading", isLoading);
    this.#loadMore.ariaBusy = String(isLoading);
    setText(this.#loadMore, this.#say(isLoading ? "loading" : this.#hasFailed ? "tryAgain" : "loadMore"));
    this.#loadFailed.hidden = !this.#hasFailed || isLoading;
    if (!this.#loadFailed.hidden) setText(this.#loadFailed, this.#say("loadFailed"));

    // Looked at anew each time: after a short page its end may still be in sight.
    this.#sentinel.disconnect();
    if (!hasMore || isLoading || this.#hasFailed || client?.state !== "live") return;
    if (view?.items.length === 0) void this.#loadNext({ isAsked: false });
    else this.#sentinel.observe(this.#foot);
  }

  /** @param {CarillonClient | undefined} client */
  #showBanner(client) {
    const state = client?.state;
    if (state === "live" || !state) this.#lostAt = 0;
    else this.#lostAt ||= Date.now();
    const patience = PATIENCE_MS - (Date.now() - this.#lostAt);
    const isShown = state === "offline" || (state === "reconnecting" && patience <= 0);
    if (state === "reconnecting" && patience > 0) setTimeout(this.#host.schedule, patience);
    if (state === "live") this.#hasFailed &&= Boolean(this.#view?.hasMore);
    this.#banner.classList.toggle("shown", isShown);
    setText(this.#banner, isShown ? this.#say(state) : "");
  }

  /** @param {boolean} isShown */
  #showPreferences(isShown) {
    const wasShown = this.#showsPreferences;
    this.#showsPreferences = isShown;
    this.#preferences.element.hidden = !isShown;
    this.#scroller.hidden = this.#tabs.element.hidden = isShown;
    this.#back.hidden = !isShown;
    this.#settings.hidden = isShown;
    setText(this.#title, isShown ? this.#say("preferences") : this.#host.title);
    const client = this.#host.client();
    if (isShown && client) void this.#preferences.refresh(client);
    if (!this.isOpen || wasShown === isShown) return;
    this.render();
    if (isShown) this.#back.focus();
    else if (!this.#settings.hidden) this.#settings.focus();
  }

  #onView() {
    this.#watch(undefined);
    this.#hasFailed = false;
    this.#list.clear();
    this.#scroller.scrollTop = 0;
    this.render();
  }

  /** @param {import("../carillon.js").View | undefined} view */
  #watch(view) {
    if (view === this.#view) return;
    this.#view?.removeEventListener("change", this.#host.schedule);
    this.#view = view;
    view?.addEventListener("change", this.#host.schedule);
  }

  // --- Doing ---

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const target = /** @type {Element} */ (event.composedPath()[0]);
    if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      if (this.#showsPreferences) this.#showPreferences(false);
      else this.close();
    } else if (this.#showsPreferences || event.altKey || event.shiftKey || target.closest("select")) return;
    else if (event.ctrlKey || event.metaKey) {
      if (event.key === "z" && this.#toast.act()) event.preventDefault();
    } else if (this.#list.move(event.key)) event.preventDefault();
  }

  /**
   * @param {string} what
   * @param {Item} item
   * @param {MouseEvent} event
   * @param {HTMLElement} control
   */
  #do(what, item, event, control) {
    const client = this.#host.client();
    if (!client) return;
    const ids = [item.id];
    switch (what) {
      case "open":
        if (!this.#host.mayOpen(item)) event.preventDefault();
        void this.#try(control.hasAttribute("href") ? client.click(item.id) : client.open(item.id));
        break;
      case "action": {
        const index = Number(control.dataset.index);
        if (!this.#host.mayAct(item, index)) event.preventDefault();
        if (ACTIONS[index]) void this.#try(client.mark(ids, { set: [ACTIONS[index]] }));
        break;
      }
      case "toggle":
        void this.#try(client.mark(ids, item.unread ? { set: ["SEEN"] } : { clear: ["SEEN"] }));
        break;
      case "archive":
        void this.#try(client.archive(ids), () => {
          this.#toast.show(this.#say("archived"), this.#say("undo"), () => this.#undo(client, item.id));
        });
        break;
      case "unarchive":
        void this.#try(client.unarchive(ids), () => this.#toast.show(this.#say("undone")));
        break;
    }
  }

  /**
   * @param {CarillonClient} client
   * @param {string} id
   */
  #undo(client, id) {
    if (this.#tabs.selected === "inbox") this.#awaited = id;
    this.element.focus();
    void this.#try(client.unarchive([id]), () => this.#toast.show(this.#say("undone")));
  }

  #markAllRead() {
    const client = this.#host.client();
    if (!client) return;
    // Its button goes with what is unread.
    this.element.focus();
    const view = /** @type {"inbox" | "unread"} */ (this.#tabs.selected);
    void this.#try(client.markAll({ view }), () => this.#toast.show(this.#say("allMarked")));
  }

  /**
   * Says it where something did not work.
   *
   * @param {Promise<unknown>} work
   * @param {() => void} [onDone]
   */
  async #try(work, onDone) {
    try {
      await work;
      onDone?.();
    } catch {
      this.#toast.show(this.#say("markFailed"));
    }
  }

  #retry() {
    const client = this.#host.client();
    if (client?.state === "live") return void this.#loadNext({ isAsked: true });
    this.#hasFailed = false;
    client?.connect();
    this.#host.schedule();
  }

  /** @param {{isAsked: boolean}} how */
  async #loadNext({ isAsked }) {
    const view = this.#view;
    if (!view || view.isLoading || !view.hasMore || (this.#hasFailed && !isAsked)) return;
    this.#hasFailed = false;
    this.#host.schedule();
    try {
      const [first] = await view.loadMore();
      // Who asked with the keyboard reads on where the new ones begin.
      if (isAsked && this.#loadMore.matches(":focus")) this.#awaited = first?.id;
    } catch {
      this.#hasFailed = view === this.#view;
    }
    this.#host.schedule();
  }
}

/**
 * What a badge says: a number that fits.
 *
 * @param {number} count
 */
export const badgeText = (count) => (count > 99 ? "99+" : String(count));

/**
 * @param {import("./icons.js").IconName} name
 * @param {string} label
 * @param {() => void} onclick
 */
function tool(name, label, onclick) {
  return button("tool", { onclick, title: label, ariaLabel: label }, icon(name));
}
