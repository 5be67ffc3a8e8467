import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { nameOf, parseRow, policyByName, shapeCases, tableCases } from '../../../src/cli/bench/cases';
import { decodePeers, knownPeers, prefillPeers, readPeers } from '../../../src/cli/bench/peers';
import { readResultFile, resultFile } from '../../../src/cli/bench/result-file';
import { main } from '../../../src/cli/main';

let folder: string;
let out: string;
let err: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'warpbook-bench-'));
  out = '';
  err = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += text;
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += text;
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
  process.exitCode = undefined;
});

/** A bench on the CPU device that takes no time worth mentioning. */
function bench(what: string, ...args: string[]): Promise<number> {
  const small = ['--device', 'cpu', '--rotate-mb', '4', '--seconds', '0.1', '--out', join(folder, 'result.json')];
  return main(['bench', what, ...small, ...args]);
}

describe('rows', () => {
  it('are requests × tokens', () => {
    expect(parseRow('2x4k')).toEqual([4096, 4096]);
    expect(parseRow('1×64k+2x512')).toEqual([65536, 512, 512]);
    expect(nameOf([65536, 512, 512])).toBe('1x65536+2x512');
    for (const wrong of ['4k', '0x4k', '2x', '2x-1', 'x4']) expect(() => parseRow(wrong)).toThrow(/wanted/);
  });

  it('are the grid of the table, shape by shape, unless told otherwise', () => {
    const cases = tableCases();
    expect(cases).toHaveLength(34);
    expect(cases.map(({ numQoHeads }) => numQoHeads)).toEqual([...Array(17).fill(32), ...Array(17).fill(64)]);
    expect(cases[0]).toMatchObject({
      what: '1x1024',
      kvLens: [1024],
      kvDtype: 'bfloat16',
      layout: 'NHD',
      causal: false,
    });
    const few = tableCases({ rows: ['1x1k'], heads: ['4/4'], page: ['1', '64'], kvDtype: ['float8_e5m2'] });
    expect(few.map(({ pageSize, kvDtype }) => [pageSize, kvDtype])).toEqual([
      [1, 'float8_e5m2'],
      [64, 'float8_e5m2'],
    ]);
  });

  it('vary one thing at a time in the set of shapes', () => {
    const cases = shapeCases();
    expect(cases.length).toBeGreaterThan(40);
    expect(cases.filter(({ numKvHeads }) => numKvHeads === 1)).toHaveLength(4);
    expect(cases.find(({ qoLen }) => qoLen === 4)).toMatchObject({ causal: true, headDim: 128 });
  });

  it('refuses what nobody knows', () => {
    expect(() => tableCases({ heads: ['32'] })).toThrow(/wanted query heads \/ KV heads/);
    expect(() => tableCases({ layout: ['HDN'] })).toThrow(/--layout HDN; wanted one of NHD, HND/);
    expect(() => policyByName('quickest')).toThrow(/wanted one of noSplit, .*fixedSplitSize\(1024\)/);
    expect(() => policyByName('fixedSplitSize')).toThrow(/wanted one of/);
    expect(policyByName('fixedSplitSize(256)')).toBeTypeOf('function');
  });
});

describe('peers', () => {
  it('of the H100 come with warpbook, with where they come from', () => {
    const peers = knownPeers('h100');
    expect(peers).toMatchObject({ gpu: expect.stringContaining('H100'), date: '2026-11-22' });
    expect(peers?.source).toMatch(/torch 2\.11.*FlashInfer 0\.6\.18/);
    // Every row of the table for 32/8 heads has its figures.
    for (const row of tableCases({ heads: ['32/8'] })) expect(decodePeers(peers, row), row.what).not.toEqual({});
    const [row] = tableCases({ heads: ['32/8'], rows: ['8x4k'] });
    expect(decodePeers(peers, row)).toMatchObject({ cudnn: 51.7, flashinferCudaCore: 55.2, sdpaFlash: 53.4 });
    for (const other of [{ numQoHeads: 64 }, { pageSize: 1 }, { kvDtype: 'float8_e5m2' }, { qoLen: 4 }]) {
      expect(decodePeers(peers, { ...row, ...other })).toEqual({});
    }
    expect(decodePeers(peers, { ...row, layout: 'HND' })).toMatchObject({ cudnn: 51.7 });
    expect(prefillPeers(peers, { ...row, what: '1x16384 causal' })).toMatchObject({ fa3: 767, sdpaFlash: 345 });
    expect(knownPeers('nobody')).toBeUndefined();
  });

  it('may come from a file, which is checked', () => {
    const path = join(folder, 'peers.json');
    const row = { what: '1x64', numQoHeads: 4, numKvHeads: 2, headDim: 64 };
    const file = {
      gpu: 'cpu',
      date: '2026-01-01',
      source: 'x',
      method: 'y',
      decode: [{ ...row, peers: { other: 12.5 } }],
    };
    writeFileSync(path, JSON.stringify(file));
    expect(decodePeers(readPeers(path), row)).toEqual({ other: 12.5 });
    writeFileSync(path, JSON.stringify({ ...file, decode: [{ ...row, peers: { other: 'slow' } }] }));
    expect(() => readPeers(path)).toThrow(/something wrong at decode\.0\.peers\.other/);
    expect(() => readPeers(join(folder, 'none.json'))).toThrow(/not there/);
  });
});

