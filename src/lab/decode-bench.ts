/**
 * One decode batch on a device: random keys and values on scattered pages (shared where the batch shares), and for each policy
 * its time over cold operands, its timeline, and whether a request's bits depend on the batch around it.
 */
import { BatchDecode } from '../attention/batch-decode';
import { PageTable } from '../attention/page-table';
import { PagedKvCache } from '../attention/paged-kv';
import type { Device } from '../device/device';
import { measure } from '../measure/measure';
import type { Measurement } from '../measure/measurement';
import type { Machine } from '../schedule/machine';
import type { Policy } from '../schedule/schedule';
import { full } from '../tensor/create';
import { itemSize } from '../tensor/dtype';
import { normal } from '../tensor/random';
import type { Tensor } from '../tensor/tensor';
import type { Timeline } from '../timeline/timeline';
import { ceilDiv } from '../units';
import { makeRandom } from '../workload/random';
import { TRACE_HASH_TOKENS } from '../workload/request-trace';
import type { LabBatch, ModelShape } from './batches';
import { sampleRequests } from './cuts';

export interface DecodeBenchOptions {
  readonly device: Device;
  /** Machine to plan for; default: the device's own. */
  readonly machine?: Machine;
  /** Bytes of keys and values that calls read before they come round again; default by the device: 512 MiB, 64 MiB on a CPU. */
  readonly rotatedBytes?: number;
  /** Seconds a measurement; default 0.3. */
  readonly maxSeconds?: number;
  /** Requests whose bits are compared; default 4. */
  readonly bitRequests?: number;
}

/** What was found for a policy. */
export interface DecodeFigures {
  readonly time: Measurement;
  /** Of a traced run with warm caches. */
  readonly timeline: Timeline;
  /** Share of the requests asked whose output or LSE differs when they run alone, bit for bit. */
  readonly bitsChanged: number;
  /** The host's time of a plan, ns: policy, packing and enqueueing. */
  readonly planNs: number;
}

const ROTATED_BYTES = { cuda: 512 * 2 ** 20, cpu: 64 * 2 ** 20 } as const;
const MAX_LAYERS = 64;
/** Elements of the random block that fills a pool. */
const RANDOM_BLOCK = 2 ** 22;
/** Of the memory that is free, what the layers may take. */
const USABLE_MEMORY = 0.7;

/** Tiles that any policy's schedule of a batch may have: policies that cut finer are told so by their error. */
const MAX_TILES = 65_536;

/** Wrappers of one build of the kernel: the trace has a build of its own. */
interface Wrappers {
  readonly timed: BatchDecode;
  readonly traced: BatchDecode;
}

/** Machines as the kernels bring them: tiles that gather rows of several requests have a build, and a tile class, of their own. */
export interface BenchMachines {
  readonly plain: Machine;
  readonly gathering: Machine;
}

/** The machines that a bench of this shape plans for. */
export async function benchMachines(
  shape: Required<ModelShape>,
  { device, machine }: Pick<DecodeBenchOptions, 'device' | 'machine'>,
): Promise<BenchMachines> {
  const machineWith = async (sharedPrefixes: boolean): Promise<Machine> => {
    const options = { ...wrapperShape(shape, device), machine, sharedPrefixes, capacity: { maxBatch: 1, maxPages: 1 } };
    const wrapper = await BatchDecode.create(options);
    wrapper.dispose();
    return wrapper.machine;
  };
  return { plain: await machineWith(false), gathering: await machineWith(true) };
}

function wrapperShape({ numQoHeads, numKvHeads, headDim, pageSize, kvDtype }: Required<ModelShape>, device: Device) {
  return { numQoHeads, numKvHeads, headDim, pageSize, kvDtype, dtype: 'bfloat16' as const, device };
}

export class DecodeBench {
  private gathering: Wrappers | undefined;

  private constructor(
    private readonly options: DecodeBenchOptions,
    private readonly batch: LabBatch,
    private readonly table: PageTable,
    private readonly layers: readonly PagedKvCache[],
    private readonly plain: Wrappers,
    private readonly makeGathering: () => Promise<Wrappers>,
    private readonly q: Tensor,
    private readonly out: Tensor,
    private readonly lse: Tensor,
  ) {}

