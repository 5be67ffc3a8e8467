/**
 * A REPL whose input is a pipe: statements are run as they become complete, their results are printed, the first failure
 * ends it. Knows no terminal.
 */
import { createInterface } from 'node:readline';
import type { ReplKernel } from './repl-kernel';

/** Lines that belong to what stands before them, though that is complete by itself. */
const CONTINUES = /^\s*(else\b|catch\b|finally\b|while\b.*;\s*$|[.?)\]}&|,:*+%^]|-\s|=>)/;

/**
 * Runs everything that `input` holds.
 *
 * @returns whether all of it ran well.
 */
export async function runPiped(kernel: ReplKernel, input: NodeJS.ReadableStream): Promise<boolean> {
  let code = '';
  const lines: string[] = [];
  for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) lines.push(line);
  for (const [i, line] of lines.entries()) {
    code += code === '' ? line : `\n${line}`;
    const next = lines.slice(i + 1).find((later) => later.trim() !== '');
    if (code.trim() === '') code = '';
    if (code === '' || (next !== undefined && CONTINUES.test(next))) continue;
    if (next !== undefined && !(await kernel.completeness(code)).complete) continue;
    if (!(await kernel.run(code))) return false;
    code = '';
  }
  // What is left is incomplete; the compiler says what is missing.
  return code.trim() === '' || kernel.run(code);
}
