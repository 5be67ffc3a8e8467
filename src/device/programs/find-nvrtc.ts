/**
 * Where NVRTC and the headers that kernels include are: in CUDA_HOME, on the loader's own path, in the usual folder of the
 * toolkit, or in a Python environment's `nvidia-*` wheels. Looks at files alone, until one is to be opened.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { WarpbookError } from '../../errors';
import { loadAddon } from '../../native/load';

/** An NVRTC that loads. */
export interface Nvrtc {
  /** Path, or a name for the system's loader. */
  readonly library: string;
  readonly version: readonly [major: number, minor: number];
  /** Folders with CUDA's headers, for `--include-path`; empty where none were found. */
  readonly includeFolders: readonly string[];
  /** What led to it, such as `CUDA_HOME`. */
  readonly origin: string;
}

/** A place that was looked at and has no usable NVRTC. */
export interface Missed {
  readonly origin: string;
  /** What is wrong, in a few words. */
  readonly problem: string;
}

export interface NvrtcSearch {
  readonly nvrtc: Nvrtc | undefined;
  /** Places that were looked at before, in order. */
  readonly missed: readonly Missed[];
}

/** Headers that kernels may include; the last two lie in a folder of their own since CUDA 13. */
export const CUDA_HEADERS: readonly string[] = ['cuda_fp16.h', 'cuda_bf16.h', 'cuda_fp8.h', 'cuda/std/cstdint'];

const LIBRARY_NAMES = ['libnvrtc.so.13', 'libnvrtc.so.12'];
const TOOLKIT_LIBRARY_FOLDERS = ['lib64', 'lib', 'targets/x86_64-linux/lib', 'targets/sbsa-linux/lib'];

interface Candidate {
  readonly origin: string;
  readonly libraryFolders: readonly string[];
  readonly includeFolders: readonly string[];
}

/**
 * The first NVRTC that loads and that `accept` takes (default: any), in the order of the file head. `environment` is
 * `process.env` but for tests.
 */
export function findNvrtc(
  accept: (version: readonly [number, number]) => string | undefined = () => undefined,
  environment: NodeJS.ProcessEnv = process.env,
): NvrtcSearch {
  const missed: Missed[] = [];
  for (const candidate of candidates(environment)) {
    const libraries = candidate.libraryFolders.flatMap((folder) =>
      folder === ''
        ? LIBRARY_NAMES
        : LIBRARY_NAMES.map((name) => join(folder, name)).filter((path) => existsSync(path)),
    );
    if (libraries.length === 0) missed.push({ origin: candidate.origin, problem: 'no libnvrtc.so.13 or .12' });
    for (const library of libraries) {
      try {
        const version = loadAddon().nvrtc_version(library);
        const refused = accept(version);
        if (refused === undefined) {
          const includeFolders = withCccl(candidate.includeFolders.filter((folder) => existsSync(folder)));
          return { nvrtc: { library, version, includeFolders, origin: candidate.origin }, missed };
        }
        missed.push({ origin: candidate.origin, problem: refused });
      } catch (error) {
        if ((error as WarpbookError).code !== 'UNSUPPORTED') throw error;
        const problem = library.includes('/') ? (error as Error).message : `${library} is not there`;
        missed.push({ origin: candidate.origin, problem });
      }
    }
  }
  return { nvrtc: undefined, missed };
}

/** The headers of {@link CUDA_HEADERS} that none of the folders has. */
export function missingHeaders(includeFolders: readonly string[]): string[] {
  return CUDA_HEADERS.filter((header) => !includeFolders.some((folder) => existsSync(join(folder, header))));
}

function* candidates(environment: NodeJS.ProcessEnv): Generator<Candidate> {
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

function toolkit(origin: string, home: string): Candidate {
  const libraryFolders = TOOLKIT_LIBRARY_FOLDERS.map((folder) => join(home, folder));
  return { origin, libraryFolders, includeFolders: [join(home, 'include')] };
}

/** CUDA 13's wheels share one folder, `nvidia/cu13`; those of CUDA 12 have one each. */
function wheels(origin: string, prefix: string): Candidate {
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

/** Since CUDA 13, `cuda/std` and the like lie in `include/cccl`. */
function withCccl(folders: readonly string[]): string[] {
  return folders.flatMap((folder) => [folder, join(folder, 'cccl')].filter((path) => existsSync(path)));
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
