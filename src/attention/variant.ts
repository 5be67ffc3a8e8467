/**
 * What kind of attention a wrapper computes, apart from lengths: heads, dtypes, masks and scales. Fixed when the wrapper
 * is made, because it decides which kernels are loaded.
 */
import { requireInteger, WarpbookError } from '../errors';
import type { DType } from '../tensor/dtype';

/** Element types of queries and outputs. */
export type QueryDType = 'float32' | 'float16' | 'bfloat16';
/** Element types of keys and values. */
export type KvDType = QueryDType | 'float8_e4m3fn' | 'float8_e5m2';

/** What of attention is fixed when a wrapper is made. */
export interface AttentionVariantOptions {
  numQoHeads: number;
  numKvHeads: number;
  /** Any multiple of 8. */
  headDim: number;
  /** Queries and output; default bfloat16. */
  dtype?: QueryDType;
  /** Keys and values; default: as the queries. */
  kvDtype?: KvDType;
  /** Query i of a request sees keys up to position kvLen − qoLen + i (right-aligned). */
  causal?: boolean;
  /** Keys further back than this many tokens are hidden; −1: no window (default). */
  windowLeft?: number;
  /** Multiplies q·k; default 1 / √headDim. */
  smScale?: number;
  /** Logits become cap · tanh(logit / cap); 0: no cap (default). */
  logitsSoftCap?: number;
  /** Each query head has an attention sink, whose logits `run` is given; default false. */
  sinks?: boolean;
  /** ALiBi: a bias that grows with the distance of key and query, whose slopes `run` is given; default false. */
  alibi?: boolean;
}

/** Attention options with their defaults filled in, checked. */
export type AttentionVariant = Readonly<Required<AttentionVariantOptions>>;

const QUERY_DTYPES: readonly DType[] = ['float32', 'float16', 'bfloat16'];
const KV_DTYPES: readonly DType[] = [...QUERY_DTYPES, 'float8_e4m3fn', 'float8_e5m2'];

/** @throws WarpbookError DTYPE_MISMATCH unless keys and values may have this type */
export function requireKvDType(dtype: DType): asserts dtype is KvDType {
  if (!KV_DTYPES.includes(dtype)) {
    throw new WarpbookError('DTYPE_MISMATCH', `kvDtype is ${dtype}; keys and values take ${KV_DTYPES.join(', ')}.`);
  }
}

/**
 * Checks and completes a variant.
 * @param causalByDefault prefill is causal unless told otherwise, decode needs no mask
 */
export function makeVariant(options: AttentionVariantOptions, causalByDefault: boolean): AttentionVariant {
  const { numQoHeads, numKvHeads, headDim, dtype = 'bfloat16' } = options;
  requireInteger('numQoHeads', numQoHeads, 1);
  requireInteger('numKvHeads', numKvHeads, 1);
  requireInteger('headDim', headDim, 8, 512);
  if (headDim % 8 !== 0) throw new WarpbookError('INVALID_ARGUMENT', `headDim is ${headDim}; wanted a multiple of 8.`);
  if (numQoHeads % numKvHeads !== 0) {
    throw new WarpbookError(
      'SHAPE_MISMATCH',
      `numQoHeads ${numQoHeads} is not a multiple of numKvHeads ${numKvHeads}.`,
    );
  }
  const variant: AttentionVariant = {
    numQoHeads,
    numKvHeads,
    headDim,
    dtype,
    kvDtype: options.kvDtype ?? dtype,
    causal: options.causal ?? causalByDefault,
    windowLeft: options.windowLeft ?? -1,
    smScale: options.smScale ?? 1 / Math.sqrt(headDim),
    logitsSoftCap: options.logitsSoftCap ?? 0,
    sinks: options.sinks ?? false,
    alibi: options.alibi ?? false,
  };
  requireInteger('windowLeft', variant.windowLeft, -1);
  if (!QUERY_DTYPES.includes(variant.dtype)) {
    throw new WarpbookError('DTYPE_MISMATCH', `dtype is ${variant.dtype}; queries take ${QUERY_DTYPES.join(', ')}.`);
  }
  requireKvDType(variant.kvDtype);
  if (!(variant.smScale > 0) || !Number.isFinite(variant.smScale)) {
    throw new WarpbookError('INVALID_ARGUMENT', `smScale is ${variant.smScale}; wanted a positive number.`);
  }
  if (!(variant.logitsSoftCap >= 0)) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `logitsSoftCap is ${variant.logitsSoftCap}; wanted 0 (none) or a positive number.`,
    );
  }
  return variant;
}
