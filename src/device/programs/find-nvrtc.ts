/** The NVRTC to compile with, and the headers that kernels include; toolkit-places.ts knows where to look. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { loadAddon } from '../../native/load';
import { findLibrary, type Missed } from './toolkit-places';

export type { Missed } from './toolkit-places';

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

export interface NvrtcSearch {
  readonly nvrtc: Nvrtc | undefined;
  /** Places that were looked at before, in order. */
  readonly missed: readonly Missed[];
}

/** Headers that kernels may include; the last two lie in a folder of their own since CUDA 13. */
export const CUDA_HEADERS: readonly string[] = ['cuda_fp16.h', 'cuda_bf16.h', 'cuda_fp8.h', 'cuda/std/cstdint'];

const LIBRARY_NAMES = ['libnvrtc.so.13', 'libnvrtc.so.12'];

/**
 * The first NVRTC that loads and whose version `refuse` has nothing against (default: any). `environment` is `process.env`
 * but for tests.
 */
export function findNvrtc(
  refuse: (version: readonly [number, number]) => string | undefined = () => undefined,
  environment: NodeJS.ProcessEnv = process.env,
): NvrtcSearch {
  const { found, missed } = findLibrary(
    LIBRARY_NAMES,
    (library) => loadAddon().nvrtc_version(library),
    ({ version }) => refuse(version),
    environment,
  );
  if (!found) return { nvrtc: undefined, missed };
  const { library, version, place } = found;
  const includeFolders = withCccl(place.includeFolders.filter((folder) => existsSync(folder)));
  return { nvrtc: { library, version, includeFolders, origin: place.origin }, missed };
}

/** The headers of {@link CUDA_HEADERS} that none of the folders has. */
export function missingHeaders(includeFolders: readonly string[]): string[] {
  return CUDA_HEADERS.filter((header) => !includeFolders.some((folder) => existsSync(join(folder, header))));
}

/** Since CUDA 13, `cuda/std` and the like lie in `include/cccl`. */
function withCccl(folders: readonly string[]): string[] {
  return folders.flatMap((folder) => [folder, join(folder, 'cccl')].filter((path) => existsSync(path)));
}
