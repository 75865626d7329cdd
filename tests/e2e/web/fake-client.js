// Stands in for CarillonClient where a test looks at a state that a real gateway is rarely in, or at more than it would
// send. What it holds, the test sets.

const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

const FILTERS = {
  inbox: (item) => !item.archive_time,
  unread: (item) => !item.archive_time && item.unread,
  archive: (item) => Boolean(item.archive_time),
};

class FakeView extends EventTarget {
  isLoading = false;
  hasMore = false;
  failures = 0;
  /** What further pages have. */
  later = [];

  constructor(client, name) {
    super();
    this.client = client;
    this.name = name;
  }

  get items() {
    return [...this.client.held.values()]
      .filter(FILTERS[this.name])
      .sort((a, b) => compare(b.date, a.date) || compare(b.id, a.id));
  }

  async loadMore() {
    this.isLoading = true;
    this.dispatchEvent(new Event("change"));
    await this.client.pause;
    this.isLoading = false;
    if (this.failures-- > 0) throw Object.assign(new Error("away"), { code: "UNAVAILABLE" });
    const page = this.later.splice(0, 50);
    this.hasMore = this.later.length > 0;
    for (const item of page) this.client.held.set(item.id, item);
    this.dispatchEvent(new Event("change"));
    return page;
  }
}

export class FakeClient extends EventTarget {
  state = "live";
  unreadCount = 0;
  held = new Map();
  calls = [];
  notifications = [];
  environment = {};
  refusal = undefined;
  pause = undefined;
  #views = { inbox: new FakeView(this, "inbox"), unread: new FakeView(this, "unread"), archive: new FakeView(this, "archive") };

  view(name) {
    return this.#views[name];
  }

  connect() {
    this.calls.push(["connect"]);
  }

  close() {
    this.calls.push(["close"]);
  }

  /** Puts items in, as a welcome or events do. */
  put(...items) {
    for (const item of items) this.held.set(item.id, item);
    this.#changed("created", items.map(({ id }) => id));
  }

  /** Puts an item in that is worth a sound. */
  create(item) {
    this.put(item);
    this.dispatchEvent(new CustomEvent("new", { detail: { item } }));
  }

  retract(...ids) {
    for (const id of ids) this.held.delete(id);
    this.#changed("retracted", ids);
  }

  set(state, detail = {}) {
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, ...detail } }));
  }

  async mark(ids, { set = [], clear = [] } = {}) {
    this.calls.push(["mark", ids, set, clear]);
    await this.pause;
    if (this.refusal) throw this.refusal;
    const now = new Date().toISOString();
    for (const id of ids) {
      const item = { ...this.held.get(id) };
      if (set.length) item.unread = false;
      if (set.includes("ARCHIVED")) item.archive_time = now;
      if (clear.includes("ARCHIVED")) delete item.archive_time;
      if (clear.includes("SEEN")) item.unread = true;
      this.held.set(id, item);
    }
    this.#changed("updated", ids);
  }

  markAll({ view = "inbox", set = ["SEEN"] } = {}) {
    return this.mark(this.view(view).items.map(({ id }) => id), { set });
  }

  archive = (ids) => this.mark(ids, { set: ["ARCHIVED"] });
  unarchive = (ids) => this.mark(ids, { clear: ["ARCHIVED"] });
  open = (id) => this.mark([id], { set: ["OPENED"] });
  click = (id) => this.mark([id], { set: ["CLICKED"] });

  async getPreferences() {
    await this.pause;
    if (this.refusal) throw this.refusal;
    return { notifications: structuredClone(this.notifications), preferences: [] };
  }

  async patchPreferences(preferences) {
    this.calls.push(["patch", preferences]);
    if (this.refusal) throw this.refusal;
    for (const { notification_id, sub_notification_id, channel, delivery_option } of preferences) {
      const one = this.notifications.find((other) => other.notification_id === notification_id);
      const of = sub_notification_id
        ? one.sub_notifications.find((sub) => sub.sub_notification_id === sub_notification_id)
        : one;
      of.channels.find((other) => other.channel === channel).delivery_option = delivery_option;
    }
    this.dispatchEvent(new CustomEvent("preferences", { detail: {} }));
  }

  async getEnvironment() {
    return this.environment;
  }

  async addWebPush(subscription) {
    this.calls.push(["addWebPush", subscription.endpoint]);
    if (this.refusal) throw this.refusal;
  }

  async removeWebPush(endpoint) {
    this.calls.push(["removeWebPush", endpoint]);
  }

  #changed(kind, ids) {
    this.unreadCount = this.view("unread").items.length;
    this.dispatchEvent(new CustomEvent("change", { detail: { kind, ids } }));
    for (const view of Object.values(this.#views)) view.dispatchEvent(new Event("change"));
  }
}
