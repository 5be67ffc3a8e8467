/** What the compiler said about a source that does not compile, with the lines it means marked by carets. */
import { WarpbookError } from '../../errors';
import { SIGNATURE_KERNEL } from './compile-job';

/** One complaint of the compiler. */
export interface CompilerProblem {
  /** As the compiler calls it; '' for a complaint about no line. */
  readonly file: string;
  /** Counted from 1; 0 for a complaint about no line. */
  readonly line: number;
  /** Counted from 1; undefined where the compiler tells none. */
  readonly column: number | undefined;
  readonly severity: 'error' | 'warning';
  readonly message: string;
}

/** The source of a {@link CompilationError}. */
export interface CompiledSource {
  /** What errors call it: `Program 'noop'`, `Kernel 'scale<float>'`. */
  readonly title: string;
  readonly file: string;
  readonly text: string;
}

const MAX_MARKED = 5;
/** Every architecture gives a CTA as much. */
const SURE_SHARED_BYTES = 48 * 1024;
const TAB = '    ';
/** What the compiler calls the lines that it makes of name expressions. */
const NAME_EXPRESSIONS_FILE = '__nv_name_map';

/** `COMPILATION_FAILED`: the message holds the first errors, each with its line; `log` all that the compiler said. */
export class CompilationError extends WarpbookError {
  /** Errors first, then warnings, in the compiler's order. */
  declare readonly problems: readonly CompilerProblem[];
  declare readonly source: CompiledSource;
  declare readonly log: string;

  constructor(source: CompiledSource, log: string) {
    const problems = relevantProblems(parseProblems(log), source, log);
    super('COMPILATION_FAILED', describe(source, problems, log), { file: source.file });
    // Not enumerable, or every uncaught error would be printed with its whole source.
    for (const [name, value] of Object.entries({ problems, source, log })) Object.defineProperty(this, name, { value });
  }
}

/** The complaints in a log of NVRTC or ptxas. */
export function parseProblems(log: string): CompilerProblem[] {
  const lines = log.split('\n');
  const problems: CompilerProblem[] = [];
  for (const [index, text] of lines.entries()) {
    const placed = /^(.+?)\((\d+)\): (?:catastrophic )?(error|warning)(?: #[\w-]+)?: (.*)$/.exec(text);
    if (placed) {
      const [, file, line, severity, message] = placed;
      const column = caretColumn(lines.slice(index + 1));
      problems.push({ file, line: Number(line), column, severity: severity as 'error' | 'warning', message });
      continue;
    }
    const placeless = /^(?:ptxas |nvJitLink |nvlink )?(error|fatal)\s*: (.*)$/.exec(text);
    if (placeless) problems.push({ file: '', line: 0, column: undefined, severity: 'error', message: placeless[2] });
  }
  return problems;
}

/**
 * NVRTC fails without an error where the assembler refuses a kernel's shared memory; what it says of its use then tells why.
 * Undefined where it says nothing of the kind.
 */
function sharedMemoryProblem(log: string): CompilerProblem | undefined {
  const uses = [...log.matchAll(/entry function '(\w+)'(?:(?!entry function)[\s\S])*? (\d+) bytes smem/g)];
  const [worst] = uses.sort((a, b) => Number(b[2]) - Number(a[2]));
  if (!worst || Number(worst[2]) <= SURE_SHARED_BYTES) return undefined;
  const message =
    `the assembler refused it; kernel ${worst[1]} declares ${worst[2]} bytes of shared memory, probably more than a CTA of this ` +
    'architecture can have. Use smaller tiles.';
  return { file: '', line: 0, column: undefined, severity: 'error', message };
}

/** The line of `source` that a problem means and a caret below it; empty where it means another file. */
export function markedLine(problem: CompilerProblem, source: CompiledSource): string[] {
  const line = problem.file === source.file ? source.text.split('\n')[problem.line - 1] : undefined;
  if (line === undefined) return [];
  const number = String(problem.line);
  const shown = [`${number} | ${line.replaceAll('\t', TAB).trimEnd()}`];
  if (problem.column === undefined) return shown;
  const before = line.slice(0, problem.column - 1).replaceAll('\t', TAB);
  return [...shown, `${' '.repeat(number.length)} | ${' '.repeat(before.length)}^`];
}

/** The compiler prints the source line, moved two columns to the right, and a caret below it. */
function caretColumn(following: readonly string[]): number | undefined {
  const caret = following.slice(0, 4).find((line) => /^\s*\^\s*$/.test(line));
  return caret === undefined ? undefined : Math.max(1, caret.indexOf('^') - 1);
}

/** Complaints about a name expression only follow from others, unless there are none; then they speak of the kernel's name. */
function relevantProblems(
  problems: readonly CompilerProblem[],
  source: CompiledSource,
  log: string,
): CompilerProblem[] {
  const errors = problems.filter(({ severity }) => severity === 'error');
  const ownErrors = errors.filter(({ file }) => file !== NAME_EXPRESSIONS_FILE);
  const warnings = problems.filter(({ severity }) => severity === 'warning');
  if (ownErrors.length > 0) return [...ownErrors, ...warnings];
  if (errors.length === 0) return [...warnings, ...[sharedMemoryProblem(log)].filter((found) => found !== undefined)];
  const names = kernelNames(source.text);
  const known =
    names.length === 0 ? 'It has no __global__ function' : `Its __global__ functions are ${names.join(', ')}`;
  const aboutName = errors.slice(0, 1).map(({ message }) => ({
    file: '',
    line: 0,
    column: undefined,
    severity: 'error' as const,
    message: `the source has no such kernel: ${message}. ${known}.`,
  }));
  return [...aboutName, ...warnings];
}

/** Names of the `__global__` functions of a source, as far as a pattern can tell. */
export function kernelNames(text: string): string[] {
  const names = [...text.matchAll(/__global__(?:[^;{}()]|__launch_bounds__\s*\([^)]*\))*?\b(\w+)\s*\(/g)].map(
    ([, name]) => name,
  );
  return [...new Set(names)].filter((name) => name !== '__launch_bounds__' && name !== SIGNATURE_KERNEL);
}

function describe(source: CompiledSource, problems: readonly CompilerProblem[], log: string): string {
  const errors = problems.filter(({ severity }) => severity === 'error');
  const head = `${source.title} (${source.file}) does not compile:`;
  if (errors.length === 0) return `${head}\n${log.trim()}`;
  const marked = errors.slice(0, MAX_MARKED).map((problem) => {
    const place = problem.line > 0 ? `${problem.file}(${problem.line}): ` : '';
    return [`${place}error: ${problem.message}`, ...markedLine(problem, source)].map((line) => `  ${line}`).join('\n');
  });
  const more = errors.length > MAX_MARKED ? [`  and ${errors.length - MAX_MARKED} more`] : [];
  return [head, ...marked, ...more].join('\n');
}
