// Whatever happens in whatever order, a store ends up with what the inbox is, as far down as it goes.

import assert from "node:assert/strict";
import { test } from "node:test";

import { compare, Store, VIEWS } from "../../../gateway/web/carillon-store.js";
import { ARCHIVED, SEEN, created, full, hex, item, retracted, snapshot, updated } from "./items.mjs";

const RUNS = 1500;
const STEPS = 120;
const LIMIT = 4;
const PAGE = 3;

// An inbox with its events, and one client that gets them later; a page is read at one moment and gets there at another.
class World {
  store = new Store();
  items = new Map();
  gone = new Map();
  // That of `item`, of which all others are greater.
  rev = 1;
  number = 50;
  // What the feed has yet to tell, what is on its way to the client, what the client waits for.
  told = [];
  sent = [];
  asked = [];

  constructor(seed) {
    this.random = generator(seed);
    for (let number = 0; number < this.pick(20); number += 1) this.send(this.pick(50));
    this.told = [];
    this.welcome();
  }

  pick = (below) => Math.floor(this.random() * below);
  any = (list) => list[this.pick(list.length)];

  step() {
    const happens = this.any([
      () => this.send((this.number += 1)),
      () => this.send((this.number += 1)),
      () => this.change(),
      () => this.change(),
      () => this.markMany(),
      () => this.retract(),
      () => this.tell(),
      () => this.tell(),
      () => this.ask(),
      () => this.read(),
      () => this.read(),
      () => this.deliver(),
      () => this.deliver(),
      () => this.deliver(),
      () => this.pick(8) === 0 && this.comeBack(),
    ]);
    happens();
  }

  send(number) {
    const made = item(number, { rev: this.next(), unread: this.pick(3) > 0 });
    if (this.items.has(made.id) || this.gone.has(made.id)) return;
    this.items.set(made.id, made);
    this.told.push(created(made, { unread_change: Number(made.unread) }));
  }

  change() {
    const old = this.any([...this.items.values()]);
    if (!old) return;
    const rev = this.next();
    const { archive_time: _, ...inInbox } = old;
    const now = this.any([
      { ...old, unread: false },
      { ...old, ...(old.archive_time ? {} : { unread: true }) },
      { ...old, ...ARCHIVED },
      inInbox,
      { ...old, title: `title ${rev}` },
      { ...old, date: item((this.number += 1)).date },
    ]);
    this.items.set(old.id, { ...now, rev });
    const unread_change = Number(now.unread) - Number(old.unread);
    const isReplaced = now.date !== old.date || (old.archive_time && !now.archive_time);
    if (isReplaced) this.told.push(created({ ...now, rev }, { unread_change }));
    else {
      const fields = Object.fromEntries(Object.entries(now).filter(([name, value]) => value !== old[name]));
      this.told.push(updated([old.id], fields, { rev, unread_change }));
    }
  }

  // Told at once of items that have different revs, before it and after it.
  markMany() {
    const olds = [...this.items.values()].filter((one) => !one.archive_time && this.pick(3) === 0);
    if (olds.length === 0) return;
    const fields = this.any([SEEN, ARCHIVED, { unread: true }]);
    const revs = olds.map(() => this.next());
    olds.forEach((old, index) => this.items.set(old.id, { ...old, ...fields, rev: revs[index] }));
    const unread_change = olds.reduce((sum, old) => sum + Number(fields.unread) - Number(old.unread), 0);
    this.told.push({ ...updated(olds.map(({ id }) => id), fields, { unread_change }), revs });
  }

  retract() {
    const old = this.any([...this.items.values()]);
    if (!old || this.pick(2)) return;
    const rev = this.next();
    this.items.delete(old.id);
    this.gone.set(old.id, { id: old.id, rev, retract_time: "now" });
    this.told.push(retracted([old.id], { unread_change: -Number(old.unread), rev }));
  }

  tell() {
    const frame = this.told.shift();
    if (frame) this.sent.push({ ...frame, cursor: frame.revs?.at(-1) ?? frame.rev ?? frame.item.rev });
  }

