// The rules of gateway/README.md by which a client holds an inbox.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Store } from "../../../gateway/web/carillon-store.js";
import { ARCHIVED, SEEN, created, full, hex, item, items, retracted, snapshot, time, updated } from "./items.mjs";

const NOW = Date.parse("2025-01-01T00:00:00.000Z");

const begin = (...frames) => {
  const store = new Store();
  for (const frame of frames) apply(store, frame);
  return store;
};
const apply = (store, frame, now = NOW) => store.apply(frame, { now });
const ids = (store, view = "inbox") => store.items(view).map(({ id }) => id).join(" ");
const load = (store, view, answer) => {
  const page = store.beginPage(view);
  const change = store.endPage(page, { next_page_token: "", ...answer }, NOW);
  store.dropPage(page);
  return change;
};

const WHOLE = snapshot(items(2, 1));
const PART = snapshot(items(5, 4, 3), { next_page_token: "p0" });

const HELD = [
  ["a snapshot is what there is", [WHOLE], "i2 i1"],
  ["a snapshot replaces what was held", [PART, snapshot(items(9, 3))], "i9 i3"],
  ["items of one date are in the order of their ids", [snapshot([item(1, { id: "b" }), item(1, { id: "a" })])], "b a"],
  ["full keeps what it does not name", [PART, full([item(4, { title: "x" })])], "i5 i4 i3"],
  ["full adds what is newer", [PART, full([item(6)])], "i6 i5 i4 i3"],
  ["full takes away", [PART, full([{ id: "i4", rev: hex(9), retract_time: time(9) }])], "i5 i3"],
  ["full passes over what is older than what is held", [PART, full([item(2)])], "i5 i4 i3"],
  ["full adds what is older where all are held", [WHOLE, full([item(0)])], "i2 i1 i0"],
  ["full archives", [WHOLE, full([item(1, ARCHIVED)])], "i2"],
  ["created adds", [WHOLE, created(item(3))], "i3 i2 i1"],
  ["created replaces what has its id, and moves it", [WHOLE, created(item(7, { id: "i1" }))], "i1 i2"],
  ["created passes over what is older than what is held", [PART, created(item(2))], "i5 i4 i3"],
  ["created adds what is older where all are held", [WHOLE, created(item(0))], "i2 i1 i0"],
  ["created adds where all that is left was removed", [PART, retracted(["i3", "i4"]), created(item(3.5))], "i5 i3.5"],
  ["archived leaves the inbox", [WHOLE, updated(["i1"], ARCHIVED)], "i2"],
  ["what comes back from the archive is in the inbox", [WHOLE, updated(["i1"], ARCHIVED), created(item(1))], "i2 i1"],
  ["updated passes over what is not held", [WHOLE, updated(["i9"], { title: "x" })], "i2 i1"],
  ["retracted removes", [WHOLE, retracted(["i1", "i9"])], "i2"],
  ["an older state is passed over", [WHOLE, created(item(2, { ...ARCHIVED, rev: hex(0) }))], "i2 i1"],
  ["one of the same rev, too", [WHOLE, updated(["i2"], {}), created(item(2, { ...ARCHIVED, rev: hex(2) }))], "i2 i1"],
  ["full replaces whatever the rev", [WHOLE, full([item(2, { ...ARCHIVED, rev: hex(0) })])], "i1"],
];

for (const [name, frames, expected] of HELD) {
  test(name, () => assert.equal(ids(begin(...frames)), expected));
}

test("updated sets and unsets, unless what is held is as new", () => {
  const store = begin(snapshot([item(1, { body: "b", label: "l", rev: hex(7) })]));

  apply(store, updated(["i1"], { title: "new" }, { unset: ["body"], rev: hex(8) }));
  assert.deepEqual(store.item("i1"), item(1, { title: "new", label: "l", rev: hex(8) }));

  apply(store, updated(["i1"], { title: "old" }, { rev: hex(8) }));
  assert.deepEqual(store.item("i1"), item(1, { title: "new", label: "l", rev: hex(8) }));
});

test("each item that is updated gets the rev of its own", () => {
  const store = begin(snapshot([item(3, { rev: hex(4) }), item(2), item(1)]));
  const frame = { ...updated(["i3", "i0", "i2", "i1"], { title: "x" }), revs: [4, 5, 6, 7].map(hex) };

  assert.deepEqual(apply(store, frame).ids, ["i2", "i1"]);
  const held = store.items("inbox").map(({ title, rev }) => [title, rev]);
  assert.deepEqual(held, [["t3", hex(4)], ["x", hex(6)], ["x", hex(7)]]);
});

