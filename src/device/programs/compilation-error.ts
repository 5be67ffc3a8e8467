/** What the compiler said about a source that does not compile, with the lines it means. */
import { WarpbookError } from '../../errors';

const MAX_MARKED = 5;

/** `COMPILATION_FAILED` with the compiler's first errors, each with the line that it names, and the whole log in `details`. */
export function compilationError(program: string, file: string, text: string, log: string): WarpbookError {
  const errors = log.split('\n').filter((line) => /\berror\b/.test(line));
  const lines = text.split('\n');
  const marked = errors.slice(0, MAX_MARKED).map((error) => `  ${error}${sourceLine(error, file, lines)}`);
  const more = errors.length > MAX_MARKED ? `\n  and ${errors.length - MAX_MARKED} more` : '';
  return new WarpbookError(
    'COMPILATION_FAILED',
    `Program '${program}' (${file}) does not compile:\n${marked.length > 0 ? marked.join('\n') : log.trim()}${more}`,
    { program, file, log },
  );
}

/** The line that an error of `file` names, marked with its number; empty for other files. */
function sourceLine(error: string, file: string, lines: readonly string[]): string {
  const match = /^(.+?)\((\d+)\): /.exec(error);
  if (!match || match[1] !== file) return '';
  const number = Number(match[2]);
  const line = lines[number - 1];
  return line === undefined ? '' : `\n  > ${number} | ${line.trimEnd()}`;
}
