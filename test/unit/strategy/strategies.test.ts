/** Each strategy on the CPU device, over the steps of a small trace; what it refuses, and that it goes on afterwards. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Device, openDevice } from '../../../src/device/device';
import { WarpbookError } from '../../../src/errors';
import { compareStrategies } from '../../../src/lab/compare-strategies';
import { DecodeLoop } from '../../../src/lab/decode-loop';
import { type LabProgress, onLabProgress } from '../../../src/lab/progress';
import { policies } from '../../../src/schedule/policies/known';
import type { Policy } from '../../../src/schedule/schedule';
import type { StepBatch } from '../../../src/strategy/batch';
import { DecodeModel } from '../../../src/strategy/model';
import { strategies } from '../../../src/strategy/strategies';
import type { Strategy } from '../../../src/strategy/strategy';
import { smallTrace } from '../../support/strategy-traces';

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
});
afterAll(() => {
  device.dispose();
  expect(device.leaks).toEqual([]);
});

/** A batch of requests on pages of their own. */
function batchOf(model: DecodeModel, lengths: number[]): StepBatch {
  const requests = lengths.map((length) => model.caches[0].allocate(length));
  const table = model.caches[0].pageTable(requests);
  for (const request of requests) model.caches[0].free(request);
  const kvLens = Int32Array.from(lengths);
  return { kvLens, remaining: kvLens.map(() => 100), table, stepsAhead: 100 };
}

const all = (maxBatch: number) =>
  compareStrategies({
    device,
    trace: smallTrace(),
    steps: 30,
    deviceTime: false,
    checkEvery: 1,
    model: { maxBatch, maxKvLen: 512 },
    strategies: [
      'eager',
      'fixedGrid',
      'persistent',
      'devicePlanned',
      'graphPool',
      (model) => strategies.graphPool(model, { kvLens: [128, 256, 512] }),
      (model) => strategies.graphPool(model, { mode: 'piecewise' }),
      'hostUpdate',
      (model) => strategies.hostUpdate(model, { update: 'graph' }),
    ],
  });

