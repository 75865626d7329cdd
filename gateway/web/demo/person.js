// @ts-check
// One person of the demo page: their bell, what a program of one's own would show, the network, and what was told.

import { CarillonClient } from "../carillon.js";
import "../carillon-inbox.js";
import { element } from "../inbox/dom.js";

/** @typedef {{ client_id: string, user_id: string, user_hash: string }} Session */
/** @typedef {import("../carillon-types.js").Item} Item */

const SHOWN = 4;
const LOGGED = 60;
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

let lastId = 0;

export class Person {
  #socketUrl;
  element = /** @type {HTMLElement} */ (template().querySelector("section"));
  #inbox = /** @type {import("../carillon-inbox.js").CarillonInbox} */ (this.#part("carillon-inbox"));
  #who = /** @type {HTMLFormElement} */ (this.#part(".who"));
  #user = /** @type {HTMLInputElement} */ (this.#part("input"));
  #network = this.#part(".network");
  #items = this.#part(".items");
  #log = this.#part(".log");
  /** @type {CarillonClient | undefined} */
  #client;
  #signedIn = "";
  /** @type {Map<string, string>} what an item was called, for when it is gone */
  #titles = new Map();

  /** Gives the session of somebody who was chosen. @type {(userId: string) => Promise<Session>} */
  onChosen = () => Promise.reject(new Error("nobody can be chosen"));
  /** @type {(unreadCount: number) => void} */
  onCount = () => {};
  /** @type {() => void} */
  onName = () => {};

  /** @param {string} socketUrl */
  constructor(socketUrl) {
    this.#socketUrl = socketUrl;
    const label = this.#part(".who label");
    this.#user.id = `user-${++lastId}`;
    label.setAttribute("for", this.#user.id);
    this.#who.addEventListener("submit", (event) => {
      event.preventDefault();
      this.choose(this.#user.value);
    });
    this.#user.addEventListener("change", () => this.#who.requestSubmit());
    this.#network.addEventListener("click", () => this.#switchNetwork());
  }

  get userId() {
    return this.#user.value;
  }

  /** @param {boolean} isFixed whether there is nobody else to choose */
  set isFixed(isFixed) {
    this.#who.hidden = isFixed;
    this.#part(".name").hidden = !isFixed;
  }

  /** Shows the inbox of somebody, once it is known that they may be. @param {string} userId */
  async choose(userId) {
    if (userId === this.#signedIn) return;
    this.#user.value = userId;
    this.#leave();
    this.onName();
    try {
      const session = await this.onChosen(userId);
      // Somebody else may have been chosen meanwhile.
      if (userId === this.#user.value) this.signIn(session);
    } catch (error) {
      this.#showState("signed out");
      this.#note("problem", /** @type {Error} */ (error).message);
    }
  }

  /** @param {Session} session */
  signIn({ client_id, user_id, user_hash }) {
    this.#leave();
    this.#user.value = this.#part(".name").textContent = this.#signedIn = user_id;
    const client = new CarillonClient({
      url: this.#socketUrl,
      clientId: client_id,
      userId: user_id,
      userHash: user_hash,
    });
    this.#client = client;
    this.#inbox.client = client;
    client.addEventListener("state", (event) => this.#onState(detailOf(event)));
    client.addEventListener("change", (event) => this.#onChange(detailOf(event)));
    client.addEventListener("preferences", () => this.#onPreferences());
    client.addEventListener("problem", (event) => this.#note("problem", detailOf(event).message));
    client.connect();
  }

  // Empties all of it before somebody else's is known.
  #leave() {
    this.#client?.close();
    this.#client = undefined;
    this.#signedIn = "";
    /** @type {any} */ (this.#inbox).client = undefined;
    this.#titles.clear();
    this.#log.replaceChildren();
    this.#network.ariaChecked = "true";
    this.#showState("connecting");
    this.#showItems();
  }

  #switchNetwork() {
    if (!this.#client) return;
    const isOn = this.#network.ariaChecked === "true";
    this.#network.ariaChecked = String(!isOn);
    this.#note(isOn ? "network cut" : "network back");
    if (isOn) this.#client.cut();
    else this.#client.restore();
  }

  // --- What the client tells ---

  /** @param {{ state: string, code?: number, reason?: string }} detail */
  #onState({ state, code, reason }) {
    if (state === "closed") return;
    const words = state.replace("-", " ");
    this.#showState(words);
    this.#note(words, [code, reason].filter(Boolean).join(" "));
  }

  /** @param {{ kind: string, ids: string[], resume?: string }} detail */
  #onChange({ kind, ids, resume }) {
    const items = this.#client?.view("inbox").items ?? [];
    for (const { id, title } of items) this.#titles.set(id, title);
    const changes = ids.length === 1 ? "1 change" : `${ids.length} changes`;
    const names = ids.slice(0, 3).map((id) => this.#titles.get(id) ?? "one that is not held");
    if (kind === "welcome") this.#note(`welcome, ${resume}`, resume === "full" ? changes : `${items.length} items`);
    else this.#note(kind, [...names, ids.length > 3 && `${ids.length - 3} more`].filter(Boolean).join(", "));
    this.#showItems();
  }

  // After a welcome it only says to look again, which nothing here does.
  #onPreferences() {
    const last = /** @type {HTMLElement | null} */ (this.#log.firstElementChild);
    if (last?.dataset.kind !== "welcome") this.#note("preferences", "are others now");
  }

  // --- Showing ---

  /** @param {string} words */
  #showState(words) {
    const shown = this.#part(".state");
    shown.textContent = words;
    shown.dataset.state = words;
  }

  #showItems() {
    const view = this.#client?.view("inbox");
    const items = view?.items ?? [];
    const known = new Map([...this.#items.children].map((one) => [/** @type {HTMLElement} */ (one).dataset.id, one]));
    const rows = items.slice(0, SHOWN).map((item) => {
      const row = /** @type {HTMLElement} */ (known.get(item.id) ?? element("li", { "data-testid": "item" }));
      row.dataset.id = item.id;
      row.classList.toggle("unread", item.unread);
      row.replaceChildren(
        item.unread ? element("span", { className: "visually-hidden" }, "Unread. ") : "",
        element("span", { "data-testid": "item-title", dir: "auto" }, item.title),
      );
      return row;
    });
    this.#items.replaceChildren(...rows);
    const rest = items.length - rows.length;
    this.#part(".more").textContent = rest ? `and ${rest}${view?.hasMore ? " or more" : ""} behind the bell` : "";
    this.#part(".more").hidden = rest === 0;
    // Without a welcome it is not known to be empty.
    this.#part(".empty").hidden = this.#client?.state !== "live" || items.length > 0;
    this.onCount(this.#client?.unreadCount ?? 0);
  }

  /** @param {string} what @param {string} [detail] */
  #note(what, detail) {
    const [kind] = what.split(/[, ]/);
    const line = element("li", { "data-kind": kind }, element("time", {}, clock.format(new Date())), element("b", {}, what));
    if (detail) line.append(element("span", { dir: "auto" }, detail));
    this.#log.prepend(line);
    while (this.#log.children.length > LOGGED) this.#log.lastElementChild?.remove();
  }

  /** @param {string} selector @returns {HTMLElement} */
  #part(selector) {
    return /** @type {HTMLElement} */ (this.element.querySelector(selector));
  }
}

function template() {
  const found = /** @type {HTMLTemplateElement} */ (document.getElementById("person"));
  // Imported, not cloned: the element in it is then the one of this document.
  return document.importNode(found.content, true);
}

/** @param {Event} event */
const detailOf = (event) => /** @type {CustomEvent} */ (event).detail;
