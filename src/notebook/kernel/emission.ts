/**
 * What is changed in cells, and in files that they import, on the way from TypeScript to JavaScript. Hides the compiler
 * host's programs; the last one is kept for who asks about names. Also where emitted files go: tslab takes none from
 * outside the notebook's folder, though a project's `src` lies beside it.
 */
import { join, parse, relative } from 'node:path';
import type * as TypeScript from '@tslab/typescript-for-tslab';
import { guardAwaits } from './await-guard';
import { expandShorthands, resolveToValues } from './shorthand';
import type { TypeScriptApi } from './tslab';

type Host = TypeScript.WatchCompilerHostOfFilesAndCompilerOptions<TypeScript.BuilderProgram>;

/** Where tslab thinks that files from outside the notebook's folder lie. */
const OUTSIDE = '__outside__';

export class Emission {
  private last: TypeScript.BuilderProgram | undefined;
  private readonly folder = process.cwd();
  /** Everything is below the compiler's root, so that it takes files from anywhere. */
  readonly rootDir: string = parse(this.folder).root;

  /** Makes every program of the host emit with our transformations. */
  install(ts: TypeScriptApi, host: Host): void {
    const { createProgram } = host;
    host.createProgram = (...args) => {
      const builder = createProgram(...args);
      const { emit } = builder;
      builder.emit = (file, write, token, onlyDeclarations, transformers) => {
        resolveToValues(ts, builder.getProgram().getTypeChecker());
        const before = [...(transformers?.before ?? []), expandShorthands(ts), guardAwaits(ts)];
        const { outDir = '' } = builder.getCompilerOptions();
        const rename: TypeScript.WriteFileCallback = (name, ...rest) =>
          write?.(this.nameForTslab(outDir, name), ...rest);
        return emit.call(builder, file, rename, token, onlyDeclarations, { ...transformers, before });
      };
      this.last = builder;
      return builder;
    };
  }

  /** Where a file lies that tslab emitted to `path`. */
  placeOf(path: string): string {
    const outside = join(this.folder, OUTSIDE);
    return path.startsWith(`${outside}/`) ? join(this.rootDir, path.slice(outside.length + 1)) : path;
  }

  /** An emitted file's name as it would be with the notebook's folder for a root. */
  private nameForTslab(outDir: string, name: string): string {
    const fromRoot = relative(outDir, name);
    const fromFolder = relative(this.folder, join(this.rootDir, fromRoot));
    return join(outDir, fromFolder.startsWith('..') ? join(OUTSIDE, fromRoot) : fromFolder);
  }

  /** The program of the latest cell, completion or inspection. */
  get program(): TypeScript.Program | undefined {
    return this.last?.getProgram();
  }
}
