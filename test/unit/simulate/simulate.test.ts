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
  smSpread: 0,
};
/** What a CTA draws at full speed: 128 tokens of 512 bytes in 1 µs. */
const CTA_GBS = 65.536;

function modelWith(cost: Partial<KernelCost> = {}, drawn: number = 1e6): CostModel {
  return {
    ...rooflineModel(machine),
    kind: 'calibrated',
    kernels: { decode: { ...quiet, ...cost }, prefill: { ...quiet, ...cost } },
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
    // Two CTAs, memory for one: both at half speed until the shorter one is done, then the other at full speed. Ends of
    // tiles hide behind the stream, but for the last.
    const { finishNs } = predict(onCtas([[10], [20]]), modelWith({ lastTileNs: 0 }, CTA_GBS));
    expect(finishNs[0]).toBeCloseTo(20_000, 3);
    expect(finishNs[1]).toBeCloseTo(30_000, 3);
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
    expect(bytes).toBeCloseTo(8 * 4096 * 512, -2);
  });
});
