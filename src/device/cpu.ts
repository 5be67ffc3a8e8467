/**
 * The CPU device behind the seam: {@link Backend} over the addon's exports.
 *
 * Only translates: names to program indices, relocations to one typed array. Knows no budgets and no guards.
 */
import { availableParallelism, cpus, totalmem } from 'node:os';
import { WarpbookError } from '../errors';
import type { Addon, NativeDevice, NativeLiveCounts } from '../native/addon';
import { loadAddon } from '../native/load';
import type {
  Backend,
  BackendDescription,
  ConditionKind,
  GraphNodeDescription,
  Handle,
  LaunchDescription,
  ProgramInfo,
} from './backend';
import { describeNodes } from './graph-nodes';
import { RelocationTriples } from './relocation-triples';
import type { Telemetry } from './telemetry';

export interface CpuBackendOptions {
  /** Threads that play CTAs; default: the processors that this process may use. */
  threads?: number;
  /** Shown in descriptions; default: the processor's own name. */
  name?: string;
}

/** See the file head; every method is documented in {@link Backend}. */
export class CpuBackend implements Backend {
  private readonly addon: Addon;
  private readonly device: NativeDevice;
  private readonly description: BackendDescription;
  private readonly programIndices: ReadonlyMap<string, number>;
  private readonly stagingBytes = new Map<Handle, ArrayBuffer>();
  private readonly triples = new RelocationTriples();

  constructor(options: CpuBackendOptions = {}) {
    const threads = options.threads ?? availableParallelism();
    this.addon = loadAddon();
    const instructionSet = this.addon.cpu_instruction_set();
    this.device = this.addon.cpu_open(threads);
    this.programIndices = new Map(this.addon.cpu_program_names().map((name, index) => [name, index]));
    this.description = {
      kind: 'cpu',
      name: options.name ?? cpus()[0]?.model.trim() ?? 'cpu',
      numProcessors: threads,
      instructionSet,
      totalMemoryBytes: totalmem(),
    };
  }

  describe(): BackendDescription {
    return this.description;
  }

  async telemetry(): Promise<Telemetry> {
    return { problem: 'The CPU device tells no clocks and no power.' };
  }

  /** Objects alive behind the seam, for leak tests. */
  liveCounts(): NativeLiveCounts {
    return this.addon.cpu_live_counts(this.device);
  }

  async loadProgram(name: string): Promise<ProgramInfo> {
    return refuseProgram(`a compiled image for program '${name}'`);
  }

  unloadProgram(name: string): void {
    refuseProgram(`unloadProgram('${name}')`);
  }

  async ctasPerSm(name: string): Promise<number> {
    return refuseProgram(`the occupancy of program '${name}'`);
  }

  allocate(buffer: Handle, byteLength: number): void {
    this.addon.cpu_allocate(this.device, buffer, byteLength);
  }

  free(buffer: Handle): void {
    this.addon.cpu_free(this.device, buffer);
  }

  createStaging(staging: Handle, byteLength: number): Uint8Array {
    const bytes = this.addon.cpu_create_staging(this.device, staging, byteLength);
    this.stagingBytes.set(staging, bytes);
    return new Uint8Array(bytes);
  }

  destroyStaging(staging: Handle): void {
    const bytes = this.stagingBytes.get(staging);
    if (!bytes) return;
    this.stagingBytes.delete(staging);
    this.addon.cpu_destroy_staging(this.device, staging, bytes);
  }

  createStream(stream: Handle): void {
    this.addon.cpu_create_stream(this.device, stream);
  }

  destroyStream(stream: Handle): void {
    this.addon.cpu_destroy_stream(this.device, stream);
  }

  completed(stream: Handle): number {
    return this.addon.cpu_completed(this.device, stream);
  }

  async synchronize(stream: Handle): Promise<void> {
    await this.addon.cpu_synchronize(this.device, stream);
  }

  createEvent(event: Handle): void {
    this.addon.cpu_create_event(this.device, event);
  }

  destroyEvent(event: Handle): void {
    this.addon.cpu_destroy_event(this.device, event);
  }

  recordEvent(event: Handle, stream: Handle): void {
    this.addon.cpu_record_event(this.device, event, stream);
  }

  waitEvent(stream: Handle, event: Handle): void {
    this.addon.cpu_wait_event(this.device, stream, event);
  }

  async eventTime(event: Handle): Promise<number> {
    return this.addon.cpu_event_time(this.device, event);
  }

  write(stream: Handle, buffer: Handle, byteOffset: number, bytes: Uint8Array): void {
    this.addon.cpu_write(this.device, stream, buffer, byteOffset, bytes);
  }

  writeFromStaging(
    stream: Handle,
    buffer: Handle,
    byteOffset: number,
    staging: Handle,
    stagingOffset: number,
    byteLength: number,
  ): void {
    this.addon.cpu_write_from_staging(this.device, stream, buffer, byteOffset, staging, stagingOffset, byteLength);
  }

