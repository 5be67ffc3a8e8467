/** Arguments of a launch into the bytes that the kernel's parameters are, each checked against its parameter. */
import { WarpbookError } from '../../errors';
import type { Relocation } from '../backend';
import { Buffer } from '../buffer';
import type { PackedParams } from '../params';
import { acceptedDTypes, acceptsDType, alignmentOf, type ScalarType } from './c-types';
import type { KernelParameter } from './signature';

/** What a kernel has to know of a tensor; `Tensor` is one. */
export interface TensorLike {
  readonly buffer: Buffer;
  /** Of the first element. */
  readonly byteOffset: number;
  readonly dtype: string;
  readonly isContiguous: boolean;
  readonly disposed: boolean;
}

/** A place in a buffer, for a pointer to bytes of any kind. */
export interface BufferPlace {
  readonly buffer: Buffer;
  readonly byteOffset: number;
}

/**
 * What a parameter of a kernel can be given: for a pointer a contiguous tensor of its element type, a buffer or a place in
 * one (whatever the type), or null; for a number a number, a bigint or a boolean; for a struct its bytes.
 */
export type KernelArgument = TensorLike | BufferPlace | Buffer | number | bigint | boolean | Uint8Array | null;

const MAX_FLOAT32 = 3.4028234663852886e38;

/** The packed parameters, and every buffer that they point to. Throws what does not fit, by the parameter's name. */
export function packArguments(
  kernel: string,
  parameters: readonly KernelParameter[],
  args: readonly KernelArgument[],
): { params: PackedParams; buffers: Buffer[] } {
  if (args.length !== parameters.length) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `Got ${args.length} arguments for kernel '${kernel}'; wanted ${parameters.length}: ${signatureText(parameters)}.`,
      { got: args.length, wanted: parameters.length },
    );
  }
  const last = parameters.at(-1);
  const bytes = new Uint8Array(last ? last.offset + last.byteLength : 0);
  const view = new DataView(bytes.buffer);
  const relocations: Relocation[] = [];
  const buffers: Buffer[] = [];
  for (const [index, parameter] of parameters.entries()) {
    const slot = new Slot(kernel, parameter, index);
    const argument = args[index];
    if (parameter.pointee !== undefined) {
      const place = slot.place(parameter.pointee, argument);
      if (!place) continue;
      const { buffer, byteOffset } = place;
      relocations.push({
        offset: parameter.offset,
        buffer: buffer.handle,
        byteOffset: buffer.address(byteOffset).byteOffset,
      });
      buffers.push(buffer);
    } else if (parameter.scalar) {
      slot.writeScalar(view, parameter.scalar, argument);
    } else {
      bytes.set(slot.struct(argument), parameter.offset);
    }
  }
  return { params: { params: bytes, relocations }, buffers };
}

/** `(float* x, float factor, int n)` */
export function signatureText(parameters: readonly KernelParameter[]): string {
  return `(${parameters.map(({ type, name }) => (name === undefined ? type : `${type} ${name}`)).join(', ')})`;
}

/** One parameter and what it is given. */
class Slot {
  constructor(
    private readonly kernel: string,
    private readonly parameter: KernelParameter,
    private readonly index: number,
  ) {}

  /** Where the pointer goes; undefined for null. */
  place(pointee: string, argument: KernelArgument): BufferPlace | undefined {
    if (argument === null) return undefined;
    if (argument instanceof Buffer) return { buffer: argument, byteOffset: 0 };
    if (typeof argument !== 'object' || argument instanceof Uint8Array || !(argument.buffer instanceof Buffer)) {
      const noun = typeof argument === 'object' ? 'an object of another kind' : describeValue(argument);
      throw this.refuse(noun, `a tensor${this.wantedDTypes(pointee)}, a buffer or null`);
    }
    if ('dtype' in argument) this.requireTensor(pointee, argument);
    const alignment = alignmentOf(pointee);
    if (argument.byteOffset % alignment !== 0) {
      throw this.refuse(
        `an address ${argument.byteOffset} bytes into its buffer`,
        `a multiple of ${alignment} bytes, as the GPU reads ${pointee} at no other`,
      );
    }
    return argument;
  }

