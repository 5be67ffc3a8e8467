/** Kernels of one's own: what they take of a GPU, how full they make it, their source; and sources that don't compile. */
import type { Kernel, Occupancy } from '../device/kernel/kernel';
import { type CompilationError, type CompilerProblem, markedLine } from '../device/programs/compilation-error';
import type { MimeBundle, RenderOptions } from '../renderers';
import { formatBytes, formatCount } from '../units';
import { cleanLabel, cleanText, escapeHtml } from './escape';
import { type Facts, factsBundle } from './facts';
import { type Table, table } from './table';
import { countOf } from './text-lines';

/** Sizes of CTAs that the table of occupancy shows. */
const SHOWN_THREADS = [32, 64, 128, 256, 512, 1024];
/** Lines shown above and below one at fault. */
const CONTEXT_LINES = 2;

export async function kernelBundle(kernel: Kernel, options: RenderOptions): Promise<MimeBundle> {
  const { info, resources } = kernel;
  const spills = resources
    ? [['spills', `${resources.spillStoreBytes} B of stores, ${resources.spillLoadBytes} B of loads a thread`] as const]
    : [];
  const facts: Facts = [
    ['signature', kernel.signature],
    ['registers', `${info.registers} a thread`],
    ['shared memory', `${formatBytes(info.staticSharedMemoryBytes)} declared by the kernel`],
    ['local memory', `${formatBytes(info.localBytes)} a thread`],
    ...spills,
    ['threads', `at most ${formatCount(info.maxThreads)} a CTA`],
    ...(kernel.disposed ? [['state', 'disposed'] as const] : []),
  ];
  const tables = kernel.disposed ? [] : [await occupancyTable(kernel)];
  const bundle = factsBundle(`Kernel ${kernel.name} on device ${kernel.device.name}`, facts, tables, options);
  const source = numberedLines(kernel.source);
  return {
    'text/html': `${bundle['text/html']}\n<details><summary>Source</summary><pre>${escapeHtml(source)}</pre></details>`,
    'text/plain': `${bundle['text/plain']}\n\n${source}`,
  };
}

async function occupancyTable(kernel: Kernel): Promise<Table> {
  const sizes = SHOWN_THREADS.filter((threads) => threads <= kernel.info.maxThreads);
  const occupancies = await Promise.all(
    sizes.map(async (threads): Promise<[number, Occupancy]> => [threads, await kernel.occupancy({ threads })]),
  );
  const rows = occupancies.map(([threads, { ctasPerSm, threadsPerSm, share }]) => ({
    'threads of a CTA': threads,
    'CTAs on an SM': ctasPerSm,
    'threads on an SM': threadsPerSm,
    occupancy: `${Math.round(share * 100)} %`,
  }));
  return table(rows, { title: 'Without dynamic shared memory' });
}

export function compilationErrorBundle(error: CompilationError): MimeBundle {
  const { problems, source } = error;
  const count = (severity: CompilerProblem['severity']): number =>
    problems.filter((problem) => problem.severity === severity).length;
  const warnings = count('warning') > 0 ? `, ${countOf(count('warning'), 'warning')}` : '';
  const head = `${cleanLabel(source.title)} does not compile: ${countOf(count('error'), 'error')}${warnings}`;
  const log = cleanText(error.log).trim();
  const items = problems.map((problem) => ({
    place: placeOf(problem),
    excerpt: excerptOf(problem, error),
    ...problem,
  }));
  const html = items.map(
    ({ place, severity, message, excerpt }) =>
      `<p><strong>${escapeHtml(place)}${severity}:</strong> ${escapeHtml(message)}</p>\n<pre>${excerpt
        .map(({ text, marked }) => (marked ? `<strong>${escapeHtml(text)}</strong>` : escapeHtml(text)))
        .join('\n')}</pre>`,
  );
  const text = items.map(({ place, severity, message, excerpt }) =>
    [`${place}${severity}: ${cleanText(message)}`, ...excerpt.map((line) => `  ${cleanText(line.text)}`)].join('\n'),
  );
  return {
    'text/html': [
      `<p>${escapeHtml(head)}</p>`,
      ...html,
      `<details><summary>All that the compiler said</summary><pre>${escapeHtml(log)}</pre></details>`,
    ].join('\n'),
    'text/plain': [head, ...text].join('\n\n'),
  };
}

function placeOf({ file, line }: CompilerProblem): string {
  return line > 0 ? `${cleanLabel(file)}, line ${line}: ` : '';
}

/** The lines around the one at fault, that one and its caret marked; empty for a file that isn't the source's own. */
function excerptOf(problem: CompilerProblem, { source }: CompilationError): { text: string; marked: boolean }[] {
  const marked = markedLine(problem, source).map((text) => ({ text, marked: true }));
  if (marked.length === 0) return [];
  const lines = source.text.split('\n');
  const width = String(problem.line).length;
  const plain = (first: number, last: number): { text: string; marked: boolean }[] =>
    lines.slice(Math.max(0, first - 1), Math.max(0, last)).map((line, index) => ({
      text: `${String(Math.max(1, first) + index).padStart(width)} | ${line.replaceAll('\t', '    ')}`.trimEnd(),
      marked: false,
    }));
  return [
    ...plain(problem.line - CONTEXT_LINES, problem.line - 1),
    ...marked,
    ...plain(problem.line + 1, problem.line + CONTEXT_LINES),
  ];
}

function numberedLines(source: string): string {
  const lines = cleanText(source).replace(/\n+$/, '').split('\n');
  const width = String(lines.length).length;
  return lines.map((line, index) => `${String(index + 1).padStart(width)} | ${line}`.trimEnd()).join('\n');
}
