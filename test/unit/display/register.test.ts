import { table as arqueroTable } from 'arquero';
import { PNG } from 'pngjs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BatchDecode } from '../../../src/attention/batch-decode';
import { PagedKvCache } from '../../../src/attention/paged-kv';
import { DevicePlan, Plan } from '../../../src/attention/plan';
import { type Device, openDevice } from '../../../src/device/device';
import { registerDisplays } from '../../../src/display/register';
import { capture } from '../../../src/graph/capture';
import { type MimeBundle, renderBundle } from '../../../src/renderers';
import { cpuMachine, machines } from '../../../src/schedule/machine';
import { policies } from '../../../src/schedule/policies/known';
import { makeProblem } from '../../../src/schedule/problem';
import { arange } from '../../../src/tensor/create';
import { formatCount } from '../../../src/units';
import { RequestTrace } from '../../../src/workload/request-trace';
import { snapshot } from '../../../src/workload/snapshot';
import { syntheticTrace } from '../../../src/workload/synthetic';
import { measuredAt } from '../../support/charts';
import { timelineOf } from '../timeline/spans';

const CHART = ['application/vnd.vegalite.v5+json', 'image/png', 'text/plain'];
const TEXT = ['text/html', 'text/plain'];
const HOSTILE = '<script>alert("x")</script>\x1b[31m';

let device: Device;
beforeAll(async () => {
  registerDisplays();
  registerDisplays();
  device = await openDevice('cpu', { threads: 2, name: `cpu${HOSTILE}`, memoryLimitBytes: 64 * 2 ** 20 });
});
afterAll(() => device.dispose());

async function show(value: unknown): Promise<{ mimes: string[]; text: string; html: string; bundle: MimeBundle }> {
  const bundle = (await renderBundle(value)) as MimeBundle;
  const text = bundle['text/plain'] as string;
  const html = (bundle['text/html'] ?? '') as string;
  expect(`${text}${html}`).not.toContain('\x1b');
  expect(html).not.toContain('<script');
  return { mimes: Object.keys(bundle), text, html, bundle };
}

describe('schedules, plans and timelines', () => {
  const problem = makeProblem({ kvLens: [100, 900], numQoHeads: 4, numKvHeads: 2, headDim: 64 });
  const schedule = policies.binarySearch(problem, cpuMachine(2));

  test('are Gantt charts', async () => {
    for (const value of [schedule, timelineOf(1, [{ cta: 0, startNs: 0, endNs: 5 }])]) {
      const { mimes } = await show(value);
      expect(mimes).toEqual(CHART);
    }
  });

  test('a plan adds what it decided and cost', async () => {
    const plan = new Plan(7, {
      schedule: () => schedule,
      capacity: {} as never,
      cost: { policyNs: 40_000, packNs: 12_345, uploadedBytes: 2048 },
      numQoTokens: 2,
      ready: async () => {},
    });
    const { mimes, text } = await show(plan);
    expect(mimes).toEqual(CHART);
    expect(text).toContain(`Plan 7: ${schedule.policy}`);
    expect(text).toContain('planned in 52.3 µs');
    expect(text).toContain('2.00 KiB uploaded');
  });

  test('a plan on the device says how its schedule is had', async () => {
    const { mimes, text } = await show(new DevicePlan(9, 'headGroups', 128, 2, {} as never));
    expect(mimes).toEqual(TEXT);
    expect(text).toContain('Plan 9: headGroups, on the device');
    expect(text).toContain('await plan.readSchedule()');
  });
});

describe('attention', () => {
  test('caches and page tables say what is used', async () => {
    const cache = new PagedKvCache({ numPages: 40, numKvHeads: 2, headDim: 16, dtype: 'float32', device });
    const requests = [cache.allocate(33), cache.allocate(0), cache.allocate(100)];
    const { mimes, text } = await show(cache);
    expect(mimes).toEqual(TEXT);
    expect(text).toContain('PagedKvCache on device cpu<script>alert("x")</script>');
    expect(text).toMatch(/pages +10 used, 30 free ██▌······· 25\.0 %/);
    const pages = await show(cache.pageTable(requests));
    expect(pages.mimes).toEqual(TEXT);
    expect(pages.text.split('\n').slice(1)).toEqual([
      'request  KV tokens  pages  last page (tokens)',
      '───────  ─────────  ─────  ──────────────────',
      '0               33      3                   1',
      '1                0      0                   0',
      '2              100      7                   4',
    ]);
    cache.dispose();
  });

  test('a wrapper says what it computes and holds', async () => {
    const decode = await BatchDecode.create({
      numQoHeads: 8,
      numKvHeads: 2,
      headDim: 64,
      dtype: 'float32',
      windowLeft: 128,
      device,
      capacity: { maxBatch: 4 },
    });
    const { mimes, text } = await show(decode);
    expect(mimes).toEqual(TEXT);
    expect(text).toMatch(/heads +8 query, 2 KV × head_dim 64/);
    expect(text).toMatch(/mask +window 128 tokens/);
    expect(text).toMatch(/plan +none yet: call plan\(\)/);
    decode.dispose();
  });
});

