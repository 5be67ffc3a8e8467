/**
 * What every notebook has in scope from its first cell: the public names of this package, and the notebook's own
 * helpers: `display`, `clearOutput`, `prompt`, `confirm`. Reads the package's declarations, so nothing is listed twice. Runs nothing.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { packageEntry, packageName, packageTypes } from './package-paths';
import type { TypeScriptApi } from './tslab';

/** Names and where they come from; for cells, so they win over the globals of Node. */
const HELPERS: readonly (readonly [readonly string[], string])[] = [
  [['display', 'clearOutput'], `${packageName}/dist/notebook/display`],
  [['prompt', 'confirm'], `${packageName}/dist/notebook/prompt`],
];

/** A hidden cell, compiled ahead by hand: the compiler would take as long for it as for a large cell. */
export interface Prelude {
  /** What later cells find declared. */
  readonly declarations: string;
  /** Sets what they find at run time; CommonJS, as tslab's executor runs it. */
  readonly output: string;
}

export function makePrelude(ts: TypeScriptApi): Prelude {
  const exported = existsSync(packageEntry) ? exportedNames(ts, packageTypes) : new Set<string>();
  // `Buffer` or `Event` in a cell is Node's; ours takes an import.
  const names = [...exported].filter((name) => !(name in globalThis) && !HELPERS.some(([list]) => list.includes(name)));
  const sources: (readonly [readonly string[], string])[] = [...HELPERS];
  if (names.length > 0) sources.push([names, packageName]);
  return {
    declarations: sources.map(([list, from]) => `import { ${list.join(', ')} } from "${from}";\n`).join(''),
    // Types are among the names and have no value. What can't be loaded is told, and doesn't keep the rest from cells.
    output: sources.map(([list, from]) => loadInto(list, from)).join(''),
  };
}

/** Where the hidden cell leaves the error of a source that can't be loaded. */
export const PRELUDE_ERROR = 'preludeError';

function loadInto(names: readonly string[], from: string): string {
  const set = `const m = require("${from}"); for (const n of ${JSON.stringify(names)}) if (n in m) exports[n] = m[n];`;
  return `try { ${set} } catch (e) { exports.${PRELUDE_ERROR} = e; }\n`;
}

/** Names that a declaration file exports, values and types, those of `export * from './…'` included. */
export function exportedNames(ts: TypeScriptApi, file: string, seen: Set<string> = new Set()): Set<string> {
  const names = new Set<string>();
  if (seen.has(file) || !existsSync(file)) return names;
  seen.add(file);
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest);
  for (const statement of source.statements) {
    if (ts.isExportDeclaration(statement)) {
      const clause = statement.exportClause;
      if (clause && ts.isNamedExports(clause)) for (const { name } of clause.elements) names.add(name.text);
      else if (clause) names.add(clause.name.text);
      else if (statement.moduleSpecifier && ts.isStringLiteral(statement.moduleSpecifier)) {
        const base = join(dirname(file), statement.moduleSpecifier.text);
        for (const target of [`${base}.d.ts`, join(base, 'index.d.ts')]) {
          for (const name of exportedNames(ts, target, seen)) names.add(name);
        }
      }
    } else if (
      ts.canHaveModifiers(statement) &&
      ts.getModifiers(statement)?.some((m) => m.kind === ts.SyntaxKind.ExportKeyword)
    ) {
      if (ts.isVariableStatement(statement)) {
        for (const { name } of statement.declarationList.declarations) if (ts.isIdentifier(name)) names.add(name.text);
      } else {
        const name = (statement as { name?: { text?: string } }).name?.text;
        if (name !== undefined) names.add(name);
      }
    }
  }
  names.delete('default');
  return names;
}
