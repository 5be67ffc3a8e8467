/**
 * Compiled programs on disk: the user's own cache, which is written, and the one that a package ships, which is only read.
 *
 * A file is `<architecture>/<key>-nvrtc<major>.<minor>.cubin`, with what the compiler said beside it (`.json`). Files
 * appear by rename, so readers never see half of one and concurrent writers do no harm.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import type { KernelResources } from './resources';

export type NvrtcVersion = readonly [major: number, minor: number];

/** A program as compiled. */
export interface CompiledProgram {
  /** The cubin. */
  readonly image: Uint8Array;
  readonly log: string;
  /** Undefined where the log tells none. */
  readonly resources: KernelResources | undefined;
  /** What the job's name expressions became in the image, and for people; in their order. */
  readonly names: readonly { readonly lowered: string; readonly readable: string }[];
}

/** Kernels that a package ships; three levels below the root, as KERNELS_FOLDER. */
export const PREBUILT_FOLDER: string = join(__dirname, '..', '..', '..', 'prebuilt');

/** The user's cache: WARPBOOK_CACHE, or `warpbook` in the system's folder of caches. */
export function userCacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  if (environment.WARPBOOK_CACHE) return join(environment.WARPBOOK_CACHE, 'kernels');
  return join(environment.XDG_CACHE_HOME || join(homedir(), '.cache'), 'warpbook', 'kernels');
}

/** See the file head. */
export class ProgramCache {
  /** @param folders to look into, in order; the first one is written */
  constructor(readonly folders: readonly string[] = [userCacheFolder(), PREBUILT_FOLDER]) {}

  /** The program compiled by exactly `version`; or, without one, by the newest that `accept` takes. */
  find(
    architecture: string,
    key: string,
    version: NvrtcVersion | ((version: NvrtcVersion) => boolean),
  ): CompiledProgram | undefined {
    for (const folder of this.folders) {
      const base = join(folder, architecture);
      const found = typeof version === 'function' ? newest(base, key, version) : fileName(key, version);
      if (found === undefined) continue;
      const program = read(join(base, found));
      if (program) return program;
    }
    return undefined;
  }

  /** Writes to the first folder; answers with the path. */
  store(architecture: string, key: string, version: NvrtcVersion, name: string, program: CompiledProgram): string {
    const path = join(this.folders[0], architecture, fileName(key, version));
    mkdirSync(dirname(path), { recursive: true });
    const { resources, names, log } = program;
    const about = { name, architecture, nvrtc: version.join('.'), resources, names, log };
    writeWhole(sidecar(path), `${JSON.stringify(about, undefined, 2)}\n`);
    writeWhole(path, program.image);
    return path;
  }

  /** Deletes from the first folder what has another key than these, for one architecture. */
  retain(architecture: string, keys: ReadonlySet<string>): void {
    const folder = join(this.folders[0], architecture);
    for (const name of list(folder)) {
      if (!keys.has(name.split('-')[0])) rmSync(join(folder, name));
    }
  }

  /** Number of compiled programs by folder and architecture. */
  count(): { folder: string; architecture: string; programs: number }[] {
    return this.folders.flatMap((folder) =>
      list(folder).map((architecture) => ({
        folder,
        architecture,
        programs: list(join(folder, architecture)).filter((name) => name.endsWith('.cubin')).length,
      })),
    );
  }
}

function fileName(key: string, version: NvrtcVersion): string {
  return `${key}-nvrtc${version.join('.')}.cubin`;
}

function newest(folder: string, key: string, accept: (version: NvrtcVersion) => boolean): string | undefined {
  const versions = list(folder).flatMap((name): NvrtcVersion[] => {
    const match = /^([0-9a-f]+)-nvrtc(\d+)\.(\d+)\.cubin$/.exec(name);
    return match && match[1] === key ? [[Number(match[2]), Number(match[3])]] : [];
  });
  const best = versions.filter(accept).sort((a, b) => b[0] - a[0] || b[1] - a[1])[0];
  return best && fileName(key, best);
}

function list(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).sort() : [];
}

/** Undefined for a file that is not there, or was cut short by a full disk. */
function read(path: string): CompiledProgram | undefined {
  if (!existsSync(path) || !existsSync(sidecar(path))) return undefined;
  const image = new Uint8Array(readFileSync(path));
  if (image.byteLength === 0) return undefined;
  const about = JSON.parse(readFileSync(sidecar(path), 'utf8')) as Omit<CompiledProgram, 'image'>;
  return { image, log: about.log, resources: about.resources, names: about.names };
}

function sidecar(path: string): string {
  return path.replace(/\.cubin$/, '.json');
}

function writeWhole(path: string, content: string | Uint8Array): void {
  const unfinished = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  try {
    writeFileSync(unfinished, content);
    renameSync(unfinished, path);
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw error;
  }
}