  ask() {
    const view = this.any(VIEWS);
    if (!this.asked.some((one) => one.page.view === view) && this.store.hasMore(view)) {
      this.asked.push({ page: this.store.beginPage(view) });
    }
  }

  read() {
    const asked = this.any(this.asked.filter((one) => !one.isRead));
    if (!asked) return;
    asked.isRead = true;
    const { view, ask } = asked.page;
    const { before_time } = ask;
    const { after, ...made } = ask.page_token
      ? JSON.parse(ask.page_token)
      : { view, before_time, after: { date: before_time ?? "~", id: "~" } };
    assert.deepEqual({ before_time: undefined, ...made }, { view, before_time });
    this.sent.push({ page: asked.page, answer: this.page(view, after, PAGE, before_time) });
  }

  // Some of a view, with a token that is only for it.
  page(view, after, limit, before_time) {
    const found = this.view(view).filter((one) => compare(one, after) < 0);
    const items = found.slice(0, limit);
    if (found.length <= limit) return { items, next_page_token: "" };
    const { date, id } = items.at(-1);
    return { items, next_page_token: JSON.stringify({ view, before_time, after: { date, id } }) };
  }

  deliver() {
    const frame = this.sent.shift();
    if (!frame) return;
    if (!frame.page) {
      this.store.apply(frame, { now: 0 });
      return;
    }
    this.asked = this.asked.filter((one) => one.page !== frame.page);
    const known = [...this.items.keys()].map((id) => this.store.item(id)).filter(Boolean);
    this.store.endPage(frame.page, frame.answer, 0);
    for (const { id, rev } of [...known, ...frame.answer.items]) {
      assert.ok((this.store.item(id)?.rev ?? rev) >= rev, `${id} is older than it was, or than the page has it`);
    }
    this.store.dropPage(frame.page);
  }

  // What was on its way is lost, and the cursor says since when.
  comeBack() {
    for (const { page } of this.asked) this.store.dropPage(page);
    [this.asked, this.sent, this.told] = [[], [], []];
    if (this.pick(2)) this.store = new Store(JSON.parse(JSON.stringify(this.store.save(this.pick(8) + 1))));
    this.welcome();
  }

  welcome() {
    const since = this.store.cursor;
    const more = { unread_count: this.view("unread").length, cursor: hex(this.rev) };
    const isFull = since && this.pick(4) > 0;
    const changed = [...this.items.values(), ...this.gone.values()].filter(({ rev }) => rev >= since);
    changed.sort((a, b) => (a.rev < b.rev ? -1 : 1));
    const { items, next_page_token } = this.page("inbox", { date: "~", id: "~" }, LIMIT);
    const frame = isFull ? full(changed, more) : snapshot(items, next_page_token ? { ...more, next_page_token } : more);
    this.store.apply(frame, { now: 0 });
  }

  view(name) {
    const isIn = {
      inbox: (one) => !one.archive_time,
      unread: (one) => !one.archive_time && one.unread,
      archive: (one) => one.archive_time,
    };
    return [...this.items.values()].filter(isIn[name]).sort((a, b) => compare(b, a));
  }

  next = () => hex((this.rev += 1));
}

for (const view of VIEWS) {
  test(`${view} is what it is at the server, and all of it in the end`, () => {
    for (let seed = 1; seed <= RUNS; seed += 1) {
      const world = new World(seed);
      for (let step = 0; step < STEPS; step += 1) world.step();
      while (world.told.length) world.tell();
      while (world.asked.some((one) => !one.isRead)) world.read();
      while (world.sent.length) world.deliver();

      const held = world.store.items(view);
      const there = world.view(view);
      assert.deepEqual(held, there.slice(0, held.length), `seed ${seed}`);
      assert.equal(world.store.unreadCount, world.view("unread").length, `seed ${seed}`);

      for (let pages = 0; world.store.hasMore(view); pages += 1) {
        assert.ok(pages < 100, `seed ${seed} finds no end`);
        world.asked.push({ page: world.store.beginPage(view) });
        world.read();
        world.deliver();
      }
      assert.deepEqual(world.store.items(view), there, `seed ${seed}`);
    }
  });
}

// mulberry32: the same numbers for the same seed, everywhere.
function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
