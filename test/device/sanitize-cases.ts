/**
 * Small cases that reach every kernel and every way of loading, for compute-sanitizer: one process, small shapes, each case
 * checked. `node sanitize-cases.js [pattern …]` runs those whose name has a pattern in it; `--part 2/4` every fourth of these,
 * from the second on; `--list` names them. It takes the device that WARPBOOK_DEVICE says, CUDA by default.
 *
 * A line a case: how long it took and which kernels it launched. scripts/sanitize.mjs reads them.
 */
import assert from 'node:assert/strict';
import { parseArgs } from 'node:util';
import { BatchDecode } from '../../src/attention/batch-decode';
import { BatchPrefill } from '../../src/attention/batch-prefill';
import { openDevice } from '../../src/attention/open-device';
import { PagedKvCache } from '../../src/attention/paged-kv';
import type { KvDType } from '../../src/attention/variant';
import { ownPrograms } from '../../src/cli/build-kernels';
import type { Device } from '../../src/device/device';
import type { ProgramSource } from '../../src/device/programs/program-source';
import { linksDeviceRuntime } from '../../src/device/programs/program-text';
import { capture } from '../../src/graph/capture';
import { compareStrategies } from '../../src/lab/compare-strategies';
import { measureRoof } from '../../src/measure/roof';
import { policies } from '../../src/schedule/policies/known';
import { zeros } from '../../src/tensor/create';
import { normal } from '../../src/tensor/random';
import { LSE_BOUND } from '../support/accuracy-grid';
import { type AttentionCase, lseError, outputError, randomCache, randomQueries, runCase } from '../support/attention';
import { gathered, queued, segmented } from '../support/attention-features';
import { registerBadPages } from '../support/bad-pages';
import type { Register } from '../support/cases';
import { deviceLoop } from '../support/device-loop';
import { OP_CASES, requireSame } from '../support/op-cases';
import { registerSharedPrefix } from '../support/shared-prefix';
import { smallTrace } from '../support/strategy-traces';
import { noop } from './probes';

interface SanitizeCase {
  readonly name: string;
  run(device: Device): Promise<void>;
}

/** Empty, one key, ends of pages and blocks, several splits of 64. */
const LENGTHS = [0, 1, 17, 64, 150];
const BASE: AttentionCase = {
  kvLens: LENGTHS,
  numQoHeads: 8,
  numKvHeads: 2,
  headDim: 128,
  pageSize: 16,
  dtype: 'bfloat16',
  policy: policies.fixedSplitSize(64),
  seed: 11,
};
const everything = { sinks: true, alibi: true, logitsSoftCap: 30, windowLeft: 100 } as const;

function attention(name: string, changes: Partial<AttentionCase>): SanitizeCase {
  return {
    name,
    async run(device) {
      const outcome = await runCase(device, { ...BASE, ...changes });
      assert.ok(outputError(outcome) <= 4e-3, `output ${outputError(outcome)}`);
      assert.ok(lseError(outcome) <= LSE_BOUND, `LSE ${lseError(outcome)}`);
    },
  };
}

/** Every decode build: element types, head dims, few and many query rows, plain and general. */
function* decodeBuilds(): Generator<SanitizeCase> {
  for (const dtype of ['float16', 'bfloat16'] as const) {
    for (const kvDtype of [dtype, 'float8_e4m3fn', 'float8_e5m2'] as const) {
      for (const headDim of [64, 128, 256]) {
        for (const rows of [4, 16, 32]) {
          const of: Partial<AttentionCase> = {
            dtype,
            kvDtype: kvDtype as KvDType,
            headDim,
            ...(rows > 4 && { numQoHeads: rows, numKvHeads: 1 }),
          };
          const name = `decode ${dtype} ${kvDtype} d${headDim} r${rows}`;
          const odd = headDim === 128;
          yield attention(`${name} plain`, { ...of, layout: odd ? 'HND' : 'NHD', pageSize: odd ? 64 : 16 });
          yield attention(`${name} general`, {
            ...of,
            ...everything,
            layout: odd ? 'NHD' : 'HND',
            pageSize: odd ? 1 : 8,
            policy: odd ? queued : BASE.policy,
          });
        }
      }
    }
  }
}

const tokens = (count: number) => ({ qoLens: LENGTHS.map((length) => Math.min(length, count)), causal: true });

