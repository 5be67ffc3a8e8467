/**
 * A decoding loop without the host: a graph appends a token, grows the lengths, plans and attends, and is replayed. The keys
 * and values of a step are made of the outputs of the step before, so that one wrong bit is never forgotten.
 *
 * Planned ahead, two wrappers take turns, and a graph is a step of each: while one attends, a branch plans the other's step.
 */
import { BatchDecode } from '../../src/attention/batch-decode';
import type { DevicePolicy } from '../../src/attention/device-plan';
import { PagedKvCache } from '../../src/attention/paged-kv';
import type { Device } from '../../src/device/device';
import { capture } from '../../src/graph/capture';
import type { GraphExec } from '../../src/graph/graph-exec';
import { policies } from '../../src/schedule/policies/known';
import { empty, fromHost } from '../../src/tensor/create';
import { normal } from '../../src/tensor/random';

export interface LoopOptions {
  kvLens: readonly number[];
  /** Steps that pages are reserved for. */
  steps: number;
  numQoHeads: number;
  numKvHeads: number;
  headDim: number;
  dtype: 'float32' | 'bfloat16';
  policy: DevicePolicy;
  /** Plan each step while the one before attends; default false. */
  ahead?: boolean;
}

export interface Loop {
  /** Append, grow, plan, attend: `stepsPerReplay` times. */
  readonly exec: GraphExec;
  readonly stepsPerReplay: number;
  readonly decode: BatchDecode;
  /**
   * Bytes of the output and LSE of the step that was replayed last, and those of a run that the host plans for `step`
   * steps, over the same cache. Waits.
   */
  compare(step: number): Promise<{ looped: Uint8Array[]; eager: Uint8Array[] }>;
  dispose(): void;
}

export async function deviceLoop(device: Device, options: LoopOptions): Promise<Loop> {
  const { kvLens, steps, numQoHeads, numKvHeads, headDim, dtype, policy, ahead = false } = options;
  const batch = kvLens.length;
  const pages = kvLens.map((length) => Math.ceil((length + steps) / 16));
  const numPages = pages.reduce((sum, count) => sum + count, 0);
  const cache = new PagedKvCache({ device, numPages, numKvHeads, headDim, dtype });
  for (const [pool, seed] of [
    [cache.k, 1],
    [cache.v, 2],
  ] as const) {
    const values = normal([...pool.shape], { seed, dtype, device });
    pool.copyFrom(values);
    values.dispose();
  }
  const requests = kvLens.map((length) => cache.allocate(length));
  for (const [r, request] of requests.entries()) cache.reserve(request, kvLens[r] + steps);
  const table = cache.pageTable(requests);
  const { pagedKvIndptr, pagedKvIndices, pagedKvLastPageLen } = table.toTensors(device);
  const lengths = fromHost(Int32Array.from(kvLens), { dtype: 'int32', device });
  const batchIndices = fromHost(
    Int32Array.from(kvLens, (_, r) => r),
    { dtype: 'int32', device },
  );

  const wrapper = { numQoHeads, numKvHeads, headDim, dtype, device, capacity: { maxBatch: batch, maxPages: numPages } };
  const decode = await BatchDecode.create({ ...wrapper, trace: true });
  const host = await BatchDecode.create(wrapper);
  decode.plan(table);
  host.plan(table);
  const q = normal([batch, numQoHeads, headDim], { seed: 3, dtype, device });
  const out = normal([batch, numQoHeads, headDim], { seed: 4, dtype, device });
  const lse = empty([batch, numQoHeads], { dtype: 'float32', device });
  const [k, v] = [0, 1].map(() => empty([batch, numKvHeads, headDim], { dtype, device }));

  const append = (): void => {
    k.copyFrom(out.slice(1, 0, numKvHeads));
    v.copyFrom(out.slice(1, numQoHeads - numKvHeads, numQoHeads));
    cache.appendAt({ batchIndices, positions: lengths, pagedKvIndptr, pagedKvIndices }, k, v);
    lengths.increment();
  };
  const made: { dispose(): void }[] = [];
  const step = (): void => {
    append();
    decode.planOnDevice(lengths, { policy });
    decode.run(q, cache, { out, lse });
  };
  let stepsAhead: (() => void) | undefined;
  if (ahead) {
    const other = await BatchDecode.create(wrapper);
    other.plan(table);
    // The first step's plan is there before the first replay; later ones come from the replay before.
    const planned = fromHost(
      Int32Array.from(kvLens, (length) => length + 1),
      { dtype: 'int32', device },
    );
    decode.planOnDevice(planned, { policy });
    const branch = device.createStream();
    const [forked, joined] = [device.createEvent(), device.createEvent()];
    made.push(other, planned, branch, forked, joined);
    stepsAhead = () => {
      for (const [now, next] of [
        [decode, other],
        [other, decode],
      ]) {
        branch.wait(device.stream.record(forked));
        planned.increment(1, { stream: branch });
        next.planOnDevice(planned, { policy, stream: branch });
        append();
        now.run(q, cache, { out, lse });
        device.stream.wait(branch.record(joined));
      }
    };
  }
  const graph = capture(device, stepsAhead ?? step);
  const exec = graph.instantiate();
  return {
    exec,
    stepsPerReplay: ahead ? 2 : 1,
    decode,
    async compare(step) {
      const plan = host.plan(
        kvLens.map((length) => length + step),
        { policy: policies[policy] },
      );
      await plan.ready();
      const eager = host.run(q, cache);
      const [looped, wanted] = await Promise.all(
        [
          [out, lse],
          [eager.output, eager.lse],
        ].map((tensors) => Promise.all(tensors.map(async (tensor) => new Uint8Array(await rawBytes(tensor.raw()))))),
      );
      eager.output.dispose();
      eager.lse.dispose();
      return { looped, eager: wanted };
    },
    dispose() {
      for (const resource of [exec, graph, decode, host, q, out, lse, k, v, lengths, batchIndices]) resource.dispose();
      for (const tensor of [pagedKvIndptr, pagedKvIndices, pagedKvLastPageLen, cache, ...made]) tensor.dispose();
    },
  };
}

async function rawBytes(raw: Promise<ArrayBufferView>): Promise<Uint8Array> {
  const { buffer, byteOffset, byteLength } = await raw;
  return new Uint8Array(buffer, byteOffset, byteLength);
}
