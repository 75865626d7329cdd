// @ts-check
// Where the panel is: at the bell where there is room, as a sheet on a small screen.

const GAP = 8;
const WIDTH = 416;
const HEIGHT = 640;
const LEAST_HEIGHT = 320;

export const SMALL_SCREEN = "(max-width: 480px)";

/**
 * Puts the panel at the bell: their ends aligned, below it if that is not too small, and always on the screen.
 *
 * @param {HTMLElement} panel
 * @param {DOMRect} bell
 * @param {boolean} isRtl
 */
export function placeAt(panel, bell, isRtl) {
  const { clientWidth, clientHeight } = document.documentElement;
  const width = Math.min(WIDTH, clientWidth - 2 * GAP);
  const wanted = isRtl ? bell.left : bell.right - width;
  const left = Math.max(GAP, Math.min(wanted, clientWidth - width - GAP));

  const below = clientHeight - bell.bottom - 2 * GAP;
  const above = bell.top - 2 * GAP;
  const isBelow = below >= LEAST_HEIGHT || below >= above;
  const height = Math.max(Math.min(isBelow ? below : above, HEIGHT), Math.min(LEAST_HEIGHT, clientHeight - 2 * GAP));
  const top = isBelow ? bell.bottom + GAP : bell.top - GAP - height;

  // Set through the CSSOM, which a strict policy allows, unlike a style attribute.
  panel.style.setProperty("--_left", `${Math.round(left)}px`);
  panel.style.setProperty("--_top", `${Math.round(Math.max(GAP, Math.min(top, clientHeight - height - GAP)))}px`);
  panel.style.setProperty("--_width", `${Math.round(width)}px`);
  panel.style.setProperty("--_height", `${Math.round(height)}px`);
}
