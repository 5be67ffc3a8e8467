/**
 * Notebook files: read with clear errors, completed to nbformat 4.5, written as Jupyter writes them. Knows the format
 * alone: no kernel, no execution.
 *
 * https://nbformat.readthedocs.io/en/latest/format_description.html
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import type { ICell, INotebookContent, IOutput, MultilineString } from '@jupyterlab/nbformat';
import { z } from 'zod';
import { WarpbookError } from '../../errors';
import { jsonSyntaxError, lineOfJsonPath } from './json-position';

/**
 * Reads a notebook and completes it: format 4.5, an id for each cell, texts as single strings.
 *
 * @throws WarpbookError `FILE_NOT_FOUND`, or `FILE_FORMAT` with the file, the line and what was expected.
 */
export function readNotebook(file: string): INotebookContent {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') {
      throw new WarpbookError('FILE_NOT_FOUND', `got '${file}', which does not exist; wanted a notebook (.ipynb).`, {
        file,
      });
    }
    throw new WarpbookError('FILE_FORMAT', `${file}: ${message}; wanted a notebook (.ipynb).`, { file });
  }
  return parseNotebook(text, file);
}

/** As {@link readNotebook}, for a text at hand; `file` is for messages. */
export function parseNotebook(text: string, file: string): INotebookContent {
  const fail = (line: number, problem: string): never => {
    throw new WarpbookError('FILE_FORMAT', `${file}, line ${line}: ${problem}`, { file, line });
  };
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    const found = jsonSyntaxError(text);
    if (!found) throw error;
    return fail(found.line, `got ${found.got}; wanted ${found.wanted}. The file is no valid JSON.`);
  }
  const major = (json as { nbformat?: unknown } | null)?.nbformat;
  if (typeof major === 'number' && major !== 4) {
    return fail(
      lineOfJsonPath(text, ['nbformat']),
      `got nbformat ${major}; wanted 4. Convert it: jupyter nbconvert --to notebook`,
    );
  }
  const parsed = schema(false).safeParse(json);
  if (!parsed.success) {
    const { path, message } = firstIssue(parsed.error);
    return fail(lineOfJsonPath(text, path), `${pathText(path)}: ${message}.`);
  }
  return complete(parsed.data as unknown as INotebookContent);
}

/**
 * The strict check of what is written: every field that the format asks for and no other, unique cell ids.
 *
 * @throws WarpbookError `FILE_FORMAT` naming the path of the first problem.
 */
export function checkNotebook(notebook: INotebookContent): void {
  const parsed = schema(true).safeParse(notebook);
  if (!parsed.success) {
    const { path, message } = firstIssue(parsed.error);
    throw new WarpbookError('FILE_FORMAT', `notebook: ${pathText(path)}: ${message}.`);
  }
  const ids = notebook.cells.map((cell) => cell.id);
  const twice = ids.find((id, i) => ids.indexOf(id) !== i);
  if (twice !== undefined) throw new WarpbookError('FILE_FORMAT', `notebook: two cells have the id '${twice}'.`);
}

/** Writes a notebook as Jupyter does: indented by one, texts as lists of lines, a newline at the end. */
export function writeNotebook(file: string, notebook: INotebookContent): void {
  checkNotebook(notebook);
  const cells = notebook.cells.map((cell) => ({
    ...cell,
    source: splitLines(joinLines(cell.source)),
    ...(cell.cell_type === 'code' ? { outputs: (cell.outputs as IOutput[]).map(splitOutput) } : {}),
  }));
  writeFileSync(file, `${JSON.stringify({ ...notebook, cells }, undefined, 1)}\n`);
}

export function joinLines(text: MultilineString): string {
  return Array.isArray(text) ? text.join('') : text;
}

/** The kernel's name if the notebook is none of ours; a notebook that names none is TypeScript. */
export function foreignKernel(notebook: INotebookContent): string | undefined {
  const { kernelspec, language_info: info } = notebook.metadata;
  if (!kernelspec) return info && info.name !== 'typescript' ? info.name : undefined;
  const typescript =
    kernelspec.name === 'warpbook' || kernelspec.name === 'tslab' || kernelspec.language === 'typescript';
  return typescript || info?.name === 'typescript' ? undefined : kernelspec.name;
}

