/**
 * NumPy's .npy files: versions 1 to 3 are read, version 1 is written, with the same bytes as NumPy's own writer.
 *
 * NumPy has no name for bfloat16 and the float8 types. The ml_dtypes package, which brings them, writes bfloat16 as raw
 * 2-byte items (`<V2`), float8_e4m3fn as `<V1` and float8_e5m2 as `<f1`; so do we. Reading an untyped `V2` or `V1` needs
 * the `dtype` option; in NumPy, `np.load(path).view(ml_dtypes.bfloat16)` does the same.
 */
import { defaultDevice } from '../device/device';
import type { TensorOptions } from './create';
import { type DType, isFloat, itemSize, requireDType } from './dtype';
import { type FileReader, formatError, withFile, writeFile } from './files';
import { decodeValues, encodeValues } from './host-values';
import { contiguousStrides, numElements } from './shape';
import { Tensor } from './tensor';

const MAGIC = '\x93NUMPY';
const MAX_HEADER_BYTES = 1 << 20;
/** NumPy leaves room for the first dimension to grow in place to as many digits. */
const GROWTH_DIGITS = 21;
const ALIGNMENT = 64;

const DESCR: Readonly<Record<DType, string>> = {
  float32: '<f4',
  float16: '<f2',
  bfloat16: '<V2',
  float8_e4m3fn: '<V1',
  float8_e5m2: '<f1',
  int32: '<i4',
  int64: '<i8',
  uint8: '|u1',
  bool: '|b1',
};

/** Item types with a dtype of their own. */
const DTYPE_OF: Readonly<Record<string, DType>> = {
  f4: 'float32',
  f2: 'float16',
  f1: 'float8_e5m2',
  i4: 'int32',
  i8: 'int64',
  u1: 'uint8',
  b1: 'bool',
};

/** Item types without one, which a `dtype` option converts. */
const CONVERTIBLE: Readonly<Record<string, (bytes: ArrayBufferLike) => ArrayLike<number | bigint>>> = {
  f8: (bytes) => new Float64Array(bytes),
  i1: (bytes) => new Int8Array(bytes),
  i2: (bytes) => new Int16Array(bytes),
  u2: (bytes) => new Uint16Array(bytes),
  u4: (bytes) => new Uint32Array(bytes),
  u8: (bytes) => new BigUint64Array(bytes),
};

interface NpyHeader {
  readonly bigEndian: boolean;
  /** Kind and size, such as `f4`. */
  readonly item: string;
  readonly itemBytes: number;
  readonly fortranOrder: boolean;
  readonly shape: readonly number[];
  readonly dataOffset: number;
}

async function readHeader(file: FileReader): Promise<NpyHeader> {
  const { path } = file;
  const start = await file.read(0, Math.min(12, file.byteLength));
  const magic = String.fromCharCode(...start.subarray(0, 6));
  if (start.byteLength < 10 || magic !== MAGIC) {
    throw formatError(
      path,
      'no .npy signature',
      'a file that numpy.save wrote',
      'An .npz archive has to be unpacked first.',
    );
  }
  const version = start[6];
  if (version < 1 || version > 3) {
    throw formatError(path, `.npy version ${version}`, 'version 1, 2 or 3', 'Write it again with numpy.save.');
  }
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  const prefix = version === 1 ? 10 : 12;
  const length = version === 1 ? view.getUint16(8, true) : start.byteLength === 12 ? view.getUint32(8, true) : Infinity;
  if (length > MAX_HEADER_BYTES) {
    throw formatError(
      path,
      `a header of ${length} bytes`,
      `at most ${MAX_HEADER_BYTES}`,
      'It is broken; write it again with numpy.save.',
    );
  }
  const text = new TextDecoder(version === 3 ? 'utf-8' : 'latin1').decode(await file.read(prefix, length));
  return { ...parseHeader(path, text), dataOffset: prefix + length };
}

