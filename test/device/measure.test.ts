/** Measuring on a GPU: what events and graph chains say of work whose cost is known. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { openDevice } from '../../src/attention/open-device';
import type { Buffer } from '../../src/device/buffer';
import type { Device } from '../../src/device/device';
import { compare } from '../../src/measure/compare';
import { measure } from '../../src/measure/measure';
import { loadRoofPrograms, type MeasuredRoof, measureRoof, streamRead } from '../../src/measure/roof';

const MIB = 2 ** 20;
const noop = {
  program: 'noop',
  grid: [1, 1, 1] as const,
  params: { params: new Uint8Array(0), relocations: [] },
  buffers: [],
};

describe('measuring on CUDA', () => {
  let device: Device;
  let roof: MeasuredRoof;
  let source: Buffer;
  let sink: Buffer;

  before(async () => {
    device = await openDevice('cuda');
    roof = await measureRoof({ device, maxSeconds: 0.5 });
    await loadRoofPrograms(device);
    source = device.allocate(1024 * MIB);
    source.fill(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    sink = device.allocate(16);
  });
  after(() => device.dispose());

  const read = (numBytes: number) => (i: number) =>
    streamRead(device.stream, source, sink, { byteOffset: i * numBytes, numBytes });

  it('the roof is what a data sheet allows', (t) => {
    t.diagnostic(`reads ${roof.readGbps.toFixed(0)} GB/s, computes ${roof.tflops.toFixed(0)} TFLOP/s`);
    assert.ok(roof.readGbps > 100 && roof.readGbps < 10_000, `${roof.readGbps} GB/s`);
    assert.ok(roof.tflops > 10 && roof.tflops < 3000, `${roof.tflops} TFLOP/s`);
    assert.ok(roof.read.spreadPct < 10, `spread ${roof.read.spreadPct} %`);
  });

  it('half the bytes take half the time', async () => {
    const [whole, half] = [
      await measure(read(128 * MIB), { device, rotate: 8, bytes: 128 * MIB, roof }),
      await measure(read(64 * MIB), { device, rotate: 16, bytes: 64 * MIB, roof }),
    ];
    assert.ok(Math.abs(whole.medianUs / half.medianUs - 2) < 0.15, `${whole.medianUs} and ${half.medianUs} µs`);
    assert.ok((whole.shareOfRoof ?? 0) > 0.9 && (whole.shareOfRoof ?? 2) < 1.1, `${whole.shareOfRoof} of the roof`);
  });

  it('a launch is cheaper in a graph than in a stream, and enqueueing is timed apart', async (t) => {
    const inGraph = await measure(() => device.stream.launch(noop), { device, what: 'noop in a graph', maxSeconds: 1 });
    const inStream = await measure(() => device.stream.launch(noop), { device, mode: 'stream', maxSeconds: 1 });
    t.diagnostic(`graph ${inGraph.medianUs.toFixed(2)} µs, stream ${inStream.medianUs.toFixed(2)} µs a launch`);
    assert.ok(inGraph.time.median < inStream.time.median);
    assert.ok((inStream.enqueue?.median ?? 0) > 100);
    assert.ok((inGraph.enqueue?.median ?? 0) < inGraph.time.median * inGraph.callsPerSample);
  });

  it('the same work is not faster than itself; more of it is slower', async (t) => {
    const same = await compare(read(64 * MIB), read(64 * MIB), { device, rotate: 8, marginPct: 2 });
    t.diagnostic(String(same));
    assert.ok(same.verdict === 'same' || same.verdict === 'unclear', String(same));
    const more = await compare(read(64 * MIB), read(60 * MIB), { device, rotate: 8 });
    t.diagnostic(String(more));
    assert.equal(more.verdict, 'slower');
  });

  it('tells clocks and power, or why not', async () => {
    const told = await device.telemetry();
    if (told.problem !== undefined) assert.match(told.problem, /NVML|nvml/);
    else {
      assert.match(told.driver ?? '', /^\d+\.\d+/);
      assert.ok((told.smClockMhz ?? 0) > 100, `${told.smClockMhz} MHz`);
      assert.ok((told.powerWatts ?? 0) > 10, `${told.powerWatts} W`);
    }
  });
});
