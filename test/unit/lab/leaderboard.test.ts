/** Leaderboards: predicted over a trace, measured on the CPU device, ranks, keys of what was computed, and what goes wrong. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { machineOf } from '../../../src/attention/machine-of';
import { openDevice } from '../../../src/attention/open-device';
import { leaderboardChart, predictionChart } from '../../../src/display/leaderboard-display';
import { registerDisplays } from '../../../src/display/register';
import { batchesOf, completeShape, prefixesOf, problemOf } from '../../../src/lab/batches';
import { cutsOf, sampleRequests } from '../../../src/lab/cuts';
import type { BatchEvaluation } from '../../../src/lab/evaluate';
import { kernelHash } from '../../../src/lab/kernel-hash';
import { leaderboard } from '../../../src/lab/leaderboard';
import { choosePolicies, identityOf, knownPolicies, policyByName } from '../../../src/lab/policy-set';
import { rankPolicies } from '../../../src/lab/rank';
import { renderBundle } from '../../../src/renderers';
import { cpuMachine, machines } from '../../../src/schedule/machine';
import { policies } from '../../../src/schedule/policies/known';
import { makeProblem } from '../../../src/schedule/problem';
import type { Policy } from '../../../src/schedule/schedule';
import { costModels } from '../../../src/simulate/cost-models';
import { rooflineModel } from '../../../src/simulate/roofline';
import { readMooncakeTrace } from '../../../src/workload/mooncake-trace';
import { snapshot } from '../../../src/workload/snapshot';
import { syntheticTrace } from '../../../src/workload/synthetic';
import { temporaryFolder } from '../../support/notebooks';

const folder = temporaryFolder();
const SMALL = { numQoHeads: 4, numKvHeads: 2, headDim: 64, pageSize: 16 };
const WORKLOAD = [
  [700, 20, 300],
  [64, 64],
];

describe('policies by name', () => {
  test('known names, with options as JSON', () => {
    expect(policyByName('headGroups')).toBe(policies.headGroups);
    const problem = makeProblem({ kvLens: [3000], numQoHeads: 8, numKvHeads: 2, headDim: 64 });
    expect(policyByName('fixedSplitSize(500)')(problem, machines.h100).numTiles).toBe(12);
    expect(policyByName('streamK({"unitTokens":64})')(problem, machines.h100).policy).toBe('streamK');
    expect(Object.keys(knownPolicies())).toHaveLength(17);
  });

  test('what is no policy', () => {
    expect(() => policyByName('headgroups')).toThrow("There is no policy 'headgroups'; wanted one of noSplit,");
    expect(() => policyByName('constructor')).toThrow("There is no policy 'constructor'");
    expect(() => policyByName('fixedSplitSize')).toThrow(
      "Policy fixedSplitSize takes a number: 'fixedSplitSize(512)'.",
    );
    expect(() => policyByName('streamK(unit)')).toThrow('got unit in the brackets; wanted JSON');
    expect(() => choosePolicies([])).toThrow('policies is empty');
    expect(() => choosePolicies(['noSplit', policies.noSplit])).toThrow('policies has noSplit twice');
    expect(() => choosePolicies({ mine: 3 as never })).toThrow('mine, which is no function');
    expect(() =>
      choosePolicies([((p: never) => p) as never].map((f) => Object.defineProperty(f, 'name', { value: '' }))),
    ).toThrow('a function without a name');
  });

  test('identities tell policies of one text apart by what they do', () => {
    const split =
      (tokens: number): Policy =>
      (problem, machine) =>
        policies.fixedSplitSize(tokens)(problem, machine);
    const of = (policy: Policy) => identityOf(policy, machines.h100);
    expect(of(split(100))).toBe(of(split(100)));
    expect(of(split(100))).not.toBe(of(split(200)));
    expect(of(policyByName('fixedSplitSize(100)'))).not.toBe(of(policyByName('fixedSplitSize(200)')));
    const throws: Policy = () => {
      throw new Error('not yet');
    };
    expect(of(throws)).toMatch(/^[0-9a-f]{32}$/);
  });
});

describe('batches', () => {
  test('of a trace, of snapshots, of lengths', () => {
    const trace = syntheticTrace({ requests: 300 });
    const drawn = batchesOf({ trace, concurrency: 8, batches: 5 });
    expect(drawn.map(({ kvLens }) => kvLens.length)).toEqual([8, 8, 8, 8, 8]);
    expect(batchesOf([snapshot(trace, { concurrency: 4 }), [5, 6]]).map(({ kvLens }) => kvLens.length)).toEqual([4, 2]);
    expect(() => batchesOf([])).toThrow('workload has no batch');
    expect(() => batchesOf({} as never)).toThrow('workload wants a trace to draw batches from');
    expect(() => batchesOf({ trace: { ...trace, length: 0, name: 'empty' } as never })).toThrow(
      'The trace empty has no request',
    );
  });

  test('a prompt’s last block is shared only where the prompt fills it', () => {
    const request = (id: number, prompt: number, generated: number) => ({
      id,
      kvLen: prompt + generated,
      generated,
      remaining: 1,
      hashIds: [7, 8],
    });
    const of = (prompt: number) => {
      const requests = [request(0, prompt, 600), request(1, prompt, 700)];
      return batchesOf([{ step: 0, requests, kvLens: Int32Array.from(requests, ({ kvLen }) => kvLen) }])[0];
    };
    expect(prefixesOf(of(1024), 16)).toEqual([{ length: 1024, requests: [0, 1] }]);
    // Both prompts end in block 8, but what follows in the block is each one's own.
    expect(prefixesOf(of(1000), 16)).toEqual([{ length: 512, requests: [0, 1] }]);
    expect(prefixesOf(of(1024), 48)).toEqual([]);
    expect(problemOf(of(1024), completeShape()).prefixes).toHaveLength(1);
  });

  test('a trace that was cut short is told by its line', async () => {
    const path = join(folder, 'cut.jsonl');
    const line = JSON.stringify({ timestamp: 0, input_length: 512, output_length: 5, hash_ids: [1] });
    writeFileSync(path, `${line}\n${line.slice(0, 40)}`);
    await expect(readMooncakeTrace(path)).rejects.toThrow(/cut\.jsonl.*2/);
  });
});

describe('cuts', () => {
  test('fixed sizes cut alike alone and in a batch; policies that look at the batch do not', () => {
    const shape = completeShape(SMALL);
    const [batch] = batchesOf([[5000, 3000, 100]]);
    const changed = (policy: Policy) =>
      [0, 1, 2].filter((r) => {
        const within = cutsOf(policy(problemOf(batch, shape), machines.h100), [r]).get(r);
        const alone = problemOf({ kvLens: batch.kvLens.slice(r, r + 1), hashIds: [] }, shape);
        return cutsOf(policy(alone, machines.h100), [0]).get(0) !== within;
      });
    expect(changed(policies.noSplit)).toEqual([]);
    expect(changed(policies.fixedSplitSize(512))).toEqual([]);
    expect(changed(policies.headGroups)).toContain(0);
  });

  test('of rows that a prefix gathers', () => {
    const problem = makeProblem({ ...SMALL, kvLens: [1024, 1100], prefixes: [{ length: 512, requests: [0, 1] }] });
    const cuts = cutsOf(policies.cascade(problem, cpuMachine(2)), [0, 1]);
    expect(cuts.get(0)).toContain('0-512');
    expect(cuts.get(1)).toContain('-1100');
  });

  test('sampled requests are spread over the batch', () => {
    expect(sampleRequests(3, 8)).toEqual([0, 1, 2]);
    expect(sampleRequests(100, 4)).toEqual([12, 37, 62, 87]);
    expect(sampleRequests(0, 4)).toEqual([]);
  });
});

describe('ranks', () => {
  const row = (batch: number, policy: string, predictedUs?: number, more: Partial<BatchEvaluation> = {}) => ({
    batch,
    policy,
    predictedUs,
    ...more,
  });

  test('by how far a policy is behind the best of each batch', () => {
    const rows = rankPolicies(
      ['a', 'b', 'c'],
      [
        row(0, 'a', 100),
        row(1, 'a', 10),
        row(0, 'b', 90),
        row(1, 'b', 20),
        row(0, 'c', 80),
        row(1, 'c', undefined, { error: 'no' }),
      ],
    );
    expect(rows.map(({ rank, policy, wins, failed }) => [rank, policy, wins, failed])).toEqual([
      [1, 'a', 1, 0],
      [2, 'b', 0, 0],
      [3, 'c', 1, 1],
    ]);
    expect(rows[0]).toMatchObject({ meanUs: 55, behindPct: 12.5, worstBehindPct: 25 });
    expect(rows[2].error).toBe('no');
  });

  test('measured times rank before predicted ones', () => {
    const rows = rankPolicies(['a', 'b'], [row(0, 'a', 100, { measuredUs: 80 }), row(0, 'b', 90, { measuredUs: 100 })]);
    expect(rows.map(({ policy }) => policy)).toEqual(['a', 'b']);
    expect(rows[0]).toMatchObject({ meanUs: 80, predictionErrorPct: 25 });
    expect(rows[1].behindPct).toBe(25);
  });

  test('empty batches and policies that never work', () => {
    const rows = rankPolicies(['a', 'b'], [row(0, 'a', 0), row(0, 'b', undefined, { error: 'no' })]);
    expect(rows[0]).toMatchObject({ behindPct: 0, meanUs: 0 });
    expect(rows[1]).toMatchObject({ behindPct: null, meanUs: null, wins: 0 });
  });
});

describe('predicted', () => {
  test('all known policies over a trace', async () => {
    registerDisplays();
    const trace = syntheticTrace({ kind: 'mooncake-conversation', requests: 400, seed: 3 });
    const board = await leaderboard({ workload: { trace, concurrency: 16, batches: 4 } });
    expect(board.rows).toHaveLength(17);
    expect(board.batches.numRows()).toBe(68);
    expect(board.rows.every(({ failed }) => failed === 0)).toBe(true);
    expect(board.rows.find(({ policy }) => policy === 'auto')?.rank).toBeLessThanOrEqual(4);
    expect(board.rows.find(({ policy }) => policy === 'noSplit')).toMatchObject({ partialKiB: 0, cutsChangedPct: 0 });
    expect(board.costs).toBe(costModels.h100.name);
    expect(board.best).toBe(board.rows[0].policy);
    const bundle = await renderBundle(board);
    expect(bundle?.['text/plain']).toContain('fixedSplitSize(512)');
    const chart = leaderboardChart(board);
    expect((await chart.toPng()).length).toBeGreaterThan(1000);
    expect(() => predictionChart(board)).toThrow('got a leaderboard without measurements');
  });

  test('17 policies × 50 batches in under 10 s of processor time', async () => {
    const trace = syntheticTrace({ requests: 2000 });
    const before = process.cpuUsage();
    const board = await leaderboard({ workload: { trace, concurrency: 32, batches: 50 } });
    const { user, system } = process.cpuUsage(before);
    expect(board.batches.numRows()).toBe(850);
    expect((user + system) / 1e6).toBeLessThan(10);
  }, 60_000);

  test('a policy of one’s own, one that fails and one that hangs keep their rows', async () => {
    const started = performance.now();
    const board = await leaderboard({
      workload: WORKLOAD,
      model: SMALL,
      timeLimitMs: 300,
      policies: {
        mine: (problem, machine) => policies.fixedSplitSize(128)(problem, machine),
        fussy: (problem, machine) => {
          if (problem.batchSize === 3) throw new Error('three is a crowd');
          return policies.noSplit(problem, machine);
        },
        hangs: () => {
          for (;;);
        },
      },
    });
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(board.rows.map(({ policy, failed }) => [policy, failed])).toEqual([
      ['mine', 0],
      ['fussy', 1],
      ['hangs', 2],
    ]);
    expect(board.rows[1].error).toContain('three is a crowd');
    expect(board.rows[2].error).toContain('stopped after 0.3 s');
    expect(board.evaluations.at(-1)?.error).toContain('Not tried: the policy was stopped on batch 0');
    expect((await renderBundle(board))?.['text/plain']).toContain(
      'fussy failed on 1 batch: Policy fussy threw: three is a crowd',
    );
  });

  test('goes on from its file; another policy of the same name, or another machine, is another', async () => {
    const file = join(folder, 'board.jsonl');
    let calls = 0;
    const counting =
      (tokens: number): Policy =>
      (problem, machine) => {
        calls++;
        return policies.fixedSplitSize(tokens)(problem, machine);
      };
    const board = (tokens: number, machine: 'h100' | 'a100' = 'h100') =>
      leaderboard({ workload: WORKLOAD, model: SMALL, file, machine, policies: { counted: counting(tokens) } });
    const first = await board(100);
    const perBoard = calls;
    calls = 0;
    expect((await board(100)).rows).toEqual(first.rows);
    // What tells it apart from others is found by calling it, a few times.
    expect(calls).toBeLessThan(perBoard);
    const lines = () => readFileSync(file, 'utf8').split('\n').length;
    const before = lines();
    await board(64);
    expect(lines()).toBe(before + 2);
    await board(100, 'a100');
    expect(lines()).toBe(before + 4);
    expect(existsSync(`${file}.lock`)).toBe(false);
  });

  test('what it wants', async () => {
    await expect(leaderboard({ workload: WORKLOAD, machine: 'h900' as never })).rejects.toThrow(
      "There is no machine 'h900'; wanted one of h100",
    );
    await expect(leaderboard({ workload: WORKLOAD, machine: 'a100', costs: costModels.h100 })).rejects.toThrow(
      'is of ',
    );
    await expect(leaderboard({ workload: WORKLOAD, bitRequests: -1 })).rejects.toThrow('bitRequests is -1');
    const int3 = { kvDtype: 'int3' as never };
    await expect(leaderboard({ workload: WORKLOAD, model: int3 })).rejects.toThrow('kvDtype is int3');
  });
});

describe('measured on the CPU device', () => {
  test('a calibration of other kernels than the device runs is refused', async () => {
    const device = await openDevice('cpu');
    const machine = machineOf(device);
    const other = { ...rooflineModel(machine), kind: 'calibrated', kernelHash: '0123456789ab' } as const;
    await expect(leaderboard({ workload: WORKLOAD, device, costs: other })).rejects.toMatchObject({
      code: 'CALIBRATION_MISMATCH',
      message: expect.stringMatching(new RegExp(`kernels 0123456789ab; these are ${kernelHash(device)}`)),
    });
    device.dispose();
  });

  test('times, idle shares and bits', async () => {
    const device = await openDevice('cpu');
    const board = await leaderboard({
      workload: WORKLOAD,
      model: SMALL,
      device,
      machine: undefined,
      maxSeconds: 0.05,
      rotatedBytes: 2 ** 20,
      policies: ['noSplit', 'fixedSplitSize(64)', 'headGroups'],
    });
    expect(board.device).toBe(device.description.name);
    for (const row of board.rows) {
      expect(row.failed).toBe(0);
      expect(row.measuredUs).toBeGreaterThan(0);
      expect(row.idlePct).toBeGreaterThanOrEqual(0);
    }
    const of = (policy: string) => board.rows.find((row) => row.policy === policy);
    // Cut alike: the same bits. The measured bits agree with what the cuts say.
    expect(of('noSplit')).toMatchObject({ bitsChangedPct: 0, cutsChangedPct: 0 });
    expect(of('fixedSplitSize(64)')).toMatchObject({ bitsChangedPct: 0, cutsChangedPct: 0 });
    expect(of('headGroups')?.cutsChangedPct).toBeGreaterThan(0);
    expect(of('headGroups')?.bitsChangedPct).toBeGreaterThan(0);
    expect((await predictionChart(board).toPng()).length).toBeGreaterThan(1000);
    device.dispose();
  }, 60_000);

  test('prefixes share their pages, and cascade reads them once', async () => {
    const device = await openDevice('cpu');
    const requests = [0, 1, 2].map((id) => ({
      id,
      kvLen: 1024 + 50 * (id + 1),
      generated: 50 * (id + 1),
      remaining: 3,
      hashIds: [1, 2],
    }));
    const batch = { step: 0, requests, kvLens: Int32Array.from(requests, ({ kvLen }) => kvLen) };
    const options = { workload: [batch], model: SMALL, device, maxSeconds: 0.05, rotatedBytes: 2 ** 20 };
    const board = await leaderboard({ ...options, policies: ['cascade', 'headGroups'] });
    for (const row of board.rows) expect(row).toMatchObject({ failed: 0 });
    device.dispose();
  }, 60_000);
});
