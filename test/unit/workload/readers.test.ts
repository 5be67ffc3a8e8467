import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { readAzureTrace } from '../../../src/workload/azure-trace';
import { loadTrace } from '../../../src/workload/load-trace';
import { readMooncakeTrace } from '../../../src/workload/mooncake-trace';
import { RequestTrace } from '../../../src/workload/request-trace';
import { traceOf } from './support';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'warpbook-traces-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => vi.unstubAllEnvs());

function write(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const AZURE = 'TIMESTAMP,ContextTokens,GeneratedTokens\n';
const MOONCAKE = '{"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [0, 1]}\n';

describe('Azure CSV', () => {
  it('reads both dialects of time stamps, in nanoseconds from the first request on', async () => {
    const path = write(
      'azure.csv',
      `\uFEFF${AZURE.replace('\n', '\r\n')}2023-12-31 23:59:59.6805900,374,44\r\n2024-01-01 00:00:00.680591+00:00,0,1\r\n\r\n` +
        '2024-01-01 00:00:02,2,0',
    );
    const trace = await readAzureTrace(path);
    expect(trace).toBeInstanceOf(RequestTrace);
    expect(trace.requests).toEqual([
      { id: 0, arrivalNs: 0, inputLength: 374, outputLength: 44 },
      { id: 1, arrivalNs: 1_000_001_000, inputLength: 0, outputLength: 1 },
      { id: 2, arrivalNs: 2_319_410_000, inputLength: 2, outputLength: 0 },
    ]);
    expect(trace).toMatchObject({ name: 'azure', source: path, length: 3, durationNs: 2_319_410_000 });
    expect(trace.citation).toContain('Splitwise');
  });

  it.each([
    [
      'another header',
      'a,b\n1,2\n',
      1,
      "the header is 'a,b'; wanted the columns TIMESTAMP, ContextTokens, GeneratedTokens.",
    ],
    [
      'an empty file',
      '',
      1,
      'no request; wanted the columns TIMESTAMP, ContextTokens, GeneratedTokens and at least one row.',
    ],
    [
      'a header alone',
      AZURE,
      1,
      'no request; wanted the columns TIMESTAMP, ContextTokens, GeneratedTokens and at least one row.',
    ],
    [
      'a bad time',
      `${AZURE}2023-11-16 18:15:46.68,1,2\n2023-13-16 18:15:46.68,1,2\n`,
      3,
      "TIMESTAMP is '2023-13-16 18:15:46.68'; wanted a UTC time like 2023-11-16 18:15:46.68059.",
    ],
    [
      'a time with another zone',
      `${AZURE}2023-11-16 18:15:46.68+02:00,1,2\n`,
      2,
      "TIMESTAMP is '2023-11-16 18:15:46.68+02:00'; wanted a UTC time like 2023-11-16 18:15:46.68059.",
    ],
    [
      'a negative length',
      `${AZURE}2023-11-16 18:15:46.68,-1,2\n`,
      2,
      "ContextTokens is '-1'; wanted a whole number of tokens.",
    ],
    ['no length', `${AZURE}2023-11-16 18:15:46.68,1,\n`, 2, "GeneratedTokens is ''; wanted a whole number of tokens."],
    [
      'time that goes back',
      `${AZURE}2023-11-16 18:15:46,1,2\n\n2023-11-16 18:15:45,1,2\n`,
      4,
      'TIMESTAMP 2023-11-16 18:15:45 is before the one above it; wanted rows in the order of arrival.',
    ],
  ])('refuses %s', async (_, content, line, problem) => {
    const path = write('broken.csv', content);
    const message = `${path}:${line}: ${problem}`;
    await expect(readAzureTrace(path)).rejects.toMatchObject({ code: 'FILE_FORMAT', message, details: { path, line } });
  });

  it('refuses a row with a surplus field and one with an open quote', async () => {
    const surplus = write('surplus.csv', `${AZURE}2023-11-16 18:15:46,1,2\n2023-11-16 18:15:47,1,2,3\n`);
    await expect(readAzureTrace(surplus)).rejects.toMatchObject({
      code: 'FILE_FORMAT',
      details: { path: surplus, line: 3 },
    });
    await expect(readAzureTrace(surplus)).rejects.toThrow('not a valid CSV row');
    const quote = write('quote.csv', `${AZURE}"2023-11-16 18:15:46,1,2\n`);
    await expect(readAzureTrace(quote)).rejects.toThrow('not a valid CSV row');
  });

  it('a file that was cut short is told from one with a bad row', async () => {
    const row = '2023-11-16 18:15:46,1,2\n';
    const bad = '2023-11-16 18:1';
    const cut = readAzureTrace(write('cut.csv', `${AZURE}${row}${bad}`));
    await expect(cut).rejects.toThrow(/cut\.csv:3: not a valid CSV row.*ends in the middle of this line.*cut short/);
    const broken = readAzureTrace(write('bad-row.csv', `${AZURE}${row}${bad}\n`));
    await expect(broken).rejects.not.toThrow('cut short');
  });

  it('what is no text at all is told in few characters', async () => {
    const garbage = readAzureTrace(write('garbage.csv', `x"${'\u0001\uFFFD'.repeat(5000)}`));
    await expect(garbage).rejects.toMatchObject({
      code: 'FILE_FORMAT',
      message: expect.stringMatching(/^[\s\S]{1,600}$/),
    });
  });
});

describe('Mooncake JSONL', () => {
  it('reads lengths, times and hash ids', async () => {
    const path = write(
      'moon.jsonl',
      `${MOONCAKE}\r\n{"timestamp": 2999.5, "input_length": 0, "output_length": 0, "hash_ids": []}`,
    );
    const trace = await readMooncakeTrace(path);
    expect(trace.requests).toEqual([
      { id: 0, arrivalNs: 0, inputLength: 600, outputLength: 5, hashIds: [0, 1] },
      { id: 1, arrivalNs: 2_999_500_000, inputLength: 0, outputLength: 0, hashIds: [] },
    ]);
    expect(trace.citation).toContain('Mooncake');
  });

  it('reads lines longer than a chunk of the stream', async () => {
    const inputLength = 512 * 40_000;
    const hashIds = Array.from({ length: 40_000 }, (_, i) => i);
    const row = JSON.stringify({ timestamp: 0, input_length: inputLength, output_length: 1, hash_ids: hashIds });
    const trace = await readMooncakeTrace(write('long.jsonl', `${row}\n${row}\n`));
    expect(trace.requests.map((request) => request.hashIds)).toEqual([hashIds, hashIds]);
  });

  it.each([
    ['a list', `${MOONCAKE}[1]`, 2, 'got [1]; wanted an object with timestamp, input_length, output_length, hash_ids.'],
    ['a missing field', '{"timestamp": 0}', 1, 'input_length is undefined; wanted a whole number of tokens.'],
    ['a bad time', '{"timestamp": "0"}', 1, "timestamp is '0'; wanted a number of at least 0."],
    [
      'a fraction of a token',
      '{"timestamp": 0, "input_length": 1.5}',
      1,
      'input_length is 1.5; wanted a whole number of tokens.',
    ],
    [
      'hash ids that are no numbers',
      '{"timestamp": 0, "input_length": 1, "output_length": 1, "hash_ids": ["a"]}',
      1,
      'hash_ids is ["a"]; wanted an array of whole numbers.',
    ],
    [
      'too few hash ids',
      '{"timestamp": 0, "input_length": 513, "output_length": 1, "hash_ids": [0]}',
      1,
      'hash_ids has 1 entries; wanted 2, one for each 512 of the 513 input tokens begun.',
    ],
    [
      'time that goes back',
      `${MOONCAKE.replace('0', '5')}\n${MOONCAKE}`,
      3,
      'timestamp 0 is before the one above it; wanted rising times.',
    ],
    ['an empty file', '\n', 1, 'no request; wanted one JSON object a line.'],
  ])('refuses %s', async (_, content, line, problem) => {
    const path = write('broken.jsonl', content);
    const message = `${path}:${line}: ${problem}`;
    await expect(readMooncakeTrace(path)).rejects.toMatchObject({
      code: 'FILE_FORMAT',
      message,
      details: { path, line },
    });
  });

  it('refuses what is no JSON', async () => {
    const path = write('broken.jsonl', `${MOONCAKE}{"timestamp": 0,`);
    await expect(readMooncakeTrace(path)).rejects.toThrow(`${path}:2: not JSON (`);
    await expect(readMooncakeTrace(path)).rejects.toThrow('The file ends in the middle of this line');
  });

  it('a bad line with others behind it was not cut short', async () => {
    const path = write('middle.jsonl', `${MOONCAKE}{"timestamp": 0,\n${MOONCAKE}`);
    await expect(readMooncakeTrace(path)).rejects.not.toThrow('ends in the middle');
  });
});

describe('loadTrace', () => {
  it('reads a file by its extension', async () => {
    expect((await loadTrace({ path: write('a.csv', `${AZURE}2023-11-16 18:15:46,1,2\n`) })).length).toBe(1);
    expect((await loadTrace({ path: write('m.jsonl', MOONCAKE) })).requests[0].hashIds).toEqual([0, 1]);
  });

  it('finds the wanted kind in a folder, also in the one that WARPBOOK_TRACES names', async () => {
    mkdirSync(join(folder, 'both'));
    const azure = write('both/AzureLLMInferenceTrace_conv.csv', `${AZURE}2023-11-16 18:15:46,1,2\n`);
    write('both/AzureLLMInferenceTrace_conv_1week.csv', 'not this one');
    const mooncake = write('both/conversation_trace.jsonl', MOONCAKE);
    vi.stubEnv('WARPBOOK_TRACES', join(folder, 'both'));
    expect((await loadTrace()).source).toBe(azure);
    expect((await loadTrace({ kind: 'mooncake-conversation' })).source).toBe(mooncake);
    expect((await loadTrace({ path: mooncake })).source).toBe(mooncake);
  });

  it('falls back on the generator', async () => {
    vi.stubEnv('WARPBOOK_TRACES', '');
    const trace = await loadTrace({ kind: 'mooncake-conversation', seed: 7, requests: 12 });
    expect(trace).toMatchObject({ name: 'synthetic mooncake-conversation', length: 12 });
    expect(trace.source).toBe(
      'synthetic (kind mooncake-conversation, seed 7), drawn from the distributions of the real trace',
    );
  });

  it('says where traces come from when there is none', async () => {
    const hint =
      /Azure\/AzurePublicDataset .* kvcache-ai\/Mooncake .*option `path` .*WARPBOOK_TRACES; .*syntheticTrace\(\)/;
    const missing = join(folder, 'missing.csv');
    await expect(loadTrace({ path: missing })).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
      message: expect.stringMatching(hint),
    });
    await expect(loadTrace({ path: missing })).rejects.toThrow(`There is no trace at '${missing}'.`);
    mkdirSync(join(folder, 'empty'));
    await expect(loadTrace({ path: join(folder, 'empty') })).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
      message: expect.stringMatching(hint),
    });
    await expect(readAzureTrace(folder)).rejects.toThrow('is a folder; wanted a trace file.');
    await expect(readMooncakeTrace(`${missing}/below`)).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
  });

  it('refuses a kind and a file that contradict each other', async () => {
    const path = write('a.csv', AZURE);
    const wanted = "ends in '.csv'; wanted a trace file in .jsonl (mooncake-conversation).";
    await expect(loadTrace({ path, kind: 'mooncake-conversation' })).rejects.toThrow(wanted);
    await expect(loadTrace({ path: write('a.txt', '') })).rejects.toThrow(
      "ends in '.txt'; wanted a trace file in .csv (azure-conversation) or .jsonl (mooncake-conversation).",
    );
    await expect(loadTrace({ kind: 'other' as never })).rejects.toThrow(
      "kind is 'other'; wanted one of azure-conversation, mooncake-conversation.",
    );
  });
});

