// Shows items as a list, and changes only what differs: focus, selection and images of the others stay.
//
// What a click on a part of an item means is in its `data-mark`: the name of a mark. Who shows the list acts on it.

// The largest first.
const UNITS = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];
const relativeTime = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const absoluteTime = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

/** Makes `list` show `items` in their order. */
export function showItems(list, items) {
  const shown = new Map([...list.children].map((element) => [element.dataset.id, element]));
  const focused = list.contains(document.activeElement) ? document.activeElement : undefined;
  const wanted = items.map((item) => {
    const old = shown.get(item.id);
    if (old?.dataset.key === keyOf(item)) return old;
    const made = itemElement(item);
    // Only what is new moves.
    if (old) made.classList.add("changed");
    return made;
  });
  const kept = new Set(wanted);
  for (const element of shown.values()) if (!kept.has(element)) element.remove();

  wanted.forEach((element, index) => {
    if (list.children[index] !== element) list.insertBefore(element, list.children[index] ?? null);
  });
  if (focused && !focused.isConnected) focusAgain(list, focused);
}

// The keyboard stays where it was, also when that is a new element; when the item is gone it stays in the list.
function focusAgain(list, focused) {
  const { id } = focused.closest("li").dataset;
  const item = [...list.children].find(({ dataset }) => dataset.id === id);
  const control = item?.querySelector(`:is(a, button)[data-mark="${focused.dataset.mark}"]`);
  (control ?? list.querySelector(":is(a, button)"))?.focus();
}

/** Brings the relative times of `list` up to date. */
export function refreshTimes(list) {
  for (const time of list.querySelectorAll("time")) time.textContent = sayWhen(new Date(time.dateTime));
}

/** Makes an element; texts become text, never markup. */
export function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child));
  return made;
}

/** Gives the address that a text from an item may lead to, or nothing: a `javascript:` must never become a link. */
export function safeUrl(text) {
  if (!text || !URL.canParse(text, location.href)) return undefined;
  const url = new URL(text, location.href);
  return ["http:", "https:"].includes(url.protocol) ? url.href : undefined;
}

// A new revision is a new element.
const keyOf = (item) => `${item.id} ${item.rev}`;

function itemElement(item) {
  const made = element(
    "li",
    { className: item.unread ? "item unread" : "item" },
    picture(item),
    element(
      "div",
      { className: "item-text" },
      element("h3", {}, title(item)),
      item.body && body(item),
      element("p", { className: "item-meta" }, ...meta(item)),
    ),
    archiveButton(item),
  );
  made.dataset.mark = "OPENED";
  made.dataset.key = keyOf(item);
  made.dataset.testid = "item";
  made.dataset.id = item.id;
  return made;
}

function title(item) {
  const href = safeUrl(item.url);
  const made = href ? link(href, item.title, "CLICKED") : button(item.title, "OPENED");
  made.dataset.testid = "item-title";
  return made;
}

function archiveButton(item) {
  const made = button("Archive", "ARCHIVED");
  made.dataset.testid = "archive";
  made.ariaLabel = `Archive: ${item.title}`;
  return made;
}

function body(item) {
  const made = element("p", { className: "item-body" }, item.body);
  made.dataset.testid = "item-body";
  return made;
}

function picture(item) {
  const src = safeUrl(item.image_url) ?? safeUrl(item.icon_url);
  if (!src) return undefined;
  const made = element("img", { className: "item-picture", src, alt: "" });
  made.addEventListener("error", () => made.remove());
  return made;
}

function meta(item) {
  const date = new Date(item.date);
  const actions = (item.actions ?? []).map(
    ({ label, url }, index) => safeUrl(url) && link(safeUrl(url), label, ["FIRST_ACTION", "SECOND_ACTION"][index]),
  );
  return [
    item.unread && element("span", { className: "visually-hidden" }, "Unread."),
    element("time", { dateTime: item.date, title: absoluteTime.format(date) }, sayWhen(date)),
    element("code", {}, item.notification_id),
    item.html && element("span", { title: "Markup is not rendered here" }, "HTML, shown as text"),
    ...actions,
  ];
}

function link(href, text, mark) {
  const made = element("a", { href, target: "_blank", rel: "noopener noreferrer" }, text);
  made.dataset.mark = mark;
  return made;
}

function button(text, mark) {
  const made = element("button", { type: "button" }, text);
  made.dataset.mark = mark;
  return made;
}

function sayWhen(date) {
  const seconds = (date - Date.now()) / 1000;
  const fitting = UNITS.find(([, size]) => Math.abs(seconds) >= size);
  return fitting ? relativeTime.format(Math.trunc(seconds / fitting[1]), fitting[0]) : "just now";
}
