/**
 * Every export of the native addon, declared once, in the order of native/addon.cc (a test compares the two).
 *
 * This is the raw layer: snake_case, positional arguments, integers, bytes. Only `src/device` calls it. A call that
 * breaks an export's contract throws a WarpbookError with code `NATIVE` (or `OUT_OF_MEMORY`, `DISPOSED`). Handles of
 * buffers, streams, events, graphs and execs are non-negative integers that the caller chooses; see
 * `native/README.md` for the laws of handles.
 */

/** An open CPU device: a type-tagged External. The laws of handles say who may hold it. */
export interface NativeDevice {
  readonly nativeDevice: unique symbol;
}

/** An open CUDA device: a type-tagged External, as {@link NativeDevice}. */
export interface NativeCudaDevice {
  readonly nativeCudaDevice: unique symbol;
}

/** What a GPU is. */
export interface NativeCudaFacts {
  ordinal: number;
  name: string;
  total_bytes: number;
  num_sms: number;
  compute_capability_major: number;
  compute_capability_minor: number;
  /** Threads that an SM holds at the same time. */
  max_threads_per_sm: number;
  /** Largest dynamic shared memory of a CTA. */
  max_shared_bytes: number;
  /** Such as `00000000:1b:00.0`: what {@link Addon.nvml_read} knows it by. */
  pci_bus_id: string;
}

/** Readings of {@link Addon.nvml_read}; what a GPU doesn't tell is missing. */
export interface NativeGpuReadings {
  sm_mhz?: number;
  max_sm_mhz?: number;
  memory_mhz?: number;
  power_mw?: number;
  power_limit_mw?: number;
  temperature_c?: number;
  /** Bits of nvmlClocksThrottleReason. */
  throttle_reasons?: number;
}

/** What a loaded kernel takes; the numbers of {@link Addon.cuda_load_program}. */
export interface NativeProgramInfo {
  registers: number;
  /** Static and dynamic. */
  shared_bytes: number;
  static_shared_bytes: number;
  local_bytes: number;
  max_threads: number;
  /** 0 where every launch says its threads. */
  max_ctas_per_sm: number;
  /** 0 without clusters. */
  max_clusters: number;
  /** Missing where the driver can't tell them. */
  parameters?: { offset: number; byte_length: number }[];
}

/** Objects of a device that are alive now. */
export interface NativeLiveCounts {
  buffers: number;
  buffer_bytes: number;
  staging: number;
  streams: number;
  events: number;
  graphs: number;
  execs: number;
}

/** A node of a captured graph; its index is its position in the list. */
export interface NativeGraphNode {
  kind: 'kernel' | 'copy' | 'fill' | 'graph' | 'conditional';
  label: string;
  /** Kernels only. */
  grid?: [number, number, number];
  /** Copies and fills only. */
  byte_length?: number;
  /** Child graphs only. */
  nodes?: NativeGraphNode[];
  /** Conditional nodes only. */
  bodies?: NativeGraphNode[][];
  dependencies: number[];
}

export interface Addon {
  /** Hands over the class that the addon throws: `new error_class(code, message)`. Once for each environment. */
  set_error_class(error_class: new (code: never, message: string) => Error): void;

  /** `avx512`, `avx2` or `portable`: what vectorised programs were dispatched to. */
  cpu_instruction_set(): string;
  /** Names of all programs; a program's index in this list stands for it in launches. */
  cpu_program_names(): string[];
  /**
   * Runs a program with a grid of one CTA before it returns, on this thread and without a device: `params[offsets[i]..+8)` becomes
   * the address of `memory[i]`, which is the caller's and has to be as large as the program takes it for.
   */
  cpu_run_program(
    program_index: number,
    params: Uint8Array,
    offsets: Int32Array,
    memory: readonly NodeJS.ArrayBufferView[],
  ): void;
  /** Opens a device whose programs run on `num_threads` threads (1 to 1024), the launching stream's included. */
  cpu_open(num_threads: number): NativeDevice;
  /** Finishes all work and releases everything; blocks meanwhile. Idempotent. */
  cpu_close(device: NativeDevice): void;
  cpu_live_counts(device: NativeDevice): NativeLiveCounts;

  /** Uninitialised memory, 64-byte aligned. */
  cpu_allocate(device: NativeDevice, buffer: number, byte_length: number): void;
  /** Frees once everything enqueued so far, on every stream, has finished. */
  cpu_free(device: NativeDevice, buffer: number): void;
  /** Host memory for {@link cpu_write_from_staging}. */
  cpu_create_staging(device: NativeDevice, staging: number, byte_length: number): ArrayBuffer;
  /** Detaches `bytes`, the ArrayBuffer of {@link cpu_create_staging}, and frees in order as {@link cpu_free} does. */
  cpu_destroy_staging(device: NativeDevice, staging: number, bytes: ArrayBuffer): void;