test("the badge is the welcome's, and changes also by what is not held", () => {
  const store = begin(PART, created(item(1)), retracted(["i0"]), updated(["i5", "i0"], SEEN, { unread_change: -2 }));
  assert.equal(store.unreadCount, 3 + 1 - 1 - 2);

  apply(store, full([], { unread_count: 9 }));
  assert.equal(store.unreadCount, 9);
});

test("the cursor is that of the last frame that has one", () => {
  const store = begin(WHOLE);
  assert.equal(store.cursor, "c0");
  apply(store, { type: "preferences_changed", cursor: "c7" });
  apply(store, retracted(["i1"], { cursor: undefined }));
  assert.equal(store.cursor, "c7");
});

test("a change names what is held and the views that show something else", () => {
  const store = begin(PART);
  const views = (frame) => [...apply(store, frame).views].sort();

  assert.deepEqual(views(updated(["i5"], { title: "x" })), ["inbox", "unread"]);
  assert.deepEqual(views(updated(["i5"], SEEN, { rev: hex(3) })), ["inbox", "unread"]);
  assert.deepEqual(views(updated(["i5"], { title: "y" }, { rev: hex(4) })), ["inbox"]);
  assert.deepEqual(views(updated(["i5"], { title: "z" }, { rev: hex(4) })), []);
  assert.deepEqual(views(updated(["i0"], { title: "y" })), []);
  assert.deepEqual(apply(store, retracted(["i0", "i3"])).ids, ["i3"]);
});

test("a view is the same array until it changes", () => {
  const store = begin(PART);
  const inbox = store.items("inbox");
  apply(store, updated(["i0"], SEEN));
  assert.equal(store.items("inbox"), inbox);
  apply(store, updated(["i5"], SEEN));
  assert.notEqual(store.items("inbox"), inbox);
});

// --- What is new ---

const NEW = [
  ["nothing of the first snapshot", [], WHOLE, ""],
  ["an item that is newer", [WHOLE], created(item(3)), "i3"],
  ["the first of an empty inbox", [snapshot([])], created(item(3)), "i3"],
  ["not one that is older", [WHOLE], created(item(0)), ""],
  ["not one that is read", [WHOLE], created(item(3, SEEN)), ""],
  ["not one that comes back from the archive", [WHOLE, updated(["i2"], ARCHIVED)], created(item(2)), ""],
  ["not one that was taken back, if it comes again", [WHOLE, created(item(3)), retracted(["i3"])], created(item(3)), ""],
  ["all that came meanwhile, oldest first", [WHOLE], full([item(4), item(3), item(1)]), "i3 i4"],
  ["also where that is a snapshot", [WHOLE], snapshot(items(4, 3, 2)), "i3 i4"],
  ["not what full tells again", [WHOLE, created(item(3))], full([item(3)]), ""],
  ["a stack that got another message", [WHOLE], created(item(9, { id: "i1" })), "i1"],
  ["not one that is marked unread", [snapshot([item(1, SEEN)])], updated(["i1"], { unread: true }), ""],
];

for (const [name, frames, frame, expected] of NEW) {
  test(`new is ${name}`, () => {
    const { fresh } = apply(begin(...frames), frame);
    assert.equal(fresh.map(({ id }) => id).join(" "), expected);
  });
}

// --- Pages ---

test("pages follow on the snapshot by its token, then by their own, until there is no more", () => {
  const store = begin(PART);
  assert.equal(store.hasMore("inbox"), true);

  const first = store.beginPage("inbox");
  assert.deepEqual(first.ask, { page_token: "p0" });
  store.endPage(first, { items: items(2), next_page_token: "p1" }, NOW);
  assert.equal(ids(store), "i5 i4 i3 i2");

  const second = store.beginPage("inbox");
  assert.deepEqual(second.ask, { page_token: "p1" });
  store.endPage(second, { items: items(1), next_page_token: "" }, NOW);
  assert.equal(ids(store), "i5 i4 i3 i2 i1");
  assert.equal(store.hasMore("inbox"), false);
});

// Where no token is for what is held: that of the snapshot is for the inbox, and none is saved.
const BY_DATE = [
  ["unread", begin(PART)],
  ["inbox", new Store(begin(PART).save(100))],
];

