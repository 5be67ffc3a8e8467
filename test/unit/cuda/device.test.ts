import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Buffer } from '../../../src/device/buffer';
import type { CudaBackend } from '../../../src/device/cuda';
import type { Device } from '../../../src/device/device';
import { defineParams } from '../../../src/device/params';
import { StagingRing } from '../../../src/device/staging';
import type { Launch, Stream } from '../../../src/device/stream';
import { deviceBundle } from '../../../src/display/device-display';
import { arange, noop, words } from '../../support/device-programs';
import { fakeImage, openFakeCuda } from '../../support/fake-cuda/build';

const wordParams = defineParams('WordParams', { word: ['address', ''] });
const shapeParams = defineParams('ShapeParams', { report: ['address', ''] });

/** Keeps its stream busy until the buffer's first word is written from elsewhere. */
function waitForWord(buffer: Buffer): Launch {
  const params = wordParams.pack({ word: buffer.address() });
  return { program: 'wait_word', grid: [1, 1, 1], params, buffers: [buffer] };
}

function release(buffer: Buffer, stream: Stream): void {
  buffer.write(new Uint8Array([1, 0, 0, 0]), { stream });
}

describe('the CUDA device, over a fake driver', () => {
  let device: Device;
  let other: Stream;
  const backend = (): CudaBackend => device.state.backend as CudaBackend;

  beforeAll(async () => {
    device = await openFakeCuda();
    other = device.createStream('other');
  });
  afterEach(async () => {
    delete process.env.FAKE_CUDA_FAIL;
    await device.synchronize();
  });
  afterAll(() => {
    device.dispose();
    expect(backend().liveCounts()).toMatchObject({ buffers: 0, staging: 0, streams: 0, events: 0, execs: 0 });
  });

  it('shows what it is, what it can do and its limits', async () => {
    const text = String((await deviceBundle(device, {}))['text/plain']);
    expect(text).toMatch(/^SMs +\d+$/m);
    expect(text).toMatch(/^can do +graphs, kernels from CUDA sources \(device\.compile\), cooperative launches/m);
    expect(text).toMatch(/^threads +[\d,]+ an SM$/m);
    expect(text).toMatch(/^shared memory +[\d.]+ KiB a CTA at most$/m);
    expect(text).toMatch(/^driver +CUDA \d+\.\d+$/m);
  });

  async function gate(): Promise<Buffer> {
    const buffer = device.allocate(4);
    buffer.fill(new Uint8Array([0]));
    await device.synchronize();
    return buffer;
  }

  describe('memory', () => {
    it.each([0, 1, 4096, 4097, 65_537, (4 << 20) + 3, 13 << 20])('writes and reads %i bytes', async (byteLength) => {
      const bytes = Uint8Array.from({ length: byteLength }, (_, i) => (i * 31 + (i >> 12)) & 255);
      const buffer = device.allocate(byteLength);
      buffer.write(bytes);
      const back = await buffer.read();
      expect(back.byteLength).toBe(byteLength);
      expect(Buffer_equals(back, bytes)).toBe(true);
      buffer.dispose();
    });

    it('takes the bytes of a write at once', async () => {
      const hold = await gate();
      const buffer = device.allocate(4);
      device.stream.launch(waitForWord(hold));
      const bytes = new Uint8Array([1, 2, 3, 4]);
      buffer.write(bytes);
      bytes.fill(9);
      release(hold, other);
      expect([...(await buffer.read())]).toEqual([1, 2, 3, 4]);
      hold.dispose();
      buffer.dispose();
    });

    it.each([
      [[7], 0, 5],
      [[1, 2], 2, 6],
      [[1, 2], 1, 6],
      [[1, 2, 3, 4], 4, 8],
      [[1, 2, 3, 4], 1, 8],
      [[5, 5, 5, 5], 3, 8],
      [[1, 2, 3, 4, 5, 6, 7, 8], 8, 24],
      [[1, 2, 3, 4, 1, 2, 3, 4], 4, 16],
      [[1, 2, 3, 4, 5, 6, 7, 8], 3, 16],
    ])('fills with %j at byte %i', async (pattern, byteOffset, byteLength) => {
      const buffer = device.allocate(40);
      buffer.fill(new Uint8Array([0]));
      buffer.fill(new Uint8Array(pattern), { byteOffset, byteLength });
      const wanted = Array.from({ length: 40 }, (_, i) =>
        i >= byteOffset && i < byteOffset + byteLength ? pattern[(i - byteOffset) % pattern.length] : 0,
      );
      expect([...(await buffer.read())]).toEqual(wanted);
      buffer.dispose();
    });

    it('is given back only when what was enqueued has run', async () => {
      const hold = await gate();
      const source = device.allocate(16);
      const target = device.allocate(16);
      source.write(new Uint8Array(16).fill(3));
      device.stream.launch(waitForWord(hold));
      target.copyFrom(source);
      source.dispose();
      // Would get the freed memory and spoil the copy, were it free already.
      const greedy = device.allocate(16);
      greedy.fill(new Uint8Array([9]), { stream: other });
      release(hold, other);
      expect([...(await target.read())]).toEqual(new Array(16).fill(3));
      for (const buffer of [hold, target, greedy]) buffer.dispose();
    });

    it('says what is asked, free and pooled where the GPU is full', async () => {
      const free = device.memory().limitBytes;
      const large = device.allocate(free - (1 << 20), { label: 'cache' });
      expect(() => device.allocate(2 << 20)).toThrow(expect.objectContaining({ code: 'OUT_OF_MEMORY' }));
      const full = await openFakeCuda({ memoryLimitBytes: 2 ** 40 });
      const held = full.allocate(1 << 10, { label: 'held' });
      expect(() => full.allocate(200 << 20, { label: 'greedy' })).toThrow(
        expect.objectContaining({
          code: 'OUT_OF_MEMORY',
          message: expect.stringMatching(
            /^For 'greedy': Got an allocation of 200 MiB that CUDA device 0 has no room for: \d+ MiB of 256 MiB are free, this device's buffers hold \d+ MiB and its pool keeps \d+ MiB more\..*Largest owners: 'held' 1\.00 KiB in 1\.$/,
          ),
        }),
      );
      held.dispose();
      full.dispose();
      // What has been released counts as free, though a stream is still busy with it.
      const hold = await gate();
      device.stream.launch(waitForWord(hold));
      large.dispose();
      release(hold, other);
      device.allocate(free - (2 << 20)).dispose();
      hold.dispose();
    });

    it('leaves nothing behind after many rounds', async () => {
      const before = backend().liveCounts();
      for (let round = 0; round < 500; round++) {
        const buffer = device.allocate(1 << 20);
        device.stream.launch(arange(buffer, round, 1, 4));
        buffer.dispose();
      }
      await device.synchronize();
      expect(backend().liveCounts()).toEqual(before);
      device.allocate(200 << 20).dispose();
    });
  });

  describe('streams and events', () => {
    it('counts what has finished without waiting', async () => {
      const hold = await gate();
      const buffer = device.allocate(16);
      expect(device.stream.pending()).toBe(0);
      device.stream.launch(waitForWord(hold));
      device.stream.launch(arange(buffer, 1));
      device.stream.launch(noop());
      expect(device.stream.pending()).toBe(3);
      release(hold, other);
      await device.stream.synchronize();
      expect(device.stream.pending()).toBe(0);
      hold.dispose();
      buffer.dispose();
    });

    it('reaches the count also for those who only ask', async () => {
      const hold = await gate();
      device.stream.launch(waitForWord(hold));
      release(hold, other);
      const deadline = Date.now() + 5000;
      while (device.stream.pending() > 0 && Date.now() < deadline)
        await new Promise((resolve) => setTimeout(resolve, 1));
      expect(device.stream.pending()).toBe(0);
      hold.dispose();
    });

    it('orders streams by events', async () => {
      const hold = await gate();
      const buffer = device.allocate(16);
      device.stream.launch(waitForWord(hold));
      device.stream.launch(arange(buffer, 5));
      other.wait(device.stream.record());
      const read = words(buffer, other);
      const third = device.createStream();
      release(hold, third);
      expect(await read).toEqual([5, 6, 7, 8]);
      for (const thing of [hold, buffer, third]) thing.dispose();
    });

    it('measures time between events', async () => {
      const hold = await gate();
      const start = device.stream.record();
      device.stream.launch(waitForWord(hold));
      const end = device.stream.record();
      const began = process.hrtime.bigint();
      setTimeout(() => release(hold, other), 30);
      const elapsed = await end.elapsedSinceNs(start);
      expect(elapsed).toBeGreaterThan(25e6);
      expect(elapsed).toBeLessThan(Number(process.hrtime.bigint() - began) + 5e6);
      for (const thing of [hold, start, end]) thing.dispose();
    });

    it('keeps time while the anchors that it is measured from change', async () => {
      const events = [];
      const began = process.hrtime.bigint();
      for (let i = 0; i < 5; i++) {
        events.push(device.stream.record());
        await device.stream.synchronize();
        await new Promise((resolve) => setTimeout(resolve, 60));
      }
      const waited = Number(process.hrtime.bigint() - began);
      for (let i = 1; i < events.length; i++) {
        expect(await events[i].elapsedSinceNs(events[i - 1])).toBeGreaterThan(50e6);
      }
      const elapsed = await events[4].elapsedSinceNs(events[0]);
      expect(elapsed).toBeGreaterThan(230e6);
      expect(elapsed).toBeLessThan(waited);
      for (const event of events) event.dispose();
    });

    it('frees a staging slot when its copy has run', async () => {
      const hold = await gate();
      const buffer = device.allocate(16);
      const ring = new StagingRing(device, 16, 1);
      const slot = ring.acquire();
      slot.bytes.fill(4);
      device.stream.launch(waitForWord(hold));
      ring.submit(slot, 16, device.stream, buffer);
      expect(() => ring.acquire()).toThrow(expect.objectContaining({ code: 'PLAN_QUEUE_FULL' }));
      release(hold, other);
      await ring.ready();
      ring.release(ring.acquire());
      expect([...(await buffer.read())]).toEqual(new Array(16).fill(4));
      for (const thing of [hold, buffer, ring]) thing.dispose();
    });

    it('lets a disposed stream finish', async () => {
      const hold = await gate();
      const buffer = device.allocate(16);
      const brief = device.createStream();
      brief.launch(waitForWord(hold));
      brief.launch(arange(buffer, 3));
      const end = brief.record();
      brief.dispose();
      release(hold, other);
      await end.synchronize();
      expect(await words(buffer)).toEqual([3, 4, 5, 6]);
      for (const thing of [hold, buffer, end]) thing.dispose();
    });
  });

  describe('programs', () => {
    it('tells registers, memory and occupancy', async () => {
      const image = fakeImage('noop 0 151 16 1024 256');
      const info = await device.loadProgram('tuned', image, {
        entry: 'noop',
        threads: 256,
        sharedMemoryBytes: 100_000,
      });
      expect(info).toEqual({
        registers: 151,
        sharedMemoryBytes: 101_024,
        staticSharedMemoryBytes: 1024,
        localBytes: 16,
        maxThreads: 256,
        maxCtasPerSm: 2,
        parameters: [],
      });
    });

    it('passes grid, threads, shared memory and attributes on', async () => {
      const buffer = device.allocate(48);
      const options = { entry: 'report', threads: 256, sharedMemoryBytes: 70_000 };
      const seen: number[][] = [];
      for (const attributes of [{}, { cooperative: true }, { pdl: true }, { cooperative: true, pdl: true }]) {
        await device.loadProgram('shape', fakeImage('report 16 40 0 0 1024'), { ...options, ...attributes });
        const params = shapeParams.pack({ report: buffer.address() });
        device.stream.launch({ program: 'shape', grid: [132, 2, 3], params, buffers: [buffer] });
        seen.push((await words(buffer)).slice(0, 8));
      }
      expect(seen).toEqual([0, 1, 2, 3].map((flags) => [132, 2, 3, 256, 1, 1, 70_000, flags]));
      buffer.dispose();
    });

    it('takes what one launch has otherwise: threads, shared memory, no early start, clusters', async () => {
      const buffer = device.allocate(48);
      const params = shapeParams.pack({ report: buffer.address() });
      const options = { entry: 'report', threads: 256, sharedMemoryBytes: 70_000, pdl: true, clusterSize: 4 };
      const info = await device.loadProgram('shape', fakeImage('report 16 40 0 0 1024'), options);
      expect(info.maxClusters).toBe(33);
      const launch: Launch = { program: 'shape', grid: [132, 2, 3], params, buffers: [buffer] };
      const seen: number[][] = [];
      for (const otherwise of [
        {},
        { pdl: false },
        { pdl: false, cooperative: true, clusterSize: 1 },
        { threads: [8, 4, 2], sharedMemoryBytes: 100_000, clusterSize: 2 } as const,
      ]) {
        device.stream.launch({ ...launch, ...otherwise });
        seen.push((await words(buffer)).slice(3, 9));
      }
      expect(seen).toEqual([
        [256, 1, 1, 70_000, 2, 4],
        [256, 1, 1, 70_000, 0, 4],
        [256, 1, 1, 70_000, 1, 1],
        [8, 4, 2, 100_000, 2, 2],
      ]);
      expect(() => device.stream.launch({ ...launch, grid: [130, 1, 1] })).toThrow(
        /a grid of 130 x 1 x 1 CTAs in clusters of 4; wanted a multiple of the cluster in x/,
      );
      expect(() => device.stream.launch({ ...launch, threads: [512, 4, 1] })).toThrow(
        /with 2048 threads in a CTA; wanted at most 1024/,
      );
      expect(() => device.stream.launch({ ...launch, threads: [1, 1, 65] })).toThrow(
        /CTAs of 1 x 1 x 65 threads; wanted at least 1 x 1 x 1 and at most 1024 x 1024 x 64/,
      );
      expect(() => device.stream.launch({ ...launch, sharedMemoryBytes: 300_000 })).toThrow(
        /with 300000 bytes of dynamic shared memory in a CTA; wanted at most 232448/,
      );
      buffer.dispose();
    });

    it('gives kernels with several parameters each its own', async () => {
      const buffer = device.allocate(8);
      buffer.fill(new Uint8Array([0]));
      const image = fakeImage('add_u32 8+4 40 0 0 1024');
      const info = await device.loadProgram('add', image, { entry: 'add_u32', threads: 0, sharedMemoryBytes: 0 });
      expect([info.parameters, info.maxCtasPerSm]).toEqual([
        [
          { offset: 0, byteLength: 8 },
          { offset: 8, byteLength: 4 },
        ],
        0,
      ]);
      const params = { params: new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0]), relocations: [] };
      const relocations = [{ offset: 0, buffer: buffer.handle, byteOffset: 4 }];
      const launch: Launch = { program: 'add', grid: [2, 1, 1], params: { ...params, relocations }, buffers: [buffer] };
      expect(() => device.stream.launch(launch)).toThrow(/without the number of threads; wanted it/);
      device.stream.launch({ ...launch, threads: [32, 1, 1] });
      expect(await words(buffer)).toEqual([0, 14]);
      buffer.dispose();
    });

    it('fills in addresses with their offsets', async () => {
      const buffer = device.allocate(32);
      buffer.fill(new Uint8Array([0]));
      const layout = defineParams('AddParams', { word: ['address', ''], value: ['u32', ''] });
      const params = layout.pack({ word: buffer.address(12), value: 5 });
      device.stream.launch({ program: 'add_u32', grid: [3, 1, 1], params, buffers: [buffer] });
      expect(await words(buffer)).toEqual([0, 0, 0, 15, 0, 0, 0, 0]);
      buffer.dispose();
    });

    it.each<[string, () => Promise<unknown>, string, RegExp]>([
      [
        'an image for another GPU',
        () => device.loadProgram('x', new Uint8Array([1, 2]), { entry: 'x', threads: 32, sharedMemoryBytes: 0 }),
        'UNSUPPORTED',
        /cuModuleLoadDataEx failed with CUDA_ERROR_NO_BINARY_FOR_GPU \(209\), while loading program 'x' \(device kernel image is invalid\)\. The program was compiled for another architecture/,
      ],
      [
        'a kernel that is not there',
        () => device.loadProgram('x', fakeImage(), { entry: 'x', threads: 32, sharedMemoryBytes: 0 }),
        'UNSUPPORTED',
        /cuModuleGetFunction failed with CUDA_ERROR_NOT_FOUND \(500\).*extern "C"/,
      ],
      [
        'too many threads',
        () =>
          device.loadProgram('x', fakeImage('x 16 255 0 0 256'), { entry: 'x', threads: 512, sharedMemoryBytes: 0 }),
        'UNSUPPORTED',
        /with 512 threads in a CTA; wanted at most 256/,
      ],
      [
        'too much shared memory',
        () =>
          device.loadProgram('x', fakeImage('x 16 32 0 448 256'), {
            entry: 'x',
            threads: 64,
            sharedMemoryBytes: 232_448,
          }),
        'UNSUPPORTED',
        /with 232448 bytes of dynamic shared memory in a CTA; wanted at most 232000 on this GPU \(232448 less 448 static ones\)/,
      ],
    ])('refuses %s', async (_, load, code, message) => {
      await expect(load()).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
    });

    it('refuses launches that cannot be', async () => {
      const buffer = device.allocate(16);
      expect(() => device.stream.launch({ ...noop(), program: 'nope' })).toThrow(
        /^Got a launch of program 'nope', which/,
      );
      expect(() => device.stream.launch({ ...noop(), grid: [0, 1, 1] })).toThrow(
        /a grid of 0 x 1 x 1 CTAs; wanted at least 1 x 1 x 1/,
      );
      expect(() => device.stream.launch({ ...noop(), grid: [1, 65_536, 1] })).toThrow(/a grid of 1 x 65536 x 1 CTAs/);
      expect(() => device.stream.launch({ ...arange(buffer, 1), program: 'add_u32' })).toThrow(
        /got 48 parameter bytes for program 'add_u32'; wanted 16/,
      );
      buffer.dispose();
    });

    it('names call, error and work where the driver refuses', async () => {
      process.env.FAKE_CUDA_FAIL = 'cuLaunchKernelEx=701';
      expect(() => device.stream.launch(noop())).toThrow(
        expect.objectContaining({
          code: 'UNSUPPORTED',
          message: expect.stringMatching(
            /^cuLaunchKernelEx failed with an unknown error \(701\), while launching 'noop' with a grid of 1 x 1 x 1 CTAs on stream '1'/,
          ),
        }),
      );
      device.stream.launch(noop());
      await device.stream.synchronize();
      expect(device.stream.pending()).toBe(0);
    });
  });
});

function Buffer_equals(a: Uint8Array, b: Uint8Array): boolean {
  return globalThis.Buffer.compare(a, b) === 0;
}
