/** The kernels of probes.cu as programs, and launches of them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Buffer } from '../../src/device/buffer';
import { type Device, type DeviceOptions, openDevice } from '../../src/device/device';
import { defineParams } from '../../src/device/params';
import { builtInPrograms } from '../../src/device/programs/built-in';
import { loadPrograms } from '../../src/device/programs/load-programs';
import type { ProgramSource } from '../../src/device/programs/program-source';
import type { Launch } from '../../src/device/stream';

const storeParams = defineParams('StoreParams', { word: ['address', ''], value: ['u32', ''] });
const shapeParams = defineParams('ShapeParams', { report: ['address', ''] });
const arangeParams = defineParams('ArangeParams', {
  dst: ['address', ''],
  count: ['i64', ''],
  start: ['i32', ''],
  step: ['i32', ''],
});
const noParams = defineParams('NoParams', {});

/** The kernels of this folder. */
const sources = JSON.parse(readFileSync(join(__dirname, 'kernels.json'), 'utf8')) as ProgramSource[];

/** A kernel of this folder by its name. */
export function programOf(name: string): ProgramSource {
  const source = sources.find((candidate) => candidate.name === name);
  if (!source) throw new Error(`Got no kernel '${name}' in kernels.json; wanted one of the names there.`);
  return source;
}

/** A CUDA device with the built-in programs and those of probes.cu. */
export async function openProbed(options: DeviceOptions = {}): Promise<Device> {
  const device = await openDevice('cuda', options);
  await loadPrograms(device, builtInPrograms());
  const probes = sources.filter(({ file }) => file === 'probes.cu');
  await loadPrograms(device, probes, { kernelsFolder: __dirname });
  return device;
}

export function noop(): Launch {
  return { program: 'noop', grid: [1, 1, 1], params: noParams.pack({}), buffers: [] };
}

/** `program` is add_word, spin (`value` in microseconds), double_word or illegal_address. */
export function store(program: string, buffer: Buffer, value: number, byteOffset = 0, ctas = 1): Launch {
  const params = storeParams.pack({ word: buffer.address(byteOffset), value });
  return { program, grid: [ctas, 1, 1], params, buffers: [buffer] };
}

export function shape(program: string, buffer: Buffer, grid: readonly [number, number, number]): Launch {
  return { program, grid, params: shapeParams.pack({ report: buffer.address() }), buffers: [buffer] };
}

export function arange(buffer: Buffer, start: number, step = 1): Launch {
  const count = buffer.byteLength / 4;
  const params = arangeParams.pack({ dst: buffer.address(), count, start, step });
  return { program: 'arange', grid: [Math.ceil(count / 1024), 1, 1], params, buffers: [buffer] };
}

/** The buffer's bytes as int32 words. */
export async function words(buffer: Buffer): Promise<number[]> {
  const bytes = await buffer.read();
  return [...new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)];
}
