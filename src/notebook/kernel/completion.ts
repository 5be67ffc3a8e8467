/**
 * Completions as Jupyter wants them: names by how well they fit, each with its kind, its type and what its documentation
 * says first. Knows the compiler's program; runs nothing.
 */
import type * as TypeScript from '@tslab/typescript-for-tslab';
import type { Content } from '../run/protocol';
import type { CellRunner } from './cell-runner';
import { toPoints, toUnits } from './cursor';
import type { TypeScriptApi } from './tslab';

/** Types and documentation are looked up for the first candidates; nobody reads a longer list. */
const NUM_DESCRIBED = 150;
const MAX_TYPE_CHARACTERS = 120;

interface Description {
  readonly type: string;
  readonly documentation: string;
}

export function complete(runner: CellRunner, code: string, cursor: number): Content {
  const at = toUnits(code, cursor);
  const { start, end, candidates, original } = runner.executor.complete(code, at);
  const kinds = new Map(original?.entries.map(({ name, kind }) => [name, kind as string]));
  const described = describe(runner, start, candidates.slice(0, NUM_DESCRIBED));
  const [cursorStart, cursorEnd] = [toPoints(code, start), toPoints(code, end)];
  const types = candidates.map((text, i) => {
    const { type = '', documentation = '' } = described[i] ?? {};
    const kind = kinds.get(text) ?? '';
    return { text, type: kind, start: cursorStart, end: cursorEnd, signature: type, documentation };
  });
  return {
    status: 'ok',
    matches: candidates,
    cursor_start: cursorStart,
    cursor_end: cursorEnd,
    // The extension that ipykernel made and JupyterLab reads; `documentation` is ours.
    metadata: { _jupyter_types_experimental: types },
  };
}

/** Types and documentation of names that could stand at `start` in the cell that was completed last. */
function describe(runner: CellRunner, start: number, names: readonly string[]): (Description | undefined)[] {
  const { program, tslab } = runner.compiler;
  const file = program?.getSourceFiles().find(({ fileName }) => fileName.endsWith('/__tslab__.ts'));
  if (!program || !file) return [];
  const { ts } = tslab;
  const checker = program.getTypeChecker();
  // tslab compiles a cell below one line of its own.
  const position = start + file.getLineStarts()[1];
  const found = findToken(ts, file, position);
  const symbols = symbolsAt(ts, checker, found ?? file, position);
  return names.map((name) => {
    const symbol = symbols.get(name);
    return symbol && describeSymbol(ts, checker, symbol, file);
  });
}

/** The innermost node that ends at or covers `position`. */
function findToken(ts: TypeScriptApi, file: TypeScript.SourceFile, position: number): TypeScript.Node | undefined {
  let found: TypeScript.Node | undefined;
  const visit = (node: TypeScript.Node): void => {
    if (position < node.getFullStart() || position > node.getEnd() || node === file.endOfFileToken) return;
    found = node;
    ts.forEachChild(node, visit);
  };
  ts.forEachChild(file, visit);
  return found;
}

function symbolsAt(
  ts: TypeScriptApi,
  checker: TypeScript.TypeChecker,
  node: TypeScript.Node,
  position: number,
): ReadonlyMap<string, TypeScript.Symbol> {
  for (let outer = node; outer && !ts.isSourceFile(outer); outer = outer.parent) {
    if (!ts.isPropertyAccessExpression(outer) || position < outer.expression.getEnd()) continue;
    const type = checker.getNonNullableType(checker.getTypeAtLocation(outer.expression));
    return byName(checker.getPropertiesOfType(checker.getApparentType(type)));
  }
  const { Value, Type, Namespace, Alias } = ts.SymbolFlags;
  return byName(checker.getSymbolsInScope(node, Value | Type | Namespace | Alias));
}

function byName(symbols: readonly TypeScript.Symbol[]): ReadonlyMap<string, TypeScript.Symbol> {
  return new Map(symbols.map((symbol) => [symbol.name, symbol]));
}

function describeSymbol(
  ts: TypeScriptApi,
  checker: TypeScript.TypeChecker,
  symbol: TypeScript.Symbol,
  file: TypeScript.SourceFile,
): Description {
  const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  const isValue = (target.flags & ts.SymbolFlags.Value) !== 0;
  const type = isValue ? checker.getTypeOfSymbolAtLocation(target, file) : checker.getDeclaredTypeOfSymbol(target);
  const text = checker.typeToString(type);
  const documentation = ts.displayPartsToString(target.getDocumentationComment(checker));
  return {
    type: text.length > MAX_TYPE_CHARACTERS ? `${text.slice(0, MAX_TYPE_CHARACTERS - 1)}…` : text,
    documentation: documentation.split(/\n\s*\n/)[0],
  };
}
