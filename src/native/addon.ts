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
  kind: 'kernel' | 'copy' | 'fill';
  label: string;
  /** Kernels only. */
  grid?: [number, number, number];
  /** Copies and fills only. */
  byte_length?: number;
  dependencies: number[];
}

export interface Addon {
  /** Hands over the class that the addon throws: `new error_class(code, message)`. Once for each environment. */
  set_error_class(error_class: new (code: never, message: string) => Error): void;

  /** `avx512`, `avx2` or `portable`: what vectorised programs were dispatched to. */
  cpu_instruction_set(): string;
  /** Names of all programs; a program's index in this list stands for it in launches. */
  cpu_program_names(): string[];
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
  cpu_replay(device: NativeDevice, exec: number, stream: number): void;
}