const DECODE_WAYS: readonly SanitizeCase[] = [
  attention('decode: one page each, no split', { kvLens: [16, 16], policy: policies.noSplit }),
  attention('decode: head groups', { policy: policies.headGroups }),
  attention('decode: binary search', { policy: policies.binarySearch }),
  attention('decode: a queue', { policy: queued }),
  attention('decode: 4 tokens, causal', tokens(4)),
  attention('decode: 8 tokens, causal, a window', { ...tokens(8), windowLeft: 10 }),
  attention('decode: segments', { policy: segmented, capacity: { maxSegments: 256 } }),
  attention('decode: gathered rows', { policy: gathered, capacity: { maxRows: 1024 } }),
  attention('decode: nothing but empty requests', { kvLens: [0, 0, 0] }),
  attention('decode: padded rows', { padding: 3 }),
];

/** Two tiles of 128 rows and two steps of 64 keys, and short ones: under racecheck a prefill step takes long. */
const PREFILL = {
  kvLens: [0, 1, 17, 70, 100],
  qoLens: [0, 1, 5, 9, 33],
  numQoHeads: 4,
  numKvHeads: 1,
  causal: true,
} as const;

function* prefillWays(): Generator<SanitizeCase> {
  for (const dtype of ['float16', 'bfloat16'] as const) {
    for (const kvDtype of [dtype, 'float8_e4m3fn', 'float8_e5m2'] as const) {
      for (const headDim of [64, 128, 256]) {
        const odd = headDim === 128;
        yield attention(`prefill ${dtype} ${kvDtype} d${headDim}`, {
          ...PREFILL,
          ...(odd && everything),
          dtype,
          kvDtype: kvDtype as KvDType,
          headDim,
          layout: odd ? 'HND' : 'NHD',
          pageSize: odd ? 1 : 16,
        });
      }
    }
  }
  yield attention('prefill: a queue', { ...PREFILL, policy: queued });
  yield attention('prefill: not causal', { ...PREFILL, causal: false, policy: policies.noSplit });
  yield attention('prefill: segments', { ...PREFILL, policy: segmented, capacity: { maxSegments: 1024 } });
  yield attention('prefill: gathered rows', { ...PREFILL, policy: gathered, capacity: { maxRows: 2048 } });
  yield {
    name: 'prefill: ragged keys',
    async run(device) {
      const heads = { numQoHeads: 8, numKvHeads: 2, headDim: 128 };
      const prefill = await BatchPrefill.create({
        ...heads,
        device,
        kv: 'ragged',
        capacity: { maxBatch: 2, maxQoTokens: 60 },
      });
      const q = normal([60, 8, 128], { seed: 1, dtype: 'bfloat16', device });
      const [k, v] = [2, 3].map((seed) => normal([90, 2, 128], { seed, dtype: 'bfloat16', device }));
      prefill.plan([40, 20], [70, 20]);
      const { output, lse } = prefill.run(q, { k, v });
      assert.ok(((await output.data()) as Float32Array).every(Number.isFinite));
      for (const thing of [prefill, q, k, v, output, lse]) thing.dispose();
    },
  };
}

/** Traced kernels, and plans that are rewritten between replays. */
function* loops(): Generator<SanitizeCase> {
  for (const dtype of ['float16', 'bfloat16'] as const) {
    for (const headDim of [64, 128, 256]) {
      yield {
        name: `traced decode in a graph, replanned: ${dtype} d${headDim}`,
        run: (device) => replanTraced(device, { ...BASE, dtype, headDim }),
      };
    }
  }
}

async function replanTraced(device: Device, of: AttentionCase): Promise<void> {
  const { numQoHeads, numKvHeads, headDim, dtype } = of;
  const { cache, requests } = randomCache(device, of);
  const q = randomQueries(device, of);
  const [out, lse] = [zeros([5, numQoHeads, headDim], { dtype, device }), zeros([5, numQoHeads], { device })];
  const capacity = { maxBatch: 5, maxPages: cache.numPages };
  const decode = await BatchDecode.create({ numQoHeads, numKvHeads, headDim, dtype, device, capacity, trace: true });
  const table = cache.pageTable(requests);
  decode.plan(table, { policy: policies.noSplit });
  const graph = capture(device, () => void decode.run(q, cache, { out, lse }));
  const exec = graph.instantiate();
  for (const policy of [policies.noSplit, policies.fixedSplitSize(64), queued, policies.headGroups]) {
    const { schedule } = decode.plan(table, { policy });
    exec.replay();
    assert.equal((await decode.timeline()).stats().numTiles, schedule.numTiles);
  }
  for (const thing of [exec, graph, decode, q, out, lse, cache]) thing.dispose();
}

