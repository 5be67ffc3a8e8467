/** The style sheet of notebook pages, light and dark. Names no content. */

/** What a page is written on, in either theme of its reader. */
export const PAPER = { light: '#ffffff', dark: '#0f1318' } as const;

/** Classes of the 16 terminal colours. */
function ansiColors(): string {
  const rule = (i: number): string =>
    `.ansi-fg-${i} { color: var(--ansi-${i}); } .ansi-bg-${i} { background: var(--ansi-${i}); }`;
  return Array.from({ length: 16 }, (_, i) => rule(i)).join('\n');
}

export const PAGE_STYLE: string = `
:root {
  --ink: #1f2328; --muted: #656d76; --faint: #8c959f; --paper: ${PAPER.light}; --panel: #f6f8fa; --line: #d8dee4;
  --accent: #0969da;
  --stripe: #f8f9fb; --error: #a40e26; --error-panel: #fff1f0; --error-line: #f3b8b4; --warn-panel: #fff8ec;
  --warn-line: #e6c27a;
  --keyword: #a6264c; --string: #0a5d36; --number: #8a4b00; --comment: #6e7781; --title: #6639ba; --type: #0550ae;
  --ansi-0: #24292f; --ansi-1: #b62324; --ansi-2: #116329; --ansi-3: #7d4e00; --ansi-4: #0550ae; --ansi-5: #8250df;
  --ansi-6: #1b6f7c; --ansi-7: #6e7781; --ansi-8: #57606a; --ansi-9: #cf222e; --ansi-10: #1a7f37; --ansi-11: #9a6700;
  --ansi-12: #0969da; --ansi-13: #a475f9; --ansi-14: #3192aa; --ansi-15: #8c959f;
  --sans: Inter, "Segoe UI", system-ui, -apple-system, "Helvetica Neue", Arial, sans-serif;
  --mono: "JetBrains Mono", "SF Mono", "Cascadia Code", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  color-scheme: light dark;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e6edf3; --muted: #9aa4af; --faint: #6e7681; --paper: ${PAPER.dark}; --panel: #171c23; --line: #2c333c;
    --accent: #6cb0ff;
    --stripe: #141920; --error: #ff9a92; --error-panel: #2a1416; --error-line: #6e2b2e; --warn-panel: #241d10;
    --warn-line: #5f4a1e;
    --keyword: #ff8fa8; --string: #8fd6a5; --number: #f0b072; --comment: #8b949e; --title: #c9a8ff; --type: #85bfff;
    --ansi-0: #8b949e; --ansi-1: #ff8580; --ansi-2: #6fce85; --ansi-3: #e0b050; --ansi-4: #79b8ff; --ansi-5: #cfa5ff;
    --ansi-6: #63d0de; --ansi-7: #c9d1d9; --ansi-8: #6e7681; --ansi-9: #ffa198; --ansi-10: #8ae29d;
    --ansi-11: #f0c674;
    --ansi-12: #a5d1ff; --ansi-13: #e2c5ff; --ansi-14: #8fe3ee; --ansi-15: #f0f6fc;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.65 var(--sans);
  text-rendering: optimizeLegibility;
}
main { max-width: 1010px; margin: 0 auto; padding: 56px 32px 96px; }
section { margin: 0 0 26px; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
.markdown { max-width: 74ch; overflow-wrap: break-word; }
.markdown > :first-child { margin-top: 0; }
.markdown > :last-child { margin-bottom: 0; }
h1, h2, h3, h4 { line-height: 1.25; letter-spacing: -0.012em; font-weight: 650; margin: 1.6em 0 0.5em; }
h1 { font-size: 2.1rem; letter-spacing: -0.022em; }
h2 { font-size: 1.45rem; }
h3 { font-size: 1.15rem; }
p, ul, ol { margin: 0.75em 0; }
li + li { margin-top: 0.25em; }
blockquote { margin: 1em 0; padding: 0 0 0 1em; border-left: 3px solid var(--line); color: var(--muted); }
hr { border: 0; border-top: 1px solid var(--line); margin: 2em 0; }
code, pre {
  font-family: var(--mono); font-size: 13.5px; line-height: 1.6; font-variant-ligatures: none; tab-size: 2;
}
.markdown :not(pre) > code {
  background: var(--panel); border: 1px solid var(--line); border-radius: 5px; padding: 0.1em 0.35em;
  font-size: 0.86em;
}
pre { margin: 0; white-space: pre; overflow: auto; }
.markdown pre {
  background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: 14px 18px; margin: 1em 0;
}
.input { position: relative; background: var(--panel); border: 1px solid var(--line); border-radius: 8px; }
.input pre { padding: 14px 18px; }
.count {
  position: absolute; right: 100%; top: 14px; margin-right: 12px; color: var(--faint); font: 12px/22px var(--mono);
  user-select: none;
}
.outputs { margin: 12px 0 0; display: grid; gap: 12px; grid-template-columns: minmax(0, 1fr); }
pre.text, pre.stream { padding: 2px 18px; max-height: 640px; font-size: 13px; line-height: 1.5; }
pre.text { line-height: 1.25; }
pre.stream { color: var(--muted); border-left: 3px solid var(--line); }
pre.stderr { background: var(--warn-panel); border-left-color: var(--warn-line); color: inherit; padding: 8px 18px; }
pre.error {
  background: var(--error-panel); border: 1px solid var(--error-line); border-radius: 8px; color: var(--error);
  padding: 12px 18px; white-space: pre-wrap; overflow-wrap: anywhere;
}
.raw pre { color: var(--muted); }
div.html { overflow-x: auto; }
div.html table + table { margin-top: 12px; }
progress { accent-color: var(--accent); vertical-align: middle; }
table {
  border-collapse: collapse; font-size: 14px; line-height: 1.4; font-variant-numeric: tabular-nums; margin: 2px 0;
}
caption { text-align: left; font-weight: 600; padding: 0 12px 8px; }
th, td { padding: 6px 14px; vertical-align: baseline; }
thead th { font-weight: 600; color: var(--muted); border-bottom: 2px solid var(--line); white-space: nowrap; }
tbody tr { border-bottom: 1px solid var(--line); }
tbody tr:nth-child(even) { background: var(--stripe); }
tfoot td { color: var(--muted); padding-top: 8px; }
figure.chart {
  margin: 0; padding: 4px; background: #ffffff; border: 1px solid var(--line); border-radius: 8px;
  overflow-x: auto;
}
figure.chart.live { background: var(--paper); }
figure.chart summary { opacity: 0.35; }
figure.chart.zooms::after {
  content: "drag to pan · pinch or Ctrl + wheel to zoom · double click to reset"; display: block;
  padding: 0 14px 6px; color: var(--muted); font-size: 12px;
}
#vg-tooltip-element#vg-tooltip-element {
  background: var(--panel); color: var(--ink); border: 1px solid var(--line); font: 12px/1.4 var(--sans);
}
#vg-tooltip-element tbody tr { background: none; border: 0; }
#vg-tooltip-element#vg-tooltip-element td { padding: 1px 6px; color: inherit; }
#vg-tooltip-element#vg-tooltip-element td.key { color: var(--muted); }
img { max-width: 100%; height: auto; border-radius: 6px; }
figure.chart img { display: block; width: 100%; }
figure.chart img[hidden] { display: none; }
iframe.html {
  width: 100%; height: 360px; resize: vertical; border: 1px solid var(--line); border-radius: 8px;
  background: #ffffff;
}
.hljs-comment, .hljs-quote { color: var(--comment); font-style: italic; }
.hljs-keyword, .hljs-literal, .hljs-operator, .hljs-selector-tag { color: var(--keyword); }
.hljs-string, .hljs-regexp, .hljs-subst .hljs-string, .hljs-attr + .hljs-string { color: var(--string); }
.hljs-number, .hljs-symbol { color: var(--number); }
.hljs-title, .hljs-section { color: var(--title); }
.hljs-built_in, .hljs-type, .hljs-title.class_, .hljs-name { color: var(--type); }
.hljs-subst { color: inherit; }
.ansi-bold { font-weight: 700; }
.ansi-dim { opacity: 0.7; }
.ansi-italic { font-style: italic; }
.ansi-underline { text-decoration: underline; }
.ansi-fg-inverse { color: var(--paper); } .ansi-bg-inverse { background: var(--ink); }
${ansiColors()}
@media (max-width: 1100px) { .count { display: none; } }
@media (max-width: 640px) { main { padding: 24px 16px 64px; } h1 { font-size: 1.7rem; } }
@media print {
  main { max-width: none; padding: 0; }
  section { break-inside: avoid-page; }
  pre { white-space: pre-wrap; }
  figure.chart.zooms::after { content: none; }
}
`;
