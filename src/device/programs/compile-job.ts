/** One text for the compiler: what it is called, its options, and the key that stands for all of it in the cache. */
import { createHash } from 'node:crypto';

/** See the file head; made by `programJob()` for kernels of a file, by `kernelJob()` for kernels of a cell. */
export interface CompileJob {
  /** What errors and progress call it. */
  readonly name: string;
  /** What the compiler calls the text, such as `attention_decode.cu`. */
  readonly file: string;
  readonly text: string;
  /** Options that do not depend on the machine. */
  readonly options: readonly string[];
  /** Folders for `#include "…"`, ahead of CUDA's own. */
  readonly includeFolders: readonly string[];
  /** Kernel whose use of registers is asked for: a name in the image, or the number of a name expression. */
  readonly entry: string | number;
  /** Kernels as C++ calls them; the image's names come back in this order. */
  readonly nameExpressions: readonly string[];
  /** Whether the image is to be linked with the device runtime: the kernel launches kernels. */
  readonly linksDeviceRuntime: boolean;
  /** sha256 over everything above that the compiler sees, and what the text includes, hexadecimal. */
  readonly key: string;
}

/** What a job is made of; `includes` are the texts that its text includes, by name. */
export type JobParts = Omit<CompileJob, 'key'> & { readonly includes: ReadonlyMap<string, string> };

/** The template that tells the types of a kernel's parameters; see `kernel/signature.ts`. No kernel of the source's author. */
export const SIGNATURE_KERNEL = 'warpbook_signature';

/** What NVRTC gets besides architecture, folders and definitions. */
const STANDARD_OPTIONS = ['--std=c++17', '--ptxas-options=-v'];

/** The options of every job. */
export function compilerOptions(
  architecture: string,
  defines: Readonly<Record<string, string | number>>,
  further: readonly string[] = [],
): string[] {
  const sorted = Object.entries(defines).sort(([a], [b]) => (a < b ? -1 : 1));
  return [
    ...STANDARD_OPTIONS,
    `--gpu-architecture=${architecture}`,
    ...sorted.map(([name, value]) => `--define-macro=${name}=${value}`),
    ...further,
  ];
}

/** The job with its key. */
export function makeJob({ includes, ...parts }: JobParts): CompileJob {
  const { text, options, entry, nameExpressions, linksDeviceRuntime } = parts;
  const sorted = [...includes].sort(([a], [b]) => (a < b ? -1 : 1));
  const hash = createHash('sha256');
  hash.update(JSON.stringify([entry, options, text, sorted, nameExpressions, linksDeviceRuntime]));
  return { ...parts, key: hash.digest('hex') };
}
