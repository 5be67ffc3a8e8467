import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Buffer } from '../../../src/device/buffer';
import { type Device, openDevice } from '../../../src/device/device';
import { compare } from '../../../src/measure/compare';
import { measure } from '../../../src/measure/measure';
import { type MeasureProgress, onMeasuring } from '../../../src/measure/progress';
import { measureRoof, streamRead } from '../../../src/measure/roof';
import { seededRandom } from './timings';

const KIB = 1024;
let device: Device;
let source: Buffer;
let sink: Buffer;

beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
  source = device.allocate(1024 * KIB);
  source.fill(Uint8Array.of(1, 2, 3, 4));
  sink = device.allocate(16);
});
afterAll(() => {
  device.dispose();
  expect(device.leaks.map(({ label }) => label)).toEqual(['unlabelled', 'unlabelled']);
});

const read = (numBytes: number) => (i: number) => {
  streamRead(device.stream, source, sink, { byteOffset: i * numBytes, numBytes });
};

describe('measure', () => {
  it('chains calls in a graph, in rotation, and tells rates', async () => {
    const seen = new Set<number>();
    const measured = await measure(
      (i) => {
        seen.add(i);
        read(64 * KIB)(i);
      },
      { device, what: 'reads', rotate: 16, bytes: 64 * KIB, flops: 1000, maxSeconds: 0.2, sampleUs: 500 },
    );
    expect([...seen].sort((a, b) => a - b)).toEqual(Array.from({ length: 16 }, (_, i) => i));
    expect(measured).toMatchObject({ what: 'reads', mode: 'graph', rotate: 16 });
    expect(measured.callsPerSample % 16).toBe(0);
    expect(measured.time.min).toBeGreaterThan(0);
    expect(measured.time.min).toBeLessThanOrEqual(measured.time.median);
    expect(measured.percentile(50)).toBe(measured.time.median);
    expect(measured.percentile(100)).toBe(measured.time.max);
    expect(measured.gbps).toBeCloseTo((64 * KIB) / measured.time.median);
    expect(measured.tflops).toBeCloseTo(1 / measured.time.median);
    expect(measured.enqueue?.median).toBeGreaterThan(0);
    expect(measured.telemetry).toBeUndefined();
    expect(String(measured)).toMatch(/^Measurement\(reads: .* µs, .* GB\/s, .* TFLOP\/s, \d+ samples, spread .* %\)$/);
  });

  it('times calls one by one, and the host alone', async () => {
    const inStream = await measure(read(4 * KIB), { device, mode: 'stream', maxSeconds: 0.1, sampleUs: 200 });
    expect(inStream.enqueue?.median).toBeGreaterThan(0);
    let calls = 0;
    let after = 0;
    const host = { device, mode: 'host', maxSeconds: 0.05, maxSamples: 100_000 } as const;
    const onHost = await measure(() => void calls++, { ...host, afterCall: () => void after++ });
    expect(onHost.time.count).toBe(calls);
    expect(after).toBe(calls);
    expect(onHost.enqueue).toBeUndefined();
    expect(onHost.callsPerSample).toBe(1);
  });

  it('stops when it is sure, when time is up, when it has enough', async () => {
    const sure = await measure(read(64 * KIB), {
      device,
      precisionPct: 60,
      maxSeconds: 20,
      minSamples: 6,
      sampleUs: 200,
    });
    expect(sure.stoppedBy).toBe('precision');
    expect(sure.precisionPct).toBeLessThanOrEqual(60);
    const late = await measure(read(64 * KIB), { device, precisionPct: 1e-9, maxSeconds: 0.1, maxSamples: 1e6 });
    expect(late.stoppedBy).toBe('time');
    const enough = await measure(read(64 * KIB), {
      device,
      precisionPct: 1e-9,
      maxSeconds: 20,
      maxSamples: 20,
      sampleUs: 200,
    });
    expect(enough.stoppedBy).toBe('samples');
  });

  it('tells how far it is', async () => {
    const told: MeasureProgress[] = [];
    const stop = onMeasuring((progress) => told.push(progress));
    await measure(read(64 * KIB), { device, what: 'watched', precisionPct: 1e-9, maxSeconds: 0.2, maxSamples: 1e6 });
    stop();
    await measure(read(64 * KIB), { device, what: 'unseen', maxSeconds: 0.05 });
    expect(told.length).toBeGreaterThan(1);
    expect(told.every(({ what, share }) => what === 'watched' && share >= 0 && share <= 1)).toBe(true);
    expect(told.map(({ done }) => done)).toEqual([...told.slice(1).map(() => false), true]);
  });

  it('refuses what it can not measure', async () => {
    await expect(measure(() => undefined, { device })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining("enqueues nothing on stream 'default'"),
    });
    await expect(measure(read(KIB), { device, rotate: 0 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(measure(read(KIB), { device, bytes: -1 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    const failure = new Error('in the middle');
    const failing = (): never => {
      throw failure;
    };
    await expect(measure(failing, { device })).rejects.toBe(failure);
    expect(device.stream.capturing).toBe(false);
  });
});

describe('compare, on the CPU device', () => {
  it('does not call the same work faster or slower than itself', async () => {
    const random = seededRandom(1);
    const verdict = await compare(read(256 * KIB), read(256 * KIB), {
      device,
      names: ['one', 'other'],
      rotate: 4,
      turnUs: 500,
      // The machine may be busy, and two copies of the work may lie better or worse in memory.
      falsePositiveRate: 1e-4,
      marginPct: 5,
      random,
    });
    expect(['same', 'unclear']).toContain(verdict.verdict);
    expect(verdict.a.count).toBe(2 * verdict.rounds);
    expect(String(verdict)).toContain('other');
  });

  it('sees that twice the work takes longer', async () => {
    const options = { device, rotate: 2, turnUs: 500, random: seededRandom(2) };
    const slower = await compare(read(512 * KIB), read(128 * KIB), options);
    expect(slower.verdict).toBe('slower');
    expect(slower.ratioLow).toBeGreaterThan(1);
    const faster = await compare(read(128 * KIB), read(512 * KIB), options);
    expect(faster.verdict).toBe('faster');
    expect(String(faster)).toMatch(/^a is faster than b \(time -\d+\.\d+ %, between .* rounds\)$/);
  });
});

describe('the roof', () => {
  it('is measured, and gives its memory back', async () => {
    const { usedBytes } = device.memory();
    const roof = await measureRoof({ device, bytes: 1024 * KIB, rotatedBytes: 4096 * KIB, maxSeconds: 0.1 });
    expect(roof.readGbps).toBeGreaterThan(0.1);
    expect(roof.tflops).toBeGreaterThan(1e-4);
    expect(roof.read.gbps).toBe(roof.readGbps);
    expect(device.memory().usedBytes).toBe(usedBytes);
    const measured = await measure(read(64 * KIB), { device, bytes: 64 * KIB, roof, maxSeconds: 0.1 });
    expect(measured.shareOfRoof).toBeCloseTo((measured.gbps ?? 0) / roof.readGbps);
  });
});
