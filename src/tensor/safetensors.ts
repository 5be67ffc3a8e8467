/**
 * safetensors files: an 8-byte length, a JSON header, and the tensors' bytes one after the other. Only the tensors asked
 * for are read. Files are written in the order of the safetensors library (widest dtype first, then by name) and with
 * its padding, so that both write the same bytes.
 */
import { z } from 'zod';
import { type Device, defaultDevice } from '../device/device';
import { WarpbookError } from '../errors';
import { type DType, itemSize } from './dtype';
import { type FileReader, formatError, withFile, writeFile } from './files';
import { numElements } from './shape';
import { Tensor } from './tensor';

const MAX_HEADER_BYTES = 100_000_000;
const METADATA = '__metadata__';

/** Names in the header, in the order in which tensors of each dtype are stored. */
const NAME_OF: Readonly<Record<DType, string>> = {
  int64: 'I64',
  float32: 'F32',
  int32: 'I32',
  bfloat16: 'BF16',
  float16: 'F16',
  float8_e4m3fn: 'F8_E4M3',
  float8_e5m2: 'F8_E5M2',
  uint8: 'U8',
  bool: 'BOOL',
};
const DTYPE_OF: ReadonlyMap<string, DType> = new Map(
  Object.entries(NAME_OF).map(([dtype, name]) => [name, dtype as DType]),
);
const ORDER: readonly string[] = Object.keys(NAME_OF);

const sizeSchema = z.number().int().min(0);
const entrySchema = z.object({
  dtype: z.string(),
  shape: z.array(sizeSchema),
  data_offsets: z.tuple([sizeSchema, sizeSchema]),
});

/** One tensor of a file, as its header describes it. */
export interface SafetensorsEntry {
  /** The file's own name of the dtype, such as `BF16`. */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Bytes [begin, end), counted from the end of the header. */
  readonly dataOffsets: readonly [begin: number, end: number];
}

/** What a file holds. */
export interface SafetensorsHeader {
  readonly tensors: Readonly<Record<string, SafetensorsEntry>>;
  readonly metadata: Readonly<Record<string, string>>;
}

interface ParsedHeader extends SafetensorsHeader {
  readonly dataOffset: number;
}

async function parseHeader(file: FileReader): Promise<ParsedHeader> {
  const { path, byteLength } = file;
  const broken = 'Write it again with the safetensors library, or download it again.';
  const lengthBytes = await file.read(0, 8);
  const length = Number(new DataView(lengthBytes.buffer, lengthBytes.byteOffset).getBigUint64(0, true));
  if (length > MAX_HEADER_BYTES || 8 + length > byteLength) {
    throw formatError(
      path,
      `a header of ${length} bytes in a file of ${byteLength}`,
      'a header within the file',
      broken,
    );
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(await file.read(8, length)));
  } catch (cause) {
    throw formatError(path, `a header that isn't JSON (${(cause as Error).message})`, 'a JSON object', broken);
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw formatError(path, 'a header that is no JSON object', 'one entry a tensor', broken);
  }
  const { [METADATA]: rawMetadata = {}, ...rawTensors } = parsed as Record<string, unknown>;
  const metadata = z.record(z.string(), z.string()).safeParse(rawMetadata);
  if (!metadata.success) throw formatError(path, `${METADATA} that isn't text by name`, 'only strings', broken);
  // From entries, since names come from outside: assigning to one such as __proto__ would not make a property.
  const tensors = Object.fromEntries(
    Object.entries(rawTensors).map(([name, raw]): [string, SafetensorsEntry] => {
      const entry = entrySchema.safeParse(raw);
      if (!entry.success)
        throw formatError(path, `${JSON.stringify(raw)} for tensor '${name}'`, 'dtype, shape and data_offsets', broken);
      const { dtype, shape, data_offsets: dataOffsets } = entry.data;
      return [name, { dtype, shape, dataOffsets }];
    }),
  );
  checkOffsets(path, tensors, byteLength - 8 - length);
  return { tensors, metadata: metadata.data, dataOffset: 8 + length };
}

/** The tensors must fill the rest of the file without gap or overlap, each with the bytes of its shape. */
function checkOffsets(path: string, tensors: Readonly<Record<string, SafetensorsEntry>>, dataBytes: number): void {
  let expected = 0;
  const ordered = Object.entries(tensors).sort(
    ([, a], [, b]) => a.dataOffsets[0] - b.dataOffsets[0] || a.dataOffsets[1] - b.dataOffsets[1],
  );
  for (const [
    name,
    {
      dtype,
      shape,
      dataOffsets: [begin, end],
    },
  ] of ordered) {
    const known = DTYPE_OF.get(dtype);
    const byteLength = known ? numElements(shape) * itemSize(known) : end - begin;
    if (begin !== expected || end - begin !== byteLength || end < begin) {
      throw formatError(
        path,
        `bytes [${begin}, ${end}) for tensor '${name}' of ${dtype} [${shape.join(', ')}]`,
        `[${expected}, ${expected + byteLength})`,
        'The file is broken; download it again.',
        { tensor: name },
      );
    }
    expected = end;
  }
  if (expected !== dataBytes) {
    throw formatError(
      path,
      `${dataBytes} bytes of data`,
      `${expected}`,
      'It was cut short or has something appended; download it again.',
    );
  }
}

