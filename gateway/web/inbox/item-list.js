// @ts-check
// The items as rows, in their order: rows are kept by id, so that a change costs what changed.

import { element } from "./dom.js";
import { Row } from "./item.js";

/** @typedef {import("./item.js").Item} Item */

// What one frame makes at most: a thousand rows at once would hold up the page.
const ROWS_A_FRAME = 40;

/** The list, and the keyboard in it. */
export class ItemList {
  element = element("ul", { part: "list", className: "list", role: "list" });

  #saying;
  #scroller;
  /** @type {Map<string, Row>} */
  #rows = new Map();
  /** @type {WeakMap<Element, Row>} */
  #byElement = new WeakMap();
  /** @type {IntersectionObserver} */
  #seen;
  #isFilled = false;

  /**
   * @param {import("./item.js").Saying} saying
   * @param {HTMLElement} scroller what scrolls the list
   * @param {(what: string, item: Item, event: MouseEvent, control: HTMLElement) => void} onDo
   */
  constructor(saying, scroller, onDo) {
    this.#saying = saying;
    this.#scroller = scroller;
    this.element.setAttribute("aria-label", saying.say("list"));
    this.element.addEventListener("click", (event) => {
      const control = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest("[data-do]"));
      const row = control && this.#rowOf(control);
      if (!row) return;
      if (control.dataset.do === "more") row.toggleMore();
      else onDo(/** @type {string} */ (control.dataset.do), row.item, event, control);
    });
    // Whether the end of a body is hidden is asked when it is in sight, where it costs no layout of its own.
    this.#seen = new IntersectionObserver((entries) => this.#measure(entries), { root: scroller });
  }

  /**
   * Shows items; answers whether there are some left for the next frame.
   *
   * @param {readonly Item[]} items
   * @returns {boolean}
   */
  render(items) {
    const focus = this.#focused();
    this.#removeAllBut(items);
    // The keyboard goes on where the row was, not at the top of the page.
    if (focus && !focus.row.element.isConnected) this.focusAt(focus.index);

    let left = ROWS_A_FRAME;
    let next = this.element.firstElementChild;
    for (const item of items) {
      let row = this.#rows.get(item.id);
      if (!row && left-- === 0) return true;
      if (!row) row = this.#make(item);
      else if (row.update(item)) this.#seen.observe(row.element);
      if (row.element === next) next = next.nextElementSibling;
      else this.element.insertBefore(row.element, next);
    }
    this.#isFilled = true;
    return false;
  }

  /** Says all times anew. */
  refreshTimes() {
    const now = Date.now();
    for (const row of this.#rows.values()) row.refreshTime(now);
  }

  /** Shows the logo where items have no icon. */
  refreshIcons() {
    for (const row of this.#rows.values()) row.refreshIcon();
  }

  /** Forgets all rows. */
  clear() {
    this.#seen.disconnect();
    this.#rows.clear();
    this.#isFilled = false;
    this.element.replaceChildren();
  }

  /**
   * Moves the keyboard to the row at `index`, or to the last one; answers whether there is one.
   *
   * @param {number} index
   */
  focusAt(index) {
    const { children } = this.element;
    const row = this.#byElement.get(children[Math.min(index, children.length - 1)]);
    row?.main.focus();
    return row !== undefined;
  }

  /**
   * Moves the keyboard to an item; answers whether it is here.
   *
   * @param {string} id
   */
  focusItem(id) {
    const row = this.#rows.get(id);
    row?.main.focus();
    return row !== undefined;
  }

  /**
   * Moves the keyboard as a key says; answers whether that key means anything here.
   *
   * @param {string} key
   */
  move(key) {
    const last = this.element.children.length - 1;
    const now = this.#focused()?.index;
    const moves = {
      ArrowDown: now === undefined ? 0 : Math.min(now + 1, last),
      ArrowUp: now === undefined ? last : Math.max(now - 1, 0),
      Home: 0,
      End: last,
    };
    if (last < 0 || !Object.hasOwn(moves, key)) return false;
    return this.focusAt(moves[/** @type {keyof typeof moves} */ (key)]);
  }

  /** @param {readonly Item[]} items */
  #removeAllBut(items) {
    const kept = new Set(items.map(({ id }) => id));
    for (const [id, row] of this.#rows) {
      if (kept.has(id)) continue;
      this.#rows.delete(id);
      this.#seen.unobserve(row.element);
      row.element.remove();
    }
  }

  /** @param {Item} item */
  #make(item) {
    const row = new Row(item, this.#saying);
    // What comes while one looks is shown as new; what was there before is not.
    if (this.#isFilled && this.#scroller.scrollTop < 8) row.element.classList.add("fresh");
    this.#rows.set(item.id, row);
    this.#byElement.set(row.element, row);
    if (item.body) this.#seen.observe(row.element);
    return row;
  }

  /** @param {IntersectionObserverEntry[]} entries */
  #measure(entries) {
    const seen = entries.filter(({ isIntersecting }) => isIntersecting).map(({ target }) => target);
    for (const target of seen) this.#seen.unobserve(target);
    // All are read before any is written, so that one layout is enough.
    const cut = seen.map((target) => {
      const row = this.#byElement.get(target);
      return row && { row, isCut: row.body.scrollHeight > row.body.clientHeight + 2 };
    });
    for (const found of cut) if (found && !found.row.body.classList.contains("whole")) found.row.offerMore(found.isCut);
  }

  #focused() {
    const active = /** @type {ShadowRoot} */ (this.element.getRootNode()).activeElement;
    const row = active && this.element.contains(active) ? this.#rowOf(active) : undefined;
    return row && { row, index: [...this.element.children].indexOf(row.element) };
  }

  /** @param {Element} control */
  #rowOf(control) {
    const row = control.closest(".item");
    return row ? this.#byElement.get(row) : undefined;
  }
}