for (const [view, store] of BY_DATE) {
  test(`without a token pages of ${view} follow on what is held, first by date`, () => {
    assert.deepEqual(store.beginPage(view).ask, { before_time: time(3) });
    load(store, view, { items: items(3, 2), next_page_token: "p1" });
    assert.equal(ids(store, view), "i5 i4 i3 i2");
    assert.deepEqual(store.beginPage(view).ask, { before_time: time(3), page_token: "p1" });
  });
}

test("full leaves the token", () => {
  const store = begin(PART, full([item(6), { id: "i3", rev: hex(9), retract_time: time(9) }]));
  assert.deepEqual(store.beginPage("inbox").ask, { page_token: "p0" });
});

test("a snapshot that is cut at nothing is the whole inbox, however many items it has", () => {
  for (const whole of [WHOLE, snapshot([])]) assert.equal(begin(PART, whole).hasMore("inbox"), false);
});

test("a snapshot begins again", () => {
  const store = begin(PART);
  load(store, "inbox", { items: items(3, 2), next_page_token: "p1" });
  apply(store, snapshot(items(9, 8, 7), { next_page_token: "p2" }));
  assert.equal(ids(store), "i9 i8 i7");
  assert.deepEqual(store.beginPage("inbox").ask, { page_token: "p2" });
  assert.deepEqual(store.beginPage("unread").ask, { before_time: time(7) });
});

test("a page that was asked for before a snapshot is not taken", () => {
  const store = begin(PART);
  const page = store.beginPage("inbox");
  apply(store, snapshot(items(9, 8, 7), { next_page_token: "p2" }));
  store.endPage(page, { items: items(2, 1), next_page_token: "" }, NOW);
  assert.equal(ids(store), "i9 i8 i7");
  assert.equal(store.hasMore("inbox"), true);
});

// While a page is on its way, events may tell what it does not know yet.
const MEANWHILE = [
  ["an item that was taken back", retracted(["i2"]), "i5 i4 i3 i1"],
  ["an item that was archived", updated(["i2"], ARCHIVED), "i5 i4 i3 i1"],
  ["an item that came back from the archive", created(item(1.5)), "i5 i4 i3 i2 i1.5 i1"],
  ["an item that is new", created(item(6)), "i6 i5 i4 i3 i2 i1"],
  ["an item that moved up", created(item(6, { id: "i2" })), "i2 i5 i4 i3 i1"],
];

for (const [name, frame, expected] of MEANWHILE) {
  test(`a page is right about ${name} meanwhile`, () => {
    const store = begin(PART);
    const page = store.beginPage("inbox");
    apply(store, frame);
    const { unreadCount } = store;
    store.endPage(page, { items: items(3, 2, 1), next_page_token: "p1" }, NOW);
    assert.equal(ids(store), expected);
    assert.equal(store.unreadCount, unreadCount);
  });
}

test("what came before a page was read changes nothing of the page", () => {
  const store = begin(PART);
  const page = store.beginPage("inbox");
  apply(store, updated(["i2", "i1"], { title: "old", ...ARCHIVED }, { rev: hex(4) }));
  const read = [item(2, { title: "newer", rev: hex(5) }), item(1, { title: "same", rev: hex(4) })];
  store.endPage(page, { items: read, next_page_token: "" }, NOW);
  store.dropPage(page);
  assert.deepEqual(store.items("inbox").slice(3), read);
});

test("of an item that is held, a page is taken where it is newer", () => {
  const store = begin(PART);
  apply(store, updated(["i3"], { title: "held" }, { rev: hex(5) }));
  load(store, "inbox", { items: [item(3, { title: "old", rev: hex(4) }), item(2)], next_page_token: "p1" });
  assert.equal(store.item("i3").title, "held");

  load(store, "unread", { items: [item(3, { title: "newer", rev: hex(6) })] });
  assert.equal(store.item("i3").title, "newer");
});

test("nothing of a page is new", () => {
  const store = begin(PART);
  assert.deepEqual(load(store, "archive", { items: [item(9, ARCHIVED)] }).fresh, []);
});

