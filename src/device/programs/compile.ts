/** From a program's source to its image: out of the cache where it is there, through NVRTC otherwise. */
import { availableParallelism } from 'node:os';
import { WarpbookError } from '../../errors';
import { loadAddon } from '../../native/load';
import { compilationError } from './compilation-error';
import { findNvrtc, type Nvrtc } from './find-nvrtc';
import { type CompiledProgram, type NvrtcVersion, ProgramCache } from './program-cache';
import type { ProgramSource } from './program-source';
import { KERNELS_FOLDER, type ProgramText, readProgram } from './program-text';
import { parseResources } from './resources';

/** How far {@link Compiler.compileAll} has come. */
export interface CompileProgress {
  readonly done: number;
  readonly total: number;
  /** The program that has just been got. */
  readonly name: string;
  /** Whether it was in the cache. */
  readonly cached: boolean;
}

export interface CompilerOptions {
  /** Default: the user's, then the package's own. */
  readonly cache?: ProgramCache;
  /** Folder of the sources; default: the package's. */
  readonly kernelsFolder?: string;
  /** Largest CUDA version that the driver knows, such as 13000; images of a newer major version are of no use. */
  readonly driverVersion?: number;
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
    const results: CompiledProgram[] = new Array(sources.length);
    let next = 0;
    let done = 0;
    const work = async (): Promise<void> => {
      while (next < sources.length) {
        const index = next++;
        const { program, cached } = await this.get(sources[index]);
        results[index] = program;
        onProgress({ done: ++done, total: sources.length, name: sources[index].name, cached });
      }
    };
    await Promise.all(Array.from({ length: Math.min(availableParallelism(), sources.length) }, work));
    return results;
  }

  /** As {@link compileAll}, for one. */
  async compile(source: ProgramSource): Promise<CompiledProgram> {
    return (await this.get(source)).program;
  }

  private async get(source: ProgramSource): Promise<{ program: CompiledProgram; cached: boolean }> {
    const text = readProgram(source, this.architecture, this.kernelsFolder);
    // Built ahead by whichever compiler the driver can follow, or by the one that is here.
    const built = this.cache.find(this.architecture, text.key, this.search?.nvrtc?.version ?? this.usable);
    if (built) return { program: built, cached: true };
    const nvrtc = this.requireNvrtc(source);
    let running = this.running.get(text.key);
    if (!running) {
      running = this.run(source, text, nvrtc).finally(() => this.running.delete(text.key));
      this.running.set(text.key, running);
    }
    return { program: await running, cached: false };
  }

  private readonly usable = ([major]: NvrtcVersion): boolean => {
    const { driverVersion } = this.options;
    return driverVersion === undefined || major <= Math.floor(driverVersion / 1000);
  };

  private async run(source: ProgramSource, text: ProgramText, nvrtc: Nvrtc): Promise<CompiledProgram> {
    const folders = [this.kernelsFolder, ...nvrtc.includeFolders].map((folder) => `--include-path=${folder}`);
    const { image, log } = await loadAddon().nvrtc_compile(nvrtc.library, text.text, source.file, [
      ...text.options,
      ...folders,
    ]);
    if (!image) throw compilationError(source.name, source.file, text.text, log);
    const program = { image: new Uint8Array(image), log, resources: parseResources(log, source.entry) };
    this.cache.store(this.architecture, text.key, nvrtc.version, source.name, program);
    return program;
  }

  private requireNvrtc(source: ProgramSource): Nvrtc {
    this.search ??= findNvrtc((version) =>
      this.usable(version) ? undefined : `NVRTC ${version.join('.')} is newer than the driver`,
    );
    const { nvrtc, missed } = this.search;
    if (nvrtc) return nvrtc;
    const places = missed.map(({ origin, problem }) => `${origin} (${problem})`).join('; ');
    throw new WarpbookError(
      'UNSUPPORTED',
      `Got program '${source.name}' for ${this.architecture}, which has not been built ahead, and found no NVRTC to compile it. ` +
        `Looked in ${places}. Install one (pip install nvidia-cuda-nvrtc nvidia-cuda-runtime, in an active virtual ` +
        'environment), set CUDA_HOME, or build the kernels elsewhere: warpbook build-kernels --arch ' +
        `${this.architecture}. 'warpbook doctor' shows what is there.`,
      { architecture: this.architecture, missed },
    );
  }
}
