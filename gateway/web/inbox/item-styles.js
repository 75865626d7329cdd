// @ts-check
// How the rows look.

export const itemStyles = `
.item {
  position: relative; display: flex; gap: 12px; padding: 14px 20px; border-bottom: 1px solid var(--_line);
  content-visibility: auto; contain-intrinsic-size: auto 84px;
}
.item:hover { background: var(--_hover); }
.item.fresh { animation: fresh 1.6s ease-out; }

.tile { display: grid; place-items: center; flex: none; width: 36px; height: 36px; border-radius: 10px; background: color-mix(in srgb, var(--_accent) 11%, var(--_surface)); color: var(--_accent); overflow: hidden; }
.tile .icon { width: 18px; height: 18px; }
.tile img { width: 100%; height: 100%; object-fit: cover; }
.item:not(.unread) .tile.plain { background: var(--_hover); color: var(--_muted); }

.item-text { flex: 1; min-width: 0; overflow-wrap: anywhere; }
.item-head { display: flex; align-items: baseline; gap: 10px; }
.item-title { flex: 1; min-width: 0; font-weight: 500; line-height: 1.4; }
.unread .item-title { font-weight: 650; }
.unread .item-title::before { content: ""; position: absolute; inset-block-start: 28px; inset-inline-start: 7px; width: 7px; height: 7px; border-radius: 50%; background: var(--_accent); }
.main { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden; width: 100%; color: inherit; text-align: start; text-decoration: none; overflow-wrap: anywhere; }
/* All of the row opens it, but what is laid over this does something else. */
.main::after { content: ""; position: absolute; inset: 0; }
.main:focus-visible { outline: none; }
.main:focus-visible::after { outline: 2px solid var(--_accent); outline-offset: -3px; border-radius: 6px; }
.time { flex: none; color: var(--_muted); font-size: 0.86em; font-variant-numeric: tabular-nums; white-space: nowrap; }

.item-body { margin-top: 2px; color: var(--_muted); white-space: pre-line; display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 3; overflow: hidden; }
.item-body.rich { display: block; max-height: 132px; white-space: normal; }
.item-body.whole { display: block; max-height: none; }
.item-body a { position: relative; z-index: 1; }
.item-body :is(p, ul, ol, pre, blockquote, table, figure, dl, h1, h2, h3, h4, h5, h6) { margin: 0 0 6px; font-size: 1em; }
.item-body :is(h1, h2, h3, h4, h5, h6, b, strong, th) { font-weight: 650; color: var(--_text); }
.item-body :is(ul, ol) { padding-inline-start: 20px; list-style: disc; }
.item-body ol { list-style: decimal; }
.item-body :is(code, pre, kbd, samp) { font-family: ui-monospace, monospace; font-size: 0.93em; white-space: pre-wrap; }
.item-body img { max-width: 100%; height: auto; border-radius: 8px; }
.item-body table { border-collapse: collapse; }
.item-body :is(td, th) { padding: 2px 8px; border: 1px solid var(--_line); text-align: start; }
.item-body blockquote { padding-inline-start: 10px; border-inline-start: 2px solid var(--_line); }
.item-more { position: relative; z-index: 1; min-height: 24px; margin-top: 2px; color: var(--_accent); font-size: 0.93em; font-weight: 550; }
.item-more:hover { text-decoration: underline; }

.picture { margin-top: 8px; aspect-ratio: 16 / 9; border-radius: 10px; overflow: hidden; background: var(--_hover); }
.picture img { display: block; width: 100%; height: 100%; object-fit: cover; }

.actions { display: flex; flex-wrap: wrap; gap: 8px; margin-top: 10px; }
.item-action { position: relative; z-index: 1; display: inline-grid; place-items: center; max-width: 100%; min-height: 32px; padding: 4px 12px; border: 1px solid var(--_line); border-radius: 8px; background: var(--_surface); color: var(--_text); font-weight: 550; font-size: 0.93em; text-decoration: none; }
.item-action:first-child { border-color: var(--_accent); background: var(--_accent); color: var(--_on-accent); }
.item-action:hover { filter: brightness(0.95); }

.meta { display: flex; flex-wrap: wrap; gap: 6px; }
.meta > * { margin-top: 6px; padding: 1px 8px; border-radius: 9px; background: var(--_hover); color: var(--_muted); font-size: 0.82em; font-weight: 550; }
.item:hover .meta > * { background: var(--_line); color: var(--_text); }

/* Over the end of the row while pointer or keyboard are in it; where there is no pointer, always and beside it. */
.tools { display: flex; gap: 2px; }
.item-tool { position: relative; z-index: 1; display: grid; place-items: center; width: 32px; height: 32px; border-radius: 8px; color: var(--_muted); }
.item-tool .icon { width: 18px; height: 18px; }
.item-tool:hover { background: var(--_line); color: var(--_text); }
@media (hover: hover) {
  .tools { position: absolute; z-index: 2; inset-block-start: 6px; inset-inline-end: 12px; padding: 1px; border: 1px solid var(--_line); border-radius: 9px; background: var(--_surface); opacity: 0; }
  .item-tool { width: 30px; height: 28px; }
  .item:is(:hover, :focus-within) .tools { opacity: 1; }
}
@media (hover: none) {
  .tools { flex-direction: column; margin-block: -4px; margin-inline-end: -10px; }
}

.foot { display: grid; justify-items: center; gap: 8px; padding: 14px 20px 20px; }
.foot.is-loading .load-more::before { content: ""; display: inline-block; width: 12px; height: 12px; margin-inline-end: 8px; border: 2px solid var(--_line); border-top-color: var(--_accent); border-radius: 50%; vertical-align: -2px; animation: turn 0.8s linear infinite; }
`;
