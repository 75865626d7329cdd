// @ts-check
// The row that registers this browser for web push: permission, service worker, subscription, and the gateway told.

import { button, element, setText } from "./dom.js";
import { environmentOf } from "./environment.js";

/** @typedef {import("../carillon.js").CarillonClient} CarillonClient */

/** Whether this browser can do web push on this page at all. */
const isSupported = () =>
  globalThis.isSecureContext && "serviceWorker" in navigator && "PushManager" in globalThis && "Notification" in globalThis;

/** The row; hidden where there is nothing to offer. */
export class WebPushRow {
  #say;
  #workerUrl;
  #hint = element("p", { className: "hint", id: "web-push-hint" });
  #switch = button("switch", { role: "switch", ariaChecked: "false" });
  element = element("section", { part: "web-push", className: "web-push", hidden: true });

  /** @type {CarillonClient | undefined} */
  #client;
  #key = "";

  /**
   * @param {(key: string) => string} say
   * @param {() => string} workerUrl
   */
  constructor(say, workerUrl) {
    this.#say = say;
    this.#workerUrl = workerUrl;
    this.#switch.setAttribute("aria-labelledby", "web-push-label");
    this.#switch.setAttribute("aria-describedby", this.#hint.id);
    this.#switch.addEventListener("click", () => this.#toggle());
    const label = element("span", { id: "web-push-label", className: "name" }, say("webPush"));
    this.element.append(element("div", { className: "choice" }, label, this.#switch), this.#hint);
  }

  /**
   * Shows how things are, if this environment has a key and this browser can.
   *
   * @param {CarillonClient} client
   */
  async refresh(client) {
    this.#client = client;
    if (!isSupported()) return;
    const { vapid_public_key: key = "" } = await environmentOf(client);
    this.#key = key;
    this.element.hidden = !key;
    if (key) this.#show(await this.#subscription());
  }

  /** @returns {Promise<PushSubscription | null>} */
  async #subscription() {
    const registration = await navigator.serviceWorker.getRegistration(this.#workerUrl());
    return (await registration?.pushManager.getSubscription()) ?? null;
  }

  /**
   * @param {PushSubscription | null} subscription
   * @param {string} [hint]
   */
  #show(subscription, hint) {
    const isDenied = Notification.permission === "denied";
    this.#switch.ariaChecked = String(subscription !== null && !isDenied);
    // Not `disabled`, which would take the explanation out of the keyboard's way.
    this.#switch.ariaDisabled = String(isDenied);
    setText(this.#hint, hint ?? this.#say(isDenied ? "webPushDenied" : "webPushHint"));
    this.#hint.setAttribute("role", isDenied || hint ? "alert" : "note");
  }

  async #toggle() {
    if (this.#switch.ariaBusy === "true" || this.#switch.ariaDisabled === "true") return;
    this.#switch.ariaBusy = "true";
    try {
      const wasOn = this.#switch.ariaChecked === "true";
      this.#show(wasOn ? await this.#unsubscribe() : await this.#subscribe());
    } catch {
      this.#show(await this.#subscription().catch(() => null), this.#say("webPushFailed"));
    } finally {
      this.#switch.ariaBusy = null;
    }
  }

  async #subscribe() {
    if ((await Notification.requestPermission()) !== "granted") return null;
    await navigator.serviceWorker.register(trusted(this.#workerUrl()));
    const { pushManager } = await navigator.serviceWorker.ready;
    const subscription = await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: this.#key });
    try {
      await this.#client?.addWebPush(subscription.toJSON());
    } catch (error) {
      // Nobody would send to it, and the switch must not say that somebody does.
      await subscription.unsubscribe();
      throw error;
    }
    return subscription;
  }

  async #unsubscribe() {
    const subscription = await this.#subscription();
    if (subscription) {
      await this.#client?.removeWebPush(subscription.endpoint);
      await subscription.unsubscribe();
    }
    return null;
  }
}

/**
 * Keeps the gateway knowing of this browser, where it is registered: of what is there now, so that the next person at it
 * does not get the last one's messages, and of what the worker subscribes to when a push service ends a subscription.
 *
 * @param {CarillonClient} client One that is live.
 * @param {string} workerUrl
 * @param {AbortSignal} signal Ends it.
 */
export async function keepWebPush(client, workerUrl, signal) {
  if (!isSupported() || Notification.permission !== "granted") return;
  navigator.serviceWorker.addEventListener("message", ({ data }) => void onSubscription(client, data), { signal });
  const registration = await navigator.serviceWorker.getRegistration(workerUrl);
  const subscription = await registration?.pushManager.getSubscription();
  if (subscription && !signal.aborted) await handIn(client, subscription.toJSON());
}

/**
 * @param {CarillonClient} client
 * @param {any} told What a worker says, ours or the page's own.
 */
async function onSubscription(client, told) {
  if (told?.type !== "carillon-push-subscription") return;
  if (told.subscription) await handIn(client, told.subscription);
  if (told.old_endpoint) await client.removeWebPush(told.old_endpoint).catch(() => undefined);
}

/**
 * @param {CarillonClient} client
 * @param {PushSubscriptionJSON} subscription
 */
async function handIn(client, subscription) {
  // Nobody has asked for it, so nobody is told: the next page that opens does it again.
  await client.addWebPush(subscription).catch(() => undefined);
}

/** @type {{createScriptURL(url: string): string} | undefined} */
let policy;

/**
 * Passes the worker's address where a page requires trusted types; the address is the page's own attribute.
 *
 * @param {string} url
 */
function trusted(url) {
  const types = /** @type {any} */ (globalThis).trustedTypes;
  policy ??= types?.createPolicy("carillon-inbox", { createScriptURL: (/** @type {string} */ text) => text });
  return policy ? policy.createScriptURL(url) : url;
}
