/** `measureRoof`: what this machine can do at most, measured with a streaming read and with multiply-adds out of registers. */
import type { Buffer } from '../device/buffer';
import { type Device, defaultDevice } from '../device/device';
import { loadPrograms } from '../device/programs/load-programs';
import type { Stream } from '../device/stream';
import { measure } from './measure';
import type { Measurement, Roof } from './measurement';
import { multiplyAddParams, ROOF, ROOF_THREADS, roofPrograms, streamReadParams } from './programs';

/** Options of {@link measureRoof}. */
export interface RoofOptions {
  readonly device?: Device;
  /** Bytes of a read; default 512 MiB on a GPU, 128 MiB on the CPU device. */
  readonly bytes?: number;
  /** Bytes to read before they are read again: more than any cache holds; default 1 GiB, 512 MiB on the CPU device. */
  readonly rotatedBytes?: number;
  /** Seconds for each of the two at most; default 1. */
  readonly maxSeconds?: number;
}

/** A roof and the measurements that it comes from. */
export interface MeasuredRoof extends Roof {
  readonly read: Measurement;
  readonly arithmetic: Measurement;
}

/** Bytes of a CTA: on a GPU a flat grid of small ones, on the CPU device enough for a thread to run on. */
const BYTES_PER_CTA = { cuda: 32 * 1024, cpu: 1024 * 1024 } as const;
const DEFAULT_BYTES = { cuda: 512 * 2 ** 20, cpu: 128 * 2 ** 20 } as const;
const ROTATED_BYTES = { cuda: 1024 * 2 ** 20, cpu: 512 * 2 ** 20 } as const;
const GPU_ITERATIONS = 2000;
const CPU_ITERATIONS = 20_000;
const FLOPS_PER_PRODUCT = 2 * 16 * 8 * 16;

/** Loads what {@link streamRead} and {@link measureRoof} launch; nothing to do on the CPU device. */
export async function loadRoofPrograms(device: Device): Promise<void> {
  if (device.kind === 'cuda') await loadPrograms(device, roofPrograms());
}

/** Enqueues a read of a buffer's bytes [byteOffset, byteOffset + numBytes), in order and once. */
export function streamRead(
  stream: Stream,
  buffer: Buffer,
  sink: Buffer,
  range: { readonly byteOffset: number; readonly numBytes: number },
): void {
  const bytesPerCta = BYTES_PER_CTA[stream.device.kind];
  stream.launch({
    program: 'stream_read',
    grid: [Math.ceil(range.numBytes / bytesPerCta), 1, 1],
    params: streamReadParams.pack({
      src: buffer.address(range.byteOffset),
      sink: sink.address(),
      num_bytes: range.numBytes,
      bytes_per_cta: bytesPerCta,
    }),
    buffers: [buffer, sink],
  });
}

/**
 * Measures reading and arithmetic, in a second or two each.
 * @throws WarpbookError OUT_OF_MEMORY where there is no room for what is read; as `loadPrograms`
 */
export async function measureRoof(options: RoofOptions = {}): Promise<MeasuredRoof> {
  const { device = defaultDevice(), maxSeconds = 1 } = options;
  const bytes = Math.ceil((options.bytes ?? DEFAULT_BYTES[device.kind]) / 256) * 256;
  const rotate = Math.max(2, Math.ceil((options.rotatedBytes ?? ROTATED_BYTES[device.kind]) / bytes));
  await loadRoofPrograms(device);
  const sink = device.allocate(16, { label: 'roof' });
  let source: Buffer | undefined;
  try {
    source = device.allocate(bytes * rotate, { label: 'roof' });
    fillUnevenly(source);
    const from = source;
    const read = await measure(
      (i) => streamRead(device.stream, from, sink, { byteOffset: i * bytes, numBytes: bytes }),
      { device, what: 'streaming read', bytes, rotate, maxSeconds },
    );
    const arithmetic = await measureArithmetic(device, sink, maxSeconds);
    return { readGbps: read.gbps as number, tflops: arithmetic.tflops as number, read, arithmetic };
  } finally {
    source?.dispose();
    sink.dispose();
  }
}

function measureArithmetic(device: Device, sink: Buffer, maxSeconds: number): Promise<Measurement> {
  const isGpu = device.kind === 'cuda';
  const numIterations = isGpu ? GPU_ITERATIONS : CPU_ITERATIONS;
  const numCtas = device.description.numProcessors * (isGpu ? 2 : 1);
  const perIteration = isGpu
    ? (ROOF_THREADS / 32) * ROOF.productsPerIteration * FLOPS_PER_PRODUCT
    : ROOF.cpuFlopsPerIteration;
  const params = multiplyAddParams.pack({ sink: sink.address(), num_iterations: numIterations });
  const flops = numCtas * numIterations * perIteration;
  return measure(
    () => device.stream.launch({ program: 'multiply_add', grid: [numCtas, 1, 1], params, buffers: [sink] }),
    { device, what: 'multiply-adds', flops, maxSeconds },
  );
}

/** Bytes of many values: memory full of one value may be stored, and read, for less. */
export function fillUnevenly(buffer: Buffer): void {
  const chunk = new Uint32Array(2 ** 18);
  let state = 0x9e3779b9;
  for (let i = 0; i < chunk.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    chunk[i] = state;
  }
  const bytes = new Uint8Array(chunk.buffer, 0, Math.min(chunk.byteLength, buffer.byteLength));
  buffer.write(bytes);
  // Doubling copies: a few dozen enqueued operations for any size.
  for (let filled = bytes.byteLength; filled < buffer.byteLength; ) {
    const length = Math.min(filled, buffer.byteLength - filled);
    buffer.copyFrom(buffer, { byteOffset: filled, byteLength: length });
    filled += length;
  }
}
