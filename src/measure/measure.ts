/**
 * `measure`: how long a piece of device work takes, with a spread and a reason to stop. Hides chains, batches and events;
 * docs/measuring.md says why it is done so.
 */
import { type Device, defaultDevice } from '../device/device';
import type { Stream } from '../device/stream';
import { requireInteger, WarpbookError } from '../errors';
import { throwIfInterrupted } from '../interruption';
import { type Chain, type Measured, makeChain, timeTurns } from './chain';
import { Measurement, type Roof, type StoppedBy } from './measurement';
import { announce, announceEnd } from './progress';
import { precisionPct, spreadOf } from './statistics';

/** Options of {@link measure}. */
export interface MeasureOptions {
  /** Default: `defaultDevice()`. */
  readonly device?: Device;
  /** Where `fn` enqueues; default: the device's own stream. */
  readonly stream?: Stream;
  /** What is measured, for displays; default 'measured'. */
  readonly what?: string;
  /**
   * `graph` (default): calls captured into one graph; `stream`: calls enqueued one by one, launch gaps included; `host`: the
   * host's time of a call, such as that of a plan.
   */
  readonly mode?: 'graph' | 'stream' | 'host';
  /**
   * Operand sets: `fn(i)` is called with i from 0 to rotate − 1 in turn. Choose as many as leave nothing in a cache: more
   * than 500 MB in all on a GPU, several times the last level on a CPU. Default 1: warm caches.
   */
  readonly rotate?: number;
  /** Moved by a call, for GB/s. */
  readonly bytes?: number;
  /** Computed by a call, for TFLOP/s. */
  readonly flops?: number;
  /** What the rates are compared with; see `measureRoof`. */
  readonly roof?: Roof;
  /** Stop when the median is known to ± this, percent, at 95 % confidence; default 0.5. */
  readonly precisionPct?: number;
  /** Stop after this at the latest; default 3. Capturing and warming up are not counted. */
  readonly maxSeconds?: number;
  /** Default 10. */
  readonly minSamples?: number;
  /** Default 1000. */
  readonly maxSamples?: number;
  /** Wanted length of a sample, µs; default 3000. */
  readonly sampleUs?: number;
  /** Idle time before each batch of samples, for parts that the last one heated; default 0. */
  readonly pauseMs?: number;
  /** In a notebook, draws the samples while they come, at most four times a second, and leaves the chart; default false. */
  readonly live?: boolean;
  /** `host` only: calls between waits for the device, so that its queues don't fill; default 4. */
  readonly callsPerWait?: number;
  /** `host` only: enqueued after each call and not timed, such as the replay that follows a plan. */
  readonly afterCall?: () => void;
}

/** Batches end after about this, so that progress shows and the stopping rule is asked. */
const BATCH_NS = 30e6;
const MAX_BATCH = 16;

/**
 * Measures `fn`, which enqueues its work on the device and must not wait. It is called a few times to warm up; in mode `graph`
 * then under capture, so it must be capturable.
 * @throws WarpbookError INVALID_ARGUMENT for options out of range and for work that isn't there; whatever `fn` throws
 */
