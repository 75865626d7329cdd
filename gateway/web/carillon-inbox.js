// @ts-check
// <carillon-inbox>: a bell with a badge, and behind it the inbox of one user.
//
// This file owns the element: its attributes and properties, its client, the bell, and what the page is told. What the
// panel shows is in inbox/. README.md beside this says how to embed it.

import { CarillonClient } from "./carillon.js";
import { Announcer } from "./inbox/announcer.js";
import { button, element, setAttribute, setText } from "./inbox/dom.js";
import { environmentOf } from "./inbox/environment.js";
import { icon } from "./inbox/icons.js";
import { Panel, badgeText } from "./inbox/panel.js";
import { RelativeTimes } from "./inbox/relative-time.js";
import { sheets } from "./inbox/styles.js";
import { keepWebPush } from "./inbox/web-push.js";
import { defaultTexts, speaker } from "./texts.js";

/**
 * @typedef {import("./inbox/item.js").Item} Item
 * @typedef {import("./texts.js").Texts} Texts
 */

const CONNECTION = ["url", "client-id", "user-id", "user-hash", "token"];
const WORDS = ["lang", "label"];
const PROPERTIES = /** @type {const} */ (["client", "texts", "onTokenNeeded"]);

export class CarillonInbox extends HTMLElement {
  static observedAttributes = [...CONNECTION, ...WORDS];

  #root = this.attachShadow({ mode: "open" });
  #badge = element("span", { part: "badge", className: "badge", ariaHidden: "true", hidden: true });
  #bell = button("bell", { ariaHasPopup: "dialog", ariaExpanded: "false", onclick: () => this.toggle() });
  #region = element("div", { className: "visually-hidden", role: "status" });
  #frame = element("div", { className: "root" });

  /** @type {CarillonClient | undefined} The page's own. */
  #given;
  /** @type {CarillonClient | undefined} The one that is shown: the page's own, or one made of the attributes. */
  #client;
  /** @type {AbortController | undefined} */
  #unlisten;
  /** @type {Panel | undefined} */
  #panel;
  /** @type {Announcer | undefined} */
  #announcer;
  /** @type {ReturnType<typeof speaker>} */
  #say = speaker({}, "en");
  /** @type {Texts} */
  #texts = {};
  /** @type {(() => string | Promise<string>) | undefined} */
  #onTokenNeeded;
  #frameRequest = 0;
  #isChanging = false;
  #isPushKept = false;

