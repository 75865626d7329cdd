// The demo page: the inbox of one user and, where `carillon dev` serves it, a form that stands in for a backend.
//
// Any other gateway has nobody to ask for a user's hash, so there the address says who it is, after a `#`, which no
// server and no log ever sees: /#client_id=...&user_id=...&user_hash=... (`carillon hash USER_ID` prints the hash).

import { connect } from "./inbox.js";
import { element, refreshTimes, showItems } from "./list.js";

const DEFAULT_USER = "userId_123abc";
const SOCKET_PATH = "/v1/inbox";

// The sample catalogue of `carillon dev`, with a value for each merge tag of its templates.
const SAMPLES = {
  order_tracking: { item: "Krabby Patty Burger", address: "124 Conch Street", orderId: "1234567890" },
  new_order: { item: "Krabby Patty Burger", customer: "Patrick Star", total: "$12.50" },
  hello_world: { firstName: "Spongebob" },
};

const at = (id) => document.getElementById(id);
const who = at("who");
const form = at("send");
const list = at("items");

// Whom the address names, if it names somebody. A plus is one, not a space: a hash may have some.
const named = new URLSearchParams(location.hash.slice(1).replaceAll("+", "%2B"));
const { client_id, user_id, user_hash } = Object.fromEntries(named);

let inbox;

who.elements.user.value = new URLSearchParams(location.search).get("user") || DEFAULT_USER;
for (const name of Object.keys(SAMPLES)) form.elements.notification.append(element("option", {}, name));
showMergeTags();

who.addEventListener("submit", onSubmit(who, signIn));
form.addEventListener("submit", onSubmit(form, send));
at("retract").addEventListener("click", onSubmit(form, retract));
at("read-all").addEventListener("click", () => mark({ until: { time: inbox.items[0].date }, set: ["SEEN"] }));
list.addEventListener("click", ({ target }) => markClicked(target));
form.elements.notification.addEventListener("change", showMergeTags);
addEventListener("hashchange", () => location.reload());
setInterval(() => refreshTimes(list), 30_000);
who.requestSubmit();

// --- Connecting ---

async function signIn() {
  inbox?.close();
  inbox = undefined;
  showInbox();
  showState("connecting");
  showNotice("");
  const { url, hello } = await openSession().catch((error) => {
    showState("signed out");
    throw error;
  });

  inbox = connect(url, hello);
  for (const type of ["welcome", "created", "updated", "retracted"]) inbox.addEventListener(type, showInbox);
  inbox.addEventListener("state", ({ detail }) => {
    showState(inbox.state);
    if (inbox.state === "signed out") showNotice(`Refused: ${detail.reason || detail.code}`);
  });
  inbox.addEventListener("error", ({ detail }) => showNotice(detail.message));
}

async function openSession() {
  const gateway = await call("/v1/gateway");
  const url = `${location.protocol.replace("http", "ws")}//${location.hostname}:${gateway.ws_port}${SOCKET_PATH}`;
  if (user_hash) return { url, hello: { client_id, user_id, user_hash } };

  if (!gateway.dev) throw new Error("Name a user in the address: /#client_id=…&user_id=…&user_hash=…");
  for (const element of document.querySelectorAll(".dev")) element.hidden = false;
  const user = who.elements.user.value;
  const hello = await call(`/dev/session?${new URLSearchParams({ user_id: user })}`);
  history.replaceState(null, "", `?${new URLSearchParams({ user })}`);
  return { url, hello };
}

function showState(state) {
  const shown = at("state");
  shown.textContent = state;
  shown.dataset.state = state;
}

function showInbox() {
  const { items, unreadCount } = inbox ?? { items: [], unreadCount: 0 };
  showItems(list, items);
  // Without a welcome it is not known to be empty.
  at("empty").hidden = !inbox || items.length > 0;
  at("badge").textContent = unreadCount;
  at("badge").classList.toggle("none", unreadCount === 0);
  at("read-all").hidden = unreadCount === 0 || items.length === 0;
  document.title = unreadCount ? `(${unreadCount}) Carillon` : "Carillon";
}

function showNotice(text) {
  at("notice").textContent = text;
  at("notice").hidden = !text;
}

// --- Marking ---

function markClicked(target) {
  const name = target.closest("[data-mark]")?.dataset.mark;
  const item = name && inbox.items.find(({ id }) => id === target.closest("li").dataset.id);
  // Most clicks are on what is open already.
  if (item && !item[`${name.toLowerCase()}_time`]) mark({ ids: [item.id], set: [name] });
}

// What changes comes back as an event, here as in every other tab.
async function mark(request) {
  try {
    await inbox.mark(request);
    showNotice("");
  } catch (error) {
    showNotice(error.message);
  }
}

// --- Sending and retracting ---

function showMergeTags() {
  const fields = Object.entries(SAMPLES[form.elements.notification.value]).map(([name, value]) => {
    const input = element("input", { value, autocomplete: "off" });
    input.dataset.mergeTag = name;
    return element("label", { className: "field" }, name, input);
  });
  at("merge-tags").replaceChildren(...fields);
}

async function send() {
  const inputs = at("merge-tags").querySelectorAll("input");
  const answer = await call("/dev/send", {
    ...target(),
    merge_tags: Object.fromEntries([...inputs].map((input) => [input.dataset.mergeTag, input.value])),
    email: form.elements.email.value,
    number: form.elements.number.value,
  });
  showOutcome(
    element("ul", { className: "deliveries" }, ...answer.deliveries.map(delivery)),
    ...answer.warnings.map(({ text }) => element("p", { className: "warning" }, text)),
    element("p", { className: "hint" }, "tracking id ", element("code", {}, answer.tracking_id)),
  );
}

async function retract() {
  const { retracted_count: count } = await call("/dev/retract", target());
  showOutcome(element("p", {}, count === 1 ? "1 item retracted." : `${count} items retracted.`));
}

const target = () => ({ notification_id: form.elements.notification.value, user_id: who.elements.user.value });

function delivery({ channel, state, reason, detail }) {
  const outcome = element("span", { className: "outcome", title: detail ?? "" }, state);
  outcome.dataset.state = state;
  return element("li", {}, element("code", {}, channel), outcome, reason && element("code", { className: "reason" }, reason));
}

function showOutcome(...children) {
  at("outcome").replaceChildren(...children);
}

// --- Calling ---

/** Makes a listener that does `work`, one at a time, and shows what goes wrong where it belongs. */
function onSubmit(owner, work) {
  return async (event) => {
    event.preventDefault();
    if (owner.ariaBusy) return;
    // Not `disabled`, which takes the focus from the button that was pressed.
    owner.ariaBusy = "true";
    try {
      await work();
    } catch (error) {
      if (owner === form) showOutcome(element("p", { className: "warning" }, error.message));
      else showNotice(error.message);
    } finally {
      owner.ariaBusy = null;
    }
  };
}

async function call(path, body) {
  const request = body && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  const response = await fetch(path, request).catch(() => {
    throw new Error("Carillon does not answer. Is it still running?");
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${answer.error.message}. ${answer.error.fix}`);
  return answer;
}
