/**
 * The compiler of cells: tslab's converter with options that fit today's packages, modules found from any folder, few
 * file watchers, and source maps kept for stack traces. Hides TypeScript's hosts. Runs nothing.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type * as TypeScript from '@tslab/typescript-for-tslab';
import { awaitsAtTop } from './await-guard';
import { Emission } from './emission';
import { packageName, packageRoot, packageTypes } from './package-paths';
import { composeMaps, dropMapComment, type PositionMapper, splitInlineMap } from './source-map';
import {
  type Converter,
  type ConvertResult,
  type Diagnostic,
  loadTslab,
  type Tslab,
  type TypeScriptApi,
} from './tslab';

/** Lines that stand before a cell's own text in the script that runs; see {@link CellCompiler.wrapped}. */
const SCRIPT_LINES_BEFORE = 1;
/** tslab compiles a cell below one line of its own. */
const SOURCE_LINES_BEFORE = 1;
/** tslab's virtual file of what earlier cells declared. */
const EARLIER_DECLARATIONS = '/__prev__.d.ts';

/** Runs a function that mustn't be left half way. */
export type Protect = <T>(f: () => T) => T;

export class CellCompiler {
  readonly tslab: Tslab;
  /** tslab's converter as its executor is to see it. */
  readonly wrapped: Converter;
  /** Diagnostics of the last conversion; empty after a clean one. */
  diagnostics: readonly Diagnostic[] = [];
  private readonly emission = new Emission();
  private readonly inner: Converter;
  private readonly mapsByCode = new Map<string, PositionMapper>();
  private readonly mappers = new Map<string, PositionMapper>();
  private scriptName = '';
  private prepared: ConvertResult | undefined;
  private declared: string | undefined;
  /** What stands in for the executor's own idea of what is declared. */
  private kept: string | undefined;

  /**
   * Relative imports start from the process's folder: the notebook's.
   *
   * @param declarations makes what the first cell will find declared; so the first program has read its files already
   * @param protect keeps the compiler, whose state spans cells, from being terminated half way
   */
  constructor(declarations: (ts: TypeScriptApi) => string, protect: Protect = (f) => f()) {
    let starting = true;
    this.tslab = loadTslab({
      compilerOptions: (options) => ({ ...cellOptions(options), rootDir: this.emission.rootDir }),
      system: (system, ts) => {
        quietSystem(system);
        const first = declarations(ts);
        const { readFile } = system;
        system.readFile = (path, encoding) => {
          const content = readFile(path, encoding);
          return starting && path.endsWith(EARLIER_DECLARATIONS) ? `${content}${first}` : content;
        };
      },
      host: (host, ts) => {
        resolveFromAnywhere(ts, host);
        this.emission.install(ts, host);
      },
      transpile: (real) => this.transpileKeepingMaps(real),
    });
    this.inner = this.tslab.createConverter({ isJS: false, isBrowser: false });
    starting = false;
    const { inner } = this;
    this.wrapped = {
      ...inner,
      convert: (earlier, source) => protect(() => this.convert(this.kept ?? earlier, source)),
      complete: (earlier, source, position) => protect(() => inner.complete(this.kept ?? earlier, source, position)),
      inspect: (earlier, source, position) => protect(() => inner.inspect(this.kept ?? earlier, source, position)),
      addModule: (name, source, meta) => protect(() => inner.addModule(name, source, meta)),
    };
  }

  /** Names the script of the next conversion; stack frames carry this name. No blanks. */
  beginScript(name: string): void {
    this.scriptName = name;
    this.diagnostics = [];
  }

  /** The next conversion has this result, whatever its source: a hidden cell needs no compiler. */
  prepare(output: string, declarations: string, lastExpressionVar: string): void {
    this.prepared = { output, declOutput: declarations, lastExpressionVar, diagnostics: [], hasToplevelAwait: false };
  }

  /**
   * Keeps what the last conversion declared, though its cell has failed: the executor forgets it, and with it variables
   * that were assigned, while their older namesakes are overwritten all the same.
   */
  keepDeclarations(): void {
    this.kept = this.declared ?? this.kept;
  }

