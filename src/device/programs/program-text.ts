/** The text of a program: its file, what that includes from our own kernels, and the key that stands for all of it. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { WarpbookError } from '../../errors';
import type { ProgramSource } from './program-source';

/** CUDA C++ sources, shipped as text; both src/device/programs and dist/device/programs lie three levels below the root. */
export const KERNELS_FOLDER: string = join(__dirname, '..', '..', '..', 'native', 'kernels');

/** What NVRTC gets besides architecture, folders and definitions. */
const STANDARD_OPTIONS = ['--std=c++17', '--ptxas-options=-v'];

export interface ProgramText {
  /** Of the file itself. */
  readonly text: string;
  /** Options for NVRTC that do not depend on the machine. */
  readonly options: readonly string[];
  /** sha256 over file, includes, options and architecture, hexadecimal. */
  readonly key: string;
}

/** Reads a program; throws `FILE_NOT_FOUND` for a file that isn't there. `folder` is that of the kernels. */
export function readProgram(source: ProgramSource, architecture: string, folder: string = KERNELS_FOLDER): ProgramText {
  const files = new Map<string, string>();
  collect(source.file, folder, files, source.name);
  const defines = Object.entries(source.defines).sort(([a], [b]) => (a < b ? -1 : 1));
  const options = [
    ...STANDARD_OPTIONS,
    `--gpu-architecture=${architecture}`,
    ...defines.map(([name, value]) => `--define-macro=${name}=${value}`),
    ...(source.options?.compilerOptions ?? []),
  ];
  const hash = createHash('sha256');
  hash.update(JSON.stringify([source.entry, options, [...files].sort(([a], [b]) => (a < b ? -1 : 1))]));
  return { text: files.get(normalize(source.file)) as string, options, key: hash.digest('hex') };
}

/** The file and, through `#include "…"`, those of our own; CUDA's headers are part of the compiler's version. */
function collect(file: string, folder: string, files: Map<string, string>, program: string): void {
  const name = normalize(file);
  if (files.has(name)) return;
  const path = join(folder, name);
  if (!existsSync(path)) {
    throw new WarpbookError(
      'FILE_NOT_FOUND',
      `Got program '${program}' of ${path}, which is not there; install warpbook again.`,
    );
  }
  const text = readFileSync(path, 'utf8');
  files.set(name, text);
  for (const [, included] of text.matchAll(/^[ \t]*#[ \t]*include[ \t]*"([^"]+)"/gm)) {
    // As the compiler: beside the including file first, then from the kernels' own folder.
    const found = [join(dirname(name), included), included].find((candidate) => existsSync(join(folder, candidate)));
    if (found !== undefined) collect(found, folder, files, program);
  }
}
