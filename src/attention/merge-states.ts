/**
 * Merging of partial states: attention over several sets of keys, each with its output and LSE, becomes attention over
 * their union, exactly. What wrappers do inside a run, as an op of its own: for shared prefixes, for keys that lie on several
 * devices, for chunks that arrive one after the other. Enqueued on either device; may be captured.
 *
 * States: output [numTokens, numHeads, headDim] of float32, float16 or bfloat16, and LSE float32 [numTokens, numHeads],
 * natural logarithm: what a wrapper's `run` gives. One whose LSE is −∞ has no keys and is left out, whatever its output holds;
 * where all are, the result is 0 and −∞.
 */
import type { Stream } from '../device/stream';
import { WarpbookError } from '../errors';
import { empty } from '../tensor/create';
import { DTYPE_CODE } from '../tensor/dtype';
import { formatShape } from '../tensor/shape';
import { requireApart } from '../tensor/strided';
import type { Tensor } from '../tensor/tensor';
import type { AttentionResult } from './batch-options';
import { MERGE_ROWS_PER_CTA, mergeStatesParams } from './merge-params';

/** Options of {@link mergeState} and {@link mergeStates}. */
export interface MergeOptions {
  /** [numTokens, numHeads, headDim] of float32, float16 or bfloat16; default: a new tensor of the states' dtype. Needed in a capture. */
  out?: Tensor;
  /** float32 [numTokens, numHeads]; default: a new tensor. Needed in a capture. */
  lse?: Tensor;
  /** Attention sinks, contiguous float32 [numHeads], added to the result. A sink counts once: compute the states without. */
  sinks?: Tensor;
  /** Default: the device's own. */
  stream?: Stream;
}

/** What of the options an in-place merge takes. */
export type InPlaceMergeOptions = Pick<MergeOptions, 'sinks' | 'stream'>;

/** States as the program takes them: the first, and any number of others at a stride. */
interface Placed {
  call: string;
  shape: readonly [numTokens: number, numHeads: number, headDim: number];
  numStates: number;
  /** Says the states' dtype and device. */
  like: Tensor;
  first?: AttentionResult;
  rest?: AttentionResult & { strideState: number; lseStrideState: number };
}

/**
 * The state over the keys of both.
 * @throws WarpbookError SHAPE_MISMATCH, DTYPE_MISMATCH, DEVICE_MISMATCH, DISPOSED; INVALID_ARGUMENT where the result overlaps a
 * state; CAPTURE_FORBIDDEN where a capture would have to allocate
 */
export function mergeState(a: AttentionResult, b: AttentionResult, options: MergeOptions = {}): AttentionResult {
  const placed = placePair('mergeState', a, b);
  const result = resolveResult(placed, options);
  requireResultApart(result, a);
  requireResultApart(result, b);
  return launch(placed, result, options);
}

/**
 * {@link mergeState}, with the result in `a`'s tensors.
 * @throws WarpbookError SHAPE_MISMATCH, DTYPE_MISMATCH, DEVICE_MISMATCH, DISPOSED; INVALID_ARGUMENT where a and b overlap
 */
export function mergeStateInPlace(a: AttentionResult, b: AttentionResult, options: InPlaceMergeOptions = {}): void {
  const placed = placePair('mergeStateInPlace', a, b);
  requireResultApart(a, b);
  launch(placed, a, options);
}

/**
 * The state over the keys of all, added up in their order.
 * @param states output [numTokens, numStates, numHeads, headDim], LSE [numTokens, numStates, numHeads]; may be views, so
 * that states which were written one behind the other are a `transpose(0, 1)` away
 * @throws WarpbookError as {@link mergeState}
 */
export function mergeStates(states: AttentionResult, options: MergeOptions = {}): AttentionResult {
  const { output, lse } = states;
  if (output.ndim !== 4) {
    throw new WarpbookError(
      'SHAPE_MISMATCH',
      `Got states of shape ${formatShape(output.shape)} in mergeStates; wanted [numTokens, numStates, numHeads, headDim].`,
    );
  }
  const call = 'mergeStates';
  checkState(call, 'states', states, output.shape, output);
  const [numTokens, numStates, numHeads, headDim] = output.shape;
  const state = (index: number): AttentionResult => ({ output: output.select(1, index), lse: lse.select(1, index) });
  const placed: Placed = {
    call,
    shape: [numTokens, numHeads, headDim],
    numStates,
    like: output,
    first: numStates > 0 ? state(0) : undefined,
    rest: numStates > 1 ? { ...state(1), strideState: output.strides[1], lseStrideState: lse.strides[1] } : undefined,
  };
  const result = resolveResult(placed, options);
  requireResultApart(result, states);
  return launch(placed, result, options);
}

function placePair(call: string, a: AttentionResult, b: AttentionResult): Placed {
  const { shape } = a.output;
  if (shape.length !== 3) {
    throw new WarpbookError(
      'SHAPE_MISMATCH',
      `Got a state of shape ${formatShape(shape)} in ${call}; wanted [numTokens, numHeads, headDim].`,
    );
  }
  checkState(call, 'a', a, shape, a.output);
  checkState(call, 'b', b, shape, a.output);
  const rest = { ...b, strideState: 0, lseStrideState: 0 };
  return { call, shape: shape as unknown as Placed['shape'], numStates: 2, like: a.output, first: a, rest };
}