  constructor() {
    super();
    this.#root.adoptedStyleSheets = sheets();
    const slot = element("slot", { name: "icon" }, icon("bell"));
    this.#bell.id = "bell";
    this.#bell.append(slot, this.#badge);
    this.#bell.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#panel?.isOpen) this.close();
    });
    this.#frame.append(this.#bell, this.#region);
    this.#root.append(this.#frame);
  }

  // --- Attributes and properties ---

  /** The client that is shown. One that is set is the page's own: the page connects and closes it. */
  get client() {
    return this.#client ?? this.#given;
  }

  set client(client) {
    this.#given = client ?? undefined;
    this.#change();
  }

  /** Texts that replace the English ones, key by key. */
  get texts() {
    return this.#texts;
  }

  set texts(texts) {
    this.#texts = texts ?? {};
    if (this.isConnected) this.#build();
  }

  /** Gives a user token, now or soon; asked at the start and before one ends. */
  get onTokenNeeded() {
    return this.#onTokenNeeded;
  }

  set onTokenNeeded(onTokenNeeded) {
    this.#onTokenNeeded = onTokenNeeded ?? undefined;
    this.#change();
  }

  connectedCallback() {
    // What a page has set before this file was loaded hides the accessors.
    for (const name of PROPERTIES) {
      if (!Object.hasOwn(this, name)) continue;
      const value = this[name];
      delete this[name];
      /** @type {any} */ (this)[name] = value;
    }
    this.#build();
    this.#change();
  }

  disconnectedCallback() {
    cancelAnimationFrame(this.#frameRequest);
    this.#frameRequest = 0;
    this.#leave();
    this.#panel?.dispose();
    this.#panel = undefined;
    this.#announcer?.stop();
  }

  /**
   * @param {string} name
   * @param {string | null} before
   * @param {string | null} now
   */
  attributeChangedCallback(name, before, now) {
    if (before === now || !this.isConnected) return;
    if (WORDS.includes(name)) this.#build();
    else this.#change();
  }

  // --- Opening and closing ---

  /** Opens the panel. */
  open() {
    this.#panel?.open();
  }

  /** Closes the panel. */
  close() {
    this.#panel?.close();
  }

  /** Opens the panel if it is closed, and the other way round. */
  toggle() {
    if (this.#panel?.isOpen) this.close();
    else this.open();
  }

  // --- The client ---

  // Attributes come one by one; together they are one change.
  #change() {
    if (this.#isChanging) return;
    this.#isChanging = true;
    queueMicrotask(() => {
      this.#isChanging = false;
      if (!this.isConnected) return;
      this.#leave();
      this.#client = this.#given ?? this.#makeClient();
      if (this.#client) this.#listen(this.#client);
      this.#schedule();
    });
  }

  #makeClient() {
    const [url, clientId, userId, userHash, token] = CONNECTION.map((name) => this.getAttribute(name) ?? undefined);
    if (!url || !(token || this.#onTokenNeeded || (clientId && userId))) return undefined;
    const onTokenNeeded = this.#onTokenNeeded;
    const address = new URL(url, document.baseURI).href;
    const storage = storageOfTab();
    const client = new CarillonClient({ url: address, clientId, userId, userHash, token, onTokenNeeded, storage });
    client.connect();
    return client;
  }

  /** @param {CarillonClient} client */
  #listen(client) {
    this.#unlisten = new AbortController();
    /** @type {(type: string, listener: (event: any) => void) => void} */
    const on = (type, listener) => client.addEventListener(type, listener, { signal: this.#unlisten?.signal });
    on("change", this.#schedule);
    on("state", ({ detail }) => {
      if (detail?.state === "live") this.#onLive(client);
      this.#emit("carillon-state", detail);
      this.#schedule();
    });
    on("new", ({ detail }) => {
      this.#announcer?.note(detail.item.title);
      this.#emit("carillon-new", detail);
    });
    on("preferences", () => this.#panel?.onPreferences());
    on("problem", () => {
      this.#panel?.onProblem();
      this.#schedule();
    });
    if (client.state === "live") this.#onLive(client);
  }

  /** @param {CarillonClient} client */
  #onLive(client) {
    void this.#readLogo(client);
    if (this.#isPushKept || !this.#unlisten) return;
    this.#isPushKept = true;
    void keepWebPush(client, this.#workerUrl, this.#unlisten.signal);
  }

  // Lets go of everything that the client holds of this, and of the client, if it is ours.
  #leave() {
    this.#unlisten?.abort();
    this.#isPushKept = false;
    this.#announcer?.stop();
    this.#panel?.forget();
    if (this.#client !== this.#given) this.#client?.close();
    this.#client = undefined;
  }

  /** @param {CarillonClient} client */
  async #readLogo(client) {
    const { logo_url: logo } = await environmentOf(client);
    if (client !== this.#client || this.#saying.logo === logo) return;
    this.#saying.logo = logo;
    this.#panel?.onLogo();
  }

  // --- Showing ---

  /** @type {import("./inbox/item.js").Saying} */
  #saying = { say: this.#say, times: new RelativeTimes("en"), logo: undefined };

  // Makes what has words in it, anew when they are others.
  #build() {
    const wasOpen = this.#panel?.isOpen;
    this.#panel?.dispose();
    this.#announcer?.stop();
    const language = languageOf(this);
    this.#say = speaker(this.#texts, language);
    this.#saying = { say: this.#say, times: new RelativeTimes(language), logo: this.#saying.logo };
    this.#frame.lang = language;
    this.#announcer = new Announcer(this.#say, () => (this.#panel?.element.matches(":modal") ? this.#panel.region : this.#region));
    const element = this;
    this.#panel = new Panel({
      saying: this.#saying,
      get title() {
        return element.#title;
      },
      bell: this.#bell,
      workerUrl: () => this.#workerUrl,
      client: () => this.#client,
      schedule: this.#schedule,
      onToggle: () => {
        this.#bell.ariaExpanded = String(this.#panel?.isOpen ?? false);
      },
      mayOpen: (item) => this.#emit("carillon-open", { item }),
      mayAct: (item, index) => this.#emit("carillon-action", { item, action: item.actions?.[index], index }),
    });
    this.#frame.append(this.#panel.element);
    setAttribute(this.#bell, "aria-controls", this.#panel.element.id);
    this.#showBell();
    if (wasOpen) this.#panel.open();
  }

  get #title() {
    return this.getAttribute("label") || this.#say("title");
  }

  get #workerUrl() {
    const named = this.getAttribute("push-worker");
    return named ? new URL(named, document.baseURI).href : new URL("push-worker.js", import.meta.url).href;
  }

  // Many events of one frame are shown once.
  #schedule = () => {
    this.#frameRequest ||= requestAnimationFrame(() => {
      this.#frameRequest = 0;
      this.#showBell();
      this.#panel?.render();
    });
  };

  #showBell() {
    const client = this.#client;
    const count = client && client.state !== "signed-out" ? Math.max(0, client.unreadCount) : 0;
    const title = this.#title;
    const label = count ? this.#say("bellUnread", { title, count }) : this.#say("bell", { title });
    setAttribute(this.#bell, "aria-label", label);
    setAttribute(this.#bell, "title", label);
    this.#badge.hidden = count === 0;
    setText(this.#badge, badgeText(count));
    setAttribute(this.#bell, "part", count ? "bell bell-unread" : "bell");
  }

  /**
   * @param {string} type
   * @param {unknown} detail
   */
  #emit(type, detail) {
    return this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true, cancelable: true }));
  }
}

/**
 * The language of an element: its own, that of the page around it, or the browser's; English where that is none.
 *
 * @param {Element} element
 */
function languageOf(element) {
  const named = element.closest("[lang]")?.getAttribute("lang") || document.documentElement.lang || navigator.language;
  try {
    return Intl.getCanonicalLocales(named)[0] ?? "en";
  } catch {
    return "en";
  }
}

// Shows the inbox at once after a page load; a browser may forbid it, then it is shown a moment later.
function storageOfTab() {
  try {
    return sessionStorage;
  } catch {
    return null;
  }
}

export { defaultTexts };

if (!customElements.get("carillon-inbox")) customElements.define("carillon-inbox", CarillonInbox);
