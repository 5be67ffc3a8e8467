/**
 * What kernels that launch kernels are linked with: nvJitLink and the device runtime, `libcudadevrt.a`. Looked for where
 * NVRTC is (toolkit-places.ts), when a program needs them and no earlier.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { loadAddon } from '../../native/load';
import { findLibrary, type Missed, toolkitPlaces } from './toolkit-places';

/** See the file head. */
export interface Linker {
  /** Path, or a name for the system's loader. */
  readonly library: string;
  readonly version: readonly [major: number, minor: number];
  /** Path of libcudadevrt.a. */
  readonly deviceRuntime: string;
  /** What led to the library. */
  readonly origin: string;
}

export interface LinkerSearch {
  readonly linker: Linker | undefined;
  /** Places that were looked at, in order, where there is none. */
  readonly missed: readonly Missed[];
}

/** How to get what is missing. */
export const LINKER_REMEDY =
  'Install them (pip install nvidia-nvjitlink nvidia-cuda-runtime, in an active virtual environment), or set CUDA_HOME to a toolkit';

const LIBRARY_NAMES = ['libnvJitLink.so.13', 'libnvJitLink.so.12'];
const DEVICE_RUNTIME = 'libcudadevrt.a';
/** Where Linux distributions keep static libraries; the loader's path leads to none. */
const SYSTEM_ARCHIVE_FOLDERS = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib64'];

/**
 * A linker for images that NVRTC `compiler` made, which an older nvJitLink doesn't read. `environment` is `process.env` but
 * for tests.
 */
export function findLinker(
  compiler: readonly [major: number, minor: number],
  environment: NodeJS.ProcessEnv = process.env,
): LinkerSearch {
  const { found, missed } = findLibrary(
    LIBRARY_NAMES,
    (library) => loadAddon().nvjitlink_version(library),
    ({ version: [major, minor] }) =>
      major === compiler[0] && minor >= compiler[1]
        ? undefined
        : `nvJitLink ${major}.${minor} does not read what NVRTC ${compiler.join('.')} compiles`,
    environment,
  );
  if (!found) return { linker: undefined, missed };
  const { library, version, place } = found;
  const folders = [place, ...toolkitPlaces(environment)]
    .flatMap(({ libraryFolders }) => libraryFolders)
    .flatMap((folder) => (folder === '' ? SYSTEM_ARCHIVE_FOLDERS : [folder]));
  const deviceRuntime = folders.map((folder) => join(folder, DEVICE_RUNTIME)).find((path) => existsSync(path));
  if (deviceRuntime === undefined) {
    return { linker: undefined, missed: [...missed, { origin: place.origin, problem: `no ${DEVICE_RUNTIME}` }] };
  }
  return { linker: { library, version, deviceRuntime, origin: place.origin }, missed };
}