describe('device, tensors and graphs', () => {
  test('a device shows threads, instruction set and the owners of its memory', async () => {
    const buffer = device.allocate(2 ** 20, { label: HOSTILE });
    const { mimes, text, html } = await show(device);
    expect(mimes).toEqual(TEXT);
    expect(text).toMatch(/threads +2/);
    expect(text).toMatch(/instruction set +\S+/);
    expect(text).toMatch(/can do +graphs, attention on virtual CTAs, built-in programs only/);
    expect(text).toContain(`of 64.0 MiB`);
    expect(text).toMatch(/<script>alert\("x"\)<\/script> +1\.00 MiB +1,048,576 +1/);
    expect(html).toContain('&lt;script&gt;alert(&quot;x&quot;)');
    expect((await show(device.memory())).text).toContain('peak');
    buffer.dispose();
  });

  test('a tensor shows dtype, shape, device and values', async () => {
    const tensor = arange(6, { dtype: 'int32', device });
    const { mimes, text } = await show(tensor.reshape(2, 3));
    expect(mimes).toEqual(TEXT);
    expect(text).toBe('int32 [2, 3] on cpu<script>alert("x")</script>, 24 B\n[[0 1 2]\n [3 4 5]]');
    expect((await show(tensor.reshape(2, 3).transpose(0, 1))).text).toContain('24 B, strided view\n');
    tensor.dispose();
    expect((await show(tensor)).text).toMatch(/^The display of Tensor failed: /);
  });

  test('a graph is a picture and a list of nodes', async () => {
    const tensor = arange(256, { dtype: 'float32', device });
    const graph = capture(device, () => {
      tensor.fill(1);
      tensor.fill(2);
    });
    const { mimes, text, bundle } = await show(graph);
    expect(mimes).toEqual(['image/png', 'text/plain']);
    expect(PNG.sync.read(Buffer.from(bundle['image/png'] as string, 'base64')).width).toBeGreaterThan(100);
    expect(text.split('\n')[0]).toBe('Graph: 2 nodes, 1 edge');
    expect(text).toMatch(/^1 +fill +fill +1\.00 KiB +0$/m);
    const exec = graph.instantiate();
    expect((await show(exec)).text).toMatch(
      /^GraphExec on device cpu<script>.*\nstate +ready to replay\nown memory .*\npoints to +1\.00 KiB in 1 buffer$/,
    );
    exec.dispose();
    expect((await show(exec)).text).toMatch(/: disposed$/);
    graph.dispose();
    tensor.dispose();
  });
});

describe('data', () => {
  test('arquero tables are tables, without being asked to', async () => {
    const { mimes, text } = await show(arqueroTable({ name: [HOSTILE], n: [1.5] }));
    expect(mimes).toEqual(TEXT);
    expect(text.split('\n')[0]).toMatch(/^name +n$/);
  });

  test('a request trace shows its source and percentiles', async () => {
    const requests = [0, 1, 2].map((id) => ({ id, arrivalNs: id * 1e6, inputLength: 100 * id, outputLength: 10 }));
    const { mimes, text } = await show(
      new RequestTrace({ name: HOSTILE, requests, source: HOSTILE, citation: 'nobody' }),
    );
    expect(mimes).toEqual(TEXT);
    expect(text).toMatch(/requests +3/);
    expect(text).toMatch(/input tokens/);
  });
});

describe('what policies take and where it comes from', () => {
  test('a problem shows its lengths, heads, mask and bytes', async () => {
    const problem = makeProblem({
      kvLens: [100, 900, 500],
      numQoHeads: 4,
      numKvHeads: 2,
      headDim: 64,
      windowLeft: 256,
    });
    const { mimes, text } = await show(problem);
    expect(mimes).toEqual(TEXT);
    expect(text).toMatch(/^Attention problem: 3 requests\n/);
    expect(text).toMatch(/KV tokens +1,500 in all; 100 … 900, median 500/);
    expect(text).toMatch(/lengths +▁█▅/);
    expect(text).toMatch(/query tokens +one a request \(decode\)/);
    expect(text).toMatch(/mask +window 256 tokens/);
    const prefill = makeProblem({ kvLens: [], qoLens: [], numQoHeads: 4, numKvHeads: 2, headDim: 64 });
    expect((await show(prefill)).text).toMatch(/KV tokens +none/);
  });

  test('a machine shows its rates and the tiles that it offers', async () => {
    const { mimes, text } = await show({ ...machines.h100, name: `H100${HOSTILE}` });
    expect(mimes).toEqual(TEXT);
    expect(text).toMatch(/SMs +132/);
    expect(text).toMatch(/ridge +295 FLOP\/byte/);
    expect(text).toMatch(/^1 +128 +64 +128 +128 +110 KiB +2 +264$/m);
  });

  test('a running batch shows its requests', async () => {
    const batch = snapshot(syntheticTrace({ seed: 1 }), { concurrency: 4, seed: 7 });
    const { mimes, text } = await show(batch);
    expect(mimes).toEqual(TEXT);
    expect(text).toMatch(/^Batch of decode step [\d,]+: 4 requests\n/);
    for (const { id, kvLen } of batch.requests) expect(text).toMatch(new RegExp(`^${id} +${formatCount(kvLen)} `, 'm'));
    expect((await show({ step: 0, requests: [], kvLens: new Int32Array(0), timeNs: 5 })).text).toMatch(
      /KV tokens +none/,
    );
  });

  test('a measured roof is a roofline without points', async () => {
    const read = measuredAt(1e6, { bytes: 3e9 });
    const { mimes, text } = await show({ readGbps: 3180, tflops: 630, read, arithmetic: read });
    expect(mimes).toEqual(CHART);
    expect(text).toBe('Roof of NVIDIA H100\nmeasured roof: 3,180 GB/s, 630 TFLOP/s, ridge at 198 FLOP/byte');
  });
});
