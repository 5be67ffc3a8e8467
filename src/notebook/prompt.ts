/**
 * Asking the user in the middle of a cell, with the names and the blocking manner that browsers and Deno have. In a kernel the front
 * end asks; elsewhere the terminal does. Knows no protocol.
 */
import { readSync, writeSync } from 'node:fs';
import { currentFrontEnd } from '../display/front-end';

/** Options of {@link prompt}. */
export interface PromptOptions {
  /** The front end hides what is typed; default false. */
  readonly password?: boolean;
}

/**
 * Asks for a line and waits for it; nothing else in the notebook runs meanwhile.
 *
 * @param message what is asked
 * @param defaultValue what an empty answer stands for
 * @throws WarpbookError `UNSUPPORTED` in a headless run, where nobody can answer.
 */
export function prompt(message: string = '', defaultValue: string = '', options: PromptOptions = {}): string {
  const text = defaultValue === '' ? `${message} ` : `${message} [${defaultValue}] `;
  const end = currentFrontEnd();
  const answer = end ? end.readLine(text, options.password ?? false) : readTerminal(text);
  return answer === '' ? defaultValue : answer;
}

/** Asks a question of yes or no; anything but `y` or `yes` is a no. Throws as {@link prompt} does. */
export function confirm(message: string = 'Go on?'): boolean {
  return /^y(es)?$/i.test(prompt(`${message} [y/N]`).trim());
}

/** A line of standard input, read as bytes so that what follows stays there. */
function readTerminal(text: string): string {
  writeSync(1, text);
  const bytes: number[] = [];
  const one = Buffer.alloc(1);
  while (readSync(0, one, 0, 1, null) === 1 && one[0] !== 0x0a) bytes.push(one[0]);
  return Buffer.from(bytes).toString('utf8').replace(/\r$/, '');
}
