// @ts-check
// What a user gets, and where: a block a notification, a control a channel. A choice is shown at once and saved; one that
// could not be saved goes back, and says so.

import { button, element, setText } from "./dom.js";
import { WebPushRow } from "./web-push.js";

/**
 * @typedef {import("../carillon-types.js").ChannelSetting} ChannelPreference
 * @typedef {import("../carillon-types.js").SubNotificationSettings} SubPreference
 * @typedef {import("../carillon-types.js").NotificationSettings} NotificationPreference
 * @typedef {import("../carillon.js").CarillonClient} CarillonClient
 */

const PAGE = 100;

let lastNumber = 0;

/** The preferences of one user. */
export class PreferencesPanel {
  #say;
  #webPush;
  #body = element("div", { className: "choices" });
  #failure = element("div", { className: "message", hidden: true, role: "alert" });
  element;

  /** @type {CarillonClient | undefined} */
  #client;
  /** What is built: as long as it is the same, controls are changed and not made anew. */
  #shape = "";
  /** @type {Map<string, (preference: ChannelPreference) => void>} */
  #controls = new Map();
  #reads = 0;

  /**
   * @param {(key: string, values?: {[name: string]: string | number}) => string} say
   * @param {() => string} workerUrl
   */
  constructor(say, workerUrl) {
    this.#say = say;
    this.#webPush = new WebPushRow(say, workerUrl);
    this.#failure.append(
      element("p", {}, say("preferencesFailed")),
      button("button", { onclick: () => this.#client && this.refresh(this.#client) }, say("tryAgain")),
    );
    this.element = element(
      "div",
      { part: "preferences", className: "preferences" },
      element("p", { className: "hint" }, say("preferencesHint")),
      this.#webPush.element,
      this.#failure,
      this.#body,
    );
  }

  /**
   * Reads the preferences, and shows them.
   *
   * @param {CarillonClient} client
   */
  async refresh(client) {
    if (client !== this.#client) {
      this.#client = client;
      this.#shape = "";
      this.#body.replaceChildren(skeleton(this.#say("loading")));
    }
    const read = ++this.#reads;
    void this.#webPush.refresh(client).catch(() => {});
    try {
      const notifications = await readAll(client);
      if (read !== this.#reads) return;
      this.#failure.hidden = true;
      this.#show(notifications);
    } catch {
      if (read !== this.#reads) return;
      this.#failure.hidden = false;
      if (!this.#shape) this.#body.replaceChildren();
    }
  }

  /** Forgets what it shows. */
  clear() {
    this.#reads += 1;
    this.#client = undefined;
    this.#controls.clear();
    this.#body.replaceChildren();
  }

  /** @param {NotificationPreference[]} notifications */
  #show(notifications) {
    const shape = JSON.stringify(notifications, (key, value) => (VOLATILE.has(key) ? undefined : value));
    if (shape !== this.#shape) {
      this.#shape = shape;
      this.#controls.clear();
      this.#body.replaceChildren(...this.#sections(notifications));
    }
    for (const one of notifications) {
      for (const preference of one.channels ?? []) this.#controls.get(keyOf(one, undefined, preference))?.(preference);
      for (const sub of one.sub_notifications ?? []) {
        for (const preference of sub.channels ?? []) this.#controls.get(keyOf(one, sub, preference))?.(preference);
      }
    }
  }

  /** @param {NotificationPreference[]} notifications */
  #sections(notifications) {
    if (notifications.length === 0) return [element("p", { className: "hint" }, this.#say("preferencesEmpty"))];
    /** @type {Map<string, NotificationPreference[]>} */
    const sections = new Map();
    for (const one of notifications) {
      const name = one.section || one.category || "";
      sections.set(name, [...(sections.get(name) ?? []), one]);
    }
    const isAlone = sections.size === 1 && sections.has("");
    return [...sections].map(([name, ones]) =>
      element(
        "section",
        { part: "preference-section", className: "preference-section" },
        !isAlone && element("h3", {}, element("span", { dir: "auto" }, name || this.#say("noSection"))),
        ...ones.map((one) => this.#notification(one)),
      ),
    );
  }

  /** @param {NotificationPreference} one */
  #notification(one) {
    const group = this.#group(one.title || one.notification_id, one.channels ?? [], one, undefined);
    group.setAttribute("part", "preference");
    const subs = (one.sub_notifications ?? []).map((sub) =>
      this.#group(sub.title || sub.sub_notification_id, sub.channels ?? [], one, sub),
    );
    if (subs.length) group.append(element("div", { className: "sub-preferences" }, ...subs));
    return group;
  }

  /**
   * @param {string} title
   * @param {ChannelPreference[]} channels
   * @param {NotificationPreference} one
   * @param {SubPreference | undefined} sub
   */
  #group(title, channels, one, sub) {
    const problem = element("p", { className: "problem", role: "alert", hidden: true });
    const number = ++lastNumber;
    const name = element("div", { className: "group-name", id: `group-${number}` }, element("span", { dir: "auto" }, title));
    const choices = channels.map((preference) => {
      const save = (/** @type {string} */ option) => this.#save(one, sub, preference.channel, option, problem);
      const [choice, show] = this.#choice(preference, `group-${number}`, save);
      this.#controls.set(keyOf(one, sub, preference), show);
      return choice;
    });
    const group = element("div", { role: "group", className: "group" });
    group.setAttribute("aria-labelledby", name.id);
    group.append(name, element("div", { className: "channels" }, ...choices), problem);
    return group;
  }

  /**
   * Makes the control of one channel: a switch for on and off, a list where there is more to choose, a word where there
   * is nothing; and what shows a state in it.
   *
   * @param {ChannelPreference} preference
   * @param {string} group
   * @param {(option: string) => Promise<boolean>} save
   * @returns {[HTMLElement, (preference: ChannelPreference) => void]}
   */
  #choice(preference, group, save) {
    const id = `choice-${++lastNumber}`;
    const offered = preference.offered_delivery_options ?? [];
    const name = element("span", { id, className: "name" }, this.#say(`channels.${preference.channel}`));
    const choice = element("div", { className: "choice" }, name);

    if (offered.length < 2) {
      const isOff = preference.delivery_option === "OFF";
      choice.append(
        element("span", { className: "hint" }, this.#say(isOff ? "deliveryOptions.OFF" : "alwaysOn")),
      );
      return [choice, () => {}];
    }

    const isSwitch = offered.length === 2 && offered.includes("OFF");
    const [control, read, write] = isSwitch ? switchOf(offered) : selectOf(offered, this.#say);
    control.setAttribute("aria-labelledby", `${group} ${id}`);
    if (!isSwitch) choice.classList.add("wide");
    choice.append(control);
    let held = "";
    control.addEventListener("change", async () => {
      const wanted = read();
      const before = held;
      held = wanted;
      // What was chosen in the meantime stays.
      if (!(await save(wanted)) && held === wanted) write((held = before));
    });
    return [choice, ({ delivery_option: option = "" }) => write((held = option))];
  }

  /**
   * @param {NotificationPreference} one
   * @param {SubPreference | undefined} sub
   * @param {string} channel
   * @param {string} option
   * @param {HTMLElement} problem
   */
  async #save(one, sub, channel, option, problem) {
    const preference = {
      notification_id: one.notification_id,
      channel,
      delivery_option: option,
      ...(sub && { sub_notification_id: sub.sub_notification_id }),
    };
    // What was asked before this choice must not put it back.
    this.#reads += 1;
    try {
      await this.#client?.patchPreferences([preference]);
      problem.hidden = true;
      return true;
    } catch (error) {
      const reason = isOurs(error) ? error.message : this.#say("notSavedReason");
      setText(problem, this.#say("notSaved", { reason }));
      problem.hidden = false;
      return false;
    }
  }
}

// What changes without the panel looking different.
const VOLATILE = new Set(["delivery_option", "chosen", "default_delivery_option"]);

/**
 * What a refusal says about the choice helps; what it says about the network is said better by us.
 *
 * @param {unknown} error
 * @returns {error is Error}
 */
const isOurs = (error) =>
  error instanceof Error && "code" in error && !["NOT_CONNECTED", "UNAVAILABLE", "INTERNAL"].includes(String(error.code));

/**
 * @param {NotificationPreference} one
 * @param {SubPreference | undefined} sub
 * @param {ChannelPreference} preference
 */
const keyOf = (one, sub, preference) =>
  JSON.stringify([one.notification_id, sub?.sub_notification_id ?? null, preference.channel]);

/**
 * @param {string[]} offered
 * @returns {[HTMLElement, () => string, (option: string) => void]}
 */
function switchOf(offered) {
  const on = /** @type {string} */ (offered.find((option) => option !== "OFF"));
  const control = button("switch", { role: "switch", ariaChecked: "false" });
  control.addEventListener("click", () => {
    control.ariaChecked = String(control.ariaChecked !== "true");
    control.dispatchEvent(new Event("change"));
  });
  const read = () => (control.ariaChecked === "true" ? on : "OFF");
  return [control, read, (option) => (control.ariaChecked = String(option !== "OFF"))];
}

/**
 * @param {string[]} offered
 * @param {(key: string) => string} say
 * @returns {[HTMLElement, () => string, (option: string) => void]}
 */
function selectOf(offered, say) {
  const options = offered.map((option) => element("option", { value: option }, say(`deliveryOptions.${option}`)));
  const control = element("select", { part: "select", className: "select" }, ...options);
  return [control, () => control.value, (option) => (control.value = option)];
}

/** @param {string} text */
function skeleton(text) {
  return element("p", { className: "hint", role: "status" }, text);
}

/**
 * Reads all pages. A notification that goes on in the next page is one.
 *
 * @param {CarillonClient} client
 * @returns {Promise<NotificationPreference[]>}
 */
async function readAll(client) {
  /** @type {Map<string, NotificationPreference>} */
  const all = new Map();
  let pageToken;
  do {
    /** @type {import("../carillon-types.js").PreferencePage} */
    const page = await client.getPreferences({ limit: PAGE, pageToken });
    for (const one of page.notifications ?? []) {
      const known = all.get(one.notification_id);
      const subs = [...(known?.sub_notifications ?? []), ...(one.sub_notifications ?? [])];
      all.set(one.notification_id, { ...one, sub_notifications: subs });
    }
    pageToken = page.next_page_token;
  } while (pageToken);
  return [...all.values()];
}