  private requireTensor(pointee: string, tensor: TensorLike): void {
    if (tensor.disposed) {
      throw this.refuse('a tensor after its dispose()', 'one that is alive', 'DISPOSED');
    }
    if (!acceptsDType(pointee, tensor.dtype)) {
      const wanted = acceptedDTypes(pointee);
      const instead =
        wanted.length > 0 ? `a ${wanted.join(' or ')} tensor` : 'a buffer, since tensors have no such type';
      throw this.refuse(
        `a ${tensor.dtype} tensor`,
        `${instead}; tensor.buffer goes for a pointer to anything`,
        'DTYPE_MISMATCH',
      );
    }
    if (!tensor.isContiguous) {
      throw this.refuse(
        'a view whose elements are not dense in row-major order',
        'a contiguous tensor, since a kernel gets an address and no strides: tensor.contiguous()',
        'SHAPE_MISMATCH',
      );
    }
  }

  writeScalar(view: DataView, { byteLength, kind }: ScalarType, argument: KernelArgument): void {
    const { offset } = this.parameter;
    if (kind === 'bool') {
      if (typeof argument !== 'boolean') throw this.refuse(describeValue(argument), 'true or false');
      view.setUint8(offset, Number(argument));
      return;
    }
    if (kind === 'float') {
      if (typeof argument !== 'number') throw this.refuse(describeValue(argument), 'a number');
      if (byteLength === 8) view.setFloat64(offset, argument, true);
      else if (Number.isFinite(argument) && Math.abs(argument) > MAX_FLOAT32) {
        throw this.refuse(describeValue(argument), 'a number that a float holds, at most 3.4e38');
      } else view.setFloat32(offset, argument, true);
      return;
    }
    const isInteger = typeof argument === 'bigint' || (typeof argument === 'number' && Number.isSafeInteger(argument));
    const [min, max] = rangeOf(byteLength, kind === 'signed');
    if (!isInteger || argument < min || argument > max) {
      const hint = byteLength === 8 && typeof argument === 'number' ? ' (beyond 2^53 as a bigint)' : '';
      throw this.refuse(describeValue(argument), `an integer from ${min} to ${max}${hint}`);
    }
    // An unsigned value wraps around to the signed one with the same bits.
    if (byteLength === 8) view.setBigInt64(offset, BigInt(argument), true);
    else if (byteLength === 4) view.setInt32(offset, Number(argument), true);
    else if (byteLength === 2) view.setInt16(offset, Number(argument), true);
    else view.setInt8(offset, Number(argument));
  }

  struct(argument: KernelArgument): Uint8Array {
    const { byteLength, type } = this.parameter;
    if (!(argument instanceof Uint8Array)) {
      throw this.refuse(describeValue(argument), `a Uint8Array with the ${byteLength} bytes of a ${type}`);
    }
    if (argument.byteLength !== byteLength) {
      throw this.refuse(`${argument.byteLength} bytes`, `the ${byteLength} bytes of a ${type}`);
    }
    return argument;
  }

  private wantedDTypes(pointee: string): string {
    const dtypes = acceptedDTypes(pointee);
    return dtypes.length === 0 || pointee === 'void' ? '' : ` of ${dtypes.join(' or ')}`;
  }

  private refuse(
    got: string,
    wanted: string,
    code: 'INVALID_ARGUMENT' | 'DISPOSED' | 'DTYPE_MISMATCH' | 'SHAPE_MISMATCH' = 'INVALID_ARGUMENT',
  ): WarpbookError {
    const { name, type } = this.parameter;
    const which = name === undefined ? `parameter ${this.index + 1}` : `parameter '${name}'`;
    const message = `Got ${got} for ${which} (${type}) of kernel '${this.kernel}'; wanted ${wanted}.`;
    return new WarpbookError(code, message, { parameter: name ?? this.index, type });
  }
}

function rangeOf(byteLength: 1 | 2 | 4 | 8, signed: boolean): readonly [bigint | number, bigint | number] {
  if (byteLength === 8) return signed ? [-(2n ** 63n), 2n ** 63n - 1n] : [0n, 2n ** 64n - 1n];
  const values = 2 ** (8 * byteLength);
  return signed ? [-values / 2, values / 2 - 1] : [0, values - 1];
}

function describeValue(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'object') return value instanceof Uint8Array ? 'a Uint8Array' : 'a tensor or buffer';
  return typeof value === 'bigint' ? `${value}n` : String(value);
}
