/**
 * The C++ types that parameters of kernels have, as a demangler writes them (`float const*`), and which host values go with
 * them: element types of tensors for pointers, ranges for scalars. Knows no tensors, only the names of their element types.
 */

/** How a number is written into a parameter. */
export interface ScalarType {
  readonly byteLength: 1 | 2 | 4 | 8;
  readonly kind: 'signed' | 'unsigned' | 'float' | 'bool';
}

const SCALARS: Readonly<Record<string, ScalarType>> = {
  bool: { byteLength: 1, kind: 'bool' },
  char: { byteLength: 1, kind: 'signed' },
  'signed char': { byteLength: 1, kind: 'signed' },
  'unsigned char': { byteLength: 1, kind: 'unsigned' },
  short: { byteLength: 2, kind: 'signed' },
  'unsigned short': { byteLength: 2, kind: 'unsigned' },
  int: { byteLength: 4, kind: 'signed' },
  'unsigned int': { byteLength: 4, kind: 'unsigned' },
  long: { byteLength: 8, kind: 'signed' },
  'unsigned long': { byteLength: 8, kind: 'unsigned' },
  'long long': { byteLength: 8, kind: 'signed' },
  'unsigned long long': { byteLength: 8, kind: 'unsigned' },
  float: { byteLength: 4, kind: 'float' },
  double: { byteLength: 8, kind: 'float' },
};

/** What a pointer may point to, by the element type of tensors. Vectors (`float4`) count as their elements. */
const POINTEES: Readonly<Record<string, readonly string[]>> = {
  float32: ['float'],
  float16: ['__half'],
  bfloat16: ['__nv_bfloat16'],
  float8_e4m3fn: ['__nv_fp8_e4m3'],
  float8_e5m2: ['__nv_fp8_e5m2'],
  int32: ['int', 'unsigned int'],
  int64: ['long', 'long long', 'unsigned long', 'unsigned long long'],
  uint8: ['unsigned char', 'char', 'signed char'],
  bool: ['bool'],
};

/** Raw bits of any element type of that size. */
const RAW_POINTEES: Readonly<Record<string, number>> = { 'unsigned char': 1, 'unsigned short': 2 };

const ITEM_BYTES: Readonly<Record<string, number>> = {
  float32: 4,
  float16: 2,
  bfloat16: 2,
  float8_e4m3fn: 1,
  float8_e5m2: 1,
  int32: 4,
  int64: 8,
  uint8: 1,
  bool: 1,
};

/** Vector types of CUDA's headers that are no `<element><count>`. */
const VECTORS: Readonly<Record<string, readonly [element: string, count: number]>> = {
  __half2: ['__half', 2],
  __nv_bfloat162: ['__nv_bfloat16', 2],
  __nv_fp8x2_e4m3: ['__nv_fp8_e4m3', 2],
  __nv_fp8x4_e4m3: ['__nv_fp8_e4m3', 4],
  __nv_fp8x2_e5m2: ['__nv_fp8_e5m2', 2],
  __nv_fp8x4_e5m2: ['__nv_fp8_e5m2', 4],
};

const VECTOR_ELEMENTS: Readonly<Record<string, string>> = {
  char: 'signed char',
  uchar: 'unsigned char',
  short: 'short',
  ushort: 'unsigned short',
  int: 'int',
  uint: 'unsigned int',
  long: 'long',
  ulong: 'unsigned long',
  longlong: 'long long',
  ulonglong: 'unsigned long long',
  float: 'float',
  double: 'double',
};

export function scalarType(type: string): ScalarType | undefined {
  return Object.hasOwn(SCALARS, type) ? SCALARS[type] : undefined;
}

/** What `float const*` points to, `float`; undefined for what is no pointer, '' for a pointer to something nameless. */
export function pointeeOf(type: string): string | undefined {
  if (/\(\*\)/.test(type)) return '';
  if (!type.endsWith('*')) return undefined;
  const pointee = type
    .slice(0, -1)
    .trim()
    .replace(/(?: (?:const|volatile))+$/, '');
  return pointee.endsWith('*') ? '' : pointee;
}

/** Whether a pointer to `pointee` may be given a tensor of `dtype`. */
export function acceptsDType(pointee: string, dtype: string): boolean {
  if (pointee === 'void') return true;
  const [element] = elementOf(pointee);
  return (POINTEES[dtype]?.includes(element) ?? false) || RAW_POINTEES[element] === ITEM_BYTES[dtype];
}

/** The element types of tensors that go with a pointer to `pointee`; empty for types that tensors have not. */
export function acceptedDTypes(pointee: string): string[] {
  return Object.keys(POINTEES).filter((dtype) => acceptsDType(pointee, dtype));
}

/** What an address of `pointee` has to be a multiple of, bytes; 1 where it isn't known. */
export function alignmentOf(pointee: string): number {
  const [element, count] = elementOf(pointee);
  const size = scalarType(element)?.byteLength ?? elementBytes(element);
  // Vectors of three have the alignment of their element.
  return Math.min(16, count === 3 ? size : size * count);
}

function elementOf(pointee: string): readonly [element: string, count: number] {
  if (Object.hasOwn(VECTORS, pointee)) return VECTORS[pointee];
  const match = /^([a-z]+)([1-4])$/.exec(pointee);
  if (match && Object.hasOwn(VECTOR_ELEMENTS, match[1])) return [VECTOR_ELEMENTS[match[1]], Number(match[2])];
  return [pointee, 1];
}

function elementBytes(element: string): number {
  const dtype = Object.keys(POINTEES).find((name) => POINTEES[name].includes(element));
  return dtype === undefined ? 1 : ITEM_BYTES[dtype];
}