  copy(
    stream: Handle,
    target: Handle,
    targetOffset: number,
    source: Handle,
    sourceOffset: number,
    byteLength: number,
  ): void {
    this.addon.cpu_copy(this.device, stream, target, targetOffset, source, sourceOffset, byteLength);
  }

  fill(stream: Handle, buffer: Handle, byteOffset: number, byteLength: number, pattern: Uint8Array): void {
    this.addon.cpu_fill(this.device, stream, buffer, byteOffset, byteLength, pattern);
  }

  launch(stream: Handle, launch: LaunchDescription): void {
    if (launch.deviceUpdatable) refuseMechanism('a launch that kernels may update');
    const [x, y, z] = launch.grid;
    const triples = this.triples.pack(launch.relocations);
    this.addon.cpu_launch(
      this.device,
      stream,
      this.programIndex(launch.program),
      x,
      y,
      z,
      launch.params,
      triples,
      launch.relocations.length,
    );
  }

  async read(stream: Handle, buffer: Handle, byteOffset: number, byteLength: number): Promise<Uint8Array> {
    return new Uint8Array(await this.addon.cpu_read(this.device, stream, buffer, byteOffset, byteLength));
  }

  beginCapture(stream: Handle): void {
    this.addon.cpu_begin_capture(this.device, stream);
  }

  endCapture(stream: Handle, graph: Handle): void {
    this.addon.cpu_end_capture(this.device, stream, graph);
  }

  abortCapture(stream: Handle): void {
    this.addon.cpu_abort_capture(this.device, stream);
  }

  destroyGraph(graph: Handle): void {
    this.addon.cpu_destroy_graph(this.device, graph);
  }

  addChildGraph(stream: Handle, graph: Handle): void {
    this.addon.cpu_add_child_graph(this.device, stream, graph);
  }

  async describeGraph(graph: Handle): Promise<readonly GraphNodeDescription[]> {
    return describeNodes(this.addon.cpu_describe_graph(this.device, graph));
  }

  addConditional(_stream: Handle, kind: ConditionKind): void {
    refuseMechanism(`a conditional node ('${kind}')`);
  }

  writeNodeHandle(): void {
    refuseMechanism('writeNodeHandle()');
  }

  writeExecHandle(): void {
    refuseMechanism('writeExecHandle()');
  }

  instantiate(graph: Handle, exec: Handle, deviceLaunch: boolean): void {
    if (deviceLaunch) refuseMechanism('a graph that kernels may launch');
    this.addon.cpu_instantiate(this.device, graph, exec);
  }

  destroyExec(exec: Handle): void {
    this.addon.cpu_destroy_exec(this.device, exec);
  }

  updateNode(exec: Handle, nodeIndex: number, launch: LaunchDescription): void {
    const [x, y, z] = launch.grid;
    const triples = this.triples.pack(launch.relocations);
    this.addon.cpu_update_node(
      this.device,
      exec,
      nodeIndex,
      this.programIndex(launch.program),
      x,
      y,
      z,
      launch.params,
      triples,
      launch.relocations.length,
    );
  }

  async updateExec(exec: Handle, graph: Handle): Promise<string | undefined> {
    return this.addon.cpu_update_exec(this.device, exec, graph) || undefined;
  }

  setNodeEnabled(exec: Handle, nodeIndex: number, enabled: boolean): void {
    this.addon.cpu_set_enabled(this.device, exec, nodeIndex, enabled);
  }

  async execBytes(exec: Handle): Promise<number> {
    return this.addon.cpu_exec_bytes(this.device, exec);
  }

  upload(exec: Handle, stream: Handle): void {
    this.addon.cpu_upload(this.device, exec, stream);
  }

  replay(exec: Handle, stream: Handle): void {
    this.addon.cpu_replay(this.device, exec, stream);
  }

  close(): void {
    this.addon.cpu_close(this.device);
    this.stagingBytes.clear();
  }

  private programIndex(name: string): number {
    const index = this.programIndices.get(name);
    if (index === undefined) {
      const known = [...this.programIndices.keys()].join(', ');
      throw new WarpbookError(
        'NATIVE',
        `Got a launch of program '${name}'; wanted one that the CPU device has: ${known}.`,
      );
    }
    return index;
  }
}

function refuseMechanism(got: string): never {
  throw new WarpbookError(
    'UNSUPPORTED',
    `Got ${got} on the CPU device, which launches nothing from kernels; it needs CUDA: await openDevice('cuda').`,
  );
}

function refuseProgram(got: string): never {
  throw new WarpbookError(
    'UNSUPPORTED',
    `Got ${got} on the CPU device, whose programs are built in; load it on a CUDA device.`,
  );
}
