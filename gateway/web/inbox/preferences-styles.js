// @ts-check
// How the preferences look.

export const preferencesStyles = `
.preferences { flex: 1; min-height: 0; padding: 2px 20px 24px; overflow-y: auto; overscroll-behavior: contain; scrollbar-width: thin; scrollbar-color: var(--_line) transparent; border-top: 1px solid transparent; }
.web-push { margin-top: 14px; padding: 10px 14px; border: 1px solid var(--_line); border-radius: 10px; }
.preference-section { margin-top: 22px; }
.preference-section h3 { margin-bottom: 4px; color: var(--_muted); font-size: 0.86em; font-weight: 600; letter-spacing: 0.02em; }
.preference-section h3::first-letter { text-transform: uppercase; }
.group { padding-block: 12px; }
.group + .group { border-top: 1px solid var(--_line); }
.group-name { margin-bottom: 4px; font-weight: 600; overflow-wrap: anywhere; }
.channels { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); column-gap: 24px; }
.choice { display: flex; align-items: center; justify-content: space-between; gap: 8px; min-height: 36px; min-width: 0; }
.choice.wide { grid-column: 1 / -1; }
.name { min-width: 0; overflow-wrap: anywhere; }
.channels .name { color: var(--_muted); }
.sub-preferences { margin-top: 8px; padding-inline-start: 14px; border-inline-start: 2px solid var(--_line); }
.sub-preferences .group { padding-block: 6px; }
.sub-preferences .group + .group { border-top: 0; }
.sub-preferences .group-name { font-weight: 500; }
.problem { color: var(--_danger); font-size: 0.93em; }
.message { display: grid; justify-items: center; gap: 4px; padding-block: 24px; text-align: center; }

.switch { position: relative; flex: none; width: 40px; height: 24px; border-radius: 12px; background: light-dark(#868d9b, #6a7180); transition: background-color 0.12s; }
.switch::after { content: ""; position: absolute; inset-block-start: 3px; inset-inline-start: 3px; width: 18px; height: 18px; border-radius: 50%; background: #ffffff; box-shadow: 0 1px 2px rgb(10 12 20 / 30%); transition: translate 0.12s; }
.switch[aria-checked="true"] { background: var(--_accent); }
.switch[aria-checked="true"]::after { translate: 16px 0; background: light-dark(#ffffff, #12151f); }
.root:dir(rtl) .switch[aria-checked="true"]::after { translate: -16px 0; }
.switch[aria-disabled="true"] { opacity: 0.5; cursor: not-allowed; }
.switch[aria-busy="true"] { opacity: 0.6; }
.select { min-height: 32px; max-width: 60%; padding: 4px 8px; border: 1px solid light-dark(#9aa1ae, #5b6270); border-radius: 8px; background: var(--_surface); color: var(--_text); cursor: pointer; }
`;
