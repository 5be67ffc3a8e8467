import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ScheduleBuilder } from '../../../src/schedule/builder';
import { type Machine, machines } from '../../../src/schedule/machine';
import { policies } from '../../../src/schedule/policies/known';
import { makeProblem } from '../../../src/schedule/problem';
import { type Policy, Schedule } from '../../../src/schedule/schedule';
import type { CostModel, KernelCost } from '../../../src/simulate/cost-model';
import { rooflineModel } from '../../../src/simulate/roofline';
import { predict, predictedCost, simulate } from '../../../src/simulate/simulate';
import { problemArbitrary } from '../../support/problems';

const shape = { numQoHeads: 4, numKvHeads: 1, headDim: 128 } as const;
const machine: Machine = { ...machines.h100, name: 'four', numSms: 4 };

/** A step takes 1 µs, an end of a tile 100 ns, and nothing else anything. */
const quiet: KernelCost = {
  launchNs: 0,
  prologueNs: 0,
  hiddenNs: 0,
  tileNs: 100,
  lastTileNs: 100,
  busyShare: 0,
  partialNs: 0,
  drawNs: 0,
  mergeNs: 0,
  mergeRowNs: 0,
  mergeStateNs: 0,
  mergeBatchNs: 0,
  stepNs: 1000,
  raggedShare: 1,
  stepRowNs: 0,
  sharedRowNs: 0,
  olderFirst: 0,
  smSpread: 0,
};
/** What a CTA draws at full speed: 128 tokens of 512 bytes in 1 µs. */
const CTA_GBS = 65.536;

function modelWith(cost: Partial<KernelCost> = {}, drawn: number = 1e6): CostModel {
  const costs = { ...quiet, ...cost };
  return {
    ...rooflineModel(machine),
    kind: 'calibrated',
    kernels: { decode: costs, decode16: costs, decode32: costs, prefill: costs },
    dram: { demandGbs: [drawn], drawnGbs: [drawn] },
    l2Speedup: 4,
  };
}

/** Tiles of so many steps on each CTA. */
function onCtas(steps: readonly (readonly number[])[], on: Machine = machine): Schedule {
  const ctas = steps.flatMap((own, cta) => own.map(() => cta));
  const problem = makeProblem({ kvLens: steps.flat().map((count) => count * 128), ...shape });
  const policy: Policy = (asked, given) => {
    const builder = new ScheduleBuilder('onCtas', asked, given);
    let next = 0;
    for (const tile of builder.queryTiles()) builder.add(tile, ctas[next++]);
    return builder.build('explicit');
  };
  return policy(problem, on);
}