describe('RequestTrace', () => {
  it('refuses bad requests', () => {
    expect(() => traceOf([0, -1, 2])).toThrow('requests[0].inputLength is -1');
    expect(() => traceOf([0, 1, 2], [5, 1, 0.5])).toThrow('requests[1].outputLength is 0.5');
    expect(() => traceOf([5, 1, 2], [4, 1, 2])).toThrow('requests[1].arrivalNs is 4; wanted at least 5');
    expect(() => traceOf([Number.NaN, 1, 2])).toThrow('requests[0].arrivalNs is NaN');
  });

  it('summarizes in percentiles by nearest rank', () => {
    const rows = traceOf([0, 10, 1], [1e6, 30, 2], [4e6, 20, 3]).summarize();
    expect(rows).toEqual([
      { quantity: 'input tokens', count: 3, mean: 20, min: 10, p50: 20, p90: 30, p99: 30, max: 30 },
      { quantity: 'output tokens', count: 3, mean: 2, min: 1, p50: 2, p90: 3, p99: 3, max: 3 },
      { quantity: 'ms between arrivals', count: 2, mean: 2, min: 1, p50: 1, p90: 3, p99: 3, max: 3 },
    ]);
    expect(traceOf().summarize()).toEqual([]);
  });

  it('counts prompt tokens that came before', () => {
    const base = { arrivalNs: 0, outputLength: 1 };
    const requests = [
      { ...base, id: 0, inputLength: 600, hashIds: [0, 1] },
      { ...base, id: 1, inputLength: 1100, hashIds: [0, 2, 1] },
      { ...base, id: 2, inputLength: 600, hashIds: [0, 1] },
    ];
    const rows = new RequestTrace({ name: '', requests, source: '', citation: '' }).summarize();
    expect(rows[3]).toMatchObject({ quantity: 'prompt tokens seen before', count: 3, min: 0, p50: 512, max: 600 });
  });
});
