// @ts-check
// The items as rows, in their order: rows are kept by id, so that a change costs what changed.

import { element } from "./dom.js";
import { Row } from "./item.js";

/** @typedef {import("./item.js").Item} Item */

// What one frame makes at most: a thousand rows at once would hold up the page.
const ROWS_A_FRAME = 40;
// More than these at once are no news, but a flood, and are not pointed at one by one.
const FRESH_A_FRAME = 3;

/** The list, and the keyboard in it. */
export class ItemList {
  element = element("ul", { part: "list", className: "list", role: "list" });

  #saying;
  /** @type {Map<string, Row>} */
  #rows = new Map();
  /** @type {WeakMap<Element, Row>} */
  #byElement = new WeakMap();
  /** @type {Set<Element>} */
  #seen = new Set();
  #measuring = 0;
  #isFilled = false;
  // Noted as it changes: to ask for it between two writes would be a layout each time.
  #isAtTop = true;

  /**
   * @param {import("./item.js").Saying} saying
   * @param {HTMLElement} scroller what scrolls the list
   * @param {(what: string, item: Item, event: MouseEvent, control: HTMLElement) => void} onDo
   */
  constructor(saying, scroller, onDo) {
    this.#saying = saying;
    scroller.addEventListener("scroll", () => (this.#isAtTop = scroller.scrollTop < 8), { passive: true });
    this.element.setAttribute("aria-label", saying.say("list"));
    this.element.addEventListener("click", (event) => {
      const control = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest("[data-do]"));
      const row = control && this.#rowOf(control);
      if (!row) return;
      if (control.dataset.do === "more") row.toggleMore();
      else onDo(/** @type {string} */ (control.dataset.do), row.item, event, control);
    });
    // Whether the end of a body is hidden is asked when the row comes into sight; those out of it have no layout.
    this.element.addEventListener("contentvisibilityautostatechange", (event) => {
      const { target, skipped } = /** @type {ContentVisibilityAutoStateChangeEvent} */ (event);
      if (!skipped) this.#measureSoon(/** @type {Element} */ (target));
    });
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

    /** @type {Row[]} */
    const made = [];
    let next = this.element.firstElementChild;
    for (const item of items) {
      let row = this.#rows.get(item.id);
      if (!row && made.length === ROWS_A_FRAME) return true;
      if (!row) made.push((row = this.#make(item)));
      else if (row.update(item)) this.#measureSoon(row.element);
      if (row.element === next) next = next.nextElementSibling;
      else this.element.insertBefore(row.element, next);
    }
    // What comes while one looks is shown as new; what was there before is not.
    if (this.#isFilled && this.#isAtTop && made.length <= FRESH_A_FRAME) {
      for (const row of made) row.element.classList.add("fresh");
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
    cancelAnimationFrame(this.#measuring);
    this.#measuring = 0;
    this.#seen.clear();
    this.#rows.clear();
    this.#isFilled = false;
    this.#isAtTop = true;
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
      row.element.remove();
    }
  }

  /** @param {Item} item */
  #make(item) {
    const row = new Row(item, this.#saying);
    this.#rows.set(item.id, row);
    this.#byElement.set(row.element, row);
    return row;
  }

  /** @param {Element} element */
  #measureSoon(element) {
    this.#seen.add(element);
    this.#measuring ||= requestAnimationFrame(() => {
      this.#measuring = 0;
      // All are read before any is written, so that one layout is enough.
      const measured = [...this.#seen].map((seen) => {
        const row = this.#byElement.get(seen);
        return row && { row, isCut: row.body.scrollHeight > row.body.clientHeight + 2 };
      });
      this.#seen.clear();
      for (const one of measured) if (one && !one.row.body.classList.contains("whole")) one.row.offerMore(one.isCut);
    });
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