  cpu_create_stream(device: NativeDevice, stream: number): void;
  /** What was enqueued still runs. */
  cpu_destroy_stream(device: NativeDevice, stream: number): void;
  /** Operations finished since the stream was made; synchronize is none, everything else that is enqueued is one. */
  cpu_completed(device: NativeDevice, stream: number): number;
  /** Resolves with the time (ns, steady clock) once everything enqueued on the stream so far has finished. */
  cpu_synchronize(device: NativeDevice, stream: number): Promise<number>;
  cpu_create_event(device: NativeDevice, event: number): void;
  cpu_destroy_event(device: NativeDevice, event: number): void;
  cpu_record_event(device: NativeDevice, event: number, stream: number): void;
  /** Waits for the latest record; an event that was never recorded is no wait. */
  cpu_wait_event(device: NativeDevice, stream: number, event: number): void;
  /** Resolves with the time (ns, steady clock) at which the latest record was reached. */
  cpu_event_time(device: NativeDevice, event: number): Promise<number>;

  /** Copies `bytes` before it returns. */
  cpu_write(device: NativeDevice, stream: number, buffer: number, byte_offset: number, bytes: Uint8Array): void;
  cpu_write_from_staging(
    device: NativeDevice,
    stream: number,
    buffer: number,
    byte_offset: number,
    staging: number,
    staging_offset: number,
    byte_length: number,
  ): void;
  cpu_copy(
    device: NativeDevice,
    stream: number,
    target: number,
    target_offset: number,
    source: number,
    source_offset: number,
    byte_length: number,
  ): void;
  /** `pattern` is 1, 2, 4 or 8 bytes and divides `byte_length`. */
  cpu_fill(
    device: NativeDevice,
    stream: number,
    buffer: number,
    byte_offset: number,
    byte_length: number,
    pattern: Uint8Array,
  ): void;
  /**
   * `relocations` holds triples (offset into params, buffer, byte offset into it), of which the first
   * `num_relocations` count. Everything is copied before it returns.
   */
  cpu_launch(
    device: NativeDevice,
    stream: number,
    program_index: number,
    grid_x: number,
    grid_y: number,
    grid_z: number,
    params: Uint8Array,
    relocations: Float64Array,
    num_relocations: number,
  ): void;
  /** Resolves with the bytes as they are after everything enqueued on the stream so far. */
  cpu_read(
    device: NativeDevice,
    stream: number,
    buffer: number,
    byte_offset: number,
    byte_length: number,
  ): Promise<ArrayBuffer>;

  cpu_begin_capture(device: NativeDevice, stream: number): void;
  cpu_end_capture(device: NativeDevice, stream: number, graph: number): void;
  cpu_abort_capture(device: NativeDevice, stream: number): void;
  cpu_destroy_graph(device: NativeDevice, graph: number): void;
  cpu_describe_graph(device: NativeDevice, graph: number): NativeGraphNode[];
  /** In a capture: one node that does all of `graph`. */
  cpu_add_child_graph(device: NativeDevice, stream: number, graph: number): void;
  cpu_instantiate(device: NativeDevice, graph: number, exec: number): void;
  cpu_destroy_exec(device: NativeDevice, exec: number): void;
  /** The arguments after `node_index` are those of {@link cpu_launch}; the program must be the node's own. */
  cpu_update_node(
    device: NativeDevice,
    exec: number,
    node_index: number,
    program_index: number,
    grid_x: number,
    grid_y: number,
    grid_z: number,
    params: Uint8Array,
    relocations: Float64Array,
    num_relocations: number,
  ): void;
  /** Answers with the reason where the nodes differ in number or kind, and '' where the exec has been updated. */
  cpu_update_exec(device: NativeDevice, exec: number, graph: number): string;
  cpu_set_enabled(device: NativeDevice, exec: number, node_index: number, enabled: boolean): void;
  /** Of its own memory. */
  cpu_exec_bytes(device: NativeDevice, exec: number): number;
  /** One operation of the stream that does nothing here. */
  cpu_upload(device: NativeDevice, exec: number, stream: number): void;
  cpu_replay(device: NativeDevice, exec: number, stream: number): void;