describe('predict', () => {
  test('a tile takes its steps and its end', () => {
    expect(predict(onCtas([[8]]), modelWith()).durationNs).toBeCloseTo(8100, 6);
    expect(predict(onCtas([[8], [2, 3]]), modelWith()).finishNs.slice(0, 2)).toEqual(Float64Array.of(8100, 5200));
  });

  test('CTAs share what memory gives, and those that are left go faster', () => {
    // Two CTAs, memory for one: both at about half speed until the shorter one is done, then the other at full speed. Ends of tiles
    // hide behind the stream, but for the last. The longer one gains a step on the other: half of its window of two.
    const { finishNs } = predict(onCtas([[10], [20]]), modelWith({ lastTileNs: 0 }, CTA_GBS));
    expect(finishNs[0]).toBeCloseTo(10_000 * (1 + 20 / 19), 3);
    expect(finishNs[1]).toBeCloseTo(30_000, 3);
  });

  test('a step more on few CTAs of a busy launch costs its bytes, not a step', () => {
    const crowd: Machine = { ...machine, numSms: 16 };
    const on16 = { ...modelWith({ lastTileNs: 0 }, 4 * CTA_GBS), numSms: 16 };
    const steps = new Array<readonly number[]>(16).fill([4]);
    const alike = predict(onCtas(steps, crowd), on16).durationNs;
    const one = predict(onCtas([...steps.slice(1), [5]], crowd), on16).durationNs;
    expect(alike).toBeCloseTo(16_000, 3);
    expect(one).toBeGreaterThan(16_249);
    expect(one).toBeLessThan(16_320);
    // Where memory isn't busy it costs a step; and so does what is far beyond the window.
    const idle = { ...on16, dram: { demandGbs: [1e6], drawnGbs: [1e6] } };
    expect(predict(onCtas([...steps.slice(1), [5]], crowd), idle).durationNs).toBeCloseTo(5000, 6);
    expect(predict(onCtas([...steps.slice(1), [40]], crowd), on16).durationNs).toBeGreaterThan(48_000);
  });

  test('memory is busy all the while where all CTAs are at the same point', () => {
    const steps = [2, 2, 2, 2, 2, 2, 2, 2];
    const schedule = onCtas([steps, steps, steps, steps]);
    const model = modelWith({ tileNs: 1000 }, 2 * CTA_GBS);
    const { durationNs, bytes } = predict(schedule, model);
    expect(bytes).toBe(64 * 128 * 512);
    // By bytes alone it would be 32 µs; with ends of tiles in which nobody reads, 39. Demands are estimated when tiles
    // start: that is good to 2 %.
    expect(durationNs).toBeGreaterThan(0.98 * (bytes / (2 * CTA_GBS)));
    expect(durationNs).toBeLessThan(1.04 * (bytes / (2 * CTA_GBS)));
  });

  test('a prologue is hidden but for CTAs whose SM is free late', () => {
    const model = modelWith({ prologueNs: 500, launchNs: 40 });
    // Two SMs are idle: both CTAs of the next launch start there.
    expect(predict(onCtas([[8], [8]]), model).durationNs).toBeCloseTo(8140, 6);
    expect(predict(onCtas([[8], [8], [8], [8]]), model).durationNs).toBeCloseTo(8640, 6);
    expect(predict(onCtas([[8], [8], [8], [8]]), modelWith({ prologueNs: 500, hiddenNs: 200 })).durationNs).toBeCloseTo(
      8400,
      6,
    );
  });

  test('the last arriver merges, and merges cost by rows and states', () => {
    const problem = makeProblem({ kvLens: [1280], ...shape });
    const builder = new ScheduleBuilder('two', problem, machine);
    for (const tile of builder.queryTiles()) builder.split(tile, [256], [0, 1]);
    const schedule = builder.build('explicit');
    const model = modelWith({ mergeNs: 300, mergeRowNs: 10, mergeStateNs: 1, partialNs: 50 });
    const { finishNs } = predict(schedule, model);
    expect(finishNs[0]).toBeCloseTo(2150, 6);
    expect(finishNs[1]).toBeCloseTo(8150 + 300 + 40 + 8, 6);
    const merges = simulate(schedule, model)
      .spans()
      .filter(({ phase }) => phase === 'merge');
    expect(merges).toMatchObject([{ cta: 1, request: 0, kvHead: 0 }]);
  });

  test('a queue gives each tile to the CTA that draws first', () => {
    const problem = makeProblem({ kvLens: [1024, 512, 256, 256, 128, 128], ...shape });
    const one = policies.longestFirst(problem, machine);
    const { finishNs } = predict(one, modelWith());
    // CTAs 0 to 3 begin with their own tiles and draw the two that are left at once.
    expect([...finishNs].map(Math.round)).toEqual([9200, 5200, 2100, 2100]);
    const long = new Schedule('static', problem, machine, { ...one.tables, dispatch: 'static' });
    expect(predict(long, modelWith()).makespanNs).toBeGreaterThan(0);
  });

  test('CTAs that share an SM slow each other down while both are busy', () => {
    const tiles = machines.h100.tileClasses;
    const prefill = { ...machine, tileClasses: [{ ...tiles[1], queryRows: 128 }] };
    const problem = makeProblem({ kvLens: [640, 1280], ...shape });
    const builder = new ScheduleBuilder('pair', problem, prefill);
    for (const [i, tile] of builder.queryTiles().entries()) builder.add(tile, i);
    // Steps are of 64 tokens: 10 and 20; four rows add 1,000 ns, so both take twice as long together.
    const { finishNs } = predict(builder.build('explicit'), modelWith({ sharedRowNs: 250, lastTileNs: 0 }));
    expect(finishNs[0]).toBeCloseTo(20_000, 3);
    expect(finishNs[1]).toBeCloseTo(30_000, 3);
  });

  test('of CTAs that share an SM the older one goes first', () => {
    const prefill = { ...machine, tileClasses: [machines.h100.tileClasses[1]] };
    const problem = makeProblem({ kvLens: new Array(8).fill(640), ...shape });
    const builder = new ScheduleBuilder('pairs', problem, prefill);
    for (const [i, tile] of builder.queryTiles().entries()) builder.add(tile, i);
    // 10 steps, twice as long while the SM is shared: 20 µs if it were fair.
    const { finishNs } = predict(
      builder.build('explicit'),
      modelWith({ sharedRowNs: 250, lastTileNs: 0, olderFirst: 0.25 }),
    );
    // CTAs 0 to 3 came one to an SM, 4 to 7 beside them. Those have 4 steps left when the older ones are done: alone.
    expect([...finishNs].map(Math.round)).toEqual([16_000, 16_000, 16_000, 16_000, 20_000, 20_000, 20_000, 20_000]);
  });

  test('CTAs take places as they become free: beside each other where SMs had nothing to do', () => {
    const prefill = { ...machine, tileClasses: [machines.h100.tileClasses[1]] };
    const problem = makeProblem({ kvLens: [640, 640], ...shape });
    const builder = new ScheduleBuilder('two', problem, prefill);
    for (const [i, tile] of builder.queryTiles().entries()) builder.add(tile, i);
    const schedule = builder.build('explicit');
    const { sm } = simulate(schedule, modelWith({ sharedRowNs: 250 }));
    expect(sm[0]).toBe(sm[1]);
    // The launch before has left SM 0 to the last.
    expect(sm[0]).not.toBe(0);
  });

  test('builds for more rows share merges', () => {
    const wide = { numQoHeads: 32, numKvHeads: 1, headDim: 128 } as const;
    const on: Machine = { ...machine, tileClasses: [{ ...machine.tileClasses[0], queryRows: 32 }] };
    const problem = makeProblem({ kvLens: [512], ...wide });
    const builder = new ScheduleBuilder('four', problem, on);
    for (const tile of builder.queryTiles()) builder.split(tile, [128, 256, 384], [0, 1, 2, 3]);
    // Four CTAs take 8 of the 32 rows each.
    const { makespanNs } = predict(builder.build('explicit'), modelWith({ mergeRowNs: 100 }));
    expect(makespanNs).toBeCloseTo(1100 + 8 * 100, 6);
  });

  test('says where it comes from', () => {
    const schedule = onCtas([[1]]);
    expect(`${predict(schedule)}`).toContain('roofline estimate for four (not calibrated)');
    expect(predict(schedule).calibrated).toBe(false);
    expect(predict(schedule, modelWith()).calibrated).toBe(true);
    expect(predictedCost(modelWith())(schedule)).toBe(predict(schedule, modelWith()).durationNs);
  });

  test('refuses a model of another machine, and names both', () => {
    const schedule = onCtas([[1]]);
    const other = { ...modelWith(), gpu: 'NVIDIA A100-SXM4-80GB' };
    expect(() => predict(schedule, other)).toThrow(/NVIDIA A100-SXM4-80GB.*wanted one of four/);
    expect(() => simulate(schedule, { ...modelWith(), numSms: 5 })).toThrow(
      expect.objectContaining({ code: 'CALIBRATION_MISMATCH' }),
    );
    expect(predict(schedule, other, { allowMismatch: true }).durationNs).toBeGreaterThan(0);
  });
});

