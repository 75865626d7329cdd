// @ts-check
// The words of <carillon-inbox>, in English. A page replaces any of them, key by key: `inbox.texts = {empty: "…"}`.
//
// A text may have {names} that are filled in. One that counts may be an object with the plural forms of its language
// ("one", "few", "many", "other"), as Intl.PluralRules names them.

/** @typedef {string | {[form: string]: string}} Text */
/** @typedef {{[key: string]: Text | {[key: string]: Text}}} Texts */

export const defaultTexts = {
  title: "Notifications",
  bell: "{title}, none unread",
  bellUnread: { one: "{title}, {count} unread", other: "{title}, {count} unread" },
  close: "Close",
  unread: "Unread",
  views: "Show",
  inboxView: "Inbox",
  unreadView: "Unread",
  archiveView: "Archive",
  markAll: "Mark all as read",
  list: "Notifications",

  markRead: "Mark as read",
  markUnread: "Mark as unread",
  archive: "Archive",
  unarchive: "Move to inbox",
  showMore: "Show more",
  showLess: "Show less",
  messageCount: { one: "{count} message", other: "{count} messages" },
  opensNewTab: "opens in a new tab",

  loading: "Loading…",
  loadMore: "Load more",
  loadFailed: "More could not be loaded.",
  tryAgain: "Try again",

  archived: "Archived",
  undo: "Undo",
  undone: "Moved back to the inbox",
  allMarked: "All marked as read",
  markFailed: "That did not work. Try again in a moment.",
  announceOne: "New: {title}",
  announceMany: { one: "{count} new notification", other: "{count} new notifications" },

  emptyInbox: "You’re all caught up",
  emptyInboxHint: "New notifications appear here the moment they are sent.",
  emptyUnread: "Nothing unread",
  emptyUnreadHint: "What you have not read yet is collected here.",
  emptyArchive: "The archive is empty",
  emptyArchiveHint: "Archive what is done. You find it here when you need it again.",
  offline: "You’re offline. New notifications appear when you are back.",
  reconnecting: "Reconnecting…",
  offlineEmpty: "You’re offline",
  offlineEmptyHint: "Your notifications appear as soon as there is a connection.",
  signedOut: "You’re signed out",
  signedOutHint: "Sign in again to see your notifications.",
  failed: "Notifications can’t be shown right now",
  failedHint: "We keep trying. You can also try now.",
  unconfigured: "Notifications are not set up",
  unconfiguredHint: "This page does not say where they come from, or whose they are.",

  preferences: "Preferences",
  back: "Back to notifications",
  preferencesHint: "Choose what reaches you, and how.",
  preferencesFailed: "Your preferences could not be loaded.",
  preferencesEmpty: "There is nothing to choose yet.",
  notSaved: "Not saved. {reason}",
  notSavedReason: "Try again in a moment.",
  noSection: "Other",
  alwaysOn: "Always on",
  channels: {
    EMAIL: "Email",
    INAPP_WEB: "Inbox",
    SMS: "Text message",
    CALL: "Phone call",
    PUSH: "Mobile push",
    WEB_PUSH: "Browser push",
  },
  deliveryOptions: {
    OFF: "Off",
    INSTANT: "Instantly",
    HOURLY: "Hourly",
    DAILY: "Daily",
    WEEKLY: "Weekly",
    MONTHLY: "Monthly",
    ON: "On",
  },

  webPush: "Notify me in this browser",
  webPushHint: "Also while this page is closed.",
  webPushDenied: "This browser blocks notifications from this site. Allow them in the site settings, then come back here.",
  webPushFailed: "This browser could not be registered. Try again in a moment.",
};

/**
 * Gives a function that says things: `say("unread")`, `say("channels.EMAIL")`, `say("bellUnread", {count: 3})`.
 *
 * @param {Texts} texts those of the page
 * @param {string} language
 * @returns {(key: string, values?: {[name: string]: string | number}) => string}
 */
export function speaker(texts, language) {
  const plurals = new Intl.PluralRules(language);
  const numbers = new Intl.NumberFormat(language);
  return (key, values = {}) => {
    const text = find(texts, key) ?? find(defaultTexts, key) ?? key.slice(key.lastIndexOf(".") + 1);
    const form = typeof text === "string" ? text : (text[plurals.select(Number(values.count))] ?? text.other ?? "");
    return form.replace(/\{(\w+)\}/g, (hole, name) => {
      const value = values[name];
      return typeof value === "number" ? numbers.format(value) : (value ?? hole);
    });
  };
}

/**
 * @param {Texts} texts
 * @param {string} key
 * @returns {Text | undefined}
 */
function find(texts, key) {
  /** @type {any} */
  let found = texts;
  // A key may come from the server, as the name of a channel does: only what is ours counts.
  for (const part of key.split(".")) found = found && Object.hasOwn(found, part) ? found[part] : undefined;
  return found;
}