  /** @throws WarpbookError OUT_OF_MEMORY where one layer doesn't fit; as BatchDecode */
  static async open(batch: LabBatch, shape: Required<ModelShape>, options: DecodeBenchOptions): Promise<DecodeBench> {
    const { device, rotatedBytes = ROTATED_BYTES[options.device.kind] } = options;
    const { numQoHeads, numKvHeads, headDim, pageSize, kvDtype } = shape;
    const table = scatteredPages(batch, pageSize);
    const numPages = table.maxPage + 1;
    const layerBytes = Math.max(1, numPages * pageSize * numKvHeads * headDim * 2 * itemSize(kvDtype));
    const { limitBytes, usedBytes } = device.memory();
    const affordable = Math.floor(((limitBytes - usedBytes) * USABLE_MEMORY) / layerBytes);
    const numLayers = Math.max(1, Math.min(MAX_LAYERS, ceilDiv(rotatedBytes, layerBytes), affordable));
    const made: { dispose(): void }[] = [];
    const keep = <T extends { dispose(): void }>(resource: T): T => {
      made.push(resource);
      return resource;
    };
    try {
      const layers = Array.from({ length: numLayers }, (_, layer) => {
        const cache = keep(
          new PagedKvCache({ numPages: Math.max(1, numPages), pageSize, numKvHeads, headDim, dtype: kvDtype, device }),
        );
        fillRandomly(cache.k, 2 * layer + 2);
        fillRandomly(cache.v, 2 * layer + 3);
        return cache;
      });
      const maxBatch = Math.max(1, batch.kvLens.length);
      const capacity = { maxBatch, maxPages: Math.max(1, table.pagedKvIndices.length), maxTiles: MAX_TILES };
      const make = async (sharedPrefixes: boolean, keepIt: typeof keep): Promise<Wrappers> => {
        const wrapper = { ...wrapperShape(shape, device), machine: options.machine, capacity, sharedPrefixes };
        const timed = keepIt(await BatchDecode.create(wrapper));
        return { timed, traced: keepIt(await BatchDecode.create({ ...wrapper, trace: true })) };
      };
      const plain = await make(false, keep);
      const rows = [maxBatch, numQoHeads, headDim];
      const q = keep(normal(rows, { seed: 1, dtype: 'bfloat16', device }));
      const out = keep(full(rows, Number.NaN, { dtype: 'bfloat16', device }));
      const lse = keep(full([maxBatch, numQoHeads], Number.NaN, { device }));
      const gathering = (): Promise<Wrappers> => make(true, (wrapper) => wrapper);
      return new DecodeBench(options, batch, table, layers, plain, gathering, q, out, lse);
    } catch (error) {
      for (const resource of made.reverse()) resource.dispose();
      throw error;
    }
  }

  /**
   * @param gathers whether tiles gather rows of several requests: the kernels for that are others, and slower for tiles that don't
   * @throws whatever planning throws: the policy's own errors, CAPACITY_EXCEEDED
   */
  async run(policy: Policy, what: string, gathers: boolean): Promise<DecodeFigures> {
    const { table, layers, q, out, lse, options } = this;
    const { device } = options;
    const wrappers = gathers ? await this.gatheringWrappers() : this.plain;
    const { timed, traced } = wrappers;
    const { cost } = timed.plan(table, { policy });
    const time = await measure((i) => timed.run(q, layers[i], { out, lse }), {
      device,
      what,
      rotate: layers.length,
      maxSeconds: options.maxSeconds ?? 0.3,
    });
    timed.run(q, layers[0], { out, lse });
    const bitsChanged = await this.bitsChanged(timed, policy);
    traced.plan(table, { policy });
    traced.run(q, layers[0], { out, lse });
    const timeline = await traced.timeline();
    return { time, timeline, bitsChanged, planNs: cost.policyNs + cost.packNs };
  }

  private async gatheringWrappers(): Promise<Wrappers> {
    this.gathering ??= await this.makeGathering();
    return this.gathering;
  }

