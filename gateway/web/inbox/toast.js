// @ts-check
// One line at the foot of the panel that says what was done, with a button that undoes it where that is possible.

import { button, element, setText } from "./dom.js";

const SHOWN_MS = 10_000;

/** The toast; it stays while the pointer or the keyboard is on it. */
export class Toast {
  #text = element("span", { role: "status", className: "toast-text" });
  #button = button("toast-action", { ariaKeyShortcuts: "Control+Z" });
  element = element("div", { part: "toast", className: "toast", hidden: true }, this.#text, this.#button);

  /** @type {(() => void) | undefined} */
  #onAction;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  constructor() {
    this.#button.addEventListener("click", () => this.act());
    for (const type of ["pointerenter", "focusin"]) this.element.addEventListener(type, () => clearTimeout(this.#timer));
    for (const type of ["pointerleave", "focusout"]) this.element.addEventListener(type, () => this.#wait());
  }

  /**
   * Says `text`; with a label and what it does, offers a button.
   *
   * @param {string} text
   * @param {string} [label]
   * @param {() => void} [onAction]
   */
  show(text, label = "", onAction) {
    this.#onAction = onAction;
    setText(this.#text, text);
    setText(this.#button, label);
    this.#button.hidden = !onAction;
    this.element.hidden = false;
    this.#wait();
  }

  /** Does what the button does; answers whether there was anything to do. */
  act() {
    const onAction = this.#onAction;
    this.hide();
    onAction?.();
    return onAction !== undefined;
  }

  /** Takes it away. */
  hide() {
    clearTimeout(this.#timer);
    this.#onAction = undefined;
    this.element.hidden = true;
    setText(this.#text, "");
  }

  #wait() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.hide(), SHOWN_MS);
  }
}
