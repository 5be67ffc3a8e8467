/** Sweeps: points, the file that is kept, threads, and what is refused. */
import { appendFileSync, existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { onLabProgress } from '../../../src/lab/progress';
import { canonicalJson, keyOf, pointsOf } from '../../../src/lab/sweep/points';
import { sweep } from '../../../src/lab/sweep/sweep';
import { temporaryFolder } from '../../support/notebooks';

const folder = temporaryFolder();
let file: string;
let next = 0;
beforeEach(() => {
  file = join(folder, `sweep-${next++}.jsonl`);
});
const lines = () => readFileSync(file, 'utf8').trimEnd().split('\n').slice(1);
const keys = () => lines().map((line) => JSON.parse(line).key);

describe('points', () => {
  test('all combinations, the last axis fastest, equal ones once', () => {
    expect(pointsOf({ a: [1, 2, 1], b: ['x', 'y'] })).toEqual([
      { a: 1, b: 'x' },
      { a: 1, b: 'y' },
      { a: 2, b: 'x' },
      { a: 2, b: 'y' },
    ]);
    expect(pointsOf({ a: [1, 2], b: [1, 2] }, ({ a, b }) => a < b)).toEqual([{ a: 1, b: 2 }]);
    expect(Object.keys(pointsOf({ z: [1], a: [{ q: 1, b: [2] }] })[0])).toEqual(['z', 'a']);
  });

  test('keys are by content, in whatever order it stands', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (point) => {
        const turned = Object.fromEntries(Object.entries(point).reverse());
        expect(keyOf('t', turned)).toBe(keyOf('t', point));
        expect(JSON.parse(canonicalJson(point as never))).toEqual(JSON.parse(JSON.stringify(point)));
      }),
    );
    expect(keyOf('t', { a: 1 })).not.toBe(keyOf('t', { a: '1' }));
    expect(keyOf('t', { a: 1 })).not.toBe(keyOf('u', { a: 1 }));
  });

  test('axes that are none are refused', () => {
    expect(() => pointsOf({})).toThrow('sweep() got no axes');
    expect(() => pointsOf({ a: [] })).toThrow('Axis a is an empty array; wanted an array of one or more values.');
    expect(() => pointsOf({ a: 3 as never })).toThrow('Axis a is number');
    expect(() => pointsOf({ a: [Number.NaN] })).toThrow('Axis a has NaN; wanted numbers, text');
    expect(() => pointsOf({ a: [function mine() {}] })).toThrow('Axis a has the function mine');
    expect(() => pointsOf({ a: [{ b: new Map() }] })).toThrow('Axis a has a Map');
    const many = Array.from({ length: 1001 }, (_, i) => i);
    expect(() => pointsOf({ a: many, b: many })).toThrow('The axes have 1002001 combinations');
  });
});

