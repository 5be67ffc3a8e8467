/**
 * What a name is: its type and documentation, for tooltips. Inside the parentheses of a call it's the callee that one
 * wants to know about. Knows the compiler; runs nothing.
 */
import type * as TypeScript from '@tslab/typescript-for-tslab';
import type { Content } from '../run/protocol';
import type { CellRunner } from './cell-runner';
import { toUnits } from './cursor';

type QuickInfo = TypeScript.QuickInfo;

export function inspect(runner: CellRunner, code: string, cursor: number): Content {
  const at = toUnits(code, cursor);
  const info = infoAt(runner, code, at) ?? infoAt(runner, code, at - 1) ?? infoOfCall(runner, code, at);
  if (!info) return { status: 'ok', found: false, data: {}, metadata: {} };
  const data = { 'text/plain': runner.compiler.tslab.printQuickInfo(info), 'text/markdown': markdown(info) };
  return { status: 'ok', found: true, data, metadata: {} };
}

function infoAt(runner: CellRunner, code: string, at: number): QuickInfo | undefined {
  // A name ends before the cursor that stands behind it; elsewhere tslab answers for what follows.
  if (at < 0 || !/[\w$]/.test(code[at] ?? '')) return undefined;
  return runner.executor.inspect(code, at) as QuickInfo | undefined;
}

/** Info on the callee of the innermost call whose arguments hold the cursor. */
function infoOfCall(runner: CellRunner, code: string, at: number): QuickInfo | undefined {
  const { ts } = runner.compiler.tslab;
  const file = ts.createSourceFile('cell.ts', code, ts.ScriptTarget.Latest, true);
  let callee: TypeScript.Expression | undefined;
  const visit = (node: TypeScript.Node): void => {
    if (ts.isCallExpression(node) || ts.isNewExpression(node)) {
      // A call that is still being written has no end.
      const open = code[node.getEnd() - 1] !== ')';
      if (at > node.expression.getEnd() && (open || at < node.getEnd())) callee = node.expression;
    }
    ts.forEachChild(node, visit);
  };
  ts.forEachChild(file, visit);
  if (!callee) return undefined;
  const name = ts.isPropertyAccessExpression(callee) ? callee.name : callee;
  return runner.executor.inspect(code, name.getStart(file)) as QuickInfo | undefined;
}

/** The signature as code, then the documentation, then its tags. */
function markdown(info: QuickInfo): string {
  const text = (parts: readonly TypeScript.SymbolDisplayPart[] | undefined): string =>
    (parts ?? []).map((part) => part.text).join('');
  const tags = (info.tags ?? []).map(({ name, text: parts }) => {
    const rest = text(parts);
    return rest.includes('\n') ? `\n*@${name}*\n\n${rest}` : `*@${name}* ${rest}`.trimEnd();
  });
  const signature = `\`\`\`ts\n${text(info.displayParts)}\n\`\`\``;
  return [signature, text(info.documentation), tags.join('  \n')].filter((part) => part !== '').join('\n\n');
}
