/**
 * Parameters of a run, after papermill's convention: the cell tagged `parameters` declares defaults, and a cell that is
 * put behind it declares the run's values. Knows the format and the names that a cell declares; runs nothing.
 *
 * https://papermill.readthedocs.io/en/latest/usage-parameterize.html
 */
import { createRequire } from 'node:module';
import type { ICell, ICodeCell, INotebookContent } from '@jupyterlab/nbformat';
import type * as TypeScript from '@tslab/typescript-for-tslab';
import { WarpbookError } from '../../errors';
import { joinLines, makeCellId } from './notebook-file';
import { INJECTED_TAG, PARAMETERS_TAG, tagsOf } from './tags';

/** Values by name; anything that JSON can hold. */
export type Parameters = Readonly<Record<string, unknown>>;

/**
 * The notebook with a cell that gives `parameters` their values; one that an earlier run has put in is replaced.
 *
 * @param path for messages
 * @throws WarpbookError `INVALID_ARGUMENT` for a notebook without a `parameters` cell, for a name that the cell doesn't
 *   declare, and for a value that is no JSON.
 */
export function injectParameters(notebook: INotebookContent, parameters: Parameters, path: string): INotebookContent {
  const cells = notebook.cells.filter((cell) => !tagsOf(cell).includes(INJECTED_TAG));
  const at = cells.findIndex((cell) => cell.cell_type === 'code' && tagsOf(cell).includes(PARAMETERS_TAG));
  if (at < 0) {
    const problem = `${path}: got parameters for a notebook without any; wanted a code cell tagged '${PARAMETERS_TAG}'.`;
    throw new WarpbookError('INVALID_ARGUMENT', problem);
  }
  const declared = declaredNames(joinLines(cells[at].source));
  for (const name of Object.keys(parameters)) {
    if (declared.includes(name)) continue;
    const problem = `${path}: got the parameter '${name}'; wanted one of ${declared.join(', ')}, which its '${PARAMETERS_TAG}' cell declares.`;
    throw new WarpbookError('INVALID_ARGUMENT', problem);
  }
  const lines = Object.entries(parameters).map(([name, value]) => `const ${name} = ${literal(name, value)};`);
  const source = ['// Parameters of this run', ...lines].join('\n');
  const id = makeCellId(new Set(cells.map((cell) => cell.id)), at + 1, source);
  const metadata = { tags: [INJECTED_TAG] };
  const injected: ICodeCell = { cell_type: 'code', id, metadata, source, outputs: [], execution_count: null };
  return { ...notebook, cells: [...cells.slice(0, at + 1), injected as ICell, ...cells.slice(at + 1)] };
}

/**
 * The parameters of `name=value` texts: what reads as JSON is that value, all else is text.
 *
 * @throws WarpbookError `INVALID_ARGUMENT` for a text that isn't of that form.
 */
export function parseParameter(text: string): readonly [name: string, value: unknown] {
  const match = /^([A-Za-z_$][\w$]*)=([\s\S]*)$/.exec(text);
  if (!match) {
    throw new WarpbookError('INVALID_ARGUMENT', `got the parameter '${text}'; wanted name=value, such as batch=64.`);
  }
  const [, name, value] = match;
  try {
    return [name, JSON.parse(value)];
  } catch {
    return [name, value];
  }
}

function literal(name: string, value: unknown): string {
  const text = JSON.stringify(value);
  if (text === undefined) {
    throw new WarpbookError('INVALID_ARGUMENT', `got a ${typeof value} as parameter '${name}'; wanted a JSON value.`);
  }
  return text;
}

/** Variables that a cell declares at its top level. */
function declaredNames(source: string): string[] {
  // The compiler that tslab brings, and none beside it; it takes a quarter of a second to load.
  const ts: typeof TypeScript = createRequire(__filename)('@tslab/typescript-for-tslab');
  const file = ts.createSourceFile('parameters.ts', source, ts.ScriptTarget.Latest);
  return file.statements.flatMap((statement) => {
    if (!ts.isVariableStatement(statement)) return [];
    return statement.declarationList.declarations.flatMap(({ name }) => (ts.isIdentifier(name) ? [name.text] : []));
  });
}
