/**
 * Who runs, and how long they are, in device memory: what a step reads instead of the host. Written by `seat()` when requests
 * join or leave; everything else the device keeps up itself.
 */
import type { AppendPlaces } from '../attention/append-kv';
import { PageTable } from '../attention/page-table';
import type { Buffer } from '../device/buffer';
import type { Device } from '../device/device';
import { loadPrograms } from '../device/programs/load-programs';
import { StagingRing } from '../device/staging';
import { zeros } from '../tensor/create';
import type { Tensor } from '../tensor/tensor';
import type { StepBatch } from './batch';
import { STEP_RULES, STEP_WORD } from './step-params';
import { stepPrograms } from './step-programs';

const STAGING_SLOTS = 8;
/** What a number holds exactly; a GPU counts nanoseconds since 1970. */
const EXACT_BITS = 53;

/** Loads what every step needs; the CPU device has it. */
export async function openDevicePrograms(device: Device): Promise<void> {
  if (device.description.architecture !== undefined) await loadPrograms(device, stepPrograms);
}

/** The words of {@link STEP_WORD}, read back. */
export type StepState = Readonly<Record<keyof typeof STEP_WORD, number>>;

export class StepMemory {
  /** int32: the state, then lengths and tokens to go of each request. */
  readonly state: Tensor;
  /** Tokens of each request before the step, int32 [maxBatch]. */
  readonly lengths: Tensor;
  readonly remaining: Tensor;
  /** Tokens with the new one, int32 [maxBatch]; 0 beyond the running requests. */
  readonly kvLens: Tensor;
  /** Tokens of the step after, if the same requests run then, int32 [maxBatch]; 0 beyond the running requests. */
  readonly nextKvLens: Tensor;
  readonly positions: Tensor;
  readonly batchIndices: Tensor;
  /** Requests that run, int32 [1]. */
  readonly numRequests: Tensor;
  private readonly pagedKvIndptr: Tensor;
  private readonly pagedKvIndices: Tensor;
  private readonly maxBatch: number;
  private readonly pageSize: number;
  private readonly seatRing: StagingRing;
  private readonly tableRing: StagingRing;
  private readonly tensors: readonly Tensor[];

  constructor(
    private readonly device: Device,
    { maxBatch, maxPages, pageSize }: { maxBatch: number; maxPages: number; pageSize: number },
  ) {
    this.pageSize = pageSize;
    const int32 = (count: number, label: string): Tensor => zeros([count], { dtype: 'int32', device, label });
    const words = STEP_RULES.stateWords;
    this.maxBatch = maxBatch;
    this.state = int32(words + 2 * maxBatch, 'step state');
    this.numRequests = this.state.slice(0, STEP_WORD.numRequests, STEP_WORD.numRequests + 1);
    this.lengths = this.state.slice(0, words, words + maxBatch);
    this.remaining = this.state.slice(0, words + maxBatch, words + 2 * maxBatch);
    this.kvLens = int32(maxBatch, 'KV lengths');
    this.nextKvLens = int32(maxBatch, 'KV lengths a step later');
    this.positions = int32(maxBatch, 'positions');
    this.batchIndices = int32(maxBatch, 'batch indices');
    // One table, so that it is one copy.
    const table = int32(maxBatch + 1 + maxPages, 'page table');
    this.pagedKvIndptr = table.slice(0, 0, maxBatch + 1);
    this.pagedKvIndices = table.slice(0, maxBatch + 1, maxBatch + 1 + maxPages);
    this.tensors = [this.state, this.kvLens, this.nextKvLens, this.positions, this.batchIndices, table];
    this.seatRing = new StagingRing(device, (1 + 2 * maxBatch) * 4, STAGING_SLOTS);
    this.tableRing = new StagingRing(device, (maxBatch + 1 + maxPages) * 4, STAGING_SLOTS);
  }

  /** What a launch that reads the step points to. */
  get buffers(): Buffer[] {
    return this.tensors.map(({ buffer }) => buffer);
  }

