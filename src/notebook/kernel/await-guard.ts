/**
 * Awaits that an interrupt ends. JavaScript can't reject a pending promise from outside, so a cell that is interrupted
 * at an await would go on behind the user's back as soon as the promise settles. Here every `await x` of cells, and of
 * files that they import, is emitted as `await guard(x)`; the guard asks the cell in whose context it runs. Knows no cell.
 */
import type * as TypeScript from '@tslab/typescript-for-tslab';
import type { TypeScriptApi } from './tslab';

const GUARD = '__warpbook_await';
const GUARD_EACH = '__warpbook_await_each';

/** Makes `guard` what every emitted await passes through, and every step of a `for await`. */
export function installAwaitGuard(guard: (value: unknown) => unknown): void {
  Object.defineProperty(globalThis, GUARD, { value: guard, configurable: true });
  const each = (iterable: AsyncIterable<unknown> | Iterable<unknown>) => guardEach(iterable, guard);
  Object.defineProperty(globalThis, GUARD_EACH, { value: each, configurable: true });
}

/** What `for await` asks for the next value, each answer guarded. */
function guardEach(
  iterable: AsyncIterable<unknown> | Iterable<unknown>,
  guard: (value: unknown) => unknown,
): AsyncIterable<unknown> {
  const asynchronous = (iterable as AsyncIterable<unknown>)[Symbol.asyncIterator]?.();
  const synchronous = asynchronous ? undefined : (iterable as Iterable<unknown>)[Symbol.iterator]();
  const next = async (): Promise<IteratorResult<unknown>> => {
    if (asynchronous) return (await guard(asynchronous.next())) as IteratorResult<unknown>;
    const { value, done } = (synchronous as Iterator<unknown>).next();
    return { value: await guard(value), done };
  };
  const end = async (value?: unknown): Promise<IteratorResult<unknown>> => {
    const ended = await (asynchronous ?? synchronous)?.return?.(value);
    return ended ?? { value, done: true };
  };
  return { [Symbol.asyncIterator]: () => ({ next, return: end }) };
}

/**
 * Whether a cell awaits outside its functions. tslab learns it from the compiler's complaints, and there are none about
 * `await (x)`, which the compiler first takes for a call.
 */
export function awaitsAtTop(ts: TypeScriptApi, source: string): boolean {
  if (!/\bawait\b/.test(source)) return false;
  // An export makes it a module, in which `await` is a keyword.
  const file = ts.createSourceFile('cell.ts', `${source}\nexport {};`, ts.ScriptTarget.Latest);
  const visit = (node: TypeScript.Node): boolean => {
    if (ts.isFunctionLike(node) || ts.isClassStaticBlockDeclaration(node)) return false;
    if (ts.isAwaitExpression(node) || (ts.isForOfStatement(node) && node.awaitModifier !== undefined)) return true;
    return ts.forEachChild(node, visit) ?? false;
  };
  return visit(file);
}

/** Writes `await x` as `await guard(x)`, and `for await (… of xs)` over the guarded steps of `xs`. */
export function guardAwaits(ts: TypeScriptApi): TypeScript.TransformerFactory<TypeScript.SourceFile> {
  return (context) => {
    const { factory } = context;
    const guarded = (guard: string, value: TypeScript.Expression): TypeScript.Expression => {
      const name = factory.createPropertyAccessExpression(factory.createIdentifier('globalThis'), guard);
      return ts.setTextRange(factory.createCallExpression(name, undefined, [value]), value);
    };
    const visit = (node: TypeScript.Node): TypeScript.Node => {
      const visited = ts.visitEachChild(node, visit, context);
      if (ts.isAwaitExpression(visited))
        return factory.updateAwaitExpression(visited, guarded(GUARD, visited.expression));
      if (!ts.isForOfStatement(visited) || !visited.awaitModifier) return visited;
      const { awaitModifier, initializer, expression, statement } = visited;
      return factory.updateForOfStatement(
        visited,
        awaitModifier,
        initializer,
        guarded(GUARD_EACH, expression),
        statement,
      );
    };
    return (file) => ts.visitEachChild(file, visit, context);
  };
}
