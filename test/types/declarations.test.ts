/**
 * The built declarations as a notebook's compiler reads them: TypeScript 5.0.4, found through package.json's `types`.
 * Once with tslab's own way to find modules and once with that of warpbook's kernel.
 */
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve, sep } from 'node:path';
import ts from '@tslab/typescript-for-tslab';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const ROOT = realpathSync(resolve(__dirname, '../..'));
const DIST = join(ROOT, 'dist') + sep;
const CONSUMER = join(__dirname, 'consumer', 'cell.ts');

let folder: string;
beforeAll(() => {
  if (!existsSync(join(DIST, 'index.d.ts')))
    throw new Error("There is no dist/index.d.ts; run 'npm run build:ts' first.");
  folder = mkdtempSync(join(tmpdir(), 'warpbook-types-'));
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(ROOT, join(folder, 'node_modules', 'warpbook'), 'dir');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('is the version that tslab brings', () => {
  expect(ts.version).toBe('5.0.4');
});

describe.each([
  ['Node10, as raw tslab', ts.ModuleResolutionKind.Node10, 'lib.es2022.d.ts'],
  ['Bundler, as the warpbook kernel', ts.ModuleResolutionKind.Bundler, 'lib.es2023.d.ts'],
])('%s', (_, moduleResolution, lib) => {
  let program: ts.Program;

  beforeAll(() => {
    // The cell lies in a folder that has warpbook installed.
    const cell = join(folder, 'cell.ts');
    const options: ts.CompilerOptions = {
      module: ts.ModuleKind.ESNext,
      moduleResolution,
      target: ts.ScriptTarget.ES2022,
      lib: [lib],
      esModuleInterop: true,
      strict: true,
      skipLibCheck: false,
      noEmit: true,
      types: ['node'],
      typeRoots: [join(ROOT, 'node_modules', '@types')],
    };
    const host = ts.createCompilerHost(options);
    const readFile = host.readFile.bind(host);
    host.readFile = (name) => readFile(name === cell ? CONSUMER : name);
    host.fileExists = (name) => name === cell || ts.sys.fileExists(name);
    program = ts.createProgram([cell], options, host);
  });

  const ours = (file: ts.SourceFile): boolean => file.fileName.startsWith(DIST) || file.fileName.startsWith(folder);

  it('compiles the declarations and a cell that uses them', () => {
    const files = program.getSourceFiles().filter(ours);
    expect(files.length).toBeGreaterThan(20);
    const diagnostics = files.flatMap((file) => [
      ...program.getSyntacticDiagnostics(file),
      ...program.getSemanticDiagnostics(file),
    ]);
    expect(diagnostics.map(describeDiagnostic)).toEqual([]);
  });

  it('finds no type that silently became any', () => {
    const checker = program.getTypeChecker();
    const lost: string[] = [];
    const visit = (node: ts.Node): void => {
      const isReference =
        ts.isTypeReferenceNode(node) || ts.isImportTypeNode(node) || ts.isExpressionWithTypeArguments(node);
      if (isReference && checker.getTypeAtLocation(node).flags & ts.TypeFlags.Any) lost.push(describeNode(node));
      ts.forEachChild(node, visit);
    };
    for (const file of program.getSourceFiles().filter(ours)) visit(file);
    expect(lost).toEqual([]);
  });

  it('declares no any in public', () => {
    const found: string[] = [];
    const visit = (node: ts.Node): void => {
      if (node.kind === ts.SyntaxKind.AnyKeyword) found.push(describeNode(node.parent));
      ts.forEachChild(node, visit);
    };
    for (const file of program.getSourceFiles().filter(ours)) visit(file);
    expect(found).toEqual([]);
  });
});

function describeNode(node: ts.Node): string {
  const file = node.getSourceFile();
  const { line } = file.getLineAndCharacterOfPosition(node.getStart(file));
  return `${file.fileName.replace(DIST, 'dist/')}:${line + 1}: ${node.getText(file)}`;
}

function describeDiagnostic({ file, start, messageText }: ts.Diagnostic): string {
  const text = ts.flattenDiagnosticMessageText(messageText, '\n');
  if (!file) return text;
  const { line } = file.getLineAndCharacterOfPosition(start ?? 0);
  return `${file.fileName.replace(DIST, 'dist/')}:${line + 1}: ${text}`;
}
