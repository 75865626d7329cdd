// @ts-check
// One item as a row: made once, then changed only where the item did, so that focus, pictures and selection stay.
//
// What a click on a part of it means is in `data-do`; who owns the list acts on it.

import { safeImageUrl, safeUrl, sanitizeHtml } from "../sanitize.js";
import { button, element, setAttribute, setText } from "./dom.js";
import { icon } from "./icons.js";

/** @typedef {import("../carillon-types.js").Item} Item */

/**
 * What rows share: the words, the times, and the logo that stands in where an item has no icon.
 *
 * @typedef {object} Saying
 * @property {(key: string, values?: {[name: string]: string | number}) => string} say
 * @property {import("./relative-time.js").RelativeTimes} times
 * @property {string | undefined} logo
 */

let lastNumber = 0;

/** A row of the list. */
export class Row {
  /** @type {Item} */
  item;
  /** The `<li>`. */
  element;
  /** The body, whose end may be hidden. */
  body = element("div", { part: "item-body", className: "item-body", dir: "auto" });
  /** What the row does when it is chosen: a link, or a button. @type {HTMLElement} */
  main = element("span");

  #saying;
  #prefix = `i${++lastNumber}`;
  #tile = element("div", { part: "item-icon", className: "tile" });
  #title = element("h3", { className: "item-title", part: "item-title" });
  #unread = element("span", { className: "visually-hidden", id: `${this.#prefix}-unread` });
  #count = element("span", { part: "item-count", className: "count" });
  #meta = element("div", { className: "meta" });
  #label = element("span", { part: "item-label", className: "label", dir: "auto" });
  #time = element("time", { part: "item-time", className: "time", id: `${this.#prefix}-time` });
  #more = button("item-more", { "data-do": "more", hidden: true, ariaExpanded: "false" });
  #picture = element("div", { className: "picture", hidden: true });
  #actions = element("div", { part: "item-actions", className: "actions", hidden: true });
  #toggle = button("item-tool", { "data-do": "toggle" });
  #archive = button("item-tool", { "data-do": "archive" });