/**
 * Names, dtypes and shapes of a file's tensors and its metadata; reads no data.
 * @throws WarpbookError FILE_NOT_FOUND, FILE_FORMAT
 */
export async function readSafetensorsHeader(path: string): Promise<SafetensorsHeader> {
  return withFile(path, async (file) => {
    const { tensors, metadata } = await parseHeader(file);
    return { tensors, metadata };
  });
}

/** Options of {@link loadSafetensors}. */
export interface LoadSafetensorsOptions {
  /** Default: all tensors. */
  names?: readonly string[];
  /** Default: `defaultDevice()`. */
  device?: Device;
}

/**
 * Reads tensors of a file, by name; the caller owns each. Their labels are their names.
 * @throws WarpbookError FILE_NOT_FOUND, FILE_FORMAT; INVALID_ARGUMENT for a name that isn't there; UNSUPPORTED for a
 * dtype that tensors don't have
 */
export async function loadSafetensors(
  path: string,
  options: LoadSafetensorsOptions = {},
): Promise<Record<string, Tensor>> {
  const { device = defaultDevice() } = options;
  return withFile(path, async (file) => {
    const { tensors: entries, dataOffset } = await parseHeader(file);
    const names = options.names ?? Object.keys(entries);
    const wanted = names.map((name) => [name, requireEntry(path, entries, name)] as const);
    const loaded: [string, Tensor][] = [];
    try {
      for (const [
        name,
        {
          dtype,
          shape,
          dataOffsets: [begin, end],
        },
      ] of wanted) {
        const tensor = Tensor.allocate(device, { dtype, shape }, name);
        loaded.push([name, tensor]);
        tensor.buffer.write(await file.read(dataOffset + begin, end - begin));
      }
      return Object.fromEntries(loaded);
    } catch (error) {
      for (const [, tensor] of loaded) tensor.dispose();
      throw error;
    }
  });
}

function requireEntry(
  path: string,
  entries: Readonly<Record<string, SafetensorsEntry>>,
  name: string,
): Omit<SafetensorsEntry, 'dtype'> & { dtype: DType } {
  if (!Object.hasOwn(entries, name)) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `Got tensor name '${name}'; wanted one that ${path} has: ${Object.keys(entries).join(', ')}.`,
      { file: path, name },
    );
  }
  const entry = entries[name];
  const dtype = DTYPE_OF.get(entry.dtype);
  if (!dtype) {
    throw new WarpbookError(
      'UNSUPPORTED',
      `${path}: got dtype ${entry.dtype} for tensor '${name}'; wanted one of ${[...DTYPE_OF.keys()].join(', ')}. ` +
        'Leave it out with the names option, or convert it first.',
      { file: path, name },
    );
  }
  return { ...entry, dtype };
}

/** Options of {@link saveSafetensors}. */
export interface SaveSafetensorsOptions {
  /** Free text by name, stored in the header. */
  metadata?: Readonly<Record<string, string>>;
}

/**
 * Writes tensors, row-major, to a file that appears when it is complete; they are read from their devices one by one.
 * @throws WarpbookError FILE_NOT_FOUND where the directory doesn't exist; INVALID_ARGUMENT for the name `__metadata__`
 */
export async function saveSafetensors(
  path: string,
  tensors: Readonly<Record<string, Tensor>>,
  options: SaveSafetensorsOptions = {},
): Promise<void> {
  if (Object.hasOwn(tensors, METADATA)) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `Got a tensor named ${METADATA}; wanted another name, the format keeps that one.`,
    );
  }
  const ordered = Object.entries(tensors).sort(
    ([nameA, a], [nameB, b]) => ORDER.indexOf(a.dtype) - ORDER.indexOf(b.dtype) || (nameA < nameB ? -1 : 1),
  );
  const header: [string, unknown][] = options.metadata ? [[METADATA, options.metadata]] : [];
  let offset = 0;
  for (const [name, { dtype, shape, nbytes }] of ordered) {
    header.push([name, { dtype: NAME_OF[dtype], shape, data_offsets: [offset, offset + nbytes] }]);
    offset += nbytes;
  }
  await writeFile(
    path,
    pieces(
      headerBytes(header),
      ordered.map(([, tensor]) => tensor),
    ),
  );
}

/** The pairs in their own order, which an object would not keep for names that look like numbers. */
function headerBytes(entries: readonly (readonly [string, unknown])[]): Uint8Array {
  const text = `{${entries.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`;
  const json = new TextEncoder().encode(text);
  const length = Math.ceil(json.byteLength / 8) * 8;
  const bytes = new Uint8Array(8 + length).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(json, 8);
  return bytes;
}

async function* pieces(header: Uint8Array, tensors: readonly Tensor[]): AsyncGenerator<Uint8Array> {
  yield header;
  for (const tensor of tensors) {
    const raw = await tensor.raw();
    yield new Uint8Array(raw.buffer, raw.byteOffset, raw.byteLength);
  }
}