  /** The executor is up to date again. */
  followDeclarations(): void {
    this.kept = undefined;
  }

  /** The way from a position in a script or an imported .ts file to its source; undefined for foreign files. */
  mapper(scriptName: string): PositionMapper | undefined {
    return this.mappers.get(scriptName);
  }

  /** Every module that the source imports, statically or by `import()`. */
  importsOf(source: string): string[] {
    return this.tslab.ts.preProcessFile(source, true, true).importedFiles.map((file) => file.fileName);
  }

  /** The program of the last conversion, completion or inspection. */
  get program(): TypeScript.Program | undefined {
    return this.emission.program;
  }

  close(): void {
    this.inner.close();
  }

  private convert(declarations: string, source: string): ConvertResult {
    const { prepared } = this;
    this.prepared = undefined;
    if (prepared) return prepared;
    this.mapsByCode.clear();
    const converted = this.inner.convert(declarations, source);
    const sideOutputs = converted.sideOutputs?.map(({ path, data }) => ({ path: this.emission.placeOf(path), data }));
    const hasToplevelAwait = converted.hasToplevelAwait || awaitsAtTop(this.tslab.ts, source);
    const result = { ...converted, sideOutputs, hasToplevelAwait };
    this.diagnostics = this.inCell(result.diagnostics, source);
    this.declared = result.declOutput;
    for (const { path, data } of result.sideOutputs ?? []) {
      const map = this.mapsByCode.get(data);
      if (map) this.mappers.set(path, map);
    }
    if (!result.output) return result;
    const map = this.mapsByCode.get(result.output);
    if (map) this.mappers.set(this.scriptName, cellMapper(map, result.output.split('\n').length));
    // The executor puts its function head on the first line: an empty one keeps the cell's columns as they are.
    return { ...result, output: `\n${result.output}\n//# sourceURL=${this.scriptName}` };
  }

  /**
   * tslab appends a line of exports to a cell, and with an unclosed bracket it's that line that TypeScript complains
   * about. Then the syntax errors of the cell alone are what the user can read.
   */
  private inCell(diagnostics: readonly Diagnostic[], source: string): readonly Diagnostic[] {
    const numLines = source.split('\n').length;
    if (!diagnostics.some(({ start, fileName }) => fileName === undefined && start.line >= numLines))
      return diagnostics;
    const { ts } = this.tslab;
    const file = ts.createSourceFile('cell.ts', source, ts.ScriptTarget.Latest);
    const { parseDiagnostics } = file as unknown as { parseDiagnostics: readonly TypeScript.DiagnosticWithLocation[] };
    const position = (offset: number) => ({ offset, ...file.getLineAndCharacterOfPosition(offset) });
    const errors = parseDiagnostics.map(
      ({ start, length, messageText, category, code }): Diagnostic => ({
        start: position(start),
        end: position(start + length),
        messageText: ts.flattenDiagnosticMessageText(messageText, '\n'),
        category,
        code,
      }),
    );
    return errors.length > 0 ? errors : diagnostics;
  }

  private transpileKeepingMaps(real: TypeScriptApi['transpileModule']): TypeScriptApi['transpileModule'] {
    return (input, options) => {
      const { code, map } = splitInlineMap(input);
      if (!map) return real(input, options);
      const result = real(code, { ...options, compilerOptions: { ...options.compilerOptions, sourceMap: true } });
      const outputText = dropMapComment(result.outputText);
      this.mapsByCode.set(outputText, composeMaps(JSON.parse(result.sourceMapText as string), map as never));
      return { ...result, outputText };
    };
  }
}