describe('in this thread', () => {
  test('rows in the order of the points, as an arquero table', async () => {
    const swept = await sweep({
      axes: { batch: [1, 8], page: [16, 32] },
      run: async ({ batch, page }, { data }) => ({ product: batch * page * data.scale, even: true }),
      data: { scale: 10 },
    });
    expect(swept.rows).toEqual([
      { batch: 1, page: 16, product: 160, even: true },
      { batch: 1, page: 32, product: 320, even: true },
      { batch: 8, page: 16, product: 1280, even: true },
      { batch: 8, page: 32, product: 2560, even: true },
    ]);
    expect(swept.table.columnNames()).toEqual(['batch', 'page', 'product', 'even']);
    expect(swept.table.numRows()).toBe(4);
    expect(String(swept)).toBe('Sweep(4 points, 0 of them from the file)');
  });

  test('a file is resumed: each point exactly once', async () => {
    const calls: number[] = [];
    let stopAt = 3;
    const run = ({ n }: { n: number }) => {
      if (n === stopAt) throw new DOMException('stop', 'AbortError');
      calls.push(n);
      return n * n;
    };
    const controller = new AbortController();
    const stopping = ({ n }: { n: number }) => {
      if (n === 3) controller.abort(new Error('the cell was interrupted'));
      return run({ n });
    };
    const axes = { n: [0, 1, 2, 3, 4, 5] };
    await expect(sweep({ axes, file, run: stopping, version: '1', signal: controller.signal })).rejects.toThrow(
      'the cell was interrupted',
    );
    expect(lines()).toHaveLength(3);
    expect(existsSync(`${file}.lock`)).toBe(false);
    stopAt = -1;
    const swept = await sweep({ axes, file, run, version: '1' });
    expect(calls).toEqual([0, 1, 2, 3, 4, 5]);
    expect(swept.numReused).toBe(3);
    expect(swept.rows.map(({ value }) => value)).toEqual([0, 1, 4, 9, 16, 25]);
    // More values later: only they are computed.
    await sweep({ axes: { n: [6, 2] }, file, run, version: '1' });
    expect(calls.slice(6)).toEqual([6]);
    expect(new Set(keys()).size).toBe(7);
    expect(keys()).toHaveLength(7);
  });

  test('another function computes its own points', async () => {
    const axes = { n: [1, 2] };
    await sweep({ axes, file, run: ({ n }) => n });
    const other = await sweep({ axes, file, run: ({ n }) => n + 10 });
    expect(other.numReused).toBe(0);
    expect(other.rows.map(({ value }) => value)).toEqual([11, 12]);
    expect((await sweep({ axes, file, run: ({ n }) => n })).numReused).toBe(2);
  });

  test('a point that fails is told, kept, and tried again when asked', async () => {
    let broken = true;
    const run = ({ n }: { n: number }) => {
      if (n === 2 && broken) throw new Error('no such batch');
      return { n2: n * 2, nan: Number.NaN };
    };
    const axes = { n: [1, 2] };
    const first = await sweep({ axes, file, run });
    expect(first.numFailed).toBe(1);
    expect(first.rows).toEqual([
      { n: 1, n2: 2, nan: null },
      { n: 2, error: 'no such batch' },
    ]);
    expect(first.table.get('error', 0)).toBeNull();
    broken = false;
    expect((await sweep({ axes, file, run })).numFailed).toBe(1);
    const again = await sweep({ axes, file, run, retryFailed: true });
    expect([again.numFailed, again.numReused]).toEqual([0, 1]);
    expect((await sweep({ axes, file, run })).rows).toEqual(again.rows);
  });

  test('answers that are no record', async () => {
    const swept = await sweep({ axes: { n: [1] }, run: () => ({ spans: [1, 2] }) });
    expect(swept.rows[0].error).toContain('answered an object as spans; wanted a number, text or a boolean');
    expect((await sweep({ axes: { n: [1] }, run: () => undefined })).numFailed).toBe(1);
  });

  test('its progress is announced', async () => {
    const seen: [number, number, boolean][] = [];
    const stop = onLabProgress(({ done, total, finished }) => seen.push([done, total, finished]));
    await sweep({ axes: { n: [1, 2] }, run: ({ n }) => n });
    stop();
    expect(seen).toEqual([
      [0, 2, false],
      [1, 2, false],
      [2, 2, false],
      [2, 2, true],
    ]);
  });
});

describe('the file', () => {
  const axes = { n: [1, 2, 3] };
  const run = ({ n }: { n: number }) => ({ name: `värde ${n}` });

  test('wherever it was cut short, the whole lines stay and the rest is computed again', async () => {
    await sweep({ axes, file, run });
    const whole = readFileSync(file);
    for (let length = whole.length - 1; length >= 0; length -= 7) {
      writeFileSync(file, whole.subarray(0, length));
      const kept = whole.subarray(0, length).toString('latin1').split('\n').length - 2;
      const swept = await sweep({ axes, file, run });
      expect(swept.numReused).toBe(Math.max(0, kept));
      expect(swept.rows.map(({ name }) => name)).toEqual(['värde 1', 'värde 2', 'värde 3']);
      expect(
        readFileSync(file, 'utf8')
          .split('\n')
          .slice(0, -1)
          .every((line) => JSON.parse(line)),
      ).toBe(true);
      expect(new Set(keys()).size).toBe(3);
      expect(keys()).toHaveLength(3);
    }
  });

  test('a last line of garbage is dropped, one further up is an error', async () => {
    await sweep({ axes, file, run });
    const size = readFileSync(file).length;
    appendFileSync(file, '\0\0\0\0\n');
    expect((await sweep({ axes, file, run })).numReused).toBe(3);
    expect(readFileSync(file).length).toBe(size);
    appendFileSync(file, `nonsense\n${lines()[0]}\n`);
    await expect(sweep({ axes, file, run })).rejects.toThrow(`${file}, line 5: got what is no record of a sweep`);
  });

  test("somebody else's file is left alone", async () => {
    writeFileSync(file, 'TIMESTAMP,ContextTokens\n');
    await expect(sweep({ axes, file, run })).rejects.toThrow('got a file that begins with "TIMESTAMP,ContextTokens"');
    expect(readFileSync(file, 'utf8')).toBe('TIMESTAMP,ContextTokens\n');
    await expect(sweep({ axes, file: join(folder, 'none', 'x'), run })).rejects.toThrow("its folder doesn't exist");
    writeFileSync(file, '');
    expect((await sweep({ axes, file, run })).numReused).toBe(0);
  });

  test('one sweep at a time; the lock of a dead process counts for nothing', async () => {
    let inner: unknown;
    await sweep({
      axes: { n: [1] },
      file,
      run: async () => {
        inner = await sweep({ axes, file, run }).catch((error: Error) => error.message);
        return 1;
      },
    });
    expect(inner).toContain('A sweep of this very process is writing to');
    const { hostname } = await import('node:os');
    writeFileSync(`${file}.lock`, JSON.stringify({ pid: process.pid, host: hostname(), started: 'long ago' }));
    expect((await sweep({ axes, file, run })).numPoints).toBe(3);
    writeFileSync(`${file}.lock`, '{"pid":');
    expect((await sweep({ axes, file, run })).numReused).toBe(3);
    writeFileSync(`${file}.lock`, JSON.stringify({ pid: 1, host: 'elsewhere', started: '' }));
    await expect(sweep({ axes, file, run })).rejects.toThrow('A sweep of process 1 on elsewhere is writing');
    truncateSync(file, 0);
  });
});