describe('strategies on the CPU device', () => {
  it.each([
    ['split', 2],
    ['not split', 4],
  ])(
    'agree with each other on all steps, and with the reference on sampled ones: requests are %s',
    async (_, maxBatch) => {
      const comparison = await all(maxBatch);
      for (const { name, agreement } of comparison.results) {
        expect({ name, ...agreement }).toMatchObject({ name, agrees: true, stepsCompared: 30 });
        expect(agreement.referenceSamples).toBeGreaterThanOrEqual(4);
        expect(agreement.maxReferenceError).toBeLessThan(1e-6);
      }
      const sameBits = (name: string): number => comparison.result(name).agreement.sameBits;
      // The same chunks, whoever launches them.
      for (const name of ['hostUpdate', 'hostUpdateGraph', 'graphPoolPiecewise', 'fixedGrid'])
        expect(sameBits(name)).toBe(30);
      const memory = (name: string) => comparison.result(name).memory;
      expect(memory('persistent').graphs).toBe(1);
      // Two work lists take turns, and one graph plans its own step first.
      expect(memory('devicePlanned').graphs).toBe(3);
      expect(memory('graphPoolBuckets').graphs).toBeGreaterThan(memory('graphPool').graphs);
      expect(comparison.result('hostUpdateGraph').records.every(({ report }) => report.recaptured === 1)).toBe(true);
    },
  );

  it('the host and the device plan the same bits, in line and a step ahead', async () => {
    const comparison = await compareStrategies({
      device,
      trace: smallTrace(),
      steps: 20,
      deviceTime: false,
      checkEvery: 1,
      model: { maxBatch: 3, maxKvLen: 512 },
      strategies: ['persistent', 'devicePlanned', (model) => strategies.devicePlanned(model, { ahead: false })],
    });
    const same = { stepsCompared: 20, sameBits: 20 };
    expect(comparison.result('devicePlanned').agreement).toMatchObject(same);
    expect(comparison.result('devicePlannedInLine').agreement).toMatchObject(same);
    // Both graphs that plan ahead ran: requests stay for more than two steps here.
    const unchanged = comparison.result('devicePlanned').records.map(({ changed }) => !changed);
    expect(unchanged.some((same, i) => same && unchanged[i + 1])).toBe(true);
  });

  it('times copies apart: of every plan, or of who runs alone', async () => {
    const comparison = await compareStrategies({
      device,
      trace: smallTrace(),
      steps: 20,
      checkEvery: 0,
      model: { maxBatch: 3, maxKvLen: 512 },
      strategies: ['persistent', 'devicePlanned'],
    });
    const [persistent, devicePlanned] = comparison.results.map(({ records }) => records);
    expect(persistent.every(({ copyNs, deviceNs }) => copyNs > 0 && copyNs < deviceNs)).toBe(true);
    expect(devicePlanned.every(({ copyNs, changed }) => copyNs > 0 === changed)).toBe(true);
    const [row] = comparison.rows();
    expect(row.computeP50).toBeGreaterThan(0);
    expect(row.computeP50).toBeLessThan(row.deviceP50);
  });

  it('the frozen launch is right on what it was captured with, and wrong on longer requests', async () => {
    const model = await DecodeModel.create({ device, maxBatch: 1, maxKvLen: 2048 });
    const [frozen, eager] = [strategies.frozen(model), strategies.eager(model)];
    for (const strategy of [frozen, eager]) await strategy.capture({ maxBatch: 1, maxKvLen: 2048 });
    const error = async (length: number): Promise<number> => {
      const outputs: Float32Array[] = [];
      const batch = batchOf(model, [length]);
      for (const strategy of [eager, frozen]) {
        model.reset();
        await strategy.step(batch);
        outputs.push(Float32Array.from((await model.outputs[0].data()) as Float32Array));
      }
      const [wanted, got] = outputs;
      const norm = (values: ArrayLike<number>): number => Math.hypot(...Array.from(values));
      return norm(wanted.map((value, i) => value - got[i])) / norm(wanted);
    };
    expect(frozen.capturedPlan?.kvChunkSize).toBe(128);
    expect(await error(256)).toBe(0);
    expect(await error(2048)).toBeGreaterThan(0.1);
    for (const thing of [frozen, eager, model]) thing.dispose();
  });

  it('a batch over capacity is refused with nothing enqueued, and the next step is right', async () => {
    const model = await DecodeModel.create({ device, maxBatch: 4, maxKvLen: 512 });
    const makers: ((model: DecodeModel) => Strategy)[] = [
      strategies.eager,
      strategies.fixedGrid,
      strategies.persistent,
      strategies.devicePlanned,
      strategies.graphPool,
      strategies.hostUpdate,
    ];
    for (const make of makers) {
      const strategy = make(model);
      model.reset();
      await strategy.capture({ maxBatch: 2, maxKvLen: 256 });
      const small = batchOf(model, [40, 90]);
      await strategy.step(small);
      const step = async (): Promise<number> => (await model.memory.read()).step;
      expect(await step()).toBe(1);
      const over = {
        code: 'CAPACITY_EXCEEDED',
        message: expect.stringMatching(/maxBatch = 3.*captured for 2; the step was refused/),
      };
      await expect((async () => strategy.step(batchOf(model, [5, 6, 7])))()).rejects.toMatchObject(over);
      await expect((async () => strategy.step(batchOf(model, [5, 257])))()).rejects.toMatchObject({
        code: 'CAPACITY_EXCEEDED',
        details: { asked: 257, available: 256, option: 'maxKvLen' },
      });
      expect(await step()).toBe(1);
      await strategy.step({ ...small, table: undefined, kvLens: small.kvLens.map((length) => length + 1) });
      expect(await step()).toBe(2);
      await strategy.check();
      strategy.dispose();
    }
    model.dispose();
  });

  it('a loop goes on when it is told how: refused steps run eagerly and are counted', async () => {
    const options = {
      device,
      trace: smallTrace(),
      steps: 30,
      deviceTime: false,
      checkEvery: 1,
      model: { maxBatch: 4, maxKvLen: 512 },
      capacity: { maxBatch: 4, maxKvLen: 300 },
      strategies: ['devicePlanned', 'graphPool'],
    } as const;
    await expect(compareStrategies(options)).rejects.toMatchObject({ code: 'CAPACITY_EXCEEDED' });
    const comparison = await compareStrategies({ ...options, whenRefused: 'eager' });
    const [row] = comparison.rows();
    expect(row.fallbacks).toBeGreaterThan(5);
    expect(row.fallbacks).toBeLessThan(30);
    expect(comparison.results.every(({ agreement }) => agreement.agrees && agreement.stepsCompared === 30)).toBe(true);
  });

  it('what needs CUDA says so and by which mechanism', async () => {
    const model = await DecodeModel.create({ device, maxBatch: 1, maxKvLen: 64 });
    for (const name of ['launcher', 'deviceGraph', 'conditional', 'whileLoop', 'updatableNodes'] as const) {
      const strategy = strategies[name](model);
      const refused = {
        code: 'UNSUPPORTED',
        message: expect.stringMatching(new RegExp(`^${name} needs CUDA: it uses `)),
      };
      await expect(strategy.capture({ maxBatch: 1, maxKvLen: 64 })).rejects.toMatchObject(refused);
      expect(strategy.explain().needs).toMatch(/^CUDA 12/);
      strategy.dispose();
    }
    await expect(
      compareStrategies({ device, trace: smallTrace(), steps: 2, strategies: ['launcher'], model: { maxBatch: 1 } }),
    ).rejects.toThrow(/None of the strategies runs.*needs CUDA/);
    model.dispose();
  });

  it('a model that finds no room gives back what it has taken, and one of no size is refused', async () => {
    // 32 MiB: a layer's keys and values of 8 MiB fit, those of four layers don't.
    const small = await openDevice('cpu', { threads: 1, memoryLimitBytes: 2 ** 25 });
    const large = { device: small, maxBatch: 1, maxKvLen: 8192, layers: 4 };
    await expect(DecodeModel.create(large)).rejects.toMatchObject({ code: 'OUT_OF_MEMORY' });
    expect(small.memory().usedBytes).toBe(0);
    small.dispose();
    for (const size of ['layers', 'maxBatch', 'maxKvLen', 'headDim'] as const)
      await expect(DecodeModel.create({ device, [size]: 0 })).rejects.toThrow(`DecodeModel: ${size} is 0; wanted`);
  });

  it('no strategy at all, and one that was not compared, are told', async () => {
    const options = { device, trace: smallTrace(), steps: 2, deviceTime: false, model: { maxBatch: 1 } } as const;
    await expect(compareStrategies({ ...options, strategies: [] })).rejects.toThrow('strategies is empty');
    await expect(compareStrategies({ ...options, whenRefused: 'eagr' as 'eager' })).rejects.toThrow(
      "whenRefused is 'eagr'; wanted 'throw' or 'eager'",
    );
    const pool = (model: DecodeModel) => strategies.graphPool(model, { mode: 'nope' as 'none' });
    await expect(compareStrategies({ ...options, strategies: [pool] })).rejects.toThrow(
      "graphPool got the mode 'nope'; wanted full, piecewise, none",
    );
    const twice = await compareStrategies({ ...options, strategies: ['persistent', strategies.persistent] });
    expect(twice.results.map(({ name }) => name)).toEqual(['persistent', 'persistent 2']);
    const comparison = await compareStrategies({ ...options, strategies: ['eager', 'launcher'] });
    const code = 'INVALID_ARGUMENT';
    const told = (name: string) => expect(() => comparison.result(name));
    told('persistent').toThrow(expect.objectContaining({ code, message: expect.stringContaining('one of eager.') }));
    told('launcher').toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(/left out: launcher needs CUDA/) }),
    );
  });

  it('a policy that the planner on the device does not know is refused, one that it knows is taken', async () => {
    const options = { device, trace: smallTrace(), steps: 6, deviceTime: false, checkEvery: 1 } as const;
    const by = (policy: Policy) =>
      compareStrategies({
        ...options,
        model: { maxBatch: 2, maxKvLen: 512 },
        strategies: [
          (model) => strategies.persistent(model, { policy }),
          (model) => strategies.devicePlanned(model, { policy }),
          (model) => strategies.devicePlanned(model, { policy, ahead: false }),
        ],
      });
    await expect(by(policies.streamK)).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringMatching(/knows adaptive, .*; got another one, 'streamK'/),
    });
    const { results } = await by(policies.noSplit);
    expect(results.map(({ agreement }) => agreement.sameBits)).toEqual([6, 6, 6]);
  });

  it('a trace without a request that fits is told', async () => {
    const options = { device, trace: smallTrace(), steps: 6, strategies: ['eager'] } as const;
    await expect(compareStrategies({ ...options, model: { maxBatch: 1, maxKvLen: 1 } })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(/No step can be decoded: .* are longer than maxKvLen = 1 tokens/),
    });
  });

  it('a strategy that finds no memory is left out, and the others are compared', async () => {
    const hungry = (model: DecodeModel): Strategy =>
      Object.assign(strategies.persistent(model), {
        name: 'hungry',
        capture: () => Promise.reject(new WarpbookError('OUT_OF_MEMORY', 'no room for it')),
      });
    const options = { device, trace: smallTrace(), steps: 2, deviceTime: false, model: { maxBatch: 1 } } as const;
    const comparison = await compareStrategies({ ...options, strategies: ['eager', hungry, 'hostUpdate'] });
    expect(comparison.results.map(({ name }) => name)).toEqual(['eager', 'hostUpdate']);
    expect(comparison.skipped).toEqual([{ name: 'hungry', reason: 'no room for it' }]);
    const alone = compareStrategies({ ...options, strategies: [hungry] });
    await expect(alone).rejects.toMatchObject({ code: 'OUT_OF_MEMORY', message: 'no room for it' });
  });

  it('the progress of a comparison ends at its whole, strategies that can not run included', async () => {
    const seen: LabProgress[] = [];
    const stop = onLabProgress((progress) => seen.push(progress));
    const model = { maxBatch: 1, maxKvLen: 128 };
    await compareStrategies({ device, trace: smallTrace(), steps: 3, model, strategies: ['eager', 'launcher'] });
    stop();
    expect(seen.at(-1)).toMatchObject({ what: 'strategies', done: 4, total: 4, finished: true });
  });

  it('each explains what it follows, freezes and can not do', async () => {
    const model = await DecodeModel.create({ device, maxBatch: 1, maxKvLen: 64 });
    for (const make of Object.values(strategies)) {
      const { name, does, cannot, needs } = make(model).explain();
      expect(does.length, name).toBeGreaterThan(40);
      expect(cannot.length, name).toBeGreaterThan(0);
      for (const { what, why } of cannot) expect([what, why].every((text) => text.length > 5)).toBe(true);
      expect(needs).not.toBe('');
    }
    const conditional = strategies.conditional(model).explain();
    expect(conditional.cannot.map(({ why }) => why)).toContain(
      'dynamic parallelism may not stand in a conditional body',
    );
    model.dispose();
  });

  it('step before capture, and capture beyond the model, are told', async () => {
    const model = await DecodeModel.create({ device, maxBatch: 2, maxKvLen: 64 });
    const strategy = strategies.persistent(model);
    expect(() => strategy.step(batchOf(model, [5]))).toThrow('step() before capture()');
    await expect(strategy.capture({ maxBatch: 3, maxKvLen: 64 })).rejects.toThrow(
      /maxBatch = 3; wanted an integer from 1 to 2/,
    );
    strategy.dispose();
    model.dispose();
  });
});

