/** `warpbook build-kernels`: compiles every kernel ahead of time, on a machine that needs NVRTC and no GPU. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { kernelPrograms } from '../attention/kernel-variants';
import { builtInPrograms } from '../device/programs/built-in';
import { type CompileProgress, Compiler } from '../device/programs/compile';
import { type CompiledProgram, ProgramCache, userCacheFolder } from '../device/programs/program-cache';
import type { ProgramSource } from '../device/programs/program-source';
import { linksDeviceRuntime, programJob } from '../device/programs/program-text';
import { WarpbookError } from '../errors';
import { roofPrograms } from '../measure/programs';
import { strategyPrograms } from '../strategy/all-programs';
import { tensorPrograms } from '../tensor/kernel-programs';

interface Flags {
  readonly arch: readonly string[];
  readonly out: string;
  readonly also?: string;
  readonly allowSpills?: boolean;
  readonly prune?: boolean;
}

const HELP = `
Kernels for an architecture are compiled by NVRTC (warpbook doctor says which one is found) and kept in a cache: the
user's own, or the folder of --out. A package can ship such a folder as 'prebuilt'; WARPBOOK_CACHE names another cache.

Fails where a kernel spills registers beyond what its own entry justifies.

Examples:
  warpbook build-kernels --arch sm_80,sm_90a,sm_100a
  warpbook build-kernels --arch sm_90a --out prebuilt`;

export function buildKernelsCommand(): Command {
  return new Command('build-kernels')
    .summary('compile the kernels ahead of time')
    .description('Compile the kernels ahead of time; needs NVRTC, but no GPU.')
    .requiredOption('-a, --arch <list>', 'architectures, such as sm_80,sm_90a', parseArchitectures)
    .option('-o, --out <dir>', "write into this folder (default: the user's cache)", userCacheFolder())
    .option('--also <file>', 'compile the programs of this JSON file too; sources lie beside it')
    .option('--prune', 'delete what no program asks for any more, for these architectures')
    .option('--allow-spills', 'do not fail where a kernel spills registers')
    .addHelpText('after', HELP)
    .action(buildKernels);
}

/** Every program that warpbook brings. */
export function ownPrograms(architecture: string): readonly ProgramSource[] {
  const own = [
    ...builtInPrograms(),
    ...roofPrograms(),
    ...tensorPrograms(architecture),
    ...kernelPrograms(architecture),
  ];
  return [...own, ...strategyPrograms(architecture)];
}

function parseArchitectures(text: string): string[] {
  const list = text.split(',');
  const wrong = list.find((name) => !/^sm_\d{2,3}[af]?$/.test(name));
  if (wrong !== undefined)
    throw new InvalidArgumentError(`Got '${wrong}'; wanted names such as sm_90a, with commas between.`);
  return list;
}

async function buildKernels({ arch, out, also, allowSpills = false, prune = false }: Flags): Promise<void> {
  const failures: string[] = [];
  const cache = new ProgramCache([resolve(out)]);
  for (const architecture of arch) {
    const keys = new Set<string>();
    const groups: [readonly ProgramSource[], string | undefined][] = [[ownPrograms(architecture), undefined]];
    if (also !== undefined) groups.push([readSources(also), dirname(resolve(also))]);
    for (const [sources, kernelsFolder] of groups) {
      const compiler = new Compiler(architecture, { cache, kernelsFolder });
      const programs = await compileAll(compiler, sources);
      failures.push(...[...programs].flatMap(([source, program]) => spills(architecture, source, program)));
      for (const source of sources) keys.add(programJob(source, architecture, kernelsFolder).key);
    }
    if (prune) cache.retain(architecture, keys);
  }
  if (failures.length === 0 || allowSpills) return;
  throw new WarpbookError(
    'COMPILATION_FAILED',
    `${failures.length} kernels spill registers:\n${failures.join('\n')}\nUse fewer registers, or justify it by maxSpillBytes.`,
  );
}

/**
 * Compiles what can be compiled here: kernels that are linked with the device runtime are left out, by name, where there is no
 * linker. Whoever uses them is told then what is missing.
 */
async function compileAll(
  compiler: Compiler,
  sources: readonly ProgramSource[],
): Promise<ReadonlyMap<ProgramSource, CompiledProgram>> {
  const { architecture } = compiler;
  const linked = sources.filter((source) => linksDeviceRuntime(source));
  const others = sources.filter((source) => !linksDeviceRuntime(source));
  const total = sources.length;
  const programs = new Map<ProgramSource, CompiledProgram>();
  const compiled = await compiler.compileAll(others, (progress) => show(architecture, { ...progress, total }));
  for (const [index, program] of compiled.entries()) programs.set(others[index], program);
  for (const [index, source] of linked.entries()) {
    try {
      const [program] = await compiler.compileAll([source], ({ name, cached }) =>
        show(architecture, { done: others.length + index + 1, total, name, cached }),
      );
      programs.set(source, program);
    } catch (error) {
      if (!(error instanceof WarpbookError && error.code === 'UNSUPPORTED' && /nvJitLink/.test(error.message)))
        throw error;
      process.stdout.write(`${architecture} ${source.name} left out: ${error.message}\n`);
    }
  }
  return programs;
}

function show(architecture: string, { done, total, name, cached }: CompileProgress): void {
  process.stdout.write(`${architecture} ${done}/${total} ${name}${cached ? ' (was there)' : ''}\n`);
}

/** What a kernel spills beyond its own justification; empty where it doesn't. */
function spills(architecture: string, source: ProgramSource, { resources }: CompiledProgram): string[] {
  if (!resources) return [`  ${architecture} ${source.name}: the compiler told no use of registers`];
  const { spillStoreBytes, spillLoadBytes } = resources;
  const spilled = Math.max(spillStoreBytes, spillLoadBytes);
  const allowed = source.options?.maxSpillBytes ?? 0;
  if (spilled <= allowed) return [];
  return [
    `  ${architecture} ${source.name}: ${spillStoreBytes} bytes of stores, ${spillLoadBytes} of loads; allowed are ${allowed}`,
  ];
}

function readSources(path: string): ProgramSource[] {
  if (!existsSync(path)) throw new WarpbookError('FILE_NOT_FOUND', `Got --also ${path}, which is not there.`);
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as ProgramSource[];
  } catch (cause) {
    throw new WarpbookError(
      'FILE_FORMAT',
      `Got --also ${path}, which is no JSON: ${(cause as Error).message}.`,
      {},
      { cause },
    );
  }
}
