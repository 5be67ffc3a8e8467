/** Notebooks made on the spot, as text. */

export interface CellSpec {
  readonly source: string;
  readonly tags?: readonly string[];
  readonly type?: 'code' | 'markdown';
  /** Stored text of its standard output. */
  readonly outputs?: string;
  /** Its own limit. */
  readonly timeoutS?: number;
}

/** nbformat JSON of these cells; a string is a code cell. */
export function notebookJson(cells: readonly (string | CellSpec)[], kernel: string = 'warpbook'): string {
  const list = cells.map((cell, i) => {
    const spec: CellSpec = typeof cell === 'string' ? { source: cell } : cell;
    const { source, tags, type = 'code', outputs: stored, timeoutS } = spec;
    const metadata = { ...(tags ? { tags } : {}), ...(timeoutS ? { execution: { timeout: timeoutS } } : {}) };
    const outputs = stored === undefined ? [] : [{ output_type: 'stream', name: 'stdout', text: stored }];
    const code = type === 'code' ? { outputs, execution_count: null } : {};
    return { cell_type: type, id: `cell-${i + 1}`, metadata, source: source.split(/(?<=\n)/), ...code };
  });
  const kernelspec = { name: kernel, display_name: kernel };
  return JSON.stringify({ nbformat: 4, nbformat_minor: 5, metadata: { kernelspec }, cells: list }, undefined, 1);
}
