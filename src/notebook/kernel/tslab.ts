/**
 * The few inner interfaces of tslab that the kernel stands on. They are undocumented, so tslab is pinned exactly and a
 * contract test exercises each of them. Everything is loaded on call: the compiler alone takes a quarter of a second.
 */
import { createRequire } from 'node:module';
import type * as TypeScript from '@tslab/typescript-for-tslab';
import type { Converter, ConvertResult, Diagnostic } from 'tslab/dist/converter';
import type { Executor } from 'tslab/dist/executor';

export type { Converter, ConvertResult, Diagnostic, Executor };
export type TypeScriptApi = typeof TypeScript;

/** What a cell's imports, types and last expression pass through on their way into tslab. */
export interface TslabHooks {
  /** Called with the options that tslab chose; returns those to use. */
  compilerOptions(options: TypeScript.CompilerOptions): TypeScript.CompilerOptions;
  /** Called with the system (virtual file system and watchers) that tslab made. */
  system(system: TypeScript.System, ts: TypeScriptApi): void;
  /** Called with the compiler host before the first program is made, and with the compiler's own functions. */
  host(host: TypeScript.WatchCompilerHostOfFilesAndCompilerOptions<TypeScript.BuilderProgram>, ts: TypeScriptApi): void;
  /** Stands in for `ts.transpileModule`, the second step of tslab's emission. */
  transpile(real: TypeScriptApi['transpileModule']): TypeScriptApi['transpileModule'];
}

export interface Tslab {
  readonly ts: TypeScriptApi;
  createConverter(options: { isJS: boolean; isBrowser: boolean }): Converter;
  createExecutor: typeof import('tslab/dist/executor').createExecutor;
  isCompleteCode: typeof import('tslab/dist/converter').isCompleteCode;
  printQuickInfo: typeof import('tslab/dist/inspect').printQuickInfo;
  /** Where `import { display } from 'tslab'` in a cell sends its bundles. */
  setDisplaySink(
    sink: (data: { data: object; metadata: object; transient: { display_id?: string } }, update: boolean) => void,
  ): void;
}

/**
 * Loads tslab with `hooks` in place. tslab hard-codes its compiler options and keeps its host to itself; both are
 * reached by handing it a TypeScript whose two functions are wrapped, for as long as its converter module loads.
 */
export function loadTslab(hooks: TslabHooks): Tslab {
  const from = tslabRequire();
  const ts: TypeScriptApi = from('@tslab/typescript-for-tslab');
  const id = from.resolve('@tslab/typescript-for-tslab');
  const overrides: Partial<Record<string | symbol, unknown>> = {
    createWatchCompilerHost: (
      roots: string[],
      options: TypeScript.CompilerOptions,
      system: TypeScript.System,
      ...rest: []
    ) => {
      hooks.system(system, ts);
      const host = ts.createWatchCompilerHost(roots, hooks.compilerOptions(options), system, ...rest);
      hooks.host(host as never, ts);
      return host;
    },
    transpileModule: hooks.transpile(ts.transpileModule),
  };
  const cached = from.cache[id] as NodeJS.Module;
  cached.exports = new Proxy(ts, { get: (target, name) => overrides[name] ?? Reflect.get(target, name) });
  try {
    const converter: typeof import('tslab/dist/converter') = from('./dist/converter');
    const { createExecutor }: typeof import('tslab/dist/executor') = from('./dist/executor');
    const { printQuickInfo }: typeof import('tslab/dist/inspect') = from('./dist/inspect');
    const jupyter: { lastWriteDisplayData: unknown } = from('./dist/jupyter');
    return {
      ts,
      createConverter: converter.createConverter,
      createExecutor,
      isCompleteCode: converter.isCompleteCode,
      printQuickInfo,
      setDisplaySink: (sink) => {
        jupyter.lastWriteDisplayData = sink;
      },
    };
  } finally {
    cached.exports = ts;
  }
}

function tslabRequire(): NodeJS.Require {
  return createRequire(require.resolve('tslab/package.json'));
}
