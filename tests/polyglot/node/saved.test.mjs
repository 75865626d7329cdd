// What is kept over a page load.

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { SavedState } from "../../../gateway/web/carillon-saved.js";
import { Store } from "../../../gateway/web/carillon-store.js";
import { item, snapshot } from "./items.mjs";

const OWNER = { url: "ws://a/", clientId: "dev", userId: "u" };

class Storage extends Map {
  writes = 0;
  getItem = (key) => this.get(key) ?? null;
  removeItem = (key) => this.delete(key);
  setItem(key, value) {
    this.writes += 1;
    this.set(key, value);
  }
}

beforeEach(() => mock.timers.enable({ apis: ["setTimeout"] }));
afterEach(() => mock.timers.reset());

const holding = (count, fields = {}) => {
  const store = new Store();
  const held = Array.from({ length: count }, (_, number) => item(count - number, fields));
  store.apply(snapshot(held), { limit: 1000, now: 0 });
  return store;
};
const savedBy = (storage, store, owner = OWNER) => new SavedState(storage, owner, (most) => store.save(most));

test("many changes are written once, a moment later", () => {
  const storage = new Storage();
  const saved = savedBy(storage, holding(2));
  saved.writeSoon();
  saved.writeSoon();
  assert.equal(storage.writes, 0);
  mock.timers.tick(500);
  assert.equal(storage.writes, 1);
  assert.deepEqual(saved.read().items, [item(2), item(1)]);
  saved.writeSoon();
  mock.timers.tick(500);
  assert.equal(storage.writes, 2);
});

test("the newest hundred items are kept, fewer if they are large", () => {
  const storage = new Storage();
  const of = (store) => {
    const saved = savedBy(storage, store);
    saved.write();
    return saved.read();
  };
  assert.equal(of(holding(99)).items.length, 99);
  const { items, horizon } = of(holding(101));
  assert.deepEqual([items.length, items[0].id, horizon.id], [100, "i101", "i2"]);
  assert.equal(of(holding(101, { body: "b".repeat(20_000) })).items.length, 12);
  assert.ok([...storage.values()].every((text) => text.length <= 500_000));
  assert.equal(of(holding(1, { body: "b".repeat(600_000) })), undefined);
});

test("nobody else's is used", () => {
  const storage = new Storage();
  const store = holding(1);
  savedBy(storage, store).write();
  for (const other of [{ userId: "v" }, { clientId: "prod" }, { url: "ws://b/" }]) {
    assert.equal(savedBy(storage, store, { ...OWNER, ...other }).read(), undefined);
  }

  // Not even where it stands under this one's key.
  const [[key, text]] = storage;
  storage.set(key, text.replaceAll('"u"', '"v"'));
  assert.equal(savedBy(storage, store).read(), undefined);
});

const BROKEN = ["", "{", "null", "[]", "1", '{"version":1}', '{"version":1,"owner":["ws://a/","dev","u"],"items":5}'];
for (const text of BROKEN) {
  test(`what is broken is not used: ${text || "nothing"}`, () => {
    const storage = { getItem: () => text };
    assert.equal(savedBy(storage, holding(1)).read(), undefined);
  });
}

test("another version is not used", () => {
  const storage = new Storage();
  savedBy(storage, holding(1)).write();
  for (const [key, text] of storage) storage.set(key, text.replace('"version":1', '"version":2'));
  assert.equal(savedBy(storage, holding(1)).read(), undefined);
});

test("a storage that fails breaks nothing", () => {
  const fail = () => {
    throw new Error("QuotaExceededError");
  };
  const saved = savedBy({ getItem: fail, setItem: fail, removeItem: fail }, holding(1));
  assert.equal(saved.read(), undefined);
  saved.write();
  saved.writeSoon();
  mock.timers.tick(500);
  saved.remove();
});
