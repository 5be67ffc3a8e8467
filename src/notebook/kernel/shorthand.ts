/**
 * Shorthand properties of earlier cells' variables. tslab turns a name that another cell declared into `exports.name`,
 * but asks the checker for the *property* of a shorthand `{ name }` and leaves it alone, so the cell fails at run time
 * with "name is not defined". Here shorthands are written out before tslab looks, and the checker answers for the value.
 */
import type * as TypeScript from '@tslab/typescript-for-tslab';
import type { TypeScriptApi } from './tslab';

const patched = new WeakSet<TypeScript.TypeChecker>();

/** The name of a shorthand stands for a variable too; that is the one that matters once it is written out. */
export function resolveToValues(ts: TypeScriptApi, checker: TypeScript.TypeChecker): void {
  if (patched.has(checker)) return;
  patched.add(checker);
  const { getSymbolAtLocation } = checker;
  checker.getSymbolAtLocation = (node) => {
    const { parent } = node;
    if (parent && ts.isShorthandPropertyAssignment(parent) && parent.name === node) {
      return checker.getShorthandAssignmentValueSymbol(parent);
    }
    return getSymbolAtLocation(node);
  };
}

/** Writes `{ name }` as `{ name: name }`. */
export function expandShorthands(ts: TypeScriptApi): TypeScript.TransformerFactory<TypeScript.SourceFile> {
  return (context) => {
    const visit = (node: TypeScript.Node): TypeScript.Node => {
      if (!ts.isShorthandPropertyAssignment(node)) return ts.visitEachChild(node, visit, context);
      // A default occurs in destructuring only: ({ name = 1 } = value).
      const initial =
        node.objectAssignmentInitializer && ts.visitNode(node.objectAssignmentInitializer, visit, ts.isExpression);
      const value = initial ? context.factory.createAssignment(node.name, initial) : node.name;
      return context.factory.createPropertyAssignment(context.factory.createIdentifier(node.name.text), value);
    };
    return (file) => ts.visitEachChild(file, visit, context);
  };
}
