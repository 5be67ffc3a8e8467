/**
 * What is changed in cells, and in files that they import, on the way from TypeScript to JavaScript. Hides the compiler
 * host's programs; the last one is kept for who asks about names.
 */
import type * as TypeScript from '@tslab/typescript-for-tslab';
import { guardAwaits } from './await-guard';
import { expandShorthands, resolveToValues } from './shorthand';
import type { TypeScriptApi } from './tslab';

type Host = TypeScript.WatchCompilerHostOfFilesAndCompilerOptions<TypeScript.BuilderProgram>;

export class Emission {
  private last: TypeScript.BuilderProgram | undefined;

  /** Makes every program of the host emit with our transformations. */
  install(ts: TypeScriptApi, host: Host): void {
    const { createProgram } = host;
    host.createProgram = (...args) => {
      const builder = createProgram(...args);
      const { emit } = builder;
      builder.emit = (file, write, token, onlyDeclarations, transformers) => {
        resolveToValues(ts, builder.getProgram().getTypeChecker());
        const before = [...(transformers?.before ?? []), expandShorthands(ts), guardAwaits(ts)];
        return emit.call(builder, file, write, token, onlyDeclarations, { ...transformers, before });
      };
      this.last = builder;
      return builder;
    };
  }

  /** The program of the latest cell, completion or inspection. */
  get program(): TypeScript.Program | undefined {
    return this.last?.getProgram();
  }
}