describe('in workers', () => {
  const axes = { n: [1, 2, 3, 4, 5] };

  test('functions go as text, with names of warpbook and data', async () => {
    const offset = { data: { plus: 100 } };
    const swept = await sweep({
      axes,
      file,
      workers: 2,
      ...offset,
      // `machines` is a public name, as a cell has it.
      run: new Function('return ({ n }, { data }) => ({ value: n + data.plus, sms: machines.h100.numSms })')() as (
        point: { n: number },
        context: { data: { plus: number } },
      ) => object,
    });
    expect(swept.rows.map(({ value, sms }) => [value, sms])).toEqual([101, 102, 103, 104, 105].map((v) => [v, 132]));
    expect(new Set(keys()).size).toBe(5);
  });

  test('methods and async functions', async () => {
    const owner = {
      async square({ n }: { n: number }) {
        return n * n;
      },
    };
    const swept = await sweep({ axes, workers: 1, run: owner.square });
    expect(swept.rows.map(({ value }) => value)).toEqual([1, 4, 9, 16, 25]);
  });

  test('what is not in the function is named', async () => {
    const run = new Function('const outside = 3; return ({ n }) => n + myOffset')() as (point: { n: number }) => number;
    await expect(sweep({ axes, workers: 2, run, file })).rejects.toThrow(
      "The sweep's function uses myOffset, which is not there in a worker: only the function's own text is sent.",
    );
    expect(existsSync(`${file}.lock`)).toBe(false);
    const bound = function (this: number, { n }: { n: number }) {
      return n;
    }.bind(3);
    await expect(sweep({ axes, workers: 1, run: bound })).rejects.toThrow(
      "can't be sent to a worker: it is built in or bound",
    );
    await expect(sweep({ axes, workers: 1, run: class A {} as never })).rejects.toThrow('it is a class');
    const data = { callback: () => 1 };
    await expect(sweep({ axes, workers: 1, data, run: ({ n }) => n })).rejects.toThrow(
      "data can't be handed to a worker",
    );
  });

  test('a module that exports the function', async () => {
    const module = join(folder, 'run.cjs');
    writeFileSync(module, 'exports.cube = ({ n }) => n ** 3;');
    const swept = await sweep({ axes, workers: 2, run: { module, name: 'cube' } });
    expect(swept.rows.map(({ value }) => value)).toEqual([1, 8, 27, 64, 125]);
    expect((await sweep({ axes, run: { module, name: 'cube' } })).rows).toEqual(swept.rows);
    await expect(sweep({ axes, workers: 1, run: { module, name: 'root' } })).rejects.toThrow(
      'exports no function root',
    );
  });

  test('a point that hangs, and one that takes its thread along, have failed; the others are there', async () => {
    const swept = await sweep({
      axes,
      workers: 2,
      pointTimeoutS: 1.5,
      run: ({ n }) => {
        while (n === 2);
        if (n === 4) process.exit(7);
        return n;
      },
    });
    expect(swept.rows.map(({ value, error }) => value ?? error)).toEqual([
      1,
      'took longer than 1.5 s (pointTimeoutS)',
      3,
      'the worker ended with code 7',
      5,
    ]);
  });

  test('interrupted: what was computed is kept, and no thread is left', async () => {
    const controller = new AbortController();
    const stop = onLabProgress(({ done }) => done === 2 && controller.abort(new Error('interrupted')));
    const run = async ({ n }: { n: number }) => {
      await new Promise((resume) => setTimeout(resume, n < 3 ? 1 : 60_000));
      return n;
    };
    await expect(sweep({ axes, workers: 2, file, run, signal: controller.signal })).rejects.toThrow('interrupted');
    stop();
    expect(lines()).toHaveLength(2);
  });

  test('limits of time are for threads', async () => {
    await expect(sweep({ axes, run: ({ n }) => n, pointTimeoutS: 1 })).rejects.toThrow('given without workers');
    await expect(sweep({ axes, run: ({ n }) => n, workers: 1, pointTimeoutS: 0 })).rejects.toThrow(
      'pointTimeoutS is 0',
    );
    await expect(sweep({ axes, run: ({ n }) => n, workers: -1 })).rejects.toThrow('workers is -1');
  });
});
