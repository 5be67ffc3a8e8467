/** The device tests as JavaScript, with what they share with others. Knows the tests' folder, no bundle. */
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import ts from 'typescript';

/** Copies the device tests of `root` into `target`/test, beside dist: they import from `src`, which is `dist` there. */
export function copyTests(root, target) {
  const from = join(root, 'test', 'device');
  cpSync(from, join(target, 'test', 'device'), { recursive: true, filter: (path) => !path.endsWith('.ts') });
  const waiting = readdirSync(from)
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(from, name));
  const seen = new Set(waiting);
  for (const path of waiting) {
    const source = readFileSync(path, 'utf8');
    for (const { fileName } of ts.preProcessFile(source).importedFiles) {
      const imported = `${resolve(dirname(path), fileName)}.ts`;
      if (!fileName.startsWith('.') || relative(join(root, 'test'), imported).startsWith('..') || seen.has(imported))
        continue;
      seen.add(imported);
      waiting.push(imported);
    }
    const { outputText } = ts.transpileModule(source, {
      compilerOptions: { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022, esModuleInterop: true },
    });
    const place = join(target, relative(root, path).replace(/\.ts$/, '.js'));
    mkdirSync(dirname(place), { recursive: true });
    writeFileSync(place, outputText.replaceAll('../../src/', '../../dist/'));
  }
}
