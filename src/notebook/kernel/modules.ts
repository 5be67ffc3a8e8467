/**
 * What `require` finds for a cell: `warpbook` is this very package from any folder, its dependencies serve where the
 * notebook's own folder has none, and ES modules are loaded natively ahead of the cell (a cell's imports become
 * `require`, which refuses packages with a top-level await or with an `import` condition only).
 */
import { readFileSync } from 'node:fs';
import Module, { createRequire, isBuiltin } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import vm from 'node:vm';
import { packageEntry, packageName, packageRoot } from './package-paths';

interface ModuleInternals {
  _load(request: string, parent: NodeJS.Module | undefined, isMain: boolean): unknown;
  _resolveFilename(
    request: string,
    parent: NodeJS.Module | undefined,
    isMain: boolean,
    options?: { paths?: string[] },
  ): string;
}

type Loaded = { readonly exports: unknown } | { readonly error: unknown };

export class CellModules {
  private readonly root: string;
  private readonly native = new Map<string, Loaded>();
  private nativeImport: ((specifier: string) => Promise<Record<string, unknown>>) | undefined;

  constructor(root: string) {
    this.root = root;
  }

  /** Puts the hooks in place, for this process's lifetime. Modules inside node_modules aren't concerned. */
  install(): void {
    const internals = Module as unknown as ModuleInternals;
    const { _load: load, _resolveFilename: resolveFilename } = internals;
    internals._load = (request, parent, isMain) => {
      const loaded = isForeign(parent) ? undefined : this.native.get(request);
      if (!loaded) return load.call(Module, request, parent, isMain);
      if ('error' in loaded) throw loaded.error;
      return loaded.exports;
    };
    internals._resolveFilename = (request, parent, isMain, options) => {
      if (request === packageName) return packageEntry;
      if (request.startsWith(`${packageName}/`)) {
        return resolveFilename.call(Module, join(packageRoot, request.slice(packageName.length + 1)), parent, isMain);
      }
      try {
        return resolveFilename.call(Module, request, parent, isMain, options);
      } catch (error) {
        if (isForeign(parent) || !isBare(request) || codeOf(error) !== 'MODULE_NOT_FOUND') throw error;
        try {
          return resolveFilename.call(Module, request, parent, isMain, { paths: [packageRoot] });
        } catch {
          throw error;
        }
      }
    };
  }

  /** Loads natively those of `specifiers` that are ES modules. What fails throws when the cell requires it. */
  async prepare(specifiers: readonly string[]): Promise<void> {
    // A package may be installed or mended while the kernel runs: what failed is tried anew in the next cell.
    for (const [specifier, loaded] of this.native) if ('error' in loaded) this.native.delete(specifier);
    for (const specifier of specifiers) {
      if (!isBare(specifier) || this.native.has(specifier) || specifier === packageName) continue;
      const target = this.esModule(specifier);
      if (target === undefined) continue;
      try {
        this.native.set(specifier, { exports: interop(await this.import(target)) });
      } catch (error) {
        this.native.set(specifier, { error });
      }
    }
  }

  /** What to import natively: a file's URL, or the specifier where only its `import` condition leads anywhere. */
  private esModule(specifier: string): string | undefined {
    let file: string;
    try {
      file = createRequire(join(this.root, 'cell.js')).resolve(specifier);
    } catch (error) {
      return codeOf(error) === 'ERR_PACKAGE_PATH_NOT_EXPORTED' ? specifier : undefined;
    }
    const isModule = file.endsWith('.mjs') || (file.endsWith('.js') && packageTypeOf(file) === 'module');
    return isModule ? pathToFileURL(file).href : undefined;
  }

  private import(target: string): Promise<Record<string, unknown>> {
    if (target.startsWith('file:')) return import(target);
    this.nativeImport ??= withoutWarnings(() =>
      vm.runInThisContext('(specifier) => import(specifier)', {
        filename: join(this.root, 'cell.js'),
        importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
      }),
    );
    return (this.nativeImport as (specifier: string) => Promise<Record<string, unknown>>)(target);
  }
}

/** A module's namespace as `require` would give it, so that `import x from` finds the default export. */
function interop(namespace: Record<string, unknown>): unknown {
  return '__esModule' in namespace ? namespace : { __esModule: true, ...namespace };
}

function packageTypeOf(file: string): string | undefined {
  for (let folder = dirname(file); folder !== dirname(folder); folder = dirname(folder)) {
    try {
      return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).type;
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') return undefined;
    }
  }
  return undefined;
}

function isBare(specifier: string): boolean {
  return !/^(\.|\/|[A-Za-z]:\\|node:|file:)/.test(specifier) && !isBuiltin(specifier);
}

function isForeign(parent: NodeJS.Module | undefined): boolean {
  return parent?.filename?.includes('node_modules') ?? false;
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code;
}

/** Node calls this loader option experimental, on stderr; a cell's reader can do nothing about that. */
function withoutWarnings<T>(f: () => T): T {
  const { emitWarning } = process;
  process.emitWarning = () => undefined;
  try {
    return f();
  } finally {
    process.emitWarning = emitWarning;
  }
}
