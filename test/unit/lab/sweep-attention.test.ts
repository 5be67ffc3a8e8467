/** Attention sweeps: simulated in this thread and in others, measured on the CPU device. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openDevice } from '../../../src/attention/open-device';
import { sweepAttention } from '../../../src/lab/sweep/attention';
import { lengthsOf } from '../../../src/lab/sweep/attention-point';
import { cpuMachine } from '../../../src/schedule/machine';
import { policies } from '../../../src/schedule/policies/known';
import type { Policy } from '../../../src/schedule/schedule';
import { temporaryFolder } from '../../support/notebooks';

const folder = temporaryFolder();
const AXES = { batch: [1, 16], kvLen: [512, [100, 4000]], policy: ['noSplit', 'headGroups'] };

/** As a cell's: what it uses is a public name. */
const mine = new Function('return (problem, machine) => policies.fixedSplitSize(256)(problem, machine)')() as Policy;

describe('sweepAttention', () => {
  test('threads give the same as this one, and the file serves both', async () => {
    const file = join(folder, 'attention.jsonl');
    const here = await sweepAttention({ axes: AXES });
    const there = await sweepAttention({ axes: AXES, workers: 2, file });
    const figures = ({ rows }: typeof here) => rows.map(({ planUs, ...rest }) => rest);
    expect(figures(there)).toEqual(figures(here));
    expect(here.numFailed).toBe(0);
    const again = await sweepAttention({ axes: AXES, file });
    expect(again.numReused).toBe(8);
    expect(again.table.columnNames().slice(0, 9)).toEqual([
      ...['batch', 'kvLen', 'heads', 'headDim', 'pageSize', 'dtype', 'policy', 'machine', 'tokens'],
    ]);
  });

  test('policies and machines of one’s own', async () => {
    const own: Policy = (problem, machine) => policies.noSplit(problem, machine);
    const options = {
      axes: { policy: ['mine'], machine: ['tiny', 'a100'], heads: ['8/2', '8/8'] },
      machines: { tiny: cpuMachine(2) },
    };
    const swept = await sweepAttention({ ...options, policies: { mine: own } });
    expect(swept.rows.map(({ heads, machine }) => [heads, machine])).toEqual([
      ['8/2', 'tiny'],
      ['8/2', 'a100'],
      ['8/8', 'tiny'],
      ['8/8', 'a100'],
    ]);
    expect(swept.numFailed).toBe(0);
    expect(new Set(swept.rows.map(({ costs }) => costs)).size).toBe(2);
    const shipped = await sweepAttention({ ...options, policies: { mine }, workers: 1 });
    expect(shipped.rows.map(({ error }) => error)).toEqual([undefined, undefined, undefined, undefined]);
    expect(shipped.rows[0].tiles).toBe(32 * 2 * 8);
  });

  test('measured on a device', async () => {
    const device = await openDevice('cpu');
    const swept = await sweepAttention({
      axes: { batch: [1, 3], kvLen: [100], heads: ['4/2'], headDim: [64], pageSize: [1, 16], policy: ['headGroups'] },
      device,
      maxSeconds: 0.03,
    });
    expect(swept.numFailed).toBe(0);
    for (const row of swept.rows) expect(row.measuredUs).toBeGreaterThan(0);
    expect(swept.rows[0].machine).toBe('device');
    await expect(sweepAttention({ axes: {}, device, workers: 2 })).rejects.toThrow('would disturb each other');
    await expect(sweepAttention({ axes: { machine: ['h100'] }, device })).rejects.toThrow('runs on its device alone');
    device.dispose();
  });

  test('slips are told before anything is computed', async () => {
    await expect(sweepAttention({ axes: { batches: [1] } as never })).rejects.toThrow(
      'has no axis batches; wanted some of batch',
    );
    await expect(sweepAttention({ axes: { policy: ['best'] } })).rejects.toThrow("There is no policy 'best'");
    await expect(sweepAttention({ axes: { machine: ['h1'] } })).rejects.toThrow("Axis machine has 'h1'");
    await expect(sweepAttention({ axes: { heads: ['8/3'] } })).rejects.toThrow("Axis heads has '8/3'");
    await expect(sweepAttention({ axes: { dtype: ['int3' as never] } })).rejects.toThrow('kvDtype is int3;');
  });

  test('lengths in turn', () => {
    expect([...lengthsOf({ batch: 3, kvLen: [1, 2] })]).toEqual([1, 2, 1]);
    expect([...lengthsOf({ batch: 2, kvLen: 9 })]).toEqual([9, 9]);
  });
});
