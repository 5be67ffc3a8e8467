/**
 * The CUDA device behind the seam: {@link Backend} over the addon's exports. Programs are loaded by name from compiled
 * images; nothing here knows how they come to be.
 *
 * Only translates: names to program handles, relocations to one typed array. Knows no budgets and no guards.
 */
import { WarpbookError } from '../errors';
import type { Addon, NativeCudaDevice, NativeLiveCounts, NativeProgramInfo } from '../native/addon';
import { loadAddon } from '../native/load';
import type {
  Backend,
  BackendDescription,
  ConditionKind,
  CtaOverrides,
  GraphNodeDescription,
  Handle,
  LaunchDescription,
  ProgramInfo,
  ProgramOptions,
} from './backend';
import { CtaWords } from './cta-words';
import { describeNodes } from './graph-nodes';
import { RelocationTriples } from './relocation-triples';
import { readGpuTelemetry, type Telemetry } from './telemetry';

export interface CudaBackendOptions {
  /** Which GPU, counted from 0 in the driver's order; default 0. */
  ordinal?: number;
}

/** By the numbers that the addon knows them by. */
const CONDITION_KINDS: readonly ConditionKind[] = ['if', 'while', 'switch'];

/** See the file head; every method is documented in {@link Backend}. */
export class CudaBackend implements Backend {
  /** Free on the GPU when the device was opened, bytes. */
  readonly freeBytes: number;
  private readonly addon: Addon;
  private readonly device: NativeCudaDevice;
  private readonly description: BackendDescription;
  private readonly pciBusId: string;
  private readonly programs = new Map<string, Handle>();
  private readonly stagingBytes = new Map<Handle, ArrayBuffer>();
  private readonly triples = new RelocationTriples();
  private readonly ctaWords = new CtaWords();
  private numPrograms = 0;

  /** Throws `UNSUPPORTED`, saying what is missing and what to do, where there is no usable driver or no such GPU. */
  constructor(options: CudaBackendOptions = {}) {
    this.addon = loadAddon();
    this.device = this.addon.cuda_open(options.ordinal ?? 0);
    const facts = this.addon.cuda_describe(this.device);
    const architecture = architectureOf(facts.compute_capability_major, facts.compute_capability_minor);
    this.freeBytes = facts.free_bytes;
    this.pciBusId = facts.pci_bus_id;
    this.description = {
      kind: 'cuda',
      name: facts.name,
      numProcessors: facts.num_sms,
      instructionSet: architecture,
      totalMemoryBytes: facts.total_bytes,
      architecture,
      driverVersion: facts.driver_version,
      maxSharedMemoryBytes: facts.max_shared_bytes,
      maxThreadsPerSm: facts.max_threads_per_sm,
    };
  }

  describe(): BackendDescription {
    return this.description;
  }

  async telemetry(): Promise<Telemetry> {
    return readGpuTelemetry(this.addon, this.pciBusId);
  }

  /** Objects alive behind the seam, for leak tests. */
  liveCounts(): NativeLiveCounts {
    return this.addon.cuda_live_counts(this.device);
  }

  async loadProgram(name: string, image: Uint8Array, options: ProgramOptions): Promise<ProgramInfo> {
    const handle = ++this.numPrograms;
    const { children = [] } = options;
    const info = this.addon.cuda_load_program(
      this.device,
      handle,
      options.label ?? name,
      image,
      options.entry,
      options.threads,
      options.sharedMemoryBytes,
      options.cooperative ?? false,
      options.pdl ?? false,
      options.clusterSize ?? 1,
      Int32Array.from(options.parameterOffsets ?? [0]),
      children.map(({ entry }) => entry),
      Int32Array.from(children, ({ sharedMemoryBytes }) => sharedMemoryBytes),
    );
    this.programs.set(name, handle);
    return programInfo(info);
  }

  unloadProgram(name: string): void {
    this.addon.cuda_unload_program(this.device, this.programHandle(name));
    this.programs.delete(name);
  }