  /** Expects the outputs of the whole batch, over the first layer, in `out` and `lse`. */
  private async bitsChanged(timed: BatchDecode, policy: Policy): Promise<number> {
    const { table, layers, q, out, lse, batch, options } = this;
    const asked = sampleRequests(batch.kvLens.length, options.bitRequests ?? 4);
    if (asked.length === 0) return 0;
    const rowOf = async (tensor: Tensor, row: number): Promise<string> => {
      const bits = await tensor.slice(0, row, row + 1).raw();
      return Buffer.from(bits.buffer, bits.byteOffset, bits.byteLength).toString('base64');
    };
    const within: string[] = [];
    for (const r of asked) within.push((await rowOf(out, r)) + (await rowOf(lse, r)));
    let changed = 0;
    for (const [i, r] of asked.entries()) {
      timed.plan(tableOfOne(table, r), { policy });
      timed.run(q.slice(0, r, r + 1), layers[0], { out: out.slice(0, r, r + 1), lse: lse.slice(0, r, r + 1) });
      if ((await rowOf(out, r)) + (await rowOf(lse, r)) !== within[i]) changed++;
    }
    return changed / asked.length;
  }

  dispose(): void {
    const wrappers = [this.gathering, this.plain].flatMap((pair) => (pair ? [pair.traced, pair.timed] : []));
    for (const resource of [this.lse, this.out, this.q, ...wrappers, ...this.layers]) resource.dispose();
  }
}

/** Pages in random order; those of prefixes that requests share are the same ones. */
function scatteredPages({ kvLens, hashIds }: LabBatch, pageSize: number): PageTable {
  const pagesPerBlock = TRACE_HASH_TOKENS / pageSize;
  const shares = hashIds.length > 0 && Number.isInteger(pagesPerBlock);
  const pagedKvIndptr = new Int32Array(kvLens.length + 1);
  const indices: number[] = [];
  /** First page of a block, by the whole chain of blocks that leads to it. */
  const chains = new Map<string, number>();
  let next = 0;
  kvLens.forEach((kvLen, r) => {
    const numPages = ceilDiv(kvLen, pageSize);
    let chain = '';
    let page = 0;
    for (const id of shares ? hashIds[r] : []) {
      chain += `${id} `;
      let first = chains.get(chain);
      if (first === undefined) {
        first = next;
        chains.set(chain, first);
        next += pagesPerBlock;
      }
      for (let i = 0; i < pagesPerBlock; i++, page++) indices.push(first + i);
    }
    for (; page < numPages; page++) indices.push(next++);
    pagedKvIndptr[r + 1] = indices.length;
  });
  const order = Int32Array.from({ length: next }, (_, i) => i);
  const random = makeRandom(7);
  for (let i = next - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  const pagedKvIndices = Int32Array.from(indices, (page) => order[page]);
  return new PageTable({ pagedKvIndptr, pagedKvIndices, kvLens, pageSize, numPages: next });
}

function tableOfOne({ pagedKvIndptr, pagedKvIndices, kvLens, pageSize }: PageTable, r: number): PageTable {
  const pages = pagedKvIndices.slice(pagedKvIndptr[r], pagedKvIndptr[r + 1]);
  return new PageTable({
    pagedKvIndptr: [0, pages.length],
    pagedKvIndices: pages,
    kvLens: [kvLens[r]],
    pageSize,
  });
}

/** Values of a normal distribution, a block of them over and over. */
function fillRandomly(pool: Tensor, seed: number): void {
  const { device, buffer, dtype } = pool;
  const block = normal([Math.min(RANDOM_BLOCK, pool.numel)], { seed, dtype: dtype as 'bfloat16', device });
  buffer.copyFrom(block.buffer, { byteLength: block.nbytes });
  for (let filled = block.nbytes; filled < pool.nbytes; ) {
    const byteLength = Math.min(filled, pool.nbytes - filled);
    buffer.copyFrom(buffer, { byteOffset: filled, byteLength });
    filled += byteLength;
  }
  block.dispose();
}
