/** Launches for tests of the runtime: small programs with a visible effect, one that fails, and work that takes long. */
import type { Buffer } from '../../src/device/buffer';
import { defineParams, type ParamLayout } from '../../src/device/params';
import type { Launch, Stream } from '../../src/device/stream';
import { tensorArangeParams } from '../../src/tensor/programs';

const INT32_CODE = 5;
const NO_SUCH_CODE = 99;
const noopParams: ParamLayout = defineParams('NoopParams', {});

/** Does nothing. */
export function noop(): Launch {
  return { program: 'noop', grid: [1, 1, 1], params: noopParams.pack({}), buffers: [] };
}

/** Writes `start, start + step, …` as int32 over the buffer's first `count` words (default: all). */
export function arange(buffer: Buffer, start: number, step = 1, count: number = buffer.byteLength / 4): Launch {
  const params = tensorArangeParams.pack({
    dst: buffer.address(),
    num_elements: count,
    start,
    step,
    dtype: INT32_CODE,
  });
  return { program: 'tensor_arange', grid: [Math.ceil(count / 4096), 1, 1], params, buffers: [buffer] };
}

/** A launch whose program throws. */
export function failing(buffer: Buffer): Launch {
  const params = tensorArangeParams.pack({
    dst: buffer.address(),
    num_elements: 1,
    start: 0,
    step: 1,
    dtype: NO_SUCH_CODE,
  });
  return { program: 'tensor_arange', grid: [1, 1, 1], params, buffers: [buffer] };
}

/** Enqueues work that takes tens of milliseconds on any machine: fills of a large buffer. */
export function keepBusy(stream: Stream, large: Buffer, fills = 40): void {
  for (let i = 0; i < fills; i++) large.fill(new Uint8Array([i]), { stream });
}

/** The buffer's bytes as int32 words, read on `stream`. */
export async function words(buffer: Buffer, stream?: Stream): Promise<number[]> {
  const bytes = await buffer.read({ stream });
  return [...new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)];
}