  /**
   * @param {Item} item
   * @param {Saying} saying
   */
  constructor(item, saying) {
    this.#saying = saying;
    this.item = item;
    this.body.id = `${this.#prefix}-body`;
    this.#more.setAttribute("aria-controls", this.body.id);
    setText(this.#more, saying.say("showMore"));
    this.element = element(
      "li",
      { part: "item", className: "item" },
      this.#tile,
      element(
        "div",
        { className: "item-text" },
        element("div", { className: "item-head" }, this.#title, this.#time),
        this.body,
        this.#more,
        this.#picture,
        this.#actions,
        this.#meta,
      ),
      element("div", { part: "item-tools", className: "tools" }, this.#toggle, this.#archive),
    );
    this.#meta.append(this.#count, this.#label);
    this.element.dataset.id = item.id;
    this.#show(item, undefined);
  }

  /**
   * Shows what the item is now; answers whether its body is another.
   *
   * @param {Item} item
   */
  update(item) {
    const before = this.item;
    if (item === before) return false;
    this.item = item;
    this.#show(item, before);
    return item.body !== before.body;
  }

  /**
   * Says its time anew.
   *
   * @param {number} now
   */
  refreshTime(now) {
    setText(this.#time, this.#saying.times.say(new Date(this.item.date), now));
  }

  /** Shows the logo where it has no icon of its own. */
  refreshIcon() {
    const source = safeImageUrl(this.item.icon_url) ?? safeImageUrl(this.#saying.logo);
    const showPlain = () => {
      this.#tile.classList.add("plain");
      this.#tile.replaceChildren(icon("bell"));
    };
    if (!source) showPlain();
    else {
      this.#tile.classList.remove("plain");
      this.#tile.replaceChildren(picture(source, showPlain));
    }
  }

  /**
   * Offers to show all of the body, where some of it is hidden.
   *
   * @param {boolean} isCut
   */
  offerMore(isCut) {
    this.#more.hidden = !isCut;
  }

  /** Shows all of the body, or its beginning again. */
  toggleMore() {
    const isOpen = this.body.classList.toggle("whole");
    this.#more.ariaExpanded = String(isOpen);
    setText(this.#more, this.#saying.say(isOpen ? "showLess" : "showMore"));
  }

  /**
   * @param {Item} item
   * @param {Item | undefined} before
   */
  #show(item, before) {
    const { say } = this.#saying;
    /** @param {...(keyof Item)} names */
    const differs = (...names) => !before || names.some((name) => item[name] !== before[name]);

    if (differs("title", "url")) this.#showTitle(item);
    if (differs("unread", "title")) {
      this.element.classList.toggle("unread", item.unread);
      setText(this.#unread, item.unread ? `${say("unread")}. ` : "");
      showTool(this.#toggle, say(item.unread ? "markRead" : "markUnread"), item.unread ? "check" : "unread", item.title);
    }
    if (differs("body", "html")) this.#showBody(item);
    if (differs("date")) {
      const date = new Date(item.date);
      this.#time.dateTime = item.date;
      this.#time.title = this.#saying.times.sayFully(date);
      this.refreshTime(Date.now());
    }
    if (differs("icon_url")) this.refreshIcon();
    if (differs("image_url")) this.#showPicture(item);
    if (differs("actions")) this.#showActions(item);
    if (differs("message_count")) {
      const count = item.message_count ?? 1;
      this.#count.hidden = count < 2;
      setText(this.#count, count < 2 ? "" : say("messageCount", { count }));
    }
    if (differs("label")) {
      this.#label.hidden = !item.label;
      setText(this.#label, item.label ?? "");
    }
    if (differs("message_count", "label")) this.#meta.hidden = this.#count.hidden && this.#label.hidden;
    if (differs("archive_time", "title")) {
      const isArchived = Boolean(item.archive_time);
      this.#archive.dataset.do = isArchived ? "unarchive" : "archive";
      showTool(this.#archive, say(isArchived ? "unarchive" : "archive"), isArchived ? "inbox" : "archive", item.title);
    }
    if (differs("priority")) setAttribute(this.element, "data-priority", item.priority?.toLowerCase());
  }

  /** @param {Item} item */
  #showTitle(item) {
    const href = safeUrl(item.url);
    const root = /** @type {ShadowRoot | Document} */ (this.main.getRootNode());
    const hasFocus = root.activeElement === this.main;
    // The title says whether it is unread, too: not by weight and colour alone.
    const children = [this.#unread, element("span", { dir: "auto" }, item.title)];
    this.main = href ? link("main", href, ...children) : button("main", {}, ...children);
    this.main.dataset.do = "open";
    this.main.setAttribute("aria-describedby", `${this.body.id} ${this.#time.id}`);
    this.#title.replaceChildren(this.main);
    if (hasFocus) this.main.focus();
  }

  /** @param {Item} item */
  #showBody(item) {
    this.body.hidden = !item.body;
    this.body.classList.toggle("rich", Boolean(item.html));
    this.body.replaceChildren(item.html ? sanitizeHtml(item.body ?? "") : (item.body ?? ""));
  }

  /** @param {Item} item */
  #showPicture(item) {
    const source = safeImageUrl(item.image_url);
    this.#picture.hidden = !source;
    if (!source) this.#picture.replaceChildren();
    else {
      const made = picture(source, () => (this.#picture.hidden = true));
      made.setAttribute("part", "item-image");
      this.#picture.replaceChildren(made);
    }
  }

  /** @param {Item} item */
  #showActions(item) {
    const actions = item.actions ?? [];
    this.#actions.hidden = actions.length === 0;
    const made = actions.map(({ label = "", url }, index) => {
      const href = safeUrl(url);
      const control = href ? link("item-action", href, label) : button("item-action", {}, label);
      control.dataset.do = "action";
      control.dataset.index = String(index);
      control.dir = "auto";
      return control;
    });
    this.#actions.replaceChildren(...made);
  }
}

/**
 * @param {HTMLButtonElement} tool
 * @param {string} name
 * @param {import("./icons.js").IconName} iconName
 * @param {string} title
 */
function showTool(tool, name, iconName, title) {
  tool.title = name;
  tool.ariaLabel = `${name}: ${title}`;
  if (!tool.querySelector(`.icon-${iconName}`)) tool.replaceChildren(icon(iconName));
}

/**
 * @param {string} part
 * @param {string} href
 * @param {...(Node | string)} children
 */
function link(part, href, ...children) {
  const made = element("a", { part, className: part, href }, ...children);
  // What is on the page's own site goes on in this tab, anything else beside it.
  if (new URL(href).origin !== location.origin) {
    made.target = "_blank";
    made.rel = "noopener noreferrer";
  }
  return made;
}

/**
 * @param {string} source
 * @param {() => void} onError
 */
function picture(source, onError) {
  const made = element("img", { alt: "", loading: "lazy", decoding: "async", referrerPolicy: "no-referrer" });
  made.addEventListener("error", onError, { once: true });
  made.src = source;
  return made;
}
