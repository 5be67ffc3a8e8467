/**
 * What went wrong in a cell, as Jupyter wants it told: ename, evalue, traceback. Hides compiler diagnostics and stack
 * texts: frames of the machinery are dropped, positions are those of the cell's own lines, and the line is shown with a
 * caret. Knows no message and no socket.
 */
import { inspect } from 'node:util';
import type { FailureNote } from '../run/protocol';
import { Interruption } from './cell';
import type { PositionMapper } from './source-map';
import type { Diagnostic } from './tslab';

/** A cell as a failure names it. */
export interface CellSource {
  /** The cell's number for people. */
  readonly label: string;
  readonly code: string;
}

const SCRIPT_PREFIX = 'warpbook-cell-';

/** The name of a cell's script in stack frames. */
export function scriptNameOf(label: string): string {
  return `${SCRIPT_PREFIX}${label}`;
}

export interface StackContext {
  mapper(scriptName: string): PositionMapper | undefined;
  cell(label: string): CellSource | undefined;
}

/** A cell that doesn't compile. Messages of one place belong together: TypeScript explains in steps. */
export function describeDiagnostics(diagnostics: readonly Diagnostic[], cell: CellSource): FailureNote {
  const groups: Diagnostic[][] = [];
  for (const diagnostic of diagnostics) {
    const last = groups.at(-1)?.[0];
    const explains = last && last.start.offset === diagnostic.start.offset && last.end.offset === diagnostic.end.offset;
    if (explains && last.fileName === undefined && diagnostic.fileName === undefined) groups.at(-1)?.push(diagnostic);
    else groups.push([diagnostic]);
  }
  const traceback: string[] = [];
  for (const [first, ...rest] of groups) {
    const { line, column, excerpt } = locate(first, cell);
    const where = first.fileName ? `${first.fileName}, line ${line}` : `cell ${cell.label}, line ${line}`;
    traceback.push(`TypeScript error TS${first.code} (${where}, column ${column}): ${first.messageText}`);
    traceback.push(
      ...rest.map((diagnostic, depth) => `${'  '.repeat(depth + 1)}${diagnostic.messageText}`),
      ...excerpt,
    );
  }
  const [first] = diagnostics;
  const { line } = locate(first, cell);
  const more = groups.length > 1 ? ` (and ${groups.length - 1} more)` : '';
  const note = { ename: 'TypeScriptError', evalue: `TS${first.code}: ${first.messageText}${more}`, traceback };
  return first.fileName ? note : { ...note, line };
}

function locate(diagnostic: Diagnostic, cell: CellSource): { line: number; column: number; excerpt: string[] } {
  if (diagnostic.fileName) {
    return { line: diagnostic.start.line + 1, column: diagnostic.start.character + 1, excerpt: [] };
  }
  const lines = cell.code.split('\n');
  // A place beyond the cell's end lies in the line that tslab appends.
  const inside = diagnostic.start.line < lines.length;
  const line = inside ? diagnostic.start.line + 1 : lines.length;
  const column = inside ? diagnostic.start.character + 1 : (lines.at(-1) as string).length + 1;
  const oneLine = inside && diagnostic.end.line === diagnostic.start.line;
  const length = oneLine ? diagnostic.end.character - diagnostic.start.character : 1;
  return { line, column, excerpt: excerptOf(lines, line, column, length) };
}

/** A source line with its number, and a caret below the place. */
function excerptOf(lines: readonly string[], line: number, column: number, length: number = 1): string[] {
  const text = lines[line - 1];
  if (text === undefined) return [];
  const gutter = `  ${line} | `;
  // Tabs are kept, so that the caret stands right at any tab width.
  const lead = text.slice(0, column - 1).replace(/[^\t]/g, ' ');
  return [`${gutter}${text}`, `${' '.repeat(gutter.length - 2)}| ${lead}${'^'.repeat(Math.max(1, length))}`];
}

