// Puts the element into the page as the address says. `fake` gives it a client that the test holds in `client`; without it
// the address names the user of a real gateway.

import "/web/carillon-inbox.js";
import { FakeClient } from "./fake-client.js";
import * as samples from "./samples.js";

const wanted = new URLSearchParams(location.search);
const root = document.documentElement;
root.lang = wanted.get("lang") ?? "en";
root.dir = wanted.get("dir") ?? "ltr";
root.dataset.theme = wanted.get("theme") ?? "light";
if (wanted.has("hostile")) document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: "hostile.css" }));

const inbox = document.createElement("carillon-inbox");
inbox.setAttribute("theme", root.dataset.theme);
inbox.texts = samples.texts[root.lang] ?? {};
if (wanted.has("fake")) {
  const client = new FakeClient();
  const content = wanted.get("fake");
  if (content === "content") client.put(...samples.contents(root.lang));
  client.notifications = samples.preferences();
  if (wanted.has("key")) client.environment = { name: "Bikini Bottom", vapid_public_key: wanted.get("key") };
  inbox.client = client;
  Object.assign(globalThis, { client });
} else {
  const hash = new URLSearchParams(location.hash.slice(1).replaceAll("+", "%2B"));
  for (const [name, value] of hash) inbox.setAttribute(name, value);
}
globalThis.heard = [];
for (const type of ["carillon-new", "carillon-open", "carillon-action", "carillon-state"]) {
  inbox.addEventListener(type, (event) => globalThis.heard.push([type, event.detail]));
}
Object.assign(globalThis, { inbox, samples });
document.querySelector("header").append(inbox);