describe('warpbook bench on the CPU device', () => {
  it('decode: a row beside floor and peers, and a file that says how it came about', async () => {
    const peers = join(folder, 'peers.json');
    const row = { what: '2x128', numQoHeads: 4, numKvHeads: 2, headDim: 64, peers: { other: 1e6 } };
    writeFileSync(peers, JSON.stringify({ gpu: 'x', date: '2026-01-01', source: 'x', method: 'y', decode: [row] }));
    const rows = ['--rows', '2x128,1x64+2x32', '--heads', '4/2', '--head-dim', '64', '--peers', peers];
    expect(await bench('decode', ...rows)).toBe(0);
    expect(out).toMatch(
      /^decode on .*\nnumQoHeads 4, .*policy headGroupsSpare; peers in µs\nrow .* floor µs .* median µs .* other/,
    );
    expect(err).toContain('roof: reads');
    const file = readResultFile(join(folder, 'result.json'));
    expect(file).toMatchObject({
      driver: 'none',
      cuda: 'none',
      command: expect.stringMatching(
        /^warpbook bench decode --device cpu --rows 2x128,1x64\+2x32 --heads 4\/2 .*--rotate-mb 4$/,
      ),
      clocks: { before: { problem: expect.any(String) } },
      roof: { readGbps: expect.any(Number) },
    });
    expect(file.rows).toHaveLength(2);
    expect(file.rows[0]).toMatchObject({ batch: 2, kvLen: 128, numKvHeads: 2, pageSize: 16, peers: { other: 1e6 } });
    const bytes = 2 * 2 * 128 * 2 * 64 * 2;
    const { gbps = 0, medianUs } = file.rows[0];
    expect((gbps * medianUs * 1e3) / bytes).toBeCloseTo(1, 2);
  });

  it('decode: beside an interpreter that answers, row by row', async () => {
    const python = join(folder, 'python');
    const hello = JSON.stringify({ torch: '9.9', cudnn: 90000, device: 'X' });
    const answer = JSON.stringify({ times: { cudnn: 12.5 }, errors: { sdpaFlash: 'no kernel' } });
    const log = join(folder, 'asked');
    writeFileSync(
      python,
      `#!/bin/sh\necho '${hello}'\nwhile read line; do echo "$line" >> '${log}'; echo '${answer}'; done\n`,
    );
    chmodSync(python, 0o755);
    const rows = ['--rows', '2x64,1x64+1x32', '--heads', '4/2', '--head-dim', '64', '--torch', python];
    expect(await bench('decode', ...rows)).toBe(0);
    expect(err).toContain('beside torch 9.9, cuDNN 90000');
    expect(err).toContain('torch sdpaFlash: no kernel');
    const file = readResultFile(join(folder, 'result.json'));
    expect(file.torch).toEqual({ torch: '9.9', cudnn: 90000, device: 'X' });
    // Torch takes plain rows, all lengths equal.
    expect(file.rows.map(({ peers }) => peers)).toEqual([{ cudnn: 12.5 }, {}]);
    const [asked, ...others] = readFileSync(log, 'utf8').trim().split('\n');
    expect(others).toEqual([]);
    expect(JSON.parse(asked)).toMatchObject({ op: 'decode', batch: 2, kvLen: 64, numQoHeads: 4, dtype: 'bfloat16' });
  });

  it('decode: says what is wrong with an interpreter that does not answer', async () => {
    expect(await bench('decode', '--rows', '1x64', '--torch', '/nowhere/python')).toBe(1);
    expect(err).toMatch(
      /Got no answer of \/nowhere\/python .*; wanted a Python with torch and a GPU\. Name it with --torch/,
    );
  });

  it('prefill: ragged and paged', async () => {
    expect(
      await bench('prefill', '--rows', '2x32', '--heads', '2/1', '--head-dim', '64', '--mask', 'causal,full'),
    ).toBe(0);
    const { rows } = readResultFile(join(folder, 'result.json'));
    expect(rows.map(({ what, kv }) => [what, kv])).toEqual([
      ['2x32 causal', 'ragged'],
      ['2x32 causal', 'paged'],
      ['2x32 full', 'ragged'],
      ['2x32 full', 'paged'],
    ]);
    expect(rows.every(({ tflops = 0 }) => tflops > 0)).toBe(true);
  });

  it('plan: the host alone, which has no floor', async () => {
    expect(await bench('plan', '--rows', '4x1', '--heads', '2/1', '--head-dim', '64', '--policy', 'binarySearch')).toBe(
      0,
    );
    const { rows } = readResultFile(join(folder, 'result.json'));
    expect(rows.map(({ what }) => what.replace(' enqueued', ''))).toEqual([
      'plan, upload',
      'plan of a step: plan, replay, wait',
      'plan of a step: plan, replay, a wait in four',
      'run',
      'replay',
      'append',
      'bare launch',
      'plan on the device and run',
      'plan a step ahead and run',
    ]);
    for (const row of rows.slice(-2)) expect(row.peers).toHaveProperty('run alone');
    expect(rows.every(({ floorUs, gbps, batch }) => floorUs === null && gbps === undefined && batch === 4)).toBe(true);
  });

  it('trace: the same row with and without', async () => {
    const args = ['--rows', '2x64', '--heads', '2/1', '--head-dim', '64', '--out', folder, '--name', 'traced'];
    expect(await bench('trace', ...args)).toBe(0);
    const date = new Date().toISOString().slice(0, 10);
    const [row] = readResultFile(join(folder, 'cpu', `${date}-traced.json`)).rows;
    expect(row.peers).toHaveProperty('untraced');
    expect(row.verdict).toMatch(/^(faster|slower|same|unclear)$/);
  });

  it('says what is wrong, and that usage is', async () => {
    expect(await bench('decode', '--rows', 'eight')).toBe(2);
    expect(err).toContain("Got the row 'eight'");
    expect(await bench('decode', '--policy', 'quickest')).toBe(2);
    expect(await main(['bench', 'decode', '--device', 'tpu'])).toBe(2);
  });
});

