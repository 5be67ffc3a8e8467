/** What cells and notebooks say about their own execution, in their metadata. Knows the format alone. */
import type { ICell, INotebookContent } from '@jupyterlab/nbformat';
import { joinLines } from './notebook-file';

/** Isn't run. */
export const SKIP_TAG = 'skip-execution';
/** Has to fail. */
export const RAISES_TAG = 'raises-exception';
/** Is run where there is a GPU. On a notebook: all of its cells. */
export const GPU_TAG = 'gpu';
/** Its stored outputs are compared with those of the run. */
export const CHECK_TAG = 'check-output';
/** Its stored outputs aren't compared, where all others are. */
export const IGNORE_TAG = 'ignore-output';
/** Its outputs are compared with the test runner's own snapshot. */
export const SNAPSHOT_TAG = 'snapshot';
/** Holds the defaults of a notebook's parameters. */
export const PARAMETERS_TAG = 'parameters';
/** Holds the values that a run was given. */
export const INJECTED_TAG = 'injected-parameters';

export function tagsOf(holder: ICell | INotebookContent): readonly string[] {
  const { tags } = holder.metadata as { tags?: unknown };
  return Array.isArray(tags) ? tags.filter((tag) => typeof tag === 'string') : [];
}

/** Seconds from `metadata.execution.timeout`: of a cell for itself, of a notebook for each of its cells. */
export function timeoutOf(holder: ICell | INotebookContent): number | undefined {
  const { execution } = holder.metadata as { execution?: { timeout?: unknown } };
  const timeout = execution?.timeout;
  return typeof timeout === 'number' && timeout > 0 ? timeout : undefined;
}

/**
 * Why a cell isn't run, or undefined.
 *
 * @param missingGpu says what is missing for a GPU, '' where nothing is; asked only where a cell wants one
 */
export async function skipReason(
  cell: ICell,
  notebook: INotebookContent,
  missingGpu: () => Promise<string>,
): Promise<string | undefined> {
  const tags = tagsOf(cell);
  if (tags.includes(SKIP_TAG)) return `it is tagged '${SKIP_TAG}'`;
  if (joinLines(cell.source).trim() === '') return 'it is empty';
  if (!tags.includes(GPU_TAG) && !tagsOf(notebook).includes(GPU_TAG)) return undefined;
  const missing = await missingGpu();
  return missing === '' ? undefined : `it is tagged '${GPU_TAG}', and ${missing}`;
}
