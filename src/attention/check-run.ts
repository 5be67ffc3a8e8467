/**
 * What `run` checks before it launches: that operands fit the wrapper and the plan, and that outputs are given or made.
 * Every refusal comes before anything is enqueued.
 */
import type { Device } from '../device/device';
import type { Stream } from '../device/stream';
import { WarpbookError } from '../errors';
import { empty } from '../tensor/create';
import { itemSize } from '../tensor/dtype';
import type { Tensor } from '../tensor/tensor';
import type { KvOperand } from './kv-operand';
import type { AttentionVariant } from './variant';

const ROW_ALIGNMENT = 16;

/** The wrapper that is asked to run. */
export interface RunOwner {
  readonly name: string;
  readonly device: Device;
  readonly variant: AttentionVariant;
}

/**
 * @param tokens query tokens of the plan
 * @param maxPage largest page id of the plan
 * @throws WarpbookError DEVICE_MISMATCH, SHAPE_MISMATCH, DTYPE_MISMATCH, INVALID_PAGE_TABLE
 */
export function checkOperands(owner: RunOwner, q: Tensor, kv: KvOperand, tokens: number, maxPage: number): void {
  const { variant } = owner;
  requireDevice(owner, { q, k: kv.k, v: kv.v });
  if (q.ndim !== 3 || q.shape[1] !== variant.numQoHeads || q.shape[2] !== variant.headDim) {
    throw new WarpbookError(
      'SHAPE_MISMATCH',
      `q has shape [${q.shape}]; wanted [numQoTokens, ${variant.numQoHeads}, ${variant.headDim}].`,
    );
  }
  if (q.shape[0] < tokens) {
    throw new WarpbookError('SHAPE_MISMATCH', `q has ${q.shape[0]} query tokens; the plan has ${tokens}.`);
  }
  if (q.strides[2] !== 1) {
    throw new WarpbookError('SHAPE_MISMATCH', 'q must have contiguous rows; use q.contiguous().');
  }
  if (q.dtype !== variant.dtype) {
    throw new WarpbookError('DTYPE_MISMATCH', `q is ${q.dtype}; ${owner.name} was made for ${variant.dtype}.`);
  }
  if (kv.k.dtype !== variant.kvDtype || kv.v.dtype !== variant.kvDtype) {
    throw new WarpbookError(
      'DTYPE_MISMATCH',
      `keys are ${kv.k.dtype} and values ${kv.v.dtype}; ${owner.name} was made for ${variant.kvDtype}.`,
    );
  }
  requireAligned(owner, { q, k: kv.k, v: kv.v });
  if (maxPage >= kv.numPages) {
    throw new WarpbookError(
      'INVALID_PAGE_TABLE',
      `The plan names page ${maxPage}, the cache has ${kv.numPages} pages.`,
    );
  }
}

/** CUDA kernels read and write rows 16 bytes at a time: first element and strides must fit that. */
function requireAligned({ name, device }: RunOwner, tensors: Readonly<Record<string, Tensor | undefined>>): void {
  if (device.kind !== 'cuda') return;
  for (const [what, tensor] of Object.entries(tensors)) {
    if (!tensor) continue;
    const bytes = itemSize(tensor.dtype);
    const steps = [tensor.byteOffset, ...tensor.strides.slice(0, -1).map((stride) => stride * bytes)];
    if (steps.every((step) => step % ROW_ALIGNMENT === 0)) continue;
    throw new WarpbookError(
      'SHAPE_MISMATCH',
      `${name}.run: ${what} starts at byte ${tensor.byteOffset} with strides [${tensor.strides}]; on a GPU rows must begin at ` +
        `multiples of ${ROW_ALIGNMENT} bytes. ${what === 'out' ? 'Pass one that is no slice of wider rows' : `Use ${what}.contiguous()`}.`,
    );
  }
}

