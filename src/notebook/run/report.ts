/** What a headless run tells: by cell, and why it failed. Plain data, and the texts that people read. */
import type { ICodeCell, INotebookContent, IOutput, MultilineString } from '@jupyterlab/nbformat';
import type { ErrorCode } from '../../errors';
import { joinLines } from './notebook-file';

export interface NotebookFailure {
  readonly code: Extract<ErrorCode, 'NOTEBOOK_FAILED' | 'KERNEL_DIED' | 'TIMEOUT' | 'UNSUPPORTED'>;
  /** Number of the code cell, from 1; absent where no cell is to blame. */
  readonly cell?: number;
  /** Line in that cell, from 1, where known. */
  readonly line?: number;
  /** One line: what happened. */
  readonly message: string;
  readonly traceback: readonly string[];
}

export type CellStatus = 'ok' | 'failed' | 'skipped' | 'not run';

export interface CellReport {
  /** Number of the code cell, from 1. */
  readonly number: number;
  readonly status: CellStatus;
  readonly durationMs: number;
  /** Why a cell was skipped. */
  readonly reason?: string;
}

/** How a cell went, with what went wrong. */
export interface CellResult extends CellReport {
  readonly failure?: NotebookFailure;
}

export interface NotebookReport {
  readonly path: string;
  readonly ok: boolean;
  readonly failure?: NotebookFailure;
  readonly cells: readonly CellReport[];
  /** From starting the process to the kernel's first answer. */
  readonly startMs: number;
  /** From starting the process to the reply of the first cell. */
  readonly firstResultMs: number;
  readonly durationMs: number;
  /** The notebook with the outputs of this run, valid nbformat 4.5. */
  readonly notebook: INotebookContent;
}

/** "notebooks/a.ipynb, cell 3, line 2: Error: boom", and the traceback below. */
export function failureText(path: string, failure: NotebookFailure): string {
  const cell = failure.cell === undefined ? '' : `, cell ${failure.cell}`;
  const line = failure.line === undefined ? '' : `, line ${failure.line}`;
  const head = `${path}${cell}${line}: ${failure.message}`;
  return [head, ...failure.traceback.flatMap((entry) => entry.split('\n')).map((text) => `    ${text}`)].join('\n');
}

/** What a terminal would have shown: prints and the text of results and displays, cell by cell. */
export function outputText(notebook: INotebookContent): string {
  return notebook.cells.map((cell) => (cell.cell_type === 'code' ? cellOutputText(cell as ICodeCell) : '')).join('');
}

/** As {@link outputText}, for one cell. */
export function cellOutputText(cell: ICodeCell): string {
  const texts = cell.outputs.map(textOf).filter((text) => text !== '');
  return texts.map((text) => (text.endsWith('\n') ? text : `${text}\n`)).join('');
}

function textOf(output: IOutput): string {
  if (output.output_type === 'stream') return joinLines(output.text as MultilineString);
  if (output.output_type === 'error') return (output.traceback as string[]).join('\n');
  const text = (output.data as Record<string, unknown>)['text/plain'];
  return text === undefined ? '' : joinLines(text as MultilineString);
}
