/**
 * Parameter blocks: one descriptor gives the offsets that TypeScript writes and the C struct that kernels read.
 *
 * A descriptor lists fields in order; offsets follow C's rule for natural alignment and the block is padded to 16
 * bytes. `npm run generate` turns every descriptor into a struct in native/kernels/, and a unit test compares
 * these offsets with what the C++ compiler makes of that struct.
 */
import { WarpbookError } from '../errors';
import type { Handle, Relocation } from './backend';

/** `address` is an 8-byte device pointer, filled in by the backend through a relocation; 0 where none is given. */
export type ParamType = 'address' | 'i64' | 'i32' | 'u32' | 'f32';

const SIZE: Record<ParamType, number> = { address: 8, i64: 8, i32: 4, u32: 4, f32: 4 };

/** Where an `address` field points: a buffer's handle and a byte offset into it. */
export interface Address {
  readonly handle: Handle;
  readonly byteOffset: number;
}

export type ParamValue<T extends ParamType> = T extends 'address'
  ? Address | null
  : T extends 'i64'
    ? number | bigint
    : number;

export interface ParamField {
  readonly name: string;
  readonly type: ParamType;
  readonly offset: number;
  readonly comment: string;
}

export interface PackedParams {
  readonly params: Uint8Array;
  readonly relocations: readonly Relocation[];
}

type Fields = Readonly<Record<string, readonly [type: ParamType, comment: string]>>;
type Values<F extends Fields> = { readonly [K in keyof F]: ParamValue<F[K][0]> };

/** A parameter block of one program; field names are snake_case, as in the C struct. */
export interface ParamLayout<F extends Fields = Fields> {
  /** Name of the C struct, such as `AttentionParams`. */
  readonly structName: string;
  readonly fields: readonly ParamField[];
  readonly byteLength: number;
  /** Packs all fields; a missing or surplus one is a type error, a non-finite number throws. */
  pack(values: Values<F>): PackedParams;
}

/** Makes the layout of a program's parameters; see the file head. */
export function defineParams<const F extends Fields>(structName: string, spec: F): ParamLayout<F> {
  let offset = 0;
  const fields: ParamField[] = Object.entries(spec).map(([name, [type, comment]]) => {
    offset = Math.ceil(offset / SIZE[type]) * SIZE[type];
    const field = { name, type, offset, comment };
    offset += SIZE[type];
    return field;
  });
  const byteLength = Math.ceil(offset / 16) * 16;

  const pack = (values: Values<F>): PackedParams => {
    const params = new Uint8Array(byteLength);
    const view = new DataView(params.buffer);
    const relocations: Relocation[] = [];
    for (const field of fields) {
      const value = values[field.name] as Address | number | bigint | null;
      if (field.type === 'address') {
        const address = value as Address | null;
        if (address) relocations.push({ offset: field.offset, buffer: address.handle, byteOffset: address.byteOffset });
        continue;
      }
      if (value === undefined || value === null || (typeof value === 'number' && Number.isNaN(value))) {
        throw new WarpbookError('INVALID_ARGUMENT', `${structName}.${field.name} is ${value}; wanted a number.`);
      }
      if (field.type === 'f32') view.setFloat32(field.offset, Number(value), true);
      else if (field.type === 'i64') view.setBigInt64(field.offset, BigInt(value as number | bigint), true);
      else if (field.type === 'u32') view.setUint32(field.offset, Number(value), true);
      else view.setInt32(field.offset, Number(value), true);
    }
    return { params, relocations };
  };
  return { structName, fields, byteLength, pack };
}

/** The parameters of a program that takes one struct made of two, the second behind the first. */
export function concatParams(first: PackedParams, second: PackedParams): PackedParams {
  const offset = first.params.length;
  const params = new Uint8Array(offset + second.params.length);
  params.set(first.params);
  params.set(second.params, offset);
  const moved = second.relocations.map((relocation) => ({ ...relocation, offset: relocation.offset + offset }));
  return { params, relocations: [...first.relocations, ...moved] };
}
