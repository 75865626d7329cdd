// @ts-check
// The form that stands in for a backend: it sends to one person or both, and says what becomes of each channel.

import { element } from "../inbox/dom.js";
import { call } from "./calls.js";

/** @typedef {import("./person.js").Person} Person */

/**
 * The sample catalogue of `carillon dev`, with a value for each merge tag of its templates.
 *
 * @type {Record<string, Record<string, string>>}
 */
const SAMPLES = {
  order_tracking: { item: "Krabby Patty Burger", address: "124 Conch Street", orderId: "1234567890" },
  new_order: { item: "Krabby Patty Burger", customer: "Patrick Star", total: "$12.50" },
  hello_world: { firstName: "Spongebob" },
};

const at = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** Fills the form, and lets it send to these people. @param {Person[]} people */
export function showSender(people) {
  const form = /** @type {HTMLFormElement} */ (at("send"));
  const input = (/** @type {string} */ name) => /** @type {HTMLInputElement} */ (form.elements.namedItem(name));
  input("notification").append(...Object.keys(SAMPLES).map((name) => element("option", {}, name)));

  const names = people.map(() => element("span", { dir: "auto" }));
  const showNames = () => people.forEach((person, index) => names[index]?.replaceChildren(person.userId));
  for (const person of people) person.onName = showNames;
  at("recipients").append(
    ...[...names, "both"].map((name, index) => {
      const radio = element("input", { type: "radio", name: "to", value: String(index), checked: index === 0 });
      return element("label", {}, radio, name);
    }),
  );
  showNames();

  const recipients = () => {
    const chosen = people[Number(input("to").value)];
    // One who is on both sides gets it once.
    return [...new Set((chosen ? [chosen] : people).map((person) => person.userId))];
  };

  const showMergeTags = () => {
    const sample = SAMPLES[input("notification").value];
    const fields = Object.entries(sample ?? {}).map(([name, value]) =>
      element("label", { className: "field" }, name, element("input", { value, autocomplete: "off", "data-merge-tag": name })),
    );
    at("merge-tags").replaceChildren(...fields);
  };

  const send = async () => {
    const inputs = /** @type {NodeListOf<HTMLInputElement>} */ (at("merge-tags").querySelectorAll("input"));
    const message = {
      notification_id: input("notification").value,
      merge_tags: Object.fromEntries([...inputs].map((one) => [one.dataset.mergeTag, one.value])),
      email: input("email").value,
      number: input("number").value,
    };
    const users = recipients();
    const answers = await Promise.all(users.map((user_id) => call("/dev/send", { ...message, user_id })));
    showOutcome(...answers.flatMap((answer, index) => outcomeOf(users[index] ?? "", answer)));
  };

  const retract = async () => {
    const notification_id = input("notification").value;
    const answers = await Promise.all(recipients().map((user_id) => call("/dev/retract", { notification_id, user_id })));
    const count = answers.reduce((sum, answer) => sum + answer.retracted_count, 0);
    showOutcome(element("p", {}, count === 1 ? "1 item retracted." : `${count} items retracted.`));
  };

  form.addEventListener("submit", oneAtATime(form, send));
  at("retract").addEventListener("click", oneAtATime(form, retract));
  input("notification").addEventListener("change", showMergeTags);
  showMergeTags();
}

/** @param {string} userId @param {any} answer */
function outcomeOf(userId, { deliveries, warnings, tracking_id }) {
  return [
    element("h3", { dir: "auto" }, userId),
    element("ul", { className: "deliveries" }, ...deliveries.map(delivery)),
    ...warnings.map((/** @type {any} */ { text }) => element("p", { className: "warning" }, text)),
    element("p", { className: "hint" }, "tracking id ", element("code", {}, tracking_id)),
  ];
}

/** @param {any} delivery */
function delivery({ channel, state, reason, detail }) {
  const outcome = element("span", { className: "outcome", title: detail ?? "", "data-state": state }, state);
  return element("li", {}, element("code", {}, channel), outcome, reason && element("code", { className: "reason" }, reason));
}

/** @param {...Node} children */
function showOutcome(...children) {
  at("outcome").replaceChildren(...children);
}

/** Makes a listener that does `work`, one at a time, and says what goes wrong. @param {HTMLElement} form @param {() => Promise<void>} work */
function oneAtATime(form, work) {
  return async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (form.ariaBusy) return;
    // Not `disabled`, which takes the focus from the button that was pressed.
    form.ariaBusy = "true";
    try {
      await work();
    } catch (error) {
      showOutcome(element("p", { className: "warning" }, /** @type {Error} */ (error).message));
    } finally {
      form.ariaBusy = null;
    }
  };
}