  /**
   * Opens the driver on first use, and lists its GPUs. Throws `UNSUPPORTED`, saying what is missing and what to do, where
   * there is no usable driver. `driver_version` is the largest CUDA version that it knows: 13000 for 13.0.
   */
  cuda_probe(): { library: string; driver_version: number; devices: NativeCudaFacts[] };
  /** Opens GPU `ordinal`, in its primary context. Throws `UNSUPPORTED` as {@link cuda_probe} does. */
  cuda_open(ordinal: number): NativeCudaDevice;
  /** As {@link cpu_close}. */
  cuda_close(device: NativeCudaDevice): void;
  /** `free_bytes`: free on the GPU now; other processes count too. */
  cuda_describe(device: NativeCudaDevice): NativeCudaFacts & { driver_version: number; free_bytes: number };
  cuda_live_counts(device: NativeCudaDevice): NativeLiveCounts;
  /**
   * Loads kernel `entry` of a cubin; `program` is a handle of the caller's. Throws `UNSUPPORTED` where the GPU can't run
   * it so. `threads` 0: every launch says it. `parameter_offsets` count where the driver can't tell them. `children`:
   * kernels of the image that this one launches, with the dynamic shared memory that they may have.
   */
  cuda_load_program(
    device: NativeCudaDevice,
    program: number,
    label: string,
    image: Uint8Array,
    entry: string,
    threads: number,
    shared_bytes: number,
    cooperative: boolean,
    pdl: boolean,
    cluster_size: number,
    parameter_offsets: Int32Array,
    children: readonly string[],
    children_shared_bytes: Int32Array,
  ): NativeProgramInfo;
  /** Launches and graphs that were made before keep it. */
  cuda_unload_program(device: NativeCudaDevice, program: number): void;
  /** CTAs that fit on an SM at the same time; `cta` as in {@link cuda_launch}. */
  cuda_ctas_per_sm(device: NativeCudaDevice, program: number, cta: Int32Array): number;

  /** Uninitialised memory, 256-byte aligned. */
  cuda_allocate(device: NativeCudaDevice, buffer: number, byte_length: number): void;
  /** Frees once everything enqueued so far, on every stream, has finished. */
  cuda_free(device: NativeCudaDevice, buffer: number): void;
  /** Pinned host memory for {@link cuda_write_from_staging}. */
  cuda_create_staging(device: NativeCudaDevice, staging: number, byte_length: number): ArrayBuffer;
  /** Detaches `bytes`, the ArrayBuffer of {@link cuda_create_staging}, and frees in order as {@link cuda_free} does. */
  cuda_destroy_staging(device: NativeCudaDevice, staging: number, bytes: ArrayBuffer): void;

  cuda_create_stream(device: NativeCudaDevice, stream: number): void;
  /** What was enqueued still runs. */
  cuda_destroy_stream(device: NativeCudaDevice, stream: number): void;
  /** As {@link cpu_completed}; may lag behind while the stream is busy, and catches up when it is asked again. */
  cuda_completed(device: NativeCudaDevice, stream: number): number;
  /** Resolves with the host's time (ns, steady clock) once everything enqueued on the stream so far has finished. */
  cuda_synchronize(device: NativeCudaDevice, stream: number): Promise<number>;
  cuda_create_event(device: NativeCudaDevice, event: number): void;
  cuda_destroy_event(device: NativeCudaDevice, event: number): void;
  cuda_record_event(device: NativeCudaDevice, event: number, stream: number): void;
  /** Waits for the latest record; an event that was never recorded is no wait. */
  cuda_wait_event(device: NativeCudaDevice, stream: number, event: number): void;
  /** Resolves with the GPU's time (ns, on the host's steady clock) at which the latest record was reached. */
  cuda_event_time(device: NativeCudaDevice, event: number): Promise<number>;

  /** Copies `bytes` before it returns. */
  cuda_write(device: NativeCudaDevice, stream: number, buffer: number, byte_offset: number, bytes: Uint8Array): void;
  cuda_write_from_staging(
    device: NativeCudaDevice,
    stream: number,
    buffer: number,
    byte_offset: number,
    staging: number,
    staging_offset: number,
    byte_length: number,
  ): void;
  cuda_copy(
    device: NativeCudaDevice,
    stream: number,
    target: number,
    target_offset: number,
    source: number,
    source_offset: number,
    byte_length: number,
  ): void;
  /** `pattern` is 1, 2, 4 or 8 bytes and divides `byte_length`. */
  cuda_fill(
    device: NativeCudaDevice,
    stream: number,
    buffer: number,
    byte_offset: number,
    byte_length: number,
    pattern: Uint8Array,
  ): void;
  /**
   * `cta` holds what differs from the program's: threads in x, y, z (0: don't differ), dynamic shared bytes, cooperative,
   * pdl, CTAs of a cluster (-1: don't differ), and 1 where kernels may update the node. `relocations` holds triples (offset into params, buffer, byte offset into
   * it), of which the first `num_relocations` count. Everything is copied before it returns.
   */
  cuda_launch(
    device: NativeCudaDevice,
    stream: number,
    program: number,
    grid_x: number,
    grid_y: number,
    grid_z: number,
    cta: Int32Array,
    params: Uint8Array,
    relocations: Float64Array,
    num_relocations: number,
  ): void;
  /** Resolves with the bytes as they are after everything enqueued on the stream so far. */
  cuda_read(
    device: NativeCudaDevice,
    stream: number,
    buffer: number,
    byte_offset: number,
    byte_length: number,
  ): Promise<ArrayBuffer>;

