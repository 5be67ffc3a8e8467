/**
 * A notebook as a module in a test: run it, then ask for its variables, call its functions, look at its outputs. For
 * notebooks that hold what is worth testing. Hides the session.
 */
import type { INotebookContent, IOutput } from '@jupyterlab/nbformat';
import { WarpbookError } from '../../errors';
import { readNotebook } from '../run/notebook-file';
import { injectParameters, type Parameters } from '../run/parameters';
import { cellOutputText, failureText } from '../run/report';
import { NotebookSession } from '../run/session';

export interface OpenNotebookOptions {
  /** Values for the cell tagged `parameters`. */
  readonly parameters?: Parameters;
  /** Seconds for each cell; default 60. */
  readonly cellTimeoutS?: number;
  /** Added to the kernel's environment. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface RunningNotebook {
  /**
   * Runs the code cells that haven't been run, up to cell `last` (from 1; default: all).
   *
   * @throws WarpbookError `NOTEBOOK_FAILED`, `TIMEOUT` or `KERNEL_DIED`, with cell and line.
   */
  run(last?: number): Promise<void>;
  /**
   * The value of an expression in the notebook, such as a variable's name. Typed arrays, maps, dates and big integers arrive
   * as such; a promise is awaited.
   *
   * @throws WarpbookError `NOTEBOOK_FAILED` where it fails, or is something that can't be copied (a function, a device).
   */
  value<T = unknown>(expression: string): Promise<T>;
  /** Calls a function of the notebook; arguments are JSON. Throws as {@link value} does. */
  call<T = unknown>(name: string, ...args: readonly unknown[]): Promise<T>;
  /** The outputs of code cell `number` (from 1). */
  outputs(number: number): readonly IOutput[];
  /** What code cell `number` would have shown in a terminal. */
  text(number: number): string;
  /** Ends the kernel. Idempotent. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Opens a notebook with a kernel of its own; no cell has run yet.
 *
 * @throws WarpbookError `FILE_NOT_FOUND`, `FILE_FORMAT`, or `INVALID_ARGUMENT` for parameters that it doesn't have.
 */
export async function openNotebook(path: string, options: OpenNotebookOptions = {}): Promise<RunningNotebook> {
  const read = readNotebook(path);
  const notebook: INotebookContent = options.parameters ? injectParameters(read, options.parameters, path) : read;
  const session = await NotebookSession.start(path, notebook, { env: options.env });
  const limitS = options.cellTimeoutS ?? 60;
  let done = 0;
  const value = async <T>(expression: string): Promise<T> => (await session.value(expression)) as T;
  const outputs = (number: number): readonly IOutput[] => {
    session.store();
    return session.codeCells[number - 1].outputs;
  };
  return {
    async run(last = session.codeCells.length) {
      while (done < last) {
        done += 1;
        if ((await session.skips(done)) !== undefined) continue;
        const limit = { limit: `${limitS} s for a cell`, remedy: 'cellTimeoutS' };
        const { failure = session.lateFailure() } = await session.run(done, limitS * 1000, limit);
        if (failure) throw new WarpbookError(failure.code, failureText(path, failure), { cell: failure.cell });
      }
    },
    value,
    call: (name, ...args) => value(`${name}(${args.map((arg) => JSON.stringify(arg)).join(', ')})`),
    outputs,
    text: (number) => cellOutputText({ ...session.codeCells[number - 1], outputs: [...outputs(number)] }),
    close: () => session.close(),
    [Symbol.asyncDispose]: () => session.close(),
  };
}
