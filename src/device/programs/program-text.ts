/** The text of a program and what that includes from our own kernels, as a job for the compiler. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { WarpbookError } from '../../errors';
import { type CompileJob, compilerOptions, makeJob } from './compile-job';
import type { ProgramSource } from './program-source';

/** CUDA C++ sources, shipped as text; both src/device/programs and dist/device/programs lie three levels below the root. */
export const KERNELS_FOLDER: string = join(__dirname, '..', '..', '..', 'native', 'kernels');

/** Whether a program is linked with CUDA's device runtime, which takes nvJitLink. */
export function linksDeviceRuntime({ options }: ProgramSource): boolean {
  return options?.linksDeviceRuntime ?? options?.children !== undefined;
}

/** Reads a program; throws `FILE_NOT_FOUND` for a file that isn't there. `folder` is that of the kernels. */
export function programJob(source: ProgramSource, architecture: string, folder: string = KERNELS_FOLDER): CompileJob {
  const file = normalize(source.file);
  const path = join(folder, file);
  if (!existsSync(path)) {
    throw new WarpbookError(
      'FILE_NOT_FOUND',
      `Got program '${source.name}' of ${path}, which is not there; install warpbook again.`,
    );
  }
  const text = readFileSync(path, 'utf8');
  return makeJob({
    name: source.name,
    file: source.file,
    text,
    options: compilerOptions(architecture, source.defines, source.options?.compilerOptions),
    includeFolders: [folder],
    entry: source.entry,
    nameExpressions: [],
    linksDeviceRuntime: linksDeviceRuntime(source),
    includes: includedTexts(text, dirname(file), [folder]),
  });
}

/**
 * The texts that `text` includes by `#include "…"`, and those that these include, by path; CUDA's own headers are part of
 * the compiler's version. As the compiler: beside the including file first (`folder`, relative to each of `roots`), then
 * from the roots themselves.
 */
export function includedTexts(text: string, folder: string, roots: readonly string[]): Map<string, string> {
  const texts = new Map<string, string>();
  const collect = (including: string, from: string): void => {
    for (const [, included] of including.matchAll(/^[ \t]*#[ \t]*include[ \t]*"([^"]+)"/gm)) {
      const candidates = [normalize(join(from, included)), normalize(included)];
      for (const name of candidates) {
        if (texts.has(name)) break;
        const root = roots.find((candidate) => existsSync(join(candidate, name)));
        if (root === undefined) continue;
        const content = readFileSync(join(root, name), 'utf8');
        texts.set(name, content);
        collect(content, dirname(name));
        break;
      }
    }
  };
  collect(text, folder);
  return texts;
}
