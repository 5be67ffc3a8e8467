/** From a program's text to its image: out of the cache where it is there, through NVRTC (and nvJitLink) otherwise. */
import { availableParallelism } from 'node:os';
import { WarpbookError } from '../../errors';
import { loadAddon } from '../../native/load';
import type { Device } from '../device';
import { CompilationError } from './compilation-error';
import type { CompileJob } from './compile-job';
import { announceCompilation, type CompileProgress, type CompileWatcher } from './compile-watch';
import { findLinker, LINKER_REMEDY, type Linker } from './find-linker';
import { findNvrtc, type Nvrtc } from './find-nvrtc';
import { type CompiledProgram, type NvrtcVersion, ProgramCache } from './program-cache';
import type { ProgramSource } from './program-source';
import { KERNELS_FOLDER, programJob } from './program-text';
import { parseResources } from './resources';

export type { CompileProgress } from './compile-watch';

export interface CompilerOptions {
  /** Default: the user's, then the package's own. */
  readonly cache?: ProgramCache;
  /** Folder of the sources; default: the package's. */
  readonly kernelsFolder?: string;
  /** Largest CUDA version that the driver knows, such as 13000; images of a newer major version are of no use. */
  readonly driverVersion?: number;
}

const compilers = new WeakMap<Device, Compiler>();

/** The compiler for a CUDA device: the same one for every call. `UNSUPPORTED` is the caller's to throw for the CPU device. */
export function compilerFor(device: Device, architecture: string): Compiler {
  const known = compilers.get(device);
  if (known) return known;
  const compiler = new Compiler(architecture, { driverVersion: device.description.driverVersion });
  compilers.set(device, compiler);
  return compiler;
}

/** Compiles for one architecture. Looks for NVRTC when something is not in the cache, and no earlier. */
export class Compiler {
  private readonly cache: ProgramCache;
  private readonly kernelsFolder: string;
  private readonly running = new Map<string, Promise<CompiledProgram>>();
  private search: ReturnType<typeof findNvrtc> | undefined;

  constructor(
    readonly architecture: string,
    private readonly options: CompilerOptions = {},
  ) {
    this.cache = options.cache ?? new ProgramCache();
    this.kernelsFolder = options.kernelsFolder ?? KERNELS_FOLDER;
  }

  /**
   * The images of `sources`, in their order; as many at a time as there are processors. Throws `COMPILATION_FAILED` for a
   * source that does not compile, `UNSUPPORTED` where there is neither a built kernel nor a compiler.
   */
  async compileAll(
    sources: readonly ProgramSource[],
    onProgress: (progress: CompileProgress) => void = () => undefined,
  ): Promise<CompiledProgram[]> {
    const jobs = sources.map((source) => () => programJob(source, this.architecture, this.kernelsFolder));
    return this.runAll(jobs, onProgress);
  }

  /** As {@link compileAll}, for one. */
  async compile(source: ProgramSource): Promise<CompiledProgram> {
    return (await this.compileAll([source]))[0];
  }

  /** As {@link compile}, for a text that is no program of the package. */
  async compileJob(job: CompileJob): Promise<CompiledProgram> {
    return (await this.runAll([() => job], () => undefined))[0];
  }

  private async runAll(
    jobs: readonly (() => CompileJob)[],
    onProgress: (progress: CompileProgress) => void,
  ): Promise<CompiledProgram[]> {
    const results: CompiledProgram[] = new Array(jobs.length);
    let watcher: CompileWatcher | undefined;
    let next = 0;
    let done = 0;
    const onCompile = (): void => {
      watcher ??= announceCompilation(jobs.length);
    };
    const work = async (): Promise<void> => {
      while (next < jobs.length) {
        const index = next++;
        const job = jobs[index]();
        const { program, cached } = await this.get(job, onCompile);
        results[index] = program;
        const progress = { done: ++done, total: jobs.length, name: job.name, cached };
        onProgress(progress);
        watcher?.progress(progress);
      }
    };
    try {
      await Promise.all(Array.from({ length: Math.min(availableParallelism(), jobs.length) }, work));
    } finally {
      watcher?.end();
    }
    return results;
  }