function cellOptions(options: TypeScript.CompilerOptions): TypeScript.CompilerOptions {
  const nodeTypes = dirname(dirname(require.resolve('@types/node/package.json')));
  return {
    ...options,
    // Bundler: packages with an `exports` map only are found too.
    moduleResolution: 100 satisfies TypeScript.ModuleResolutionKind.Bundler,
    lib: ['lib.es2023.d.ts'],
    // The user's own @types/node first; no other ambient package slows the start.
    types: ['node'],
    typeRoots: [...(options.typeRoots ?? []), nodeTypes],
    strict: true,
    noImplicitAny: false,
    useUnknownInCatchVariables: false,
    inlineSourceMap: true,
  };
}

/** Positions of a running script to those in the cell's text. */
function cellMapper(map: PositionMapper, numLines: number): PositionMapper {
  return ({ line, column }) => {
    // What follows the cell's own code is the executor's call of it.
    if (line > numLines + SCRIPT_LINES_BEFORE) return undefined;
    const source = map({ line: line - SCRIPT_LINES_BEFORE, column });
    if (!source || source.line <= SOURCE_LINES_BEFORE) return undefined;
    return { line: source.line - SOURCE_LINES_BEFORE, column: source.column };
  };
}

/**
 * Watches the user's own sources alone. A program has some 150 library files; one inotify handle for each slows the
 * start and, with many kernels at once, runs into the system's limit.
 */
function quietSystem(system: TypeScript.System): void {
  const watchFile = system.watchFile;
  const nothing: TypeScript.FileWatcher = { close: () => undefined };
  system.watchFile = (path, callback, interval, options) => {
    return isLibrary(path) || !watchFile ? nothing : watchFile(path, callback, interval, options);
  };
  system.watchDirectory = () => nothing;
}

type Host = TypeScript.WatchCompilerHostOfFilesAndCompilerOptions<TypeScript.BuilderProgram>;

/**
 * Finds a module from the importing file, then among this package's own dependencies; `warpbook` is always this very
 * package. For cells and the user's files successes alone are remembered: a package may be installed, and a file
 * written, while the kernel runs. What libraries import is looked up once.
 */
function resolveFromAnywhere(ts: TypeScriptApi, host: Host): void {
  const found = new Map<string, TypeScript.ResolvedModuleWithFailedLookupLocations>();
  const own = join(packageRoot, 'dist', 'index.d.ts');
  const caseSensitive = (name: string): string => name;
  let libraries: TypeScript.ModuleResolutionCache | undefined;
  const resolve = (name: string, from: string, options: TypeScript.CompilerOptions) => {
    if (name === packageName && existsSync(packageTypes)) return library(ts, packageTypes);
    if (name.startsWith(`${packageName}/`)) {
      return ts.resolveModuleName(join(packageRoot, name.slice(packageName.length + 1)), own, options, host);
    }
    const first = ts.resolveModuleName(name, from, options, host);
    return first.resolvedModule || name.startsWith('.') ? first : ts.resolveModuleName(name, own, options, host);
  };
  host.resolveModuleNameLiterals = (literals, containingFile, redirected, options) =>
    literals.map(({ text }) => {
      if (isLibrary(containingFile)) {
        libraries ??= ts.createModuleResolutionCache(packageRoot, caseSensitive, options);
        return ts.resolveModuleName(text, containingFile, options, host, libraries, redirected);
      }
      const key = `${dirname(containingFile)}\0${text}`;
      const known = found.get(key);
      if (known) return known;
      const result = resolve(text, containingFile, options);
      if (result.resolvedModule && !text.startsWith('.')) found.set(key, result);
      return result;
    });
  // Without this every import of every library is resolved anew for each cell.
  host.hasInvalidatedResolutions = (path) => !isLibrary(path);
}

/** Declarations of packages and of TypeScript itself; tslab's file of earlier cells' declarations is none. */
function isLibrary(path: string): boolean {
  return path.includes('/node_modules/') || (path.endsWith('.d.ts') && !path.endsWith(EARLIER_DECLARATIONS));
}

function library(ts: TypeScriptApi, file: string): TypeScript.ResolvedModuleWithFailedLookupLocations {
  return { resolvedModule: { resolvedFileName: file, extension: ts.Extension.Dts, isExternalLibraryImport: true } };
}
