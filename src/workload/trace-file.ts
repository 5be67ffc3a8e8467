/** What the trace readers share: opening a file, checking a field, and errors that name file and line. */
import type { ReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { WarpbookError } from '../errors';

/** Where the traces can be had, for messages. */
export const TRACE_HINT: string =
  'Traces are published on GitHub in Azure/AzurePublicDataset (AzureLLMInferenceTrace_conv.csv) and in ' +
  'kvcache-ai/Mooncake (conversation_trace.jsonl). Give the path of a file or of a folder that holds one in the ' +
  'option `path` or in the environment variable WARPBOOK_TRACES; with neither, syntheticTrace() imitates them.';

/** `file` or `directory`. @throws WarpbookError FILE_NOT_FOUND, with a hint at where traces come from */
export async function statTrace(path: string): Promise<'file' | 'directory'> {
  return orNotFound(path, async () => ((await stat(path)).isDirectory() ? 'directory' : 'file'));
}

/** A stream of the file's text. @throws WarpbookError FILE_NOT_FOUND for a missing or unreadable file, or a folder */
export async function openTrace(path: string): Promise<ReadStream> {
  if ((await statTrace(path)) === 'directory') {
    throw new WarpbookError('FILE_NOT_FOUND', `'${path}' is a folder; wanted a trace file. ${TRACE_HINT}`, { path });
  }
  const file = await orNotFound(path, () => open(path));
  return file.createReadStream({ encoding: 'utf8' });
}

async function orNotFound<T>(path: string, access: () => Promise<T>): Promise<T> {
  try {
    return await access();
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    const problem = missing
      ? `There is no trace at '${path}'.`
      : `Cannot read '${path}' (${(cause as Error).message}).`;
    throw new WarpbookError('FILE_NOT_FOUND', `${problem} ${TRACE_HINT}`, { path }, { cause });
  }
}

/** The file's lines in order, without line ends. @throws WarpbookError FILE_NOT_FOUND */
export async function* traceLines(path: string): AsyncGenerator<string> {
  let rest = '';
  // The stream's own iterator, not readline's: this one passes read errors on.
  for await (const chunk of await openTrace(path)) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() as string;
    yield* lines;
  }
  yield rest;
}

/** What to add to the message about a row that is no row: whether it is the file's last line, without an end. Empty where not. */
export async function cutShortHint(path: string, line: number): Promise<string> {
  let lines = 0;
  let last = '';
  for await (const text of traceLines(path)) {
    lines++;
    last = text;
  }
  if (lines !== line || last === '') return '';
  return ' The file ends in the middle of this line, so it was probably cut short: get it anew, or take the line out.';
}

/** A FILE_FORMAT error that begins with `file:line:`. @param line from 1 */
export function traceFormatError(path: string, line: number, problem: string, cause?: unknown): WarpbookError {
  return new WarpbookError('FILE_FORMAT', `${path}:${line}: ${problem}`, { path, line }, { cause });
}

/** Shortens and quotes what was found in a file. */
export function quoteFound(value: unknown): string {
  return shorten(typeof value === 'string' ? `'${value}'` : (JSON.stringify(value) ?? String(value)), 60);
}

/** At most so many characters. */
export function shorten(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 3)}…`;
}