/** The planner on the device, of each policy, and deltas of page tables. */
const PLANS: readonly SanitizeCase[] = [
  ...(['adaptive', 'headGroups', 'binarySearch', 'noSplit'] as const).map(
    (policy): SanitizeCase => ({
      name: `plan on the device: ${policy}, in a loop without the host`,
      async run(device) {
        for (const kvLens of [LENGTHS, [700], Array.from({ length: 90 }, (_, r) => (r * 37) % 200)]) {
          const heads = { numQoHeads: 8, numKvHeads: 2, headDim: 128 };
          const loop = await deviceLoop(device, { ...heads, dtype: 'bfloat16', kvLens, steps: 3, policy });
          for (let step = 1; step <= 3; step++) loop.exec.replay();
          const { looped, eager } = await loop.compare(3);
          assert.deepEqual(looped, eager);
          loop.dispose();
        }
      },
    }),
  ),
  {
    name: 'a plan made a step ahead on a branch',
    async run(device) {
      const heads = { numQoHeads: 8, numKvHeads: 2, headDim: 128 };
      const options = { ...heads, dtype: 'bfloat16', kvLens: LENGTHS, policy: 'headGroups', ahead: true } as const;
      const loop = await deviceLoop(device, { ...options, steps: 5 });
      for (let replay = 0; replay < 2; replay++) loop.exec.replay();
      const { looped, eager } = await loop.compare(4);
      assert.deepEqual(looped, eager);
      loop.dispose();
    },
  },
  {
    name: 'a page table whose ends change',
    async run(device) {
      const heads = { numQoHeads: 1, numKvHeads: 1, headDim: 64 };
      const cache = new PagedKvCache({ ...heads, device, numPages: 6000, pageSize: 1 });
      const decode = await BatchDecode.create({
        ...heads,
        device,
        pageSize: 1,
        capacity: { maxBatch: 2, maxPages: 9000 },
      });
      const requests = [cache.allocate(10), cache.allocate(5000)];
      const before = decode.plan(cache.pageTable(requests)).cost.uploadedBytes;
      for (const request of requests) cache.grow(request, 1);
      const grown = decode.plan(cache.pageTable(requests)).cost.uploadedBytes;
      assert.ok(grown < before - 16000, `${grown} bytes`);
      await device.synchronize();
      for (const thing of [decode, cache]) thing.dispose();
    },
  },
];

/**
 * The kernels of a decode step, by strategies that launch nothing from the device: what launches kernels is beyond the sanitizer. The
 * smallest model that has two layers and groups of heads: racecheck follows every access to shared memory, and a matrix product has many.
 */
const STEPS: readonly SanitizeCase[] = [2, 40].map((maxBatch) => ({
  name: `decode steps by each strategy, up to ${maxBatch} requests`,
  async run(device) {
    const comparison = await compareStrategies({
      device,
      trace: smallTrace(45, { longest: 150 }),
      steps: 3,
      checkEvery: 1,
      model: { layers: 2, numQoHeads: 4, numKvHeads: 1, headDim: 64, maxBatch, maxKvLen: 192 },
      strategies: ['eager', 'fixedGrid', 'persistent', 'devicePlanned', 'graphPool', 'hostUpdate'],
    });
    for (const { name, agreement } of comparison.results) assert.ok(agreement.agrees, name);
  },
}));

/** Tensor, append and merge operations, with the CPU device's results beside. */
const OPERATIONS: readonly SanitizeCase[] = OP_CASES.map((op) => ({
  name: op.name,
  async run(device) {
    const cpu = await openDevice('cpu', { threads: 1 });
    try {
      requireSame(op, await op.run(device), await op.run(cpu));
    } finally {
      cpu.dispose();
    }
  },
}));