  /** Where the new tokens of the first `rows` rows go. */
  places(rows: number): AppendPlaces {
    return {
      batchIndices: this.batchIndices.slice(0, 0, rows),
      positions: this.positions.slice(0, 0, rows),
      pagedKvIndptr: this.pagedKvIndptr,
      pagedKvIndices: this.pagedKvIndices,
    };
  }

  /**
   * Enqueues the copies that tell the device who runs.
   * @returns their bytes
   * @throws WarpbookError PLAN_QUEUE_FULL where the device lags that far behind
   */
  seat(batch: StepBatch, table: PageTable): number {
    const { maxBatch } = this;
    const { kvLens, remaining } = batch;
    const { stream } = this.device;
    const seats = this.seatRing.acquire();
    const words = new Int32Array(seats.bytes.buffer, seats.bytes.byteOffset, 1 + 2 * maxBatch);
    words[0] = kvLens.length;
    for (let r = 0; r < kvLens.length; r++) {
      words[1 + r] = kvLens[r] - 1;
      words[1 + maxBatch + r] = remaining[r];
    }
    this.seatRing.submit(seats, words.byteLength, stream, this.state.buffer, STEP_WORD.numRequests * 4);
    const pages = this.tableRing.acquire();
    const { pagedKvIndptr, pagedKvIndices } = table;
    const used = maxBatch + 1 + pagedKvIndices.length;
    const entries = new Int32Array(pages.bytes.buffer, pages.bytes.byteOffset, used);
    entries.set(pagedKvIndptr);
    // Seats that nobody takes have no pages.
    entries.fill(pagedKvIndices.length, pagedKvIndptr.length, maxBatch + 1);
    entries.set(pagedKvIndices, maxBatch + 1);
    this.tableRing.submit(pages, used * 4, stream, this.pagedKvIndptr.buffer, 0);
    return words.byteLength + used * 4;
  }

  /** Enqueues the writing of one word of the state. */
  setWord(word: keyof typeof STEP_WORD, value: number): void {
    this.state.buffer.write(new Uint8Array(Int32Array.of(value).buffer), { byteOffset: STEP_WORD[word] * 4 });
  }

  /** The state after everything enqueued so far. Waits. */
  async read(): Promise<StepState> {
    const bytes = await this.state.buffer.read({ byteLength: STEP_RULES.stateWords * 4 });
    const words = new Int32Array(bytes.buffer, bytes.byteOffset, STEP_RULES.stateWords);
    const names = Object.entries(STEP_WORD) as [keyof typeof STEP_WORD, number][];
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const values = Object.fromEntries(names.map(([name, word]) => [name, words[word]])) as Record<
      keyof typeof STEP_WORD,
      number
    >;
    return { ...values, startNs: Number(BigInt.asUintN(EXACT_BITS, view.getBigUint64(STEP_WORD.startNs * 4, true))) };
  }

  /** Lengths as the last step had them, and the page table of each request by itself. Waits. */
  async readTable(): Promise<{ kvLens: Int32Array; table: (request: number) => PageTable }> {
    const [kvLens, indptr, indices] = (await Promise.all(
      [this.kvLens, this.pagedKvIndptr, this.pagedKvIndices].map((tensor) => tensor.data()),
    )) as unknown as Int32Array[];
    const table = (request: number): PageTable => {
      const pages = indices.slice(indptr[request], indptr[request + 1]);
      return new PageTable({
        pagedKvIndptr: [0, pages.length],
        pagedKvIndices: pages,
        kvLens: [kvLens[request]],
        pageSize: this.pageSize,
      });
    };
    return { kvLens, table };
  }

  reset(): void {
    for (const { buffer } of this.tensors) buffer.fill(new Uint8Array([0]));
  }

  dispose(): void {
    for (const tensor of this.tensors) tensor.dispose();
    this.seatRing.dispose();
    this.tableRing.dispose();
  }
}
