// @ts-check
// The service worker of web push: shows what is pushed, opens it when it is clicked, and takes back what was retracted.
//
// It knows no user and holds nothing: who the browser belongs to is the gateway's to know. A classic script, as not every
// browser takes modules here; its functions are therefore global, which nobody else is here to see.

/**
 * What is pushed, as JSON; a text that is none is taken for a title.
 *
 * @typedef {object} Push
 * @property {string} [title] absent: the name of this host
 * @property {string} [body]
 * @property {string} [url] what a click opens, http(s) or relative to the worker's scope; absent: a page of that scope
 * @property {string} [icon_url]
 * @property {string} [image_url]
 * @property {string} [item_id] of the inbox, where the message is there too
 * @property {string} [tracking_id] of the message: one that is pushed twice rings once
 * @property {string} [tag] what replaces or retracts what; absent: the item_id
 * @property {boolean} [retract] closes what is shown under the tag, and shows nothing
 */

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));

// Nothing is fetched through this worker, so a new one need not wait until the pages of the old one are gone.
worker.addEventListener("install", () => void worker.skipWaiting());
worker.addEventListener("activate", (event) => event.waitUntil(worker.clients.claim()));

worker.addEventListener("push", (event) => event.waitUntil(take(readPush(event.data?.text() ?? ""))));
worker.addEventListener("notificationclick", (event) => event.waitUntil(follow(event.notification)));
worker.addEventListener("pushsubscriptionchange", (event) => {
  const change = /** @type {PushSubscriptionChangeEvent} */ (event);
  change.waitUntil(resubscribe(change.oldSubscription ?? null, change.newSubscription ?? null));
});

// --- Showing and taking back ---

/**
 * @param {string} text
 * @returns {Push}
 */
function readPush(text) {
  try {
    const push = JSON.parse(text);
    if (push && typeof push === "object" && !Array.isArray(push)) return push;
  } catch {
    // No JSON: somebody tries what a push looks like.
  }
  return { title: text };
}

/** @param {Push} push */
async function take(push) {
  const tag = textOf(push.tag) || textOf(push.item_id);
  const shown = tag ? await worker.registration.getNotifications({ tag }) : [];
  if (push.retract === true) {
    for (const notification of shown) notification.close();
    return;
  }
  const trackingId = textOf(push.tracking_id);
  const isNews = shown.every(({ data }) => !trackingId || data?.tracking_id !== trackingId);
  // TypeScript's own list lacks what not every browser has.
  const options = /** @type {NotificationOptions} */ ({
    body: textOf(push.body),
    icon: webUrl(push.icon_url),
    image: webUrl(push.image_url),
    tag,
    // What takes the place of another is silent, unless it says so; without a tag it must not.
    renotify: tag !== "" && isNews,
    data: { url: webUrl(push.url), item_id: textOf(push.item_id), tracking_id: trackingId },
  });
  await worker.registration.showNotification(textOf(push.title) || worker.location.host, options);
}

// --- Opening ---

/** @param {Notification} notification */
async function follow(notification) {
  notification.close();
  const windows = await worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  const { url } = notification.data ?? {};
  const open = findWindow(windows, url);
  // A window may be gone by now, and one that is not may not want to be in front.
  const focused = await open?.focus().catch(() => undefined);
  if (!focused) await worker.clients.openWindow(url ?? worker.registration.scope);
}

/**
 * Gives the window that shows the address already; without an address any of ours will do, the one used last first.
 *
 * @template {{ url: string }} T
 * @param {readonly T[]} windows
 * @param {string} [url]
 * @returns {T | undefined}
 */
function findWindow(windows, url) {
  if (url) return windows.find((one) => one.url === url);
  return windows.find((one) => one.url.startsWith(worker.registration.scope));
}

// --- When the push service wants another subscription ---

/**
 * Subscribes as before, and tells the pages, as only they may speak for a user. Where none is open the next one finds the
 * new subscription when it comes, and hands it in.
 *
 * @param {PushSubscription | null} old
 * @param {PushSubscription | null} given what the browser has put in its place already
 */
async function resubscribe(old, given) {
  const manager = worker.registration.pushManager;
  const current = given ?? (await manager.getSubscription());
  // Not every browser says what was; then a page has to subscribe, which knows the key.
  const subscription = current ?? (old ? await manager.subscribe(old.options).catch(() => null) : null);
  const windows = await worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  for (const one of windows) {
    one.postMessage({
      type: "carillon-push-subscription",
      subscription: subscription?.toJSON() ?? null,
      old_endpoint: old?.endpoint ?? "",
    });
  }
}

// --- Reading ---

/** @param {unknown} value */
function textOf(value) {
  return typeof value === "string" ? value : "";
}

/**
 * Gives an address of the web, whole, or nothing: no other scheme is ever opened.
 *
 * @param {unknown} value
 * @returns {string | undefined}
 */
function webUrl(value) {
  const text = textOf(value);
  const { scope } = worker.registration;
  if (!text || !URL.canParse(text, scope)) return undefined;
  const url = new URL(text, scope);
  return ["http:", "https:"].includes(url.protocol) ? url.href : undefined;
}