describe('a graph pool', () => {
  it('captures when a shape is first needed, keeps to its bound, and evicts what was used longest ago', async () => {
    const model = await DecodeModel.create({ device, maxBatch: 4, maxKvLen: 256 });
    const pool = strategies.graphPool(model, { sizes: [1, 2, 4], maxGraphs: 2 });
    await pool.capture({ maxBatch: 4, maxKvLen: 256 });
    const step = async (n: number) => pool.step(batchOf(model, Array(n).fill(20)));
    expect(pool.pooled).toEqual([]);
    expect(await step(1)).toMatchObject({ path: 'graph', recaptured: 1, paddedRows: 0 });
    expect(await step(3)).toMatchObject({ recaptured: 1, paddedRows: 1 });
    expect(await step(1)).toMatchObject({ recaptured: 0 });
    expect(await step(2)).toMatchObject({ recaptured: 1 });
    expect(pool.pooled.map(({ key }) => key)).toEqual(['full 1 × 256', 'full 2 × 256']);
    expect(pool.evicted).toBe(1);
    expect((await pool.memory()).graphs).toBe(2);
    pool.dispose();
    model.dispose();
  });

  it('beyond a bound refuses the step with the option to raise, or runs it eagerly', async () => {
    const model = await DecodeModel.create({ device, maxBatch: 4, maxKvLen: 256 });
    for (const whenFull of ['refuse', 'eager'] as const) {
      const pool = strategies.graphPool(model, { sizes: [1, 4], maxGraphs: 1, whenFull });
      await pool.capture({ maxBatch: 4, maxKvLen: 256 });
      await pool.step(batchOf(model, [20]));
      const full = async () => pool.step(batchOf(model, [20, 30]));
      if (whenFull === 'eager') {
        expect(await full()).toMatchObject({
          path: 'eager',
          fallback: expect.stringMatching(/no room for graph full 4/),
        });
      } else {
        await expect(full()).rejects.toMatchObject({
          code: 'CAPACITY_EXCEEDED',
          message: expect.stringContaining('maxGraphs = 1'),
        });
      }
      expect(await pool.step(batchOf(model, [20]))).toMatchObject({ path: 'graph', recaptured: 0 });
      pool.dispose();
    }
    model.dispose();
  });

  it('captures all its graphs at once where it is told so', async () => {
    const model = await DecodeModel.create({ device, maxBatch: 4, maxKvLen: 256 });
    const pool = strategies.graphPool(model, { sizes: [1, 2, 4], kvLens: [64, 256], eagerCapture: true });
    expect(await pool.capture({ maxBatch: 4, maxKvLen: 256 })).toMatchObject({ graphs: 6 });
    expect(pool.pooled.every(({ captureNs, nodes }) => captureNs > 0 && nodes === 8)).toBe(true);
    expect(() => strategies.graphPool(model, { sizes: [4, 2] }).explain()).not.toThrow();
    const wrong = strategies.graphPool(model, { sizes: [4, 2] });
    await expect(wrong.capture({ maxBatch: 4, maxKvLen: 256 })).rejects.toThrow(
      /sizes is \[4,2\]; wanted positive integers, ascending/,
    );
    pool.dispose();
    wrong.dispose();
    model.dispose();
  });

  it('runs mixed batches of prefill and decode piecewise, with the same outputs', async () => {
    const comparison = await compareStrategies({
      device,
      trace: smallTrace(12, { longest: 120 }),
      steps: 25,
      deviceTime: false,
      checkEvery: 1,
      chunkTokens: 48,
      model: { maxBatch: 3, maxKvLen: 256 },
      strategies: ['eager', 'graphPool', 'devicePlanned'],
    });
    const pool = comparison.result('graphPool');
    expect(pool.agreement.agrees).toBe(true);
    expect(comparison.result('devicePlanned').agreement.agrees).toBe(true);
    const mixed = pool.records.filter(({ chunkTokens, batchSize }) => chunkTokens > 0 && batchSize > 0);
    expect(mixed.length).toBeGreaterThan(3);
    expect(mixed.every(({ report }) => report.path === 'piecewise')).toBe(true);
    expect(pool.records.some(({ report }) => report.path === 'graph')).toBe(true);
  });
});

