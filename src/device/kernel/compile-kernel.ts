/** From a CUDA C++ source in a cell to a kernel on a device: compiled off the main thread, or out of the cache. */
import { existsSync } from 'node:fs';
import { WarpbookError } from '../../errors';
import type { ParameterPlace, ProgramInfo } from '../backend';
import type { Device } from '../device';
import { compilerFor } from '../programs/compile';
import { type CompileJob, compilerOptions, makeJob } from '../programs/compile-job';
import { includedTexts, KERNELS_FOLDER } from '../programs/program-text';
import { Kernel } from './kernel';
import {
  describeParameters,
  launchesKernels,
  parameterNames,
  parameterTypes,
  SIGNATURE_TEMPLATE,
  signatureExpression,
} from './signature';

/** Options of `device.compile()`. */
export interface CompileOptions {
  /** The kernel's name in the source, with its namespace: `scale`, `mine::scale`. `extern "C"` is not needed. */
  name: string;
  /** For a kernel that is a template: types and values as C++ writes them, `['float', 128, true]`. */
  templateArguments?: readonly (string | number | boolean)[];
  /** Preprocessor definitions. */
  defines?: Readonly<Record<string, string | number>>;
  /** Further options of NVRTC, such as `--use_fast_math`, `--maxrregcount=128` or `--generate-line-info`. */
  compilerOptions?: readonly string[];
  /** Folders for `#include "…"`; `native/kernels` of this package comes after them. */
  includeFolders?: readonly string[];
  /** The kernel launches kernels: it is linked with the device runtime. Default: whether the source has `<<<`. */
  dynamicParallelism?: boolean;
}

/** What errors call the source. */
const FILE = 'kernel.cu';

let numKernels = 0;

/** See `Device.compile()`. */
export async function compileKernel(device: Device, source: string, options: CompileOptions): Promise<Kernel> {
  const { architecture } = device.description;
  if (architecture === undefined) {
    throw new WarpbookError(
      'UNSUPPORTED',
      `Got a CUDA source to compile on device '${device.name}' of kind '${device.kind}', whose programs are built in; ` +
        "wanted a CUDA device: await openDevice('cuda').",
    );
  }
  const job = kernelJob(source, architecture, options);
  const { image, names, resources } = await compilerFor(device, architecture).compileJob(job);
  const [kernel, signature] = names;
  const types = parameterTypes(signature.readable);
  const label = job.name;
  const shownNames = parameterNames(source, options.name.split('::').at(-1) as string, types.length);
  // The device may have been disposed or captured meanwhile: loadProgram() looks.
  const program = `kernel ${++numKernels}: ${label}`;
  const info: ProgramInfo = await device.loadProgram(program, image, {
    entry: kernel.lowered,
    threads: 0,
    sharedMemoryBytes: 0,
    label,
    parameterOffsets: guessedPlaces(label, types)?.map(({ offset }) => offset),
  });
  try {
    const parameters = describeParameters(label, types, shownNames, info.parameters);
    return new Kernel(device, { label, program, source, parameters, info, resources });
  } catch (error) {
    device.state.backend.unloadProgram(program);
    throw error;
  }
}

/** @internal The job for the compiler. Throws `INVALID_ARGUMENT` for options that make no kernel's name. */
export function kernelJob(source: string, architecture: string, options: CompileOptions): CompileJob {
  const { name, templateArguments = [], defines = {}, includeFolders = [] } = options;
  if (!/^(?:::)?[A-Za-z_]\w*(?:::[A-Za-z_]\w*)*$/.test(name)) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `name is '${name}'; wanted the kernel's name in the source, with its namespace and without template arguments.`,
    );
  }
  for (const [macro, value] of Object.entries(defines)) {
    if (/^[A-Za-z_]\w*(?:\([^)]*\))?$/.test(macro)) continue;
    throw new WarpbookError('INVALID_ARGUMENT', `defines has '${macro}' = ${value}; wanted a macro's name.`);
  }
  const gone = includeFolders.find((folder) => !existsSync(folder));
  if (gone !== undefined) {
    throw new WarpbookError('FILE_NOT_FOUND', `includeFolders has ${gone}, which is not there.`);
  }
  const expression = templateArguments.length > 0 ? `${name}<${templateArguments.join(', ')}>` : name;
  const folders = [...includeFolders, KERNELS_FOLDER];
  return makeJob({
    name: expression,
    file: FILE,
    text: source + SIGNATURE_TEMPLATE,
    options: compilerOptions(architecture, defines, options.compilerOptions),
    includeFolders: folders,
    entry: 0,
    nameExpressions: [expression, signatureExpression(expression)],
    linksDeviceRuntime: options.dynamicParallelism ?? launchesKernels(source),
    includes: includedTexts(source, '.', folders),
  });
}

/** Places by C's rule, for drivers that don't tell them; undefined where only the driver could know them. */
function guessedPlaces(label: string, types: readonly string[]): readonly ParameterPlace[] | undefined {
  try {
    return describeParameters(label, types, undefined, undefined);
  } catch (error) {
    if ((error as WarpbookError).code === 'UNSUPPORTED') return undefined;
    throw error;
  }
}
