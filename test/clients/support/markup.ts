/**
 * Markup that would make an element and run a script if it were taken for markup, in every place where foreign text
 * reaches a display; and the check that it stayed text.
 */
import type { Page } from 'playwright-core';
import type { CellSpec } from '../../support/notebooks';

const SCRIPT = 'globalThis.markupRan=1';
export const MARK = `<img src=x onerror="${SCRIPT}"><script>${SCRIPT}</script><b class="foreign">b</b>`;

/** Cells that bring the markup in, each with its place; every one of them shows the markup's text. */
export const PLACES: Readonly<Record<string, string>> = {
  'a string': `const mark = ${JSON.stringify(MARK)};\nmark`,
  'a print': 'console.log(mark); console.error(mark);',
  'table: title, header, unit and cells': 'table([{ [mark]: mark, n: 1 }], { title: mark, units: { n: mark } })',
  'an object': '({ [mark]: mark, nested: [new Map([[mark, mark]])] })',
  "a trace's name, source and citation": `new RequestTrace({ name: mark, source: mark, citation: mark,
  requests: Array.from({ length: 20 }, (_, i) => ({ id: i, arrivalNs: i * 1e6, inputLength: 100 + i, outputLength: 10 })) })`,
  "a policy's and a machine's name, in a schedule": `const cells = await openDevice('cpu', { memoryLimitBytes: 2 ** 26 });
const heads = { numQoHeads: 4, numKvHeads: 2, headDim: 32 };
const cache = new PagedKvCache({ ...heads, pageSize: 16, numPages: 64, dtype: 'bfloat16', device: cells });
const lengths = [100, 300];
const decode = await BatchDecode.create({ ...heads, device: cells, trace: true, machine: { ...machines.h100, name: mark, numSms: 8 },
  capacity: { maxBatch: 4, maxPages: 64 } });
const named = (problem, machine) => {
  const builder = new ScheduleBuilder(mark, problem, machine);
  builder.forEachQueryTile((tile) => builder.split(tile, []));
  return builder.build();
};
const plan = decode.plan(cache.pageTable(lengths.map((length) => cache.allocate(length))), { policy: named });
plan.schedule`,
  'the same in a timeline': `const q = normal([4, 4, 32], { seed: 1, dtype: 'bfloat16', device: cells });
decode.run(q, cache);
gantt(await decode.timeline(), { title: mark })`,
  "a buffer's owner, in the device's memory": 'const owned = cells.allocate(4096, { label: mark });\ncells',
  'an error that says which owner holds the memory': 'cells.allocate(2 ** 27, { label: mark });',
  'the name and the message of an error': 'throw Object.assign(new Error(mark), { name: mark });',
  'a value that is thrown': 'throw mark;',
  'source that the compiler complains of': `const wrong: number = ${JSON.stringify(MARK)};`,
  'an error of the library that quotes what it got': "await openDevice(mark as 'cpu');",
};

/** The notebook's cells; what fails is tagged, so that a run goes on. */
export function markupCells(): CellSpec[] {
  return Object.entries(PLACES).map(([place, source]) => ({
    source,
    tags: /error|thrown|compiler/.test(place) ? ['raises-exception'] : [],
  }));
}

/** What a page made of the markup: nothing, where all is well. */
export function madeOfMarkup(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const made: string[] = [];
    if ('markupRan' in globalThis) made.push('a script ran');
    const elements = Array.from(document.querySelectorAll('img[src="x"], [onerror], b.foreign'));
    const scripts = Array.from(document.querySelectorAll('script'));
    const ours = scripts.filter(({ textContent }) => textContent?.startsWith('globalThis.markupRan'));
    made.push(...[...elements, ...ours].map(({ outerHTML }) => outerHTML));
    return made;
  });
}
