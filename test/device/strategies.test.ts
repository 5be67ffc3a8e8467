/** Every strategy on a real GPU: against each other, against the reference, and where a kernel can't do what it was to. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { openDevice } from '../../src/attention/open-device';
import type { Device } from '../../src/device/device';
import type { WarpbookError } from '../../src/errors';
import { compareStrategies, type StrategyChoice } from '../../src/lab/compare-strategies';
import type { StepBatch } from '../../src/strategy/batch';
import { DecodeModel } from '../../src/strategy/model';
import { strategies } from '../../src/strategy/strategies';
import { zeros } from '../../src/tensor/create';
import { smallTrace } from '../support/strategy-traces';

let device: Device;
before(async () => {
  device = await openDevice('cuda');
});
after(() => device.dispose());

const HEADS = { numQoHeads: 32, numKvHeads: 8, headDim: 128 };
const ALL: readonly StrategyChoice[] = [
  'eager',
  'fixedGrid',
  'hostUpdate',
  (model) => strategies.hostUpdate(model, { update: 'graph' }),
  'graphPool',
  (model) => strategies.graphPool(model, { kvLens: [512, 2048] }),
  (model) => strategies.graphPool(model, { mode: 'piecewise' }),
  'persistent',
  'devicePlanned',
  'launcher',
  (model) => strategies.launcher(model, { launch: 'tail' }),
  'deviceGraph',
  'conditional',
  'whileLoop',
  'updatableNodes',
];

const compare = (maxBatch: number, choices: readonly StrategyChoice[], chunkTokens?: number) =>
  compareStrategies({
    device,
    trace: smallTrace(300, { longest: 1900 }),
    steps: 40,
    deviceTime: false,
    checkEvery: 1,
    chunkTokens,
    model: { ...HEADS, layers: 2, maxBatch, maxKvLen: 2048 },
    strategies: choices,
  });

describe('strategies', () => {
  for (const maxBatch of [2, 12, 40]) {
    it(`agree on all steps with up to ${maxBatch} requests`, async () => {
      const comparison = await compare(maxBatch, ALL);
      assert.deepEqual(comparison.skipped, []);
      for (const { name, agreement } of comparison.results) {
        assert.ok(agreement.agrees, `${name}: ${JSON.stringify(agreement)}`);
        assert.ok(agreement.stepsCompared >= (name === 'whileLoop' ? 3 : 40), name);
      }
      // The same chunks, whoever launches them.
      for (const name of ['hostUpdate', 'hostUpdateGraph', 'graphPoolPiecewise', 'fixedGrid']) {
        assert.equal(comparison.result(name).agreement.sameBits, 40, name);
      }
    });
  }

  it('whose work list is the same give the same bits', async () => {
    const comparison = await compare(12, [
      'persistent',
      'devicePlanned',
      'launcher',
      'deviceGraph',
      'conditional',
      'whileLoop',
    ]);
    for (const { name, agreement } of comparison.results) {
      assert.equal(agreement.sameBits, agreement.stepsCompared, name);
      assert.ok(agreement.stepsCompared > 0, name);
    }
  });

  it('agree with pieces of prompts beside the batch', async () => {
    const comparison = await compare(6, ['eager', 'graphPool', 'devicePlanned'], 256);
    for (const { name, agreement } of comparison.results) assert.ok(agreement.agrees, name);
  });
});

describe('what a kernel decides', () => {
  it('is told where nothing fits, and the next step is right', async () => {
    const model = await DecodeModel.create({ device, ...HEADS, layers: 1, maxBatch: 4, maxKvLen: 256 });
    const table = model.caches[0].pageTable([0, 1].map(() => model.caches[0].allocate(200)));
    const kvLens = Int32Array.of(20, 30);
    const batch: StepBatch = {
      kvLens,
      remaining: Int32Array.of(100, 100),
      table: table.withLengths(kvLens),
      stepsAhead: 1,
    };
    for (const make of [strategies.deviceGraph, strategies.conditional]) {
      const strategy = make(model);
      await strategy.capture({ maxBatch: 4, maxKvLen: 256 });
      await strategy.step(batch);
      await strategy.check();
      // Nobody but the device knows of so many.
      model.memory.setWord('numRequests', 100);
      await strategy.step({ ...batch, table: undefined });
      await assert.rejects(strategy.check(), (error: WarpbookError) => {
        return error.code === 'DEVICE_LAUNCH' && /found no graph that is made for so many requests/.test(error.message);
      });
      await strategy.step(batch);
      await strategy.check();
      strategy.dispose();
    }
    model.dispose();
  });

  it('ends a loop at its limit of steps, and where a request ends', async () => {
    const model = await DecodeModel.create({ device, ...HEADS, layers: 1, maxBatch: 2, maxKvLen: 512 });
    const table = model.caches[0].pageTable([0, 1].map(() => model.caches[0].allocate(500)));
    const kvLens = Int32Array.of(20, 30);
    const loop = strategies.whileLoop(model, { maxSteps: 10 });
    await loop.capture({ maxBatch: 2, maxKvLen: 512 });
    for (const [remaining, wanted] of [
      [1e6, 10],
      [4, 4],
    ]) {
      model.reset();
      await loop.step({
        kvLens,
        remaining: kvLens.map(() => remaining),
        table: table.withLengths(kvLens),
        stepsAhead: 1e6,
      });
      assert.equal((await model.memory.read()).step, wanted);
    }
    loop.dispose();
    model.dispose();
  });

  it('more launches than the device runtime keeps are told, not dropped', async () => {
    const source = `
      __global__ void count(int* counter) { atomicAdd(counter, 1); }
      __global__ void launch_many(int* counter, int* error, int launches) {
        for (int i = 0; i < launches; ++i) {
          count<<<1, 1, 0, cudaStreamTailLaunch>>>(counter);
          const cudaError_t answer = cudaGetLastError();
          if (answer != cudaSuccess) { *error = answer; return; }
        }
      }`;
    const flood = await device.compile(source, { name: 'launch_many' });
    const [counter, error] = [zeros([1], { dtype: 'int32', device }), zeros([1], { dtype: 'int32', device })];
    const launch = async (launches: number): Promise<number[]> => {
      for (const tensor of [counter, error]) tensor.fill(0);
      flood.launch({ grid: 1, threads: 1 }, counter, error, launches);
      return Promise.all([counter, error].map(async (tensor) => Number((await tensor.data())[0])));
    };
    assert.deepEqual(await launch(1000), [1000, 0]);
    const [ran, answer] = await launch(20_000);
    assert.ok(answer !== 0 || ran === 20_000, `${ran} ran, and the launcher was told ${answer}`);
  });
});
