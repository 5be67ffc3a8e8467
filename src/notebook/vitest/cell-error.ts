/**
 * A cell's failure as a test runner shows it: what happened, the cell's source with the line marked, what the cell had put
 * out. Its stack leads to the line of the notebook's file. Knows no Vitest.
 */
import { readFileSync } from 'node:fs';
import type { ICodeCell } from '@jupyterlab/nbformat';
import { lineOfJsonPath } from '../run/json-position';
import { joinLines } from '../run/notebook-file';
import { cellOutputText, type NotebookFailure } from '../run/report';

const MAX_OUTPUT_LINES = 30;

export class CellError extends Error {
  constructor(path: string, failure: NotebookFailure, cells: readonly ICodeCell[]) {
    super(failure.message);
    this.name = 'CellError';
    const { cell: number } = failure;
    const cell = number === undefined ? undefined : cells[number - 1];
    if (number === undefined || !cell) {
      this.stack = `${this.name}: ${this.message}\n    at ${path}:1:1`;
      return;
    }
    const where = failure.line === undefined ? `cell ${number}` : `cell ${number}, line ${failure.line}`;
    this.message = [
      `${where}: ${failure.message}`,
      '',
      ...markedSource(joinLines(cell.source), failure.line),
      ...section('traceback', failure.traceback.join('\n')),
      ...section('output', cellOutputText({ ...cell, outputs: cell.outputs.filter(isNoError) })),
    ].join('\n');
    this.stack = `${this.name}: ${this.message}\n    at ${where} (${path}:${lineInFile(path, cell, failure.line ?? 1)}:1)`;
  }
}

function isNoError(output: ICodeCell['outputs'][number]): boolean {
  return output.output_type !== 'error';
}

function markedSource(source: string, line: number | undefined): string[] {
  const lines = source.split('\n');
  const width = String(lines.length).length;
  return lines.map((text, i) => `${i + 1 === line ? '>' : ' '} ${String(i + 1).padStart(width)} | ${text}`);
}

function section(title: string, text: string): string[] {
  if (text.trim() === '') return [];
  const lines = text.trimEnd().split('\n');
  const cut = lines.length > MAX_OUTPUT_LINES ? [`… ${lines.length - MAX_OUTPUT_LINES} lines before`] : [];
  return ['', `--- ${title}`, ...cut, ...lines.slice(-MAX_OUTPUT_LINES)];
}

/** The line of the notebook's JSON text that holds a line of a cell; an injected cell has none. */
function lineInFile(path: string, cell: ICodeCell, line: number): number {
  try {
    const text = readFileSync(path, 'utf8');
    const stored = (JSON.parse(text) as { cells: { id?: string; source: string | string[] }[] }).cells;
    const source = joinLines(cell.source);
    const index = stored.findIndex((one) => (one.id ?? cell.id) === cell.id && joinLines(one.source) === source);
    return index < 0 ? 1 : lineOfJsonPath(text, ['cells', index, 'source', line - 1]);
  } catch {
    // The file has gone or changed since: the failure itself matters more.
    return 1;
  }
}
