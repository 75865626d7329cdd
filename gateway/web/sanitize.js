// @ts-check
// What of a text's markup may be shown: words, lists, tables, links and pictures. Nothing that runs, submits, embeds or
// styles. DOMPurify parses and filters; here is only what we let through.

import DOMPurify from "./vendor/purify.es.mjs";

// Lists of what is allowed, not of what is not: what browsers learn next is refused until somebody adds it.
const TAGS =
  "a abbr b blockquote br code dd del div dl dt em figcaption figure h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p " +
  "pre q s samp small span strong sub sup table tbody td tfoot th thead time tr u ul var wbr";
// No id, name or class: they could clobber or borrow what is not theirs. No style: it could cover the page.
const ATTRIBUTES = "alt colspan dir height href lang rowspan src title width";

const CONFIG = {
  ALLOWED_TAGS: TAGS.split(" "),
  ALLOWED_ATTR: ATTRIBUTES.split(" "),
  ALLOW_ARIA_ATTR: false,
  ALLOW_DATA_ATTR: false,
  RETURN_DOM_FRAGMENT: /** @type {const} */ (true),
};

// One of our own, as hooks hold for all who share an instance.
const purify = DOMPurify(/** @type {any} */ (window));

purify.addHook("uponSanitizeAttribute", (element, attribute) => {
  const { attrName: name, attrValue: value } = attribute;
  if (name === "href") attribute.keepAttr = safeUrl(value) !== undefined;
  if (name === "src") attribute.keepAttr = element.nodeName === "IMG" && safeImageUrl(value) !== undefined;
});

purify.addHook("afterSanitizeAttributes", (element) => {
  if (element.nodeName === "A" && element.hasAttribute("href")) {
    element.setAttribute("target", "_blank");
    element.setAttribute("rel", "noopener noreferrer");
  }
  if (element.nodeName === "IMG") {
    element.setAttribute("loading", "lazy");
    element.setAttribute("referrerpolicy", "no-referrer");
    if (!element.hasAttribute("alt")) element.setAttribute("alt", "");
  }
});

/**
 * Gives what is safe of `text`, which is HTML from a template, as nodes to be shown.
 *
 * @param {string} text
 * @returns {DocumentFragment}
 */
export function sanitizeHtml(text) {
  return /** @type {DocumentFragment} */ (/** @type {unknown} */ (purify.sanitize(text, CONFIG)));
}

/**
 * Gives the address that a text may lead to, or nothing: a `javascript:` must never become a link.
 *
 * @param {string | undefined} text
 * @returns {string | undefined}
 */
export function safeUrl(text) {
  return resolve(text, ["http:", "https:"]);
}

/**
 * Gives the address that a picture may come from, or nothing.
 *
 * @param {string | undefined} text
 * @returns {string | undefined}
 */
export function safeImageUrl(text) {
  return /^data:image\//i.test(text ?? "") ? text : resolve(text, ["http:", "https:"]);
}

/**
 * @param {string | undefined} text
 * @param {string[]} protocols
 */
function resolve(text, protocols) {
  if (!text || !URL.canParse(text, document.baseURI)) return undefined;
  const url = new URL(text, document.baseURI);
  return protocols.includes(url.protocol) ? url.href : undefined;
}
