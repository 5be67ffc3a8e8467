/**
 * Where CUDA's compiler libraries and headers may be: in CUDA_HOME, on the loader's own path, in the usual folder of the
 * toolkit, or in a Python environment's `nvidia-*` wheels. Looks at files alone; opening a library is the caller's business.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { WarpbookError } from '../../errors';

/** One place of the file head. */
export interface ToolkitPlace {
  /** What leads there, such as `CUDA_HOME=/usr/local/cuda`. */
  readonly origin: string;
  /** '' stands for the loader's own path. */
  readonly libraryFolders: readonly string[];
  readonly includeFolders: readonly string[];
}

/** A place that was looked at and has no usable library. */
export interface Missed {
  readonly origin: string;
  /** What is wrong, in a few words. */
  readonly problem: string;
}

/** A library that loads and is wanted. */
export interface FoundLibrary {
  /** Path, or a name for the system's loader. */
  readonly library: string;
  readonly version: readonly [major: number, minor: number];
  readonly place: ToolkitPlace;
}

const TOOLKIT_LIBRARY_FOLDERS = ['lib64', 'lib', 'targets/x86_64-linux/lib', 'targets/sbsa-linux/lib'];

/**
 * The first library of one of `names` that `versionOf` can open and `refuse` has nothing against, with the places that were
 * looked at before. `versionOf` throws `UNSUPPORTED` for a library that doesn't load.
 */
export function findLibrary(
  names: readonly string[],
  versionOf: (library: string) => readonly [number, number],
  refuse: (found: FoundLibrary) => string | undefined,
  environment: NodeJS.ProcessEnv,
): { found: FoundLibrary | undefined; missed: readonly Missed[] } {
  const missed: Missed[] = [];
  for (const place of toolkitPlaces(environment)) {
    const { origin } = place;
    const libraries = place.libraryFolders.flatMap((folder) =>
      folder === '' ? names : names.map((name) => join(folder, name)).filter((path) => existsSync(path)),
    );
    if (libraries.length === 0) missed.push({ origin, problem: `no ${names.join(' or ')}` });
    for (const library of libraries) {
      try {
        const found = { library, version: versionOf(library), place };
        const problem = refuse(found);
        if (problem === undefined) return { found, missed };
        missed.push({ origin, problem });
      } catch (error) {
        if ((error as WarpbookError).code !== 'UNSUPPORTED') throw error;
        const problem = library.includes('/') ? (error as Error).message : `${library} is not there`;
        missed.push({ origin, problem });
      }
    }
  }
  return { found: undefined, missed };
}

/** Every place, in the order in which they are looked at. */
export function* toolkitPlaces(environment: NodeJS.ProcessEnv): Generator<ToolkitPlace> {
  for (const variable of ['CUDA_HOME', 'CUDA_PATH']) {
    const home = environment[variable];
    if (home) yield toolkit(`${variable}=${home}`, home);
  }
  yield {
    origin: "the loader's path",
    libraryFolders: [''],
    includeFolders: ['/usr/local/cuda/include', '/usr/include'],
  };
  yield toolkit('/usr/local/cuda', '/usr/local/cuda');
  for (const variable of ['VIRTUAL_ENV', 'CONDA_PREFIX']) {
    const prefix = environment[variable];
    if (prefix) yield wheels(`${variable}=${prefix}`, prefix);
  }
  const prefix = pythonPrefix(environment);
  if (prefix !== undefined) yield wheels(`python3's sys.prefix, ${prefix}`, prefix);
}

function toolkit(origin: string, home: string): ToolkitPlace {
  const libraryFolders = TOOLKIT_LIBRARY_FOLDERS.map((folder) => join(home, folder));
  return { origin, libraryFolders, includeFolders: [join(home, 'include')] };
}

/** CUDA 13's wheels share one folder, `nvidia/cu13`; those of CUDA 12 have one each. */
function wheels(origin: string, prefix: string): ToolkitPlace {
  const roots = subfolders(join(prefix, 'lib'))
    .filter((name) => name.startsWith('python3'))
    .map((name) => join(prefix, 'lib', name, 'site-packages', 'nvidia'));
  const folders = roots.flatMap((root) => subfolders(root).map((name) => join(root, name)));
  return {
    origin,
    libraryFolders: folders.map((folder) => join(folder, 'lib')),
    includeFolders: folders.map((folder) => join(folder, 'include')),
  };
}

function subfolders(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).sort().reverse() : [];
}

function pythonPrefix(environment: NodeJS.ProcessEnv): string | undefined {
  try {
    return execFileSync('python3', ['-c', 'import sys; print(sys.prefix)'], {
      env: environment,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 10_000,
    }).trim();
  } catch {
    return undefined; // No Python: then it has no wheels either.
  }
}
