/**
 * Awaits that an interrupt ends. JavaScript can't reject a pending promise from outside, so a cell that is interrupted
 * at an await would go on behind the user's back as soon as the promise settles. Here every `await x` of cells, and of
 * files that they import, is emitted as `await guard(x)`; the guard asks the cell in whose context it runs. Knows no cell.
 */
import type * as TypeScript from '@tslab/typescript-for-tslab';
import type { TypeScriptApi } from './tslab';

const GUARD = '__warpbook_await';

/** Makes `guard` what every emitted await passes through. */
export function installAwaitGuard(guard: (value: unknown) => unknown): void {
  Object.defineProperty(globalThis, GUARD, { value: guard, configurable: true });
}

/** Writes `await x` as `await guard(x)`. */
export function guardAwaits(ts: TypeScriptApi): TypeScript.TransformerFactory<TypeScript.SourceFile> {
  return (context) => {
    const { factory } = context;
    const visit = (node: TypeScript.Node): TypeScript.Node => {
      const visited = ts.visitEachChild(node, visit, context);
      if (!ts.isAwaitExpression(visited)) return visited;
      const guard = factory.createPropertyAccessExpression(factory.createIdentifier('globalThis'), GUARD);
      const call = factory.createCallExpression(guard, undefined, [visited.expression]);
      return factory.updateAwaitExpression(visited, ts.setTextRange(call, visited.expression));
    };
    return (file) => ts.visitEachChild(file, visit, context);
  };
}