  cuda_begin_capture(device: NativeCudaDevice, stream: number): void;
  cuda_end_capture(device: NativeCudaDevice, stream: number, graph: number): void;
  cuda_abort_capture(device: NativeCudaDevice, stream: number): void;
  cuda_destroy_graph(device: NativeCudaDevice, graph: number): void;
  cuda_describe_graph(device: NativeCudaDevice, graph: number): NativeGraphNode[];
  cuda_add_child_graph(device: NativeCudaDevice, stream: number, graph: number): void;
  /**
   * In a capture. `kind` 0: if, 1: while, 2: switch; `bodies` are graphs. Throws `UNSUPPORTED` where the driver is too old.
   */
  cuda_add_conditional(
    device: NativeCudaDevice,
    stream: number,
    kind: number,
    bodies: Float64Array,
    default_value: number,
  ): void;
  /** Writes what kernels know a conditional node, or a launch that they may update, by: 8 bytes. */
  cuda_write_node_handle(
    device: NativeCudaDevice,
    stream: number,
    buffer: number,
    byte_offset: number,
    graph: number,
    node_index: number,
  ): void;
  /** Writes what kernels know an exec by: 8 bytes. */
  cuda_write_exec_handle(
    device: NativeCudaDevice,
    stream: number,
    buffer: number,
    byte_offset: number,
    exec: number,
  ): void;
  /** `device_launch`: kernels may launch it. */
  cuda_instantiate(device: NativeCudaDevice, graph: number, exec: number, device_launch: boolean): void;
  cuda_destroy_exec(device: NativeCudaDevice, exec: number): void;
  /** The arguments after `node_index` are those of {@link cuda_launch}; the program must be the node's own. */
  cuda_update_node(
    device: NativeCudaDevice,
    exec: number,
    node_index: number,
    program: number,
    grid_x: number,
    grid_y: number,
    grid_z: number,
    cta: Int32Array,
    params: Uint8Array,
    relocations: Float64Array,
    num_relocations: number,
  ): void;
  /** Answers with the driver's reason where it refuses, and '' where the exec has been updated. */
  cuda_update_exec(device: NativeCudaDevice, exec: number, graph: number): string;
  cuda_set_enabled(device: NativeCudaDevice, exec: number, node_index: number, enabled: boolean): void;
  /** What the GPU's free memory shrank by when the exec was made. */
  cuda_exec_bytes(device: NativeCudaDevice, exec: number): number;
  cuda_upload(device: NativeCudaDevice, exec: number, stream: number): void;
  cuda_replay(device: NativeCudaDevice, exec: number, stream: number): void;

  /** `[major, minor]` of an NVRTC library. Throws `UNSUPPORTED` where it doesn't load. */
  nvrtc_version(library: string): [number, number];
  /**
   * Compiles on a thread of its own. `options` name a real architecture (`-arch=sm_90a`); `name_expressions` name kernels
   * as C++ does (`scale<float>`), templates among them being instantiated. Resolves without `image` where the source does
   * not compile; `log` is what the compiler said, `names` what the expressions became in the image and for people.
   */
  nvrtc_compile(
    library: string,
    source: string,
    file_name: string,
    options: readonly string[],
    name_expressions: readonly string[],
  ): Promise<{ image?: ArrayBuffer; log: string; names: { lowered: string; readable: string }[] }>;
  /** `[major, minor]` of an nvJitLink library. Throws `UNSUPPORTED` where it doesn't load. */
  nvjitlink_version(library: string): [number, number];
  /**
   * Links a relocatable cubin, called `name` in messages, with static libraries, on a thread of its own. Resolves without
   * `image` where it does not link; `log` is what the linker said.
   */
  nvjitlink_link(
    library: string,
    architecture: string,
    name: string,
    image: Uint8Array,
    archives: readonly string[],
  ): Promise<{ image?: ArrayBuffer; log: string }>;

  /** The driver's own version, such as `580.159.04`, by an NVML library. Throws `UNSUPPORTED` where it doesn't load. */
  nvml_driver_version(library: string): string;
  /** What a GPU's clocks and power are now; takes about a millisecond. Throws `UNSUPPORTED` as above. */
  nvml_read(library: string, pci_bus_id: string): NativeGpuReadings;
}