describe('DecodeLoop', () => {
  it('lets requests join and leave, grows lengths by one, and takes the same pages each time', async () => {
    const model = await DecodeModel.create({ device, maxBatch: 3, maxKvLen: 512 });
    const walk = () => {
      const loop = new DecodeLoop(model, smallTrace(8));
      const seen: string[] = [];
      for (let batch = loop.next(); batch; batch = loop.next()) {
        seen.push(`${batch.kvLens}/${batch.remaining}/${batch.table?.pagedKvIndices}`);
        loop.took(1);
      }
      return { seen, steps: loop.steps };
    };
    const [a, b] = [walk(), walk()];
    expect(a).toEqual(b);
    expect(a.seen[0].startsWith('21,158,295/2,9,16/')).toBe(true);
    expect(a.seen[1].startsWith('22,159,296/1,8,15/')).toBe(true);
    // The first one has gone, the fourth has joined behind the others.
    expect(a.seen[2].startsWith('160,297,132/7,14,')).toBe(true);
    model.dispose();
  });

  it('waits for arrivals where steps take time, and says how many steps nothing changes', async () => {
    const model = await DecodeModel.create({ device, maxBatch: 3, maxKvLen: 512 });
    const loop = new DecodeLoop(model, smallTrace(3, { arrivalNs: 10_000 }), { stepNs: 2000 });
    expect(loop.next()).toMatchObject({ kvLens: Int32Array.of(21), stepsAhead: 2 });
    loop.took(2);
    // Nobody runs until the second one arrives, at step 5.
    expect(loop.next()?.kvLens).toEqual(Int32Array.of(158));
    expect(loop.steps).toBe(5);
    model.dispose();
  });

  it('leaves out, cuts or refuses what is too long', async () => {
    const model = await DecodeModel.create({ device, maxBatch: 2, maxKvLen: 64 });
    const trace = smallTrace(4);
    const skipping = new DecodeLoop(model, trace);
    expect(skipping.next()?.kvLens).toEqual(Int32Array.of(21));
    expect(skipping.skipped).toBe(3);
    const cutting = new DecodeLoop(model, trace, { whenTooLong: 'cut' });
    expect(cutting.next()?.kvLens.every((length) => length <= 64)).toBe(true);
    const throwing = new DecodeLoop(model, trace, { whenTooLong: 'throw' });
    expect(() => throwing.next()).toThrow(/request 1 of 157 \+ 9 tokens; the model holds 64/);
    model.dispose();
  });

  it('has a small pool: requests wait for pages, and one that fits none is told', async () => {
    const model = await DecodeModel.create({ device, maxBatch: 4, maxKvLen: 512, numPages: 12 });
    const loop = new DecodeLoop(model, smallTrace(2));
    expect(loop.next()?.kvLens.length).toBe(1);
    const tiny = await DecodeModel.create({ device, maxBatch: 4, maxKvLen: 512, numPages: 1 });
    expect(() => new DecodeLoop(tiny, smallTrace(2)).next()).toThrow(/doesn't fit a pool of 1 pages/);
    model.dispose();
    tiny.dispose();
  });
});
