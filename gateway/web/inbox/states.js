// @ts-check
// What stands where the items would be: that there are none, and why.

import { button, element } from "./dom.js";
import { icon } from "./icons.js";

/** @typedef {"unconfigured" | "signedOut" | "emptyInbox" | "emptyUnread" | "emptyArchive" | "offlineEmpty" | "failed"} StateName */

/** @type {{[name in StateName]: import("./icons.js").IconName}} */
const ICONS = {
  unconfigured: "warning",
  signedOut: "signedOut",
  emptyInbox: "bell",
  emptyUnread: "check",
  emptyArchive: "archive",
  offlineEmpty: "offline",
  failed: "warning",
};

const SKELETON_ROWS = 5;

/**
 * Says how it is, with a button where something can be done about it.
 *
 * @param {StateName} name
 * @param {(key: string) => string} say
 * @param {() => void} onRetry
 */
export function stateMessage(name, say, onRetry) {
  const canRetry = name === "failed" || name === "offlineEmpty";
  return element(
    "div",
    { part: "state", className: "state" },
    element("div", { className: "state-icon" }, icon(ICONS[name])),
    element("p", { className: "state-title" }, say(name)),
    element("p", { className: "hint" }, say(`${name}Hint`)),
    canRetry && button("button", { onclick: onRetry }, say("tryAgain")),
  );
}

/**
 * Stands for rows that are on their way.
 *
 * @param {(key: string) => string} say
 */
export function skeleton(say) {
  const row = () =>
    element("div", { className: "ghost" }, element("span", {}), element("div", {}, element("i", {}), element("i", {})));
  return element(
    "div",
    { part: "skeleton", className: "skeleton" },
    element("p", { className: "visually-hidden", role: "status" }, say("loading")),
    element("div", { ariaHidden: "true" }, ...Array.from({ length: SKELETON_ROWS }, row)),
  );
}