  private async get(job: CompileJob, onCompile: () => void): Promise<{ program: CompiledProgram; cached: boolean }> {
    // Built ahead by whichever compiler the driver can follow, or by the one that is here.
    const built = this.cache.find(this.architecture, job.key, this.search?.nvrtc?.version ?? this.usable);
    if (built) return { program: built, cached: true };
    const nvrtc = this.requireNvrtc(job.name);
    let running = this.running.get(job.key);
    if (!running) {
      onCompile();
      running = this.run(job, nvrtc).finally(() => this.running.delete(job.key));
      this.running.set(job.key, running);
    }
    return { program: await running, cached: false };
  }

  private readonly usable = ([major]: NvrtcVersion): boolean => {
    const { driverVersion } = this.options;
    return driverVersion === undefined || major <= Math.floor(driverVersion / 1000);
  };

  private async run(job: CompileJob, nvrtc: Nvrtc): Promise<CompiledProgram> {
    // Before the compilation, which takes seconds: what is missing is missing now.
    const linker = job.linksDeviceRuntime ? requireLinker(job.name, nvrtc) : undefined;
    const folders = [...job.includeFolders, ...nvrtc.includeFolders].map((folder) => `--include-path=${folder}`);
    const options = [...job.options, ...folders, ...(linker ? ['--relocatable-device-code=true'] : [])];
    const compiled = await loadAddon().nvrtc_compile(nvrtc.library, job.text, job.file, options, job.nameExpressions);
    if (!compiled.image) throw compilationError(job, compiled.log);
    let image: Uint8Array = new Uint8Array(compiled.image);
    if (linker) image = await this.link(job, linker, image);
    const { log, names } = compiled;
    const entry = typeof job.entry === 'number' ? names[job.entry].lowered : job.entry;
    const program = { image, log, resources: parseResources(log, entry), names };
    this.keep(job, nvrtc, program);
    return program;
  }

  /** A cache that can't be written costs a compilation next time; one that was asked for has to be written. */
  private keep(job: CompileJob, nvrtc: Nvrtc, program: CompiledProgram): void {
    try {
      this.cache.store(this.architecture, job.key, nvrtc.version, job.name, program);
    } catch (error) {
      if (this.options.cache) throw error;
    }
  }

  private async link(job: CompileJob, linker: Linker, image: Uint8Array): Promise<Uint8Array> {
    const { library, deviceRuntime } = linker;
    const linked = await loadAddon().nvjitlink_link(library, this.architecture, job.file, image, [deviceRuntime]);
    if (!linked.image) throw compilationError(job, linked.log);
    return new Uint8Array(linked.image);
  }

  private requireNvrtc(name: string): Nvrtc {
    this.search ??= findNvrtc((version) =>
      this.usable(version) ? undefined : `NVRTC ${version.join('.')} is newer than the driver`,
    );
    const { nvrtc, missed } = this.search;
    if (nvrtc) return nvrtc;
    const places = missed.map(({ origin, problem }) => `${origin} (${problem})`).join('; ');
    throw new WarpbookError(
      'UNSUPPORTED',
      `Got program '${name}' for ${this.architecture}, which has not been built ahead, and found no NVRTC to compile it. ` +
        `Looked in ${places}. Install one (pip install nvidia-cuda-nvrtc nvidia-cuda-runtime, in an active virtual ` +
        'environment), set CUDA_HOME, or build the kernels elsewhere: warpbook build-kernels --arch ' +
        `${this.architecture}. 'warpbook doctor' shows what is there.`,
      { architecture: this.architecture, missed },
    );
  }
}

function requireLinker(name: string, nvrtc: Nvrtc): Linker {
  const { linker, missed } = findLinker(nvrtc.version);
  if (linker) return linker;
  const places = missed.map(({ origin, problem }) => `${origin} (${problem})`).join('; ');
  throw new WarpbookError(
    'UNSUPPORTED',
    `Got program '${name}', which launches kernels, and found no nvJitLink of CUDA ${nvrtc.version[0]} with ` +
      `libcudadevrt.a to link it. Looked in ${places}. ${LINKER_REMEDY}. 'warpbook doctor' shows what is there.`,
    { missed },
  );
}

function compilationError({ name, nameExpressions, file, text }: CompileJob, log: string): CompilationError {
  const title = `${nameExpressions.length > 0 ? 'Kernel' : 'Program'} '${name}'`;
  return new CompilationError({ title, file, text }, log);
}
