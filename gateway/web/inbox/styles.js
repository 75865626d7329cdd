// @ts-check
// How it looks: the frame, the bell and the panel. Made as style sheets by script, which a strict policy allows.
//
// Nothing is inherited from the page but what a page means to give: custom properties and the direction. Sizes are in
// pixels, as a rem is whatever a page made of it. Colours are pairs, of a light and a dark surface.

import { itemStyles } from "./item-styles.js";
import { preferencesStyles } from "./preferences-styles.js";

const styles = `
:host { all: initial; display: inline-block; vertical-align: middle; }
:host([hidden]) { display: none !important; }

.root {
  all: initial;
  display: inline-block;
  color-scheme: light dark;
  --_accent: var(--carillon-accent, light-dark(#3451d1, #9db0ff));
  --_on-accent: var(--carillon-on-accent, light-dark(#ffffff, #12151f));
  --_surface: var(--carillon-surface, light-dark(#ffffff, #1b1d22));
  --_hover: var(--carillon-hover, light-dark(#f5f6f9, #24272e));
  --_text: var(--carillon-text, light-dark(#191c22, #eceef3));
  --_muted: var(--carillon-muted, light-dark(#5b6270, #a4abb9));
  --_line: var(--carillon-line, light-dark(#e5e7ec, #31353e));
  --_badge: var(--carillon-badge, light-dark(#d3261c, #ff7a70));
  --_on-badge: var(--carillon-on-badge, light-dark(#ffffff, #2a0805));
  --_danger: var(--carillon-danger, light-dark(#b3231a, #ff9a92));
  --_radius: var(--carillon-radius, 14px);
  --_font: var(--carillon-font, system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif);
  --_size: var(--carillon-font-size, 14px);
  --_shadow: var(--carillon-shadow, 0 1px 2px rgb(15 20 40 / 6%), 0 12px 40px rgb(15 20 40 / 18%));
  font: 400 var(--_size) / 1.45 var(--_font);
  color: var(--_text);
  -webkit-font-smoothing: antialiased;
}
:host([theme="light"]) .root { color-scheme: light; }
:host([theme="dark"]) .root { color-scheme: dark; }

.root *, .root ::before, .root ::after { box-sizing: border-box; }
.root [hidden] { display: none !important; }
h2, h3, p, ul { margin: 0; padding: 0; font: inherit; }
ul { list-style: none; }
button, select { margin: 0; border: 0; background: none; color: inherit; font: inherit; letter-spacing: inherit; }
button { padding: 0; cursor: pointer; -webkit-tap-highlight-color: transparent; }
a { color: var(--_accent); }
:focus { outline: none; }
:focus-visible { outline: 2px solid var(--_accent); outline-offset: 2px; }

.visually-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.icon { display: block; width: 20px; height: 20px; fill: none; stroke: currentColor; stroke-width: 1.7; stroke-linecap: round; stroke-linejoin: round; }
.hint { color: var(--_muted); font-size: 0.93em; }

/* The bell */

.bell { position: relative; display: grid; place-items: center; width: 40px; height: 40px; border-radius: 50%; color: var(--carillon-bell, currentColor); transition: background-color 0.12s; }
.bell .icon { width: 22px; height: 22px; }
.bell:hover { background: light-dark(rgb(20 25 40 / 7%), rgb(255 255 255 / 10%)); }
.bell[aria-expanded="true"] { background: light-dark(rgb(20 25 40 / 9%), rgb(255 255 255 / 14%)); }
.badge {
  position: absolute; inset-block-start: 1px; inset-inline-start: 21px;
  min-width: 18px; height: 18px; padding-inline: 5px; border-radius: 9px;
  background: var(--_badge); color: var(--_on-badge);
  font-size: 11px; font-weight: 650; line-height: 18px; text-align: center; font-variant-numeric: tabular-nums;
  pointer-events: none;
}

/* The panel */

.panel {
  position: fixed; inset: auto; left: var(--_left, 0); top: var(--_top, 0);
  width: var(--_width, 416px); height: var(--_height, 600px); max-width: none; max-height: none;
  margin: 0; padding: 0; border: 1px solid var(--_line); border-radius: var(--_radius);
  background: var(--_surface); color: var(--_text); box-shadow: var(--_shadow);
  overflow: hidden; flex-direction: column;
}
.panel:popover-open, .panel[open] { display: flex; animation: appear 0.14s ease-out; }
.panel.sheet {
  inset: auto 0 0 0; left: 0; top: auto; width: 100%; height: 92vh; height: 92dvh;
  border-width: 1px 0 0; border-radius: calc(var(--_radius) + 4px) calc(var(--_radius) + 4px) 0 0;
  padding-bottom: env(safe-area-inset-bottom);
}
.panel.sheet[open] { animation: rise 0.2s cubic-bezier(0.2, 0.8, 0.3, 1); }
.panel::backdrop { background: transparent; }
.panel.sheet::backdrop { background: rgb(10 12 20 / 45%); }

.header { display: flex; align-items: center; gap: 2px; flex: none; min-height: 56px; padding: 10px 10px 6px; padding-inline-start: 20px; }
.panel-title { flex: 1; min-width: 0; font-size: 1.22em; font-weight: 650; letter-spacing: -0.01em; line-height: 1.3; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.tool { display: grid; place-items: center; flex: none; width: 36px; height: 36px; border-radius: 9px; color: var(--_muted); }
.tool:hover { background: var(--_hover); color: var(--_text); }
.tool:first-child { margin-inline-start: -12px; margin-inline-end: 2px; }
.root:dir(rtl) .icon-back { transform: scaleX(-1); }

.tabs { display: flex; flex: none; gap: 20px; padding-inline: 20px; border-bottom: 1px solid var(--_line); }
.tab { position: relative; min-height: 36px; padding: 4px 0 8px; color: var(--_muted); font-weight: 550; white-space: nowrap; }
.tab:hover { color: var(--_text); }
.tab[aria-selected="true"] { color: var(--_text); }
.tab[aria-selected="true"]::after { content: ""; position: absolute; inset: auto 0 -1px; height: 2px; border-radius: 2px 2px 0 0; background: var(--_accent); }
.tab-count:not(:empty) { margin-inline-start: 6px; padding: 1px 7px; border-radius: 9px; background: var(--_hover); color: var(--_text); font-size: 0.82em; font-weight: 600; font-variant-numeric: tabular-nums; }

.banner { flex: none; color: var(--_muted); font-size: 0.93em; }
.banner.shown { display: flex; align-items: center; gap: 8px; padding: 8px 20px; border-bottom: 1px solid var(--_line); background: var(--_hover); }
.banner.shown::before { content: ""; flex: none; width: 8px; height: 8px; border-radius: 50%; background: light-dark(#b7791f, #e9b949); }

.scroller { flex: 1; min-height: 0; overflow-y: auto; overscroll-behavior: contain; scrollbar-width: thin; scrollbar-color: var(--_line) transparent; }

.toast {
  position: absolute; z-index: 2; inset-block-end: calc(16px + env(safe-area-inset-bottom)); inset-inline: 16px;
  display: flex; align-items: center; gap: 12px; width: fit-content; max-width: calc(100% - 32px); min-height: 44px; margin-inline: auto; padding: 6px 16px;
  border-radius: 10px; background: light-dark(#22252d, #f0f2f6); color: light-dark(#ffffff, #191c22); box-shadow: 0 6px 20px rgb(10 12 20 / 25%);
  animation: rise-a-little 0.16s ease-out;
}
.toast-action { min-height: 32px; padding-inline: 8px; margin-inline-end: -8px; border-radius: 7px; color: light-dark(#a9b8ff, #2f47b8); font-weight: 650; }
.toast-action:focus-visible { outline-color: currentColor; }

.state { display: grid; justify-items: center; gap: 4px; padding: 72px 32px 48px; text-align: center; text-wrap: balance; }
.state-icon { display: grid; place-items: center; width: 56px; height: 56px; margin-bottom: 12px; border-radius: 50%; background: var(--_hover); color: var(--_muted); }
.state-icon .icon { width: 26px; height: 26px; stroke-width: 1.5; }
.state-title { font-size: 1.08em; font-weight: 600; }
.button, .load-more { min-height: 36px; padding: 6px 14px; border: 1px solid var(--_line); border-radius: 9px; font-weight: 550; }
.button { margin-top: 14px; }
.button:hover, .load-more:hover { background: var(--_hover); }

.ghost { display: flex; gap: 12px; padding: 16px 20px; }
.ghost span { flex: none; width: 36px; height: 36px; border-radius: 10px; }
.ghost div { display: grid; flex: 1; gap: 10px; align-content: start; padding-top: 4px; }
.ghost i { display: block; height: 10px; border-radius: 5px; }
.ghost i:first-child { width: 55%; }
.ghost span, .ghost i { background: var(--_line); animation: breathe 1.6s ease-in-out infinite; }

@keyframes appear { from { opacity: 0; transform: translateY(-4px); } }
@keyframes rise { from { transform: translateY(40%); opacity: 0.4; } }
@keyframes rise-a-little { from { transform: translateY(8px); opacity: 0; } }
@keyframes breathe { 50% { opacity: 0.45; } }
@keyframes turn { to { transform: rotate(1turn); } }
@keyframes fresh { from { background-color: color-mix(in srgb, var(--_accent) 16%, transparent); } }

@media (prefers-reduced-motion: reduce) {
  .root *, .root *::before { animation: none !important; transition: none !important; }
}
@media (forced-colors: active) {
  .unread .item-title::before, .switch::after { forced-color-adjust: none; background: Highlight; }
  .switch, .badge { border: 1px solid ButtonText; }
}
`;

/** @type {CSSStyleSheet[] | undefined} */
let made;

/** Gives the style sheets, which all elements of a page share. */
export function sheets() {
  made ??= [styles, itemStyles, preferencesStyles].map((text) => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(text);
    return sheet;
  });
  return made;
}