function splitLines(text: string): string[] {
  return text === '' ? [] : text.split(/(?<=\n)/);
}

function splitOutput(output: IOutput): IOutput {
  if (output.output_type === 'stream')
    return { ...output, text: splitLines(joinLines(output.text as MultilineString)) };
  if (!('data' in output)) return output;
  const data = Object.entries(output.data as Record<string, unknown>).map(([type, value]) => {
    const lines = typeof value === 'string' && (type.startsWith('text/') || type === 'image/svg+xml');
    return [type, lines ? splitLines(value) : value];
  });
  return { ...output, data: Object.fromEntries(data) };
}

function complete(notebook: INotebookContent): INotebookContent {
  const taken = new Set(notebook.cells.map((cell) => cell.id));
  const cells = notebook.cells.map((cell, index): ICell => {
    const source = joinLines(cell.source);
    const id = (cell.id as string | undefined) ?? makeCellId(taken, index, source);
    taken.add(id);
    return { ...cell, id, source } as ICell;
  });
  return { ...notebook, nbformat: 4, nbformat_minor: 5, cells };
}

/** A cell's id, made of place and text, so that a run without changes writes the same file again. */
export function makeCellId(taken: ReadonlySet<unknown>, index: number, source: string): string {
  for (let salt = 0; ; salt++) {
    const made = createHash('sha256').update(`${index}\0${salt}\0${source}`).digest('hex').slice(0, 8);
    if (!taken.has(made)) return made;
  }
}

// Built on first use, in two grades: what is read may hold more than the format knows (it is dropped) and may lack ids.
const schemas = new Map<boolean, z.ZodType>();

function schema(strict: boolean): z.ZodType {
  let made = schemas.get(strict);
  if (!made) {
    made = makeSchema(strict);
    schemas.set(strict, made);
  }
  return made;
}

function makeSchema(strict: boolean): z.ZodType {
  const object = <S extends z.ZodRawShape>(shape: S): z.ZodObject<S> =>
    (strict ? z.strictObject(shape) : z.object(shape)) as never;
  const text = z.union([z.string(), z.array(z.string())], { error: 'expected a string or a list of strings' });
  const metadata = z.record(z.string(), z.unknown());
  const count = z.int().min(0).nullable();
  const data = z.record(z.string().regex(/\//), z.unknown());
  const output = z.discriminatedUnion('output_type', [
    object({ output_type: z.literal('execute_result'), execution_count: count, data, metadata }),
    object({ output_type: z.literal('display_data'), data, metadata }),
    object({ output_type: z.literal('stream'), name: z.enum(['stdout', 'stderr']), text }),
    object({ output_type: z.literal('error'), ename: z.string(), evalue: z.string(), traceback: z.array(z.string()) }),
  ]);
  const id = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'expected an id of 1 to 64 letters, digits, - or _');
  const common = { id: strict ? id : id.optional(), metadata, source: text };
  const attachments = z.record(z.string(), z.record(z.string(), z.unknown())).optional();
  const cell = z.discriminatedUnion('cell_type', [
    object({ cell_type: z.literal('code'), ...common, outputs: z.array(output), execution_count: count }),
    object({ cell_type: z.literal('markdown'), ...common, attachments }),
    object({ cell_type: z.literal('raw'), ...common, attachments }),
  ]);
  const named = z.looseObject({ name: z.string() });
  return object({
    nbformat: z.literal(4),
    nbformat_minor: strict ? z.literal(5) : z.int().min(0),
    metadata: z.looseObject({ kernelspec: named.optional(), language_info: named.optional() }),
    cells: z.array(cell),
  });
}

/** The first problem, in the style of the other messages. */
function firstIssue(error: z.ZodError): { path: (string | number)[]; message: string } {
  const [{ path, message }] = error.issues;
  return { path: path as (string | number)[], message: message.replace(/^Invalid (input|option|string): /, '') };
}

function pathText(path: readonly (string | number)[]): string {
  if (path.length === 0) return 'the notebook';
  return path.map((key, i) => (typeof key === 'number' ? `[${key}]` : `${i > 0 ? '.' : ''}${key}`)).join('');
}