describe('simulate', () => {
  const known = [policies.noSplit, policies.binarySearch, policies.headGroups, policies.longestFirst];

  test('every tile and every merge is one span, no CTA does two things at once, and merges come after their tiles', () => {
    fc.assert(
      fc.property(problemArbitrary, fc.constantFrom(...known), fc.constantFrom(0, 1), (problem, policy, kind) => {
        const on = { ...machines.h100, numSms: 6, tileClasses: [machines.h100.tileClasses[kind]] };
        const schedule = policy(problem, on);
        const timeline = simulate(schedule, rooflineModel(on));
        const items = (phase: number): number[] =>
          [...timeline.item].filter((_, i) => timeline.phase[i] === phase).sort((a, b) => a - b);
        expect(items(1)).toEqual(Array.from({ length: schedule.numTiles }, (_, i) => i));
        expect(items(2)).toEqual(Array.from({ length: schedule.numMergeGroups }, (_, i) => i));
        expect(timeline.source).toBe('simulated');
        const ends = new Map<number, number>();
        const spans = timeline.spans().sort((a, b) => a.startNs - b.startNs || a.endNs - b.endNs);
        for (const { cta, startNs, endNs } of spans) {
          expect(startNs).toBeGreaterThanOrEqual((ends.get(cta) ?? 0) - 1e-6);
          ends.set(cta, endNs);
        }
        expect(timeline.durationNs).toBeLessThanOrEqual(predict(schedule, rooflineModel(on)).makespanNs + 1e-6);
      }),
      { numRuns: 60 },
    );
  });

  test('an empty batch takes a launch', () => {
    const schedule = policies.headGroups(makeProblem({ kvLens: [], ...shape }), machine);
    expect(simulate(schedule, modelWith()).numSpans).toBe(0);
    expect(predict(schedule, modelWith({ launchNs: 7 })).durationNs).toBe(7);
  });

  test('the same schedule gives the same timeline', () => {
    const problem = makeProblem({ kvLens: [5000, 300, 1200, 77], numQoHeads: 32, numKvHeads: 8, headDim: 128 });
    const schedule = policies.headGroups(problem, machines.h100);
    expect(simulate(schedule)).toEqual(simulate(schedule));
  });

  test('keys that many tiles read come from memory once', () => {
    const prefill = { ...machines.h100, tileClasses: [machines.h100.tileClasses[1]] };
    const problem = makeProblem({
      kvLens: [4096],
      qoLens: [256],
      causal: true,
      numQoHeads: 32,
      numKvHeads: 8,
      headDim: 128,
    });
    const { bytes } = predict(policies.noSplit(problem, prefill));
    // Who reads from where is looked up a few times a tile, so that it is known to a few percent.
    expect(bytes / (8 * 4096 * 512)).toBeGreaterThan(0.94);
    expect(bytes / (8 * 4096 * 512)).toBeGreaterThanOrEqual(1);
    expect(bytes / (8 * 4096 * 512)).toBeLessThan(1.06);
  });
});
