// @ts-check
// How the panel opens and closes, and where it is: a dialog beside the page at the bell, or on a small screen a sheet over it.

import { element } from "./dom.js";
import { SMALL_SCREEN, placeAt } from "./placement.js";

/** The frame of the panel. */
export class Shell {
  isOpen = false;
  element = element("dialog", { part: "panel", className: "panel", id: "panel", tabIndex: -1, autofocus: true });

  #bell;
  #onLeave;
  #smallScreen = matchMedia(SMALL_SCREEN);
  #unlisten = new AbortController();

  /**
   * @param {HTMLElement} bell
   * @param {() => void} onLeave is called when somebody turns to something else
   */
  constructor(bell, onLeave) {
    this.#bell = bell;
    this.#onLeave = onLeave;
    // Escape is a key like others here; the panel says what it means.
    this.element.addEventListener("cancel", (event) => event.preventDefault());
    this.element.addEventListener("click", (event) => {
      if (event.target === this.element && this.#isOutside(event)) onLeave();
    });
  }

  /** Opens it, and moves the keyboard in. */
  open() {
    this.isOpen = true;
    this.#unlisten = new AbortController();
    const { signal } = this.#unlisten;
    this.#smallScreen.addEventListener("change", () => this.#show(), { signal });
    addEventListener("resize", () => this.#place(), { signal });
    document.addEventListener("scroll", () => this.#place(), { signal, capture: true, passive: true });
    document.addEventListener("pointerdown", (event) => this.#onPointer(event), { signal, capture: true });
    this.#show();
  }

  /** Closes it. */
  close() {
    this.isOpen = false;
    this.#unlisten.abort();
    this.#hide();
  }

  #show() {
    this.#hide();
    const isSheet = this.#smallScreen.matches;
    this.element.classList.toggle("sheet", isSheet);
    // Both are above everything that a page has. A dialog that is a popover cannot be modal.
    this.element.popover = isSheet ? null : "manual";
    if (isSheet) this.element.showModal();
    else {
      this.#place();
      this.element.showPopover();
    }
    this.element.focus();
  }

  #hide() {
    if (this.element.matches(":popover-open")) this.element.hidePopover();
    if (this.element.open) this.element.close();
  }

  #place() {
    placeAt(this.element, this.#bell.getBoundingClientRect(), getComputedStyle(this.#bell).direction === "rtl");
  }

  /** @param {MouseEvent} event */
  #isOutside({ clientX, clientY }) {
    const { left, right, top, bottom } = this.element.getBoundingClientRect();
    return clientX < left || clientX > right || clientY < top || clientY > bottom;
  }

  /** @param {PointerEvent} event */
  #onPointer(event) {
    const path = event.composedPath();
    if (!this.element.open && !path.includes(this.element) && !path.includes(this.#bell)) this.#onLeave();
  }
}