test("the archive is shown once it is loaded, and then kept up to date", () => {
  const store = begin(WHOLE, updated(["i1"], ARCHIVED));
  assert.equal(ids(store, "archive"), "");
  assert.deepEqual(store.beginPage("archive").ask, {});
  load(store, "archive", { items: [item(1, ARCHIVED), item(0, ARCHIVED)] });
  assert.equal(ids(store, "archive"), "i1 i0");

  apply(store, updated(["i2"], ARCHIVED));
  apply(store, created(item(0)));
  assert.equal(ids(store, "archive"), "i2 i1");
  assert.equal(ids(store), "i0");
});

test("the unread view goes as far as the inbox, or further by its own pages", () => {
  const store = begin(snapshot([item(5), item(4, SEEN), item(3)], { next_page_token: "p0" }));
  assert.equal(ids(store, "unread"), "i5 i3");

  load(store, "unread", { items: [item(3), item(1)], next_page_token: "p1" });
  assert.equal(ids(store, "unread"), "i5 i3 i1");
  assert.equal(ids(store), "i5 i4 i3");

  apply(store, updated(["i1"], SEEN));
  assert.equal(ids(store, "unread"), "i5 i3");
  apply(store, updated(["i1"], { unread: true }, { rev: hex(3) }));
  assert.equal(ids(store, "unread"), "i5 i3 i1");
});

test("pages of the inbox take nothing from the unread view", () => {
  const store = begin(PART);
  load(store, "unread", { items: items(3, 0), next_page_token: "p1" });
  load(store, "inbox", { items: items(3, 2), next_page_token: "p2" });
  assert.equal(ids(store, "unread"), "i5 i4 i3 i2 i0");
});

test("a page of the archive is right about what was archived meanwhile", () => {
  const store = begin(WHOLE);
  const page = store.beginPage("archive");
  apply(store, updated(["i1"], ARCHIVED));
  store.endPage(page, { items: [], next_page_token: "" }, NOW);
  store.dropPage(page);
  assert.equal(ids(store, "archive"), "i1");
});

test("a view loads again what may be incomplete", () => {
  const store = begin(PART);
  load(store, "unread", { items: items(3, 1) });
  load(store, "archive", { items: [item(0, ARCHIVED)] });
  assert.equal(store.hasMore("unread"), false);

  // Both were not held: one is unread again, the other was put away.
  const { views } = apply(store, updated(["i2"], { unread: true }));
  assert.deepEqual([...views], ["unread"]);
  apply(store, updated(["i1.5"], ARCHIVED));
  assert.deepEqual([ids(store, "unread"), ids(store, "archive")], ["i5 i4 i3", ""]);
  assert.deepEqual([store.hasMore("unread"), store.hasMore("archive")], [true, true]);
});

// --- The end of items ---

test("an item goes at its expire_time, without a change of the badge", () => {
  const store = begin(snapshot([item(2, { expire_time: time(60) }), item(1, { expire_time: time(30) })]));
  assert.equal(store.nextExpiry, Date.parse(time(30)));

  assert.deepEqual(store.expire(Date.parse(time(30))).ids, ["i1"]);
  assert.equal(ids(store), "i2");
  assert.equal(store.unreadCount, 2);
  assert.equal(store.nextExpiry, Date.parse(time(60)));
});

test("an item that is over is not held, and not new", () => {
  const store = begin(snapshot([]));
  const { fresh } = apply(store, created(item(3, { expire_time: time(30) })), Date.parse(time(40)));
  assert.equal(ids(store), "");
  assert.deepEqual(fresh, []);
});

// --- What is saved ---

test("what is saved goes on where it was", () => {
  const saved = JSON.parse(JSON.stringify(begin(PART, created(item(6)), updated(["i4"], ARCHIVED)).save(100)));
  const store = new Store(saved);
  assert.equal(ids(store), "i6 i5 i3");
  assert.deepEqual([store.cursor, store.unreadCount, store.hasMore("inbox")], ["c3", 4, true]);

  const { fresh } = apply(store, full([item(7), item(2)]));
  assert.deepEqual(fresh.map(({ id }) => id), ["i7"]);
  assert.equal(ids(store), "i7 i6 i5 i3");
});

test("of many items the newest are saved, and the others are to be loaded again", () => {
  const store = new Store(begin(WHOLE, created(item(3))).save(2));
  assert.equal(ids(store), "i3 i2");
  assert.equal(store.hasMore("inbox"), true);
  apply(store, full([item(1)]));
  assert.equal(ids(store), "i3 i2");
});

test("before the first welcome there is nothing to save", () => {
  assert.equal(begin().save(100), undefined);
});