/** Checks a state, or several in one tensor, against the shape of the outputs and the dtype and device of `like`. */
function checkState(call: string, name: string, state: AttentionResult, shape: readonly number[], like: Tensor): void {
  const { output, lse } = state;
  output.requireUsable(call);
  output.requireDevice(like.device, call);
  if (!(output.dtype in { float32: 0, float16: 0, bfloat16: 0 }) || output.dtype !== like.dtype) {
    throw new WarpbookError(
      'DTYPE_MISMATCH',
      `Got ${name}.output of ${output.dtype} in ${call}; wanted float32, float16 or bfloat16, the same for all states.`,
    );
  }
  if (formatShape(output.shape) !== formatShape(shape) || !hasDenseRows(output)) {
    throw new WarpbookError(
      'SHAPE_MISMATCH',
      `${name}.output is ${output} in ${call}; wanted shape ${formatShape(shape)} with contiguous rows.`,
    );
  }
  checkLse(call, `${name}.lse`, lse, shape.slice(0, -1), like);
}

function checkLse(call: string, name: string, lse: Tensor, shape: readonly number[], like: Tensor): void {
  lse.requireUsable(call);
  lse.requireDevice(like.device, call);
  if (lse.dtype === 'float32' && formatShape(lse.shape) === formatShape(shape) && hasDenseRows(lse)) return;
  throw new WarpbookError(
    'SHAPE_MISMATCH',
    `${name} is ${lse} in ${call}; wanted float32 ${formatShape(shape)} with contiguous rows.`,
  );
}

/** Whether the innermost dimension has no gaps. */
function hasDenseRows({ shape, strides }: Tensor): boolean {
  const inner = shape.length - 1;
  return shape[inner] <= 1 || strides[inner] === 1;
}

/** Where the result goes: what was given, checked, or new tensors. */
function resolveResult({ call, shape, like }: Placed, { out, lse, sinks, stream }: MergeOptions): AttentionResult {
  const [numTokens, numHeads] = shape;
  if (sinks) checkLse(call, 'sinks', sinks, [numHeads], like);
  if (out) {
    out.requireUsable(call);
    out.requireDevice(like.device, call);
    const fits = formatShape(out.shape) === formatShape(shape) && hasDenseRows(out) && !sharesElements(out);
    if (!fits || !(out.dtype in { float32: 0, float16: 0, bfloat16: 0 })) {
      throw new WarpbookError(
        'SHAPE_MISMATCH',
        `out is ${out} in ${call}; wanted float32, float16 or bfloat16 ${formatShape(shape)} with contiguous rows.`,
      );
    }
  }
  if (lse) {
    checkLse(call, 'lse', lse, [numTokens, numHeads], like);
    if (sharesElements(lse)) {
      throw new WarpbookError('SHAPE_MISMATCH', `lse has strides ${formatShape(lse.strides)}; wanted no stride of 0.`);
    }
  }
  if ((stream ?? like.device.stream).capturing && (!out || !lse)) {
    throw new WarpbookError(
      'CAPTURE_FORBIDDEN',
      `${call} would allocate its result during a capture; make it before and pass { out, lse }.`,
    );
  }
  const { device } = like;
  return {
    output: out ?? empty(shape, { dtype: like.dtype, device, label: 'merged output' }),
    lse: lse ?? empty([numTokens, numHeads], { device, label: 'merged lse' }),
  };
}

function sharesElements({ shape, strides }: Tensor): boolean {
  return strides.some((stride, d) => stride === 0 && shape[d] > 1);
}

function requireResultApart(result: AttentionResult, states: AttentionResult): void {
  for (const target of [result.output, result.lse]) {
    for (const source of [states.output, states.lse]) requireApart(target, source, 'a merge');
  }
}

function launch(placed: Placed, result: AttentionResult, { sinks, stream }: InPlaceMergeOptions): AttentionResult {
  const { shape, numStates, like, first, rest } = placed;
  const [numTokens, numHeads, headDim] = shape;
  const { output, lse } = result;
  const numRows = numTokens * numHeads;
  if (numRows === 0) return result;
  const [f, fLse] = [first?.output.strides ?? [0, 0], first?.lse.strides ?? [0]];
  const [r, rLse] = [rest?.output.strides ?? [0, 0], rest?.lse.strides ?? [0]];
  const params = mergeStatesParams.pack({
    first_o: first?.output.address() ?? null,
    first_lse: first?.lse.address() ?? null,
    rest_o: rest?.output.address() ?? null,
    rest_lse: rest?.lse.address() ?? null,
    o: output.address(),
    lse: lse.address(),
    sinks: sinks?.address() ?? null,
    num_tokens: numTokens,
    first_stride_token: f[0],
    first_stride_head: f[1],
    first_lse_stride_token: fLse[0],
    rest_stride_state: rest?.strideState ?? 0,
    rest_stride_token: r[0],
    rest_stride_head: r[1],
    rest_lse_stride_state: rest?.lseStrideState ?? 0,
    rest_lse_stride_token: rLse[0],
    o_stride_token: output.strides[0],
    o_stride_head: output.strides[1],
    lse_stride_token: lse.strides[0],
    num_states: numStates,
    num_heads: numHeads,
    head_dim: headDim,
    state_dtype: DTYPE_CODE[like.dtype],
    o_dtype: DTYPE_CODE[output.dtype],
  });
  const tensors = [output, lse, first?.output, first?.lse, rest?.output, rest?.lse, sinks];
  const buffers = [...new Set(tensors.flatMap((tensor) => (tensor ? [tensor.buffer] : [])))];
  const grid = [Math.ceil(numRows / MERGE_ROWS_PER_CTA), 1, 1] as const;
  (stream ?? like.device.stream).launch({ program: 'merge_states', grid, params, buffers });
  return result;
}