/** The header is the text of a Python dictionary with three keys in any order. */
function parseHeader(path: string, text: string): Omit<NpyHeader, 'dataOffset'> {
  const descr = /['"]descr['"]\s*:\s*['"]([<>|=])([a-zA-Z])(\d+)['"]/.exec(text);
  const order = /['"]fortran_order['"]\s*:\s*(True|False)/.exec(text);
  const shape = /['"]shape['"]\s*:\s*\(([\d\sL,]*)\)/.exec(text);
  if (!descr || !order || !shape) {
    const missing = !descr ? "a simple descr such as '<f4'" : !order ? 'fortran_order' : 'a shape';
    throw formatError(path, `the header ${text.trim()}`, missing, 'Structured arrays have to be saved field by field.');
  }
  const sizes = shape[1]
    .split(',')
    .map((size) => size.trim().replace(/L$/, ''))
    .filter((size) => size !== '')
    .map(Number);
  return {
    bigEndian: descr[1] === '>',
    item: descr[2] + descr[3],
    itemBytes: Number(descr[3]),
    fortranOrder: order[1] === 'True',
    shape: sizes,
  };
}

function swapBytes(bytes: Uint8Array, size: number): void {
  for (let begin = 0; begin < bytes.byteLength; begin += size) bytes.subarray(begin, begin + size).reverse();
}

/** Bytes of the file's items as elements of the dtype asked for, or of the items' own. */
function convert(
  path: string,
  { item }: NpyHeader,
  bytes: Uint8Array,
  asked: DType | undefined,
): { dtype: DType; bytes: Uint8Array } {
  const own = DTYPE_OF[item];
  const untyped = item === 'V1' || item === 'V2';
  if (own && (asked === undefined || asked === own)) return { dtype: own, bytes };
  if (untyped && asked !== undefined && isFloat(asked) && itemSize(asked) === bytesOfItem(item))
    return { dtype: asked, bytes };
  if (asked === undefined || untyped) {
    const choices = untyped
      ? `Pass { dtype: '${item === 'V2' ? 'bfloat16' : 'float8_e4m3fn'}' } if that is what it holds.`
      : "Pass { dtype: 'float32' } or another to convert it.";
    throw formatError(path, `items of type '${item}'`, `one of ${Object.keys(DTYPE_OF).join(', ')}`, choices, { item });
  }
  const values = own ? decodeValues<DType>(bytes, own) : CONVERTIBLE[item]?.(bytes.buffer);
  if (!values) {
    throw formatError(
      path,
      `items of type '${item}'`,
      'numbers or booleans',
      'Convert the array with astype before numpy.save.',
      { item },
    );
  }
  return { dtype: asked, bytes: encodeValues(values as ArrayLike<number | bigint>, asked) };
}

function bytesOfItem(item: string): number {
  return Number(item.slice(1));
}

/**
 * Reads a .npy file into a tensor of its own. Fortran order is kept, as strides.
 * @param options - `dtype` names what untyped items are (see the file head), or converts the others on the host
 * @throws WarpbookError FILE_NOT_FOUND, FILE_FORMAT; INVALID_ARGUMENT for values that an integer `dtype` doesn't have
 */
export async function loadNpy<D extends DType = DType>(
  path: string,
  options: TensorOptions<D> = {},
): Promise<Tensor<D>> {
  const { device = defaultDevice(), label = path } = options;
  if (options.dtype !== undefined) requireDType('dtype', options.dtype);
  return withFile(path, async (file) => {
    const header = await readHeader(file);
    const { shape, fortranOrder, dataOffset, itemBytes } = header;
    const byteLength = numElements(shape) * itemBytes;
    if (file.byteLength !== dataOffset + byteLength) {
      throw formatError(
        path,
        `${file.byteLength - dataOffset} bytes of data`,
        `${byteLength} for shape [${shape.join(', ')}]`,
        'It was cut short, or holds more than one array.',
      );
    }
    const items = await file.read(dataOffset, byteLength);
    if (header.bigEndian) swapBytes(items, itemBytes);
    const { dtype, bytes } = convert(path, header, items, options.dtype);
    const strides = fortranOrder ? contiguousStrides([...shape].reverse()).reverse() : undefined;
    const tensor = Tensor.allocate(device, { dtype: dtype as D, shape, strides }, label);
    tensor.buffer.write(bytes);
    return tensor;
  });
}

/** Signature and header that NumPy would write. */
export function npyHeader(dtype: DType, shape: readonly number[]): Uint8Array {
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`;
  const growth = shape.length === 0 ? 0 : GROWTH_DIGITS - String(shape[0]).length;
  const text = `{'descr': '${DESCR[dtype]}', 'fortran_order': False, 'shape': ${tuple}, }${' '.repeat(growth)}`;
  const prefix = MAGIC.length + 4;
  const total = Math.ceil((prefix + text.length + 1) / ALIGNMENT) * ALIGNMENT;
  const header = new Uint8Array(total).fill(0x20);
  for (let i = 0; i < MAGIC.length; i++) header[i] = MAGIC.charCodeAt(i);
  new DataView(header.buffer).setUint32(MAGIC.length, 1, true);
  new DataView(header.buffer).setUint16(8, total - prefix, true);
  header.set(new TextEncoder().encode(text), prefix);
  header[total - 1] = 0x0a;
  return header;
}

/**
 * Writes a tensor's elements, row-major, to a .npy file; see the file head for bfloat16 and the float8 types. The file
 * appears when it is complete.
 * @throws WarpbookError FILE_NOT_FOUND where the directory doesn't exist
 */
export async function saveNpy(path: string, tensor: Tensor): Promise<void> {
  const raw = await tensor.raw();
  await writeFile(path, [
    npyHeader(tensor.dtype, tensor.shape),
    new Uint8Array(raw.buffer, raw.byteOffset, raw.byteLength),
  ]);
}
