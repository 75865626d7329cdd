// @ts-check
// The icons: strokes on a grid of 24, made as nodes, so that no markup is parsed.

const SVG = "http://www.w3.org/2000/svg";

const PATHS = {
  bell: ["M18 9a6 6 0 0 0-12 0c0 6-2.5 7.5-2.5 7.5h17S18 15 18 9Z", "M10 20a2.2 2.2 0 0 0 4 0"],
  check: ["m5 12.5 4.5 4.5L19 7.5"],
  checks: ["m2.5 12.5 4.5 4.5 9-9.5", "m11.5 16 1 1 9-9.5"],
  archive: ["M4 8.5v10a1 1 0 0 0 1 1h14a1 1 0 0 0 1-1v-10", "M3 4.5h18v4H3z", "M10 12.5h4"],
  inbox: ["M4 13.5v5a1 1 0 0 0 1 1h14a1 1 0 0 0 1-1v-5", "M4 13.5h4.5l1.2 2.2h4.6l1.2-2.2H20", "M12 3.5v7.5", "m8.8 8 3.2 3.2L15.2 8"],
  unread: ["M4 6.5h16v11H4z", "m4 7 8 6 8-6"],
  settings: ["M4 7h9", "M17 7h3", "M4 17h3", "M11 17h9", "M15 5a2 2 0 1 0 0 4 2 2 0 0 0 0-4Z", "M9 15a2 2 0 1 0 0 4 2 2 0 0 0 0-4Z"],
  close: ["m6 6 12 12", "M18 6 6 18"],
  back: ["m14.5 6-6 6 6 6"],
  offline: ["M3 3l18 18", "M6.5 17.5a4 4 0 0 1 .3-8", "M10 6.4a6 6 0 0 1 8 5.1 3.5 3.5 0 0 1 2.3 5", "M9 17.5h8"],
  signedOut: ["M10 4.5H5.5v15H10", "M14.5 8l4 4-4 4", "M18.5 12H9.5"],
  warning: ["M12 4 2.8 19.5h18.4Z", "M12 10v4.5", "M12 17.2v.1"],
};

/** @typedef {keyof typeof PATHS} IconName */

/**
 * Makes an icon; it says nothing to a screen reader, what it stands for must be said beside it.
 *
 * @param {IconName} name
 * @returns {SVGSVGElement}
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `icon icon-${name}`);
  for (const d of PATHS[name]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}