/** A value that was thrown, or that a promise was rejected with; anything can be. */
export function describeThrown(thrown: unknown, cell: CellSource | undefined, context: StackContext): FailureNote {
  if (isInterruption(thrown)) return describeInterruption();
  const error = isErrorLike(thrown) ? (thrown as Error) : undefined;
  if (!error) {
    const text = safely(() => inspect(thrown), "a value that can't be shown");
    const evalue = typeof thrown === 'string' ? thrown : text;
    return { ename: `thrown ${typeof thrown}`, evalue, traceback: [`Thrown, though not an Error: ${text}`] };
  }
  const ename = safely(() => String(error.name), 'Error');
  const evalue = safely(() => String(error.message), '');
  const { lines, frames } = readStack(
    safely(() => inspect(error), `${ename}: ${evalue}`),
    context,
  );
  const here = frames.find((frame) => frame.label === cell?.label);
  const shown = frames[0];
  const source = shown && context.cell(shown.label);
  if (source) lines.push('', ...excerptOf(source.code.split('\n'), shown.line, shown.column));
  const note = { ename, evalue, traceback: lines };
  return here ? { ...note, line: here.line } : note;
}

export function describeInterruption(): FailureNote {
  const evalue = 'The cell was interrupted.';
  return { ename: 'Interrupted', evalue, traceback: [`Interrupted: ${evalue}`] };
}

interface CellFrame {
  readonly label: string;
  readonly line: number;
  readonly column: number;
}

// "    at f (name:2:7)", "    at async name:1:5"; a file name may hold blanks and colons.
const FRAME = /^(\s*at (?:async )?)(.*?)(\(?)((?:file:\/\/)?[^()\s][^()]*?):(\d+):(\d+)(\)?)(.*)$/;
// Node puts an excerpt above a stack that left a script: of the emitted code, which the user never saw.
const EMITTED_EXCERPT = new RegExp(`^(${SCRIPT_PREFIX}\\S+|(file://)?/.*\\.[cm]?js):\\d+\\n.*\\n\\s*\\^+\\s*\\n+`);
const MACHINERY = /node:internal\/|node:vm|\/tslab\/dist\/|\/notebook\/kernel\/[\w-]+\.[jt]s|evalmachine\.<anonymous>/;

/** Rewrites the frames of a stack text to the cells' own lines; text that is no frame stays as it is. */
function readStack(text: string, context: StackContext): { lines: string[]; frames: CellFrame[] } {
  const frames: CellFrame[] = [];
  const lines: string[] = [];
  for (const line of text.replace(EMITTED_EXCERPT, '').split('\n')) {
    const match = FRAME.exec(line);
    if (!match) {
      lines.push(line);
      continue;
    }
    const [, at, name, , script, lineText, columnText, , rest] = match;
    const mapped = context.mapper(script)?.({ line: Number(lineText), column: Number(columnText) });
    if (script.startsWith(SCRIPT_PREFIX)) {
      if (!mapped) continue;
      const label = script.slice(SCRIPT_PREFIX.length);
      frames.push({ label, ...mapped });
      const place = `cell ${label}, line ${mapped.line}, column ${mapped.column}`;
      // Names of earlier cells are called through the object that holds them.
      const called = name.trim().replace(/^(Proxy|Object)\./, '');
      lines.push(
        called === '' || called === '<anonymous>' ? `${at}${place}${rest}` : `${at}${called} (${place})${rest}`,
      );
    } else if (mapped) {
      const called = name.replace(/^(Proxy|Object)\./, '');
      lines.push(`${at}${called}(${script.replace(/\.js$/, '.ts')}:${mapped.line}:${mapped.column})${rest}`);
    } else if (!MACHINERY.test(script)) {
      lines.push(line);
    }
  }
  return { lines, frames };
}

function isErrorLike(value: unknown): boolean {
  return safely(() => value instanceof Error || typeof (value as Error | null)?.stack === 'string', false);
}

function isInterruption(value: unknown): boolean {
  return safely(() => {
    if (!(value instanceof Error)) return false;
    const { code } = value as { code?: unknown };
    if (value instanceof Interruption) return true;
    return code === 'ERR_SCRIPT_EXECUTION_INTERRUPTED' || value.message === 'Interrupted asynchronously';
  }, false);
}

/** Getters and inspection of foreign values may throw. */
function safely<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch {
    return otherwise;
  }
}
