// @ts-check
// The demo page: the inboxes of two people and, where `carillon dev` serves it, a form that stands in for a backend.
//
// Any other gateway has nobody to ask for a user's hash, so there the address says who it is, after a `#`, which no
// server and no log ever sees: /#client_id=...&user_id=...&user_hash=... (`carillon hash USER_ID` prints the hash).

import { call } from "./demo/calls.js";
import { Person } from "./demo/person.js";
import { showSender } from "./demo/sender.js";

/** @typedef {import("./demo/person.js").Session} Session */

const DEFAULT_USERS = { left: "userId_123abc", right: "userId_456def" };

const at = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @param {string} text */
function showNotice(text) {
  at("notice").textContent = text;
  at("notice").hidden = !text;
}

/** @param {string} socketUrl @param {Session} session */
function showSnippet(socketUrl, { client_id, user_id, user_hash }) {
  const quoted = (/** @type {string} */ text) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;");
  at("snippet").textContent = [
    `<script type="module" src="${location.origin}/carillon-inbox.js"></script>`,
    `<carillon-inbox url="${socketUrl}"`,
    `  client-id="${quoted(client_id)}" user-id="${quoted(user_id)}"`,
    `  user-hash="${quoted(user_hash)}">`,
    "</carillon-inbox>",
  ].join("\n");
}

async function copySnippet() {
  try {
    await navigator.clipboard.writeText(at("snippet").textContent ?? "");
    at("copy").textContent = "Copied";
  } catch {
    // Not every page may; then it is one key away.
    getSelection()?.selectAllChildren(at("snippet"));
  }
}

/** @param {string} socketUrl @param {Session} session */
async function showOne(socketUrl, session) {
  const person = new Person(socketUrl);
  person.isFixed = true;
  at("people").append(person.element);
  showSnippet(socketUrl, session);
  person.signIn(session);
  person.onCount = (count) => {
    document.title = count ? `(${count}) Carillon` : "Carillon";
  };
}

/** @param {string} socketUrl */
async function showTwo(socketUrl) {
  const query = new URLSearchParams(location.search);
  const people = Object.entries(DEFAULT_USERS).map(([side, fallback]) => {
    const person = new Person(socketUrl);
    person.onChosen = async (user_id) => {
      const session = await call(`/dev/session?${new URLSearchParams({ user_id })}`);
      query.set(side, user_id);
      history.replaceState(null, "", `?${query}`);
      if (side === "left") showSnippet(socketUrl, session);
      return session;
    };
    at("people").append(person.element);
    person.choose(query.get(side) || fallback);
    return person;
  });
  for (const element of document.querySelectorAll(".dev")) /** @type {HTMLElement} */ (element).hidden = false;
  document.body.classList.add("is-dev");
  showSender(people);
}

async function start() {
  // A plus is one, not a space: a hash may have some.
  const named = Object.fromEntries(new URLSearchParams(location.hash.slice(1).replaceAll("+", "%2B")));
  const gateway = await call("/v1/gateway");
  const socketUrl = `${location.protocol.replace("http", "ws")}//${location.hostname}:${gateway.ws_port}/v1/inbox`;
  if (named.user_hash) await showOne(socketUrl, /** @type {any} */ (named));
  else if (gateway.dev) await showTwo(socketUrl);
  else {
    const unknown = { client_id: "…", user_id: "…", user_hash: "…" };
    showSnippet(socketUrl, unknown);
    throw new Error("Name a user in the address: /#client_id=…&user_id=…&user_hash=…");
  }
}

at("copy").addEventListener("click", copySnippet);
addEventListener("hashchange", () => location.reload());
start().catch((error) => showNotice(error.message));