function requireDevice(owner: RunOwner, tensors: Readonly<Record<string, Tensor>>): void {
  for (const [name, tensor] of Object.entries(tensors)) {
    if (tensor.device === owner.device) continue;
    throw new WarpbookError(
      'DEVICE_MISMATCH',
      `${name} is on ${tensor.device.name}, ${owner.name} on ${owner.device.name}; use ${name}.to(device).`,
    );
  }
}

/** What `run` may be given for each query head, beside the option of the variant that says whether it is wanted. */
const HEAD_VECTORS = { sinks: 'sinks', alibiSlopes: 'alibi' } as const;

type HeadVectors = { readonly [name in keyof typeof HEAD_VECTORS]?: Tensor };

/**
 * Attention sinks and ALiBi slopes, as they were given.
 * @throws WarpbookError INVALID_ARGUMENT where one is missing, or given to a wrapper that was made without; DEVICE_MISMATCH,
 * SHAPE_MISMATCH
 */
export function checkHeadVectors(owner: RunOwner, given: HeadVectors): HeadVectors {
  const { variant, device } = owner;
  for (const [name, option] of Object.entries(HEAD_VECTORS) as [keyof HeadVectors, 'sinks' | 'alibi'][]) {
    const tensor = given[name];
    if (variant[option] !== (tensor !== undefined)) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        tensor
          ? `run got ${name}, but this ${owner.name} was made without; create it with { ${option}: true }.`
          : `run got no ${name}, but this ${owner.name} was made with { ${option}: true }; pass { ${name} }.`,
      );
    }
    if (!tensor) continue;
    requireDevice(owner, { [name]: tensor });
    if (!(fits(tensor, device, 'float32', [variant.numQoHeads]) && tensor.isContiguous)) {
      throw new WarpbookError(
        'SHAPE_MISMATCH',
        `${name} is ${tensor}; wanted contiguous float32 [${variant.numQoHeads}], one for each query head.`,
      );
    }
  }
  return given;
}

/**
 * The outputs that were given, checked, or new ones.
 * @throws WarpbookError CAPTURE_FORBIDDEN where a capture would have to allocate; SHAPE_MISMATCH
 */
export function resolveOutputs(
  owner: RunOwner,
  q: Tensor,
  given: { out?: Tensor; lse?: Tensor },
  stream: Stream,
): { output: Tensor; lse: Tensor } {
  const { device, name } = owner;
  const { out, lse } = given;
  if (stream.capturing && (!out || !lse)) {
    throw new WarpbookError(
      'CAPTURE_FORBIDDEN',
      `${name}.run would allocate its outputs during a capture; make them before and pass { out, lse }.`,
    );
  }
  const lseShape = [q.shape[0], owner.variant.numQoHeads];
  if (out && !(fits(out, device, q.dtype, q.shape) && out.strides[2] === 1 && out.strides[0] * out.strides[1] !== 0)) {
    throw new WarpbookError(
      'SHAPE_MISMATCH',
      `out is ${out}; wanted ${q.dtype} [${q.shape}] with contiguous rows on ${device.name}.`,
    );
  }
  requireAligned(owner, { out });
  if (lse && !(fits(lse, device, 'float32', lseShape) && lse.isContiguous)) {
    throw new WarpbookError(
      'SHAPE_MISMATCH',
      `lse is ${lse}; wanted contiguous float32 [${lseShape}] on ${device.name}.`,
    );
  }
  return {
    // Zeros: rows beyond the plan are padding, and padding should not show what the memory held before.
    output: out ?? zeroed(empty([...q.shape], { dtype: q.dtype, device, label: `${name} output` }), stream),
    lse: lse ?? zeroed(empty(lseShape, { dtype: 'float32', device, label: `${name} lse` }), stream),
  };
}

/** On the stream of the run: on another one the zeros could come after the results. */
function zeroed(tensor: Tensor, stream: Stream): Tensor {
  tensor.fill(0, { stream });
  return tensor;
}

function fits(tensor: Tensor, device: Device, dtype: string, shape: readonly number[]): boolean {
  return tensor.device === device && tensor.dtype === dtype && tensor.shape.join() === shape.join();
}