/** What measures the machine, and what does nothing. */
const ROOFS: readonly SanitizeCase[] = [
  {
    name: 'noop',
    async run(device) {
      device.stream.launch(noop());
      await device.synchronize();
    },
  },
  {
    name: 'roof: a streaming read and multiply-adds',
    async run(device) {
      const roof = await measureRoof({ device, bytes: 1 << 20, rotatedBytes: 2 << 20, maxSeconds: 0.05 });
      assert.ok(roof.readGbps > 0 && roof.tflops > 0);
    },
  },
];

/** The cases of a shared list, which asks for a runner. */
function shared(register: (test: Register, of: () => Device) => void): SanitizeCase[] {
  let current: Device | undefined;
  const cases: SanitizeCase[] = [];
  const collect: Register = (name, _options, body) => {
    cases.push({
      name,
      run(device) {
        current = device;
        return body();
      },
    });
  };
  register(collect, () => current as Device);
  return cases;
}

/** All cases; a new kernel is a new line here. */
const CASES: readonly SanitizeCase[] = [
  ...OPERATIONS,
  ...ROOFS,
  ...loops(),
  ...PLANS,
  ...STEPS,
  ...DECODE_WAYS,
  ...shared(registerBadPages),
  ...shared(registerSharedPrefix),
  ...decodeBuilds(),
  ...prefillWays(),
];

/** Names of the programs that are launched from now on, in the set that `into` says. */
function recordLaunches(device: Device, into: () => Set<string>): void {
  const { backend } = device.state;
  const launch = backend.launch.bind(backend);
  backend.launch = (stream, description) => {
    into().add(description.program);
    launch(stream, description);
  };
}

/** Kernels that are built ahead and that no case launched. The CPU device has other programs. */
function missedKernels(device: Device, launched: ReadonlySet<string>): string[] {
  const { architecture } = device.description;
  if (architecture === undefined) return [];
  // What works by the device runtime, and the merge that it switches on: test/device/strategies.test.ts runs it.
  const beyond = (source: ProgramSource): boolean => linksDeviceRuntime(source) || source.name === 'merge_partials';
  return ownPrograms(architecture)
    .filter((source) => !beyond(source))
    .map(({ name }) => name)
    .filter((name) => !launched.has(name));
}

/** `2/4`: from 1 on. */
function readPart(text: string): { part: number; of: number } {
  const [part, of] = (/^(\d+)\/(\d+)$/.exec(text)?.slice(1) ?? []).map(Number);
  if (!(part >= 1 && part <= of)) throw new Error(`Got --part ${text}; wanted such as 2/4: the second of four parts.`);
  return { part, of };
}

async function main(args: string[]): Promise<void> {
  const { values, positionals: patterns } = parseArgs({
    args,
    allowPositionals: true,
    options: { list: { type: 'boolean' }, part: { type: 'string', default: '1/1' } },
  });
  const { part, of } = readPart(values.part);
  const fitting = CASES.filter(
    ({ name }) => patterns.length === 0 || patterns.some((pattern) => name.includes(pattern)),
  );
  if (fitting.length === 0) throw new Error(`No case has ${patterns.join(' or ')} in its name; --list shows them.`);
  const chosen = fitting.filter((_, index) => index % of === part - 1);
  if (values.list) {
    for (const { name } of chosen) console.log(name);
    return;
  }
  process.env.WARPBOOK_DEVICE ??= 'cuda';
  const device = await openDevice();
  const launched = new Set<string>();
  let ofCase = new Set<string>();
  recordLaunches(device, () => ofCase);
  for (const [index, { name, run }] of chosen.entries()) {
    const began = process.hrtime.bigint();
    ofCase = new Set();
    try {
      await run(device);
    } catch (error) {
      throw new Error(`${name}: ${(error as Error).message}`, { cause: error });
    }
    const seconds = Number(process.hrtime.bigint() - began) / 1e9;
    for (const kernel of ofCase) launched.add(kernel);
    console.log(`${index + 1}/${chosen.length} ${name} (${seconds.toFixed(2)} s): ${[...ofCase].join(' ')}`);
  }
  const missed = missedKernels(device, launched);
  if (of > 1 && missed.length > 0) console.log(`not launched: ${missed.join(' ')}`);
  device.dispose();
  assert.deepEqual(device.leaks, []);
  if (patterns.length === 0 && of === 1) assert.deepEqual(missed, [], 'kernels that no case launches; add cases');
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
