// Items and frames, as short as a test wants them.

const NOW = Date.parse("2026-01-01T00:00:00.000Z");

/** Makes an unread item; the greater its number, the newer it is. */
export const item = (number, fields = {}) => ({
  id: `i${number}`,
  rev: hex(1),
  notification_id: "order_tracking",
  title: `t${number}`,
  date: time(number),
  unread: true,
  message_count: 1,
  priority: "NORMAL",
  ...fields,
});

/** The items of these numbers, as a welcome or a page has them. */
export const items = (...numbers) => numbers.map((number) => item(number));

export const time = (seconds) => new Date(NOW + seconds * 1000).toISOString();

export const hex = (number) => number.toString(16).padStart(16, "0");

export const snapshot = (held, more = {}) => ({
  type: "welcome", resume: "snapshot", cause: "NO_CURSOR", unread_count: held.length, items: held, cursor: "c0", ...more,
});

export const full = (changed, more = {}) => ({
  type: "welcome", resume: "full", unread_count: 0, items: changed, cursor: "c1", ...more,
});

export const created = (one, more = {}) => ({ type: "created", item: one, unread_change: 1, cursor: "c2", ...more });

export const updated = (ids, fields = {}, more = {}) => ({
  type: "updated", ids, rev: hex(2), set: fields, unset: [], unread_change: 0, cursor: "c3", ...more,
});

export const retracted = (ids, more = {}) => ({ type: "retracted", ids, unread_change: -1, cursor: "c4", ...more });

export const SEEN = { unread: false, seen_time: time(0) };
export const ARCHIVED = { ...SEEN, archive_time: time(0) };