  async ctasPerSm(name: string, cta: CtaOverrides): Promise<number> {
    return this.addon.cuda_ctas_per_sm(this.device, this.programHandle(name), this.ctaWords.pack(cta));
  }

  allocate(buffer: Handle, byteLength: number): void {
    this.addon.cuda_allocate(this.device, buffer, byteLength);
  }

  free(buffer: Handle): void {
    this.addon.cuda_free(this.device, buffer);
  }

  createStaging(staging: Handle, byteLength: number): Uint8Array {
    const bytes = this.addon.cuda_create_staging(this.device, staging, byteLength);
    this.stagingBytes.set(staging, bytes);
    return new Uint8Array(bytes);
  }

  destroyStaging(staging: Handle): void {
    const bytes = this.stagingBytes.get(staging);
    if (!bytes) return;
    this.stagingBytes.delete(staging);
    this.addon.cuda_destroy_staging(this.device, staging, bytes);
  }

  createStream(stream: Handle): void {
    this.addon.cuda_create_stream(this.device, stream);
  }

  destroyStream(stream: Handle): void {
    this.addon.cuda_destroy_stream(this.device, stream);
  }

  completed(stream: Handle): number {
    return this.addon.cuda_completed(this.device, stream);
  }

  async synchronize(stream: Handle): Promise<void> {
    await this.addon.cuda_synchronize(this.device, stream);
  }

  createEvent(event: Handle): void {
    this.addon.cuda_create_event(this.device, event);
  }

  destroyEvent(event: Handle): void {
    this.addon.cuda_destroy_event(this.device, event);
  }

  recordEvent(event: Handle, stream: Handle): void {
    this.addon.cuda_record_event(this.device, event, stream);
  }

  waitEvent(stream: Handle, event: Handle): void {
    this.addon.cuda_wait_event(this.device, stream, event);
  }

  async eventTime(event: Handle): Promise<number> {
    return this.addon.cuda_event_time(this.device, event);
  }

  write(stream: Handle, buffer: Handle, byteOffset: number, bytes: Uint8Array): void {
    this.addon.cuda_write(this.device, stream, buffer, byteOffset, bytes);
  }

  writeFromStaging(
    stream: Handle,
    buffer: Handle,
    byteOffset: number,
    staging: Handle,
    stagingOffset: number,
    byteLength: number,
  ): void {
    this.addon.cuda_write_from_staging(this.device, stream, buffer, byteOffset, staging, stagingOffset, byteLength);
  }

  copy(
    stream: Handle,
    target: Handle,
    targetOffset: number,
    source: Handle,
    sourceOffset: number,
    byteLength: number,
  ): void {
    this.addon.cuda_copy(this.device, stream, target, targetOffset, source, sourceOffset, byteLength);
  }

  fill(stream: Handle, buffer: Handle, byteOffset: number, byteLength: number, pattern: Uint8Array): void {
    this.addon.cuda_fill(this.device, stream, buffer, byteOffset, byteLength, pattern);
  }

  launch(stream: Handle, launch: LaunchDescription): void {
    const [x, y, z] = launch.grid;
    const triples = this.triples.pack(launch.relocations);
    this.addon.cuda_launch(
      this.device,
      stream,
      this.programHandle(launch.program),
      x,
      y,
      z,
      this.ctaWords.pack(launch),
      launch.params,
      triples,
      launch.relocations.length,
    );
  }

  async read(stream: Handle, buffer: Handle, byteOffset: number, byteLength: number): Promise<Uint8Array> {
    return new Uint8Array(await this.addon.cuda_read(this.device, stream, buffer, byteOffset, byteLength));
  }

  beginCapture(stream: Handle): void {
    this.addon.cuda_begin_capture(this.device, stream);
  }

  endCapture(stream: Handle, graph: Handle): void {
    this.addon.cuda_end_capture(this.device, stream, graph);
  }

  abortCapture(stream: Handle): void {
    this.addon.cuda_abort_capture(this.device, stream);
  }

  destroyGraph(graph: Handle): void {
    this.addon.cuda_destroy_graph(this.device, graph);
  }