describe('committed results', () => {
  const results = join(__dirname, '../../../bench/results');
  const files = readdirSync(results, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.json'));

  it('of GPUs, and those that name one, follow the schema', () => {
    const checked = files.filter((name) => {
      const content = JSON.parse(readFileSync(join(results, name), 'utf8'));
      if (!('gpu' in content) && name.startsWith('cpu')) return false;
      const parsed = resultFile.safeParse(content);
      expect(parsed.error?.issues, name).toBeUndefined();
      return true;
    });
    expect(checked.length).toBeGreaterThan(0);
  });

  it('the schema refuses what a figure may not lack', () => {
    const [name] = files.filter((file) => file.startsWith('h100'));
    const good = JSON.parse(readFileSync(join(results, name), 'utf8'));
    for (const key of ['gpu', 'driver', 'cuda', 'date', 'command', 'clocks', 'rows']) {
      expect(resultFile.safeParse({ ...good, [key]: undefined }).success, key).toBe(false);
    }
    for (const key of [
      'what',
      'batch',
      'kvLen',
      'numQoHeads',
      'medianUs',
      'minUs',
      'spreadPct',
      'gbps',
      'floorUs',
      'peers',
    ]) {
      const rows = [{ ...good.rows[0], [key]: undefined }];
      expect(resultFile.safeParse({ ...good, rows }).success, key).toBe(false);
    }
  });
});
