// @ts-check
// The views as tabs: one is in the order of Tab, arrow keys go to the others.

import { button, element, setText } from "./dom.js";

/** @typedef {"inbox" | "unread" | "archive"} ViewName */

/** @type {ViewName[]} */
const VIEWS = ["inbox", "unread", "archive"];

/** The tabs; `selected` is the view that is shown. */
export class Tabs {
  /** @type {ViewName} */
  selected = "inbox";
  element = element("div", { part: "tabs", className: "tabs", role: "tablist" });

  #tabs;
  #count = element("span", { className: "tab-count" });
  #onSelect;

  /**
   * @param {(key: string) => string} say
   * @param {string} panelId
   * @param {() => void} onSelect
   */
  constructor(say, panelId, onSelect) {
    this.#onSelect = onSelect;
    this.element.setAttribute("aria-label", say("views"));
    this.#tabs = VIEWS.map((view) => {
      const count = view === "unread" && this.#count;
      const tab = button("tab", { role: "tab", id: `tab-${view}`, "aria-controls": panelId }, `${say(`${view}View`)} `, count);
      tab.addEventListener("click", () => this.select(view));
      return tab;
    });
    this.element.append(...this.#tabs);
    this.element.addEventListener("keydown", (event) => this.#onKey(event));
    this.#show();
  }

  /**
   * Shows another view.
   *
   * @param {ViewName} view
   */
  select(view) {
    if (view === this.selected) return;
    this.selected = view;
    this.#show();
    this.#onSelect();
  }

  /**
   * Says at its tab how much is unread.
   *
   * @param {number} count
   * @param {string} text
   */
  showUnread(count, text) {
    setText(this.#count, count > 0 ? text : "");
  }

  #show() {
    VIEWS.forEach((view, index) => {
      const isSelected = view === this.selected;
      const tab = this.#tabs[index];
      tab.ariaSelected = String(isSelected);
      tab.tabIndex = isSelected ? 0 : -1;
      tab.setAttribute("part", isSelected ? "tab tab-selected" : "tab");
    });
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const isRtl = getComputedStyle(this.element).direction === "rtl";
    const index = VIEWS.indexOf(this.selected);
    const last = VIEWS.length - 1;
    const ahead = index === last ? 0 : index + 1;
    const behind = index === 0 ? last : index - 1;
    const moves = { ArrowRight: isRtl ? behind : ahead, ArrowLeft: isRtl ? ahead : behind, Home: 0, End: last };
    if (!Object.hasOwn(moves, event.key)) return;
    const next = moves[/** @type {keyof typeof moves} */ (event.key)];
    event.preventDefault();
    // Home and End mean the tabs here, not the list.
    event.stopPropagation();
    this.select(VIEWS[next]);
    this.#tabs[next].focus();
  }
}