  addChildGraph(stream: Handle, graph: Handle): void {
    this.addon.cuda_add_child_graph(this.device, stream, graph);
  }

  async describeGraph(graph: Handle): Promise<readonly GraphNodeDescription[]> {
    return describeNodes(this.addon.cuda_describe_graph(this.device, graph));
  }

  addConditional(stream: Handle, kind: ConditionKind, bodies: readonly Handle[], defaultValue: number): void {
    const code = CONDITION_KINDS.indexOf(kind);
    this.addon.cuda_add_conditional(this.device, stream, code, Float64Array.from(bodies), defaultValue);
  }

  writeNodeHandle(stream: Handle, buffer: Handle, byteOffset: number, graph: Handle, nodeIndex: number): void {
    this.addon.cuda_write_node_handle(this.device, stream, buffer, byteOffset, graph, nodeIndex);
  }

  writeExecHandle(stream: Handle, buffer: Handle, byteOffset: number, exec: Handle): void {
    this.addon.cuda_write_exec_handle(this.device, stream, buffer, byteOffset, exec);
  }

  instantiate(graph: Handle, exec: Handle, deviceLaunch: boolean): void {
    this.addon.cuda_instantiate(this.device, graph, exec, deviceLaunch);
  }

  destroyExec(exec: Handle): void {
    this.addon.cuda_destroy_exec(this.device, exec);
  }

  updateNode(exec: Handle, nodeIndex: number, launch: LaunchDescription): void {
    const [x, y, z] = launch.grid;
    const triples = this.triples.pack(launch.relocations);
    this.addon.cuda_update_node(
      this.device,
      exec,
      nodeIndex,
      this.programHandle(launch.program),
      x,
      y,
      z,
      this.ctaWords.pack(launch),
      launch.params,
      triples,
      launch.relocations.length,
    );
  }

  async updateExec(exec: Handle, graph: Handle): Promise<string | undefined> {
    return this.addon.cuda_update_exec(this.device, exec, graph) || undefined;
  }

  setNodeEnabled(exec: Handle, nodeIndex: number, enabled: boolean): void {
    this.addon.cuda_set_enabled(this.device, exec, nodeIndex, enabled);
  }

  async execBytes(exec: Handle): Promise<number> {
    return this.addon.cuda_exec_bytes(this.device, exec);
  }

  upload(exec: Handle, stream: Handle): void {
    this.addon.cuda_upload(this.device, exec, stream);
  }

  replay(exec: Handle, stream: Handle): void {
    this.addon.cuda_replay(this.device, exec, stream);
  }

  close(): void {
    this.addon.cuda_close(this.device);
    this.stagingBytes.clear();
  }

  private programHandle(name: string): Handle {
    const handle = this.programs.get(name);
    if (handle !== undefined) return handle;
    const known = [...this.programs.keys()].join(', ');
    throw new WarpbookError(
      'NATIVE',
      `Got a launch of program '${name}', which has not been loaded on this CUDA device; wanted ` +
        `${known === '' ? 'a loaded one, and none is' : `one of: ${known}`}. Load it first.`,
    );
  }
}

function programInfo(info: NativeProgramInfo): ProgramInfo {
  return {
    registers: info.registers,
    sharedMemoryBytes: info.shared_bytes,
    staticSharedMemoryBytes: info.static_shared_bytes,
    localBytes: info.local_bytes,
    maxThreads: info.max_threads,
    maxCtasPerSm: info.max_ctas_per_sm,
    ...(info.max_clusters > 0 && { maxClusters: info.max_clusters }),
    ...(info.parameters && {
      parameters: info.parameters.map(({ offset, byte_length }) => ({ offset, byteLength: byte_length })),
    }),
  };
}

/**
 * The architecture to compile for. From compute capability 9.0 on it is the `a` one, whose code runs on exactly this
 * capability and may use its own instructions (such as wgmma on 9.0).
 */
export function architectureOf(major: number, minor: number): string {
  return `sm_${major}${minor}${major >= 9 ? 'a' : ''}`;
}