export async function measure(fn: Measured, options: MeasureOptions = {}): Promise<Measurement> {
  const { device = defaultDevice(), mode = 'graph', rotate = 1, what = 'measured' } = options;
  const { stream = device.stream, maxSeconds = 3, minSamples = 10, maxSamples = 1000 } = options;
  checkOptions(options);
  const before = await device.telemetry();
  const sampler =
    mode === 'host' ? hostSampler(fn, stream, rotate, options) : await deviceSampler(device, stream, fn, mode, options);
  const samples: number[] = [];
  const enqueue: number[] = [];
  let stoppedBy: StoppedBy | undefined;
  try {
    const started = performance.now();
    while (!stoppedBy) {
      throwIfInterrupted();
      if (options.pauseMs) await new Promise((resume) => setTimeout(resume, options.pauseMs));
      await sampler.batch(samples, enqueue);
      const seconds = (performance.now() - started) / 1e3;
      const precision = precisionPct(samples);
      const wanted = options.precisionPct ?? 0.5;
      if (samples.length >= minSamples && precision <= wanted) stoppedBy = 'precision';
      else if (samples.length >= maxSamples) stoppedBy = 'samples';
      else if (seconds >= maxSeconds) stoppedBy = 'time';
      const share = Math.max(seconds / maxSeconds, samples.length / maxSamples, (wanted / precision) ** 2);
      announce({
        what,
        share: stoppedBy ? 1 : Math.min(0.99, share),
        medianNs: spreadOf(samples).median,
        precisionPct: precision,
        samplesNs: samples,
        live: options.live ?? false,
        done: stoppedBy !== undefined,
      });
    }
  } finally {
    if (!stoppedBy) announceEnd(what);
    sampler.dispose();
  }
  const after = await device.telemetry();
  return new Measurement({
    what,
    mode,
    device: device.description.name,
    samplesNs: Float64Array.from(samples),
    enqueueSamplesNs: Float64Array.from(enqueue),
    callsPerSample: sampler.callsPerSample,
    rotate,
    precisionPct: precisionPct(samples),
    stoppedBy,
    bytes: options.bytes,
    flops: options.flops,
    roof: options.roof,
    telemetry: before.problem === undefined ? { before, after } : undefined,
  });
}

/** A way to take samples, several at a time. */
interface Sampler {
  readonly callsPerSample: number;
  batch(samples: number[], enqueue: number[]): Promise<void>;
  dispose(): void;
}

function checkOptions(options: MeasureOptions): void {
  for (const name of ['rotate', 'minSamples', 'maxSamples', 'callsPerWait'] as const) {
    const value = options[name];
    if (value !== undefined) requireInteger(name, value, 1);
  }
  for (const name of ['precisionPct', 'maxSeconds', 'sampleUs', 'bytes', 'flops'] as const) {
    const value = options[name];
    if (value === undefined || (value > 0 && !Number.isNaN(value))) continue;
    throw new WarpbookError('INVALID_ARGUMENT', `${name} is ${value}; wanted a positive number.`);
  }
}

async function deviceSampler(
  device: Device,
  stream: Stream,
  fn: Measured,
  mode: 'graph' | 'stream',
  options: MeasureOptions,
): Promise<Sampler> {
  const { rotate = 1, sampleUs = 3000 } = options;
  const chain: Chain = await makeChain(device, stream, fn, { mode, rotate, turnNs: sampleUs * 1e3 });
  let turns = 1;
  return {
    callsPerSample: chain.calls,
    batch: async (samples, enqueue) => {
      const times = await timeTurns(Array.from({ length: turns }, () => chain));
      for (const { deviceNs, enqueueNs } of times) {
        samples.push(deviceNs);
        enqueue.push(mode === 'graph' ? enqueueNs : enqueueNs / chain.calls);
      }
      turns = Math.max(1, Math.min(MAX_BATCH, Math.floor(BATCH_NS / (times[0].deviceNs * chain.calls))));
    },
    dispose: () => chain.dispose(),
  };
}

function hostSampler(fn: Measured, stream: Stream, rotate: number, options: MeasureOptions): Sampler {
  const { callsPerWait = 4, afterCall } = options;
  let next = 0;
  return {
    callsPerSample: 1,
    batch: async (samples) => {
      const started = performance.now();
      do {
        for (let i = 0; i < callsPerWait; i++) {
          const before = process.hrtime.bigint();
          fn(next++ % rotate);
          samples.push(Number(process.hrtime.bigint() - before));
          afterCall?.();
        }
        await stream.synchronize();
      } while ((performance.now() - started) * 1e6 < BATCH_NS);
    },
    dispose: () => undefined,
  };
}
