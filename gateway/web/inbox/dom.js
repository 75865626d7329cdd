// @ts-check
// Making elements. Texts become text nodes, so that nothing of a server's is ever markup here.

/** @typedef {Node | string | false | null | undefined} Child */

/**
 * Makes an element. What is a property of it is set as one, everything else as an attribute; false and undefined not at all.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {{[name: string]: unknown}} [properties]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue;
    if (name in made && name !== "part") /** @type {any} */ (made)[name] = value;
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(.../** @type {(Node | string)[]} */ (children.filter(Boolean)));
  return made;
}

/**
 * Makes a button.
 *
 * @param {string} part its part, and its class
 * @param {{[name: string]: unknown}} properties
 * @param {...Child} children
 */
export function button(part, properties, ...children) {
  return element("button", { type: "button", part, className: part, ...properties }, ...children);
}

/**
 * Sets a text, and touches the document only where it differs.
 *
 * @param {Element} target
 * @param {string} text
 */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/**
 * Sets or takes an attribute, and touches the document only where it differs.
 *
 * @param {Element} target
 * @param {string} name
 * @param {string | undefined} value
 */
export function setAttribute(target, name, value) {
  if (value === undefined) target.removeAttribute(name);
  else if (target.getAttribute(name) !== value) target.setAttribute(name, value);
}
