/**
 * Runs the `attention` program on tables packed by hand, past wrappers, policies and validation: for what no policy
 * emits yet, and for schedules that validation would refuse. All is float32; pages are [pageSize, numKvHeads, headDim].
 */
import { attentionParams } from '../../src/attention/launch-params';
import type { Buffer } from '../../src/device/buffer';
import type { Device } from '../../src/device/device';
import { HEADER, HEADER_WORDS, type ScheduleCapacity, workspaceLayout } from '../../src/schedule/layout';
import {
  DISPATCH,
  type DispatchKind,
  KV_SEQUENCE,
  KV_SEQUENCE_STRIDE,
  MERGE_GROUP,
  MERGE_GROUP_STRIDE,
  ROW,
  ROW_STRIDE,
  SEGMENT,
  SEGMENT_STRIDE,
  TILE,
  TILE_STRIDE,
} from '../../src/schedule/work-tile';
import { DTYPE_CODE } from '../../src/tensor/dtype';
import { TRACE_RECORD, TRACE_RECORD_WORDS } from '../../src/timeline/trace-record';

type Record_<T> = Partial<{ [K in keyof T]: number }>;

export interface HandPacked {
  numQoTokens: number;
  numQoHeads: number;
  numKvHeads: number;
  headDim: number;
  pageSize: number;
  numPages: number;
  /** [numQoTokens, numQoHeads, headDim] */
  q: Float32Array;
  k: Float32Array;
  v: Float32Array;
  /** null: the identity. */
  kvIndices: readonly number[] | null;
  /** Tiles of each CTA. Missing fields are 0, but −1 for partialSlot and mergeGroup. */
  ctas: readonly (readonly Record_<typeof TILE>[])[];
  kvSequences?: readonly Record_<typeof KV_SEQUENCE>[];
  rows?: readonly Record_<typeof ROW>[];
  segments?: readonly Record_<typeof SEGMENT>[];
  mergeGroups?: readonly Record_<typeof MERGE_GROUP>[];
  mergeSlots?: readonly number[];
  numPartialRows?: number;
  dispatch?: DispatchKind;
  grid?: number;
  causal?: boolean;
  windowLeft?: number;
  smScale?: number;
  logitsSoftCap?: number;
  /** [numQoHeads] */
  sinks?: readonly number[];
  /** [numQoHeads] */
  alibiSlopes?: readonly number[];
  /** Launches; the results are those of the last one. Default 1. */
  launches?: number;
}

export interface ProgramTrace {
  cta: number;
  sm: number;
  item: number;
  phase: number;
  durationNs: number;
}

export interface ProgramResult {
  /** [numQoTokens, numQoHeads, headDim]; 777 where nothing was written. */
  output: Float32Array;
  /** [numQoTokens, numQoHeads]; 777 where nothing was written. */
  lse: Float32Array;
  status: number;
  counters: Uint32Array;
  tiles: ProgramTrace[];
  merges: ProgramTrace[];
}

const UNWRITTEN = 777;

function records<T extends Record<string, number>>(
  list: readonly Record_<T>[],
  fields: T,
  stride: number,
  defaults: Record<string, number> = {},
): Int32Array {
  const words = new Int32Array(list.length * stride);
  list.forEach((record, i) => {
    for (const [name, offset] of Object.entries(fields)) {
      words[i * stride + offset] = record[name] ?? defaults[name] ?? 0;
    }
  });
  return words;
}

function packImage(c: HandPacked): { image: Int32Array; offsets: ReturnType<typeof workspaceLayout>['offsets'] } {
  const tiles = c.ctas.flat();
  const ctaIndptr = new Int32Array(c.ctas.length + 1);
  c.ctas.forEach((cta, i) => {
    ctaIndptr[i + 1] = ctaIndptr[i] + cta.length;
  });
  const sections = {
    ctaIndptr,
    tiles: records(tiles, TILE, TILE_STRIDE, { partialSlot: -1, mergeGroup: -1 }),
    kvSequences: records(c.kvSequences ?? [{}], KV_SEQUENCE, KV_SEQUENCE_STRIDE),
    rows: records(c.rows ?? [], ROW, ROW_STRIDE),
    segments: records(c.segments ?? [], SEGMENT, SEGMENT_STRIDE),
    mergeGroups: records(c.mergeGroups ?? [], MERGE_GROUP, MERGE_GROUP_STRIDE),
    mergeSlots: Int32Array.from(c.mergeSlots ?? []),
  };
  const capacity: ScheduleCapacity = {
    maxTiles: tiles.length,
    maxCtas: c.ctas.length,
    maxKvSequences: c.kvSequences?.length ?? 1,
    maxRows: c.rows?.length ?? 0,
    maxSegments: c.segments?.length ?? 0,
    maxMergeGroups: c.mergeGroups?.length ?? 0,
    maxMergeSlots: c.mergeSlots?.length ?? 0,
    maxPartialRows: c.numPartialRows ?? 0,
  };
  const { offsets, totalWords } = workspaceLayout(capacity);
  const image = new Int32Array(totalWords);
  image[HEADER.numTiles] = tiles.length;
  image[HEADER.numCtas] = c.ctas.length;
  image[HEADER.dispatch] = DISPATCH[c.dispatch ?? 'static'];
  image[HEADER.numMergeGroups] = capacity.maxMergeGroups;
  for (const [name, words] of Object.entries(sections)) image.set(words, offsets[name as keyof typeof offsets]);
  return { image, offsets };
}

const bytesOf = (array: ArrayBufferView): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

function traceRecords(words: Int32Array): ProgramTrace[] {
  const times = new BigInt64Array(words.buffer, words.byteOffset, words.byteLength / 8);
  return Array.from({ length: words.length / TRACE_RECORD_WORDS }, (_, i) => {
    const at = i * TRACE_RECORD_WORDS;
    return {
      cta: words[at + TRACE_RECORD.cta],
      sm: words[at + TRACE_RECORD.sm],
      item: words[at + TRACE_RECORD.item],
      phase: words[at + TRACE_RECORD.phase],
      durationNs: Number(times[(at + TRACE_RECORD.endNs) / 2] - times[(at + TRACE_RECORD.startNs) / 2]),
    };
  });
}

/** Launches the program on `c` and reads everything that it may have written. */
export async function runProgram(device: Device, c: HandPacked): Promise<ProgramResult> {
  const buffers: Buffer[] = [];
  const upload = (array: ArrayBufferView): Buffer => {
    const buffer = device.allocate(Math.max(array.byteLength, 4));
    buffers.push(buffer);
    if (array.byteLength > 0) buffer.write(bytesOf(array));
    return buffer;
  };
  const { image, offsets } = packImage(c);
  const numTiles = c.ctas.flat().length;
  const numGroups = c.mergeGroups?.length ?? 0;
  const numRows = c.numQoTokens * c.numQoHeads;
  const workspace = upload(image);
  const counters = upload(new Uint32Array(numGroups + 4));
  const output = upload(new Float32Array(numRows * c.headDim).fill(UNWRITTEN));
  const lse = upload(new Float32Array(numRows).fill(UNWRITTEN));
  const trace = upload(new Int32Array((numTiles + numGroups) * TRACE_RECORD_WORDS));
  const numPartialRows = c.numPartialRows ?? 0;
  const token = c.numQoHeads * c.headDim;
  const params = attentionParams.pack({
    q: upload(c.q).address(),
    k: upload(c.k).address(),
    v: upload(c.v).address(),
    kv_indices: c.kvIndices ? upload(Int32Array.from(c.kvIndices)).address() : null,
    workspace: workspace.address(),
    partial_o: upload(new Float32Array(numPartialRows * c.headDim).fill(Number.NaN)).address(),
    partial_lse: upload(new Float32Array(numPartialRows).fill(Number.NaN)).address(),
    counters: counters.address(),
    o: output.address(),
    lse: lse.address(),
    trace: trace.address(),
    sinks: c.sinks ? upload(Float32Array.from(c.sinks)).address() : null,
    alibi_slopes: c.alibiSlopes ? upload(Float32Array.from(c.alibiSlopes)).address() : null,
    q_stride_token: token,
    q_stride_head: c.headDim,
    o_stride_token: token,
    o_stride_head: c.headDim,
    kv_stride_page: c.pageSize * c.numKvHeads * c.headDim,
    kv_stride_token: c.numKvHeads * c.headDim,
    kv_stride_head: c.headDim,
    num_pages: c.numPages,
    num_kv_indices: c.kvIndices?.length ?? 0,
    q_dtype: DTYPE_CODE.float32,
    kv_dtype: DTYPE_CODE.float32,
    head_dim: c.headDim,
    num_qo_heads: c.numQoHeads,
    num_kv_heads: c.numKvHeads,
    page_size: c.pageSize,
    causal: c.causal ? 1 : 0,
    window_left: c.windowLeft ?? -1,
    sm_scale: c.smScale ?? 1,
    logits_soft_cap: c.logitsSoftCap ?? 0,
    k_scale: 1,
    v_scale: 1,
    max_tiles: numTiles,
    max_merge_groups: numGroups,
    max_partial_rows: numPartialRows,
    tiles_offset: offsets.tiles,
    cta_indptr_offset: offsets.ctaIndptr,
    kv_sequences_offset: offsets.kvSequences,
    rows_offset: offsets.rows,
    segments_offset: offsets.segments,
    merge_groups_offset: offsets.mergeGroups,
    merge_slots_offset: offsets.mergeSlots,
  });
  for (let i = 0; i < (c.launches ?? 1); i++) {
    device.stream.launch({ program: 'attention', grid: [c.grid ?? c.ctas.length, 1, 1], params, buffers });
  }
  const read = async (buffer: Buffer): Promise<ArrayBuffer> => (await buffer.read()).slice().buffer as ArrayBuffer;
  const header = new Int32Array(await read(workspace), 0, HEADER_WORDS);
  const records = new Int32Array(await read(trace));
  const result: ProgramResult = {
    output: new Float32Array(await read(output)),
    lse: new Float32Array(await read(lse)),
    status: header[HEADER.status],
    counters: new Uint32Array(await read(counters)),
    tiles: traceRecords(records.slice(0, numTiles * TRACE_RECORD_WORDS)),
    merges: traceRecords(records.slice(numTiles * TRACE_RECORD_WORDS, (numTiles + numGroups) * TRACE_RECORD_WORDS)),
  };
  for (const buffer of buffers) buffer.dispose();
  return result;
}

/**
 * Softmax attention in float64 of one query over the given keys of the sequence whose first page is `pageStart`.
 * `distance`: position of key 0 of the sequence minus that of the query, for ALiBi.
 */
export function expectedRow(
  c: HandPacked,
  token: number,
  head: number,
  keys: readonly number[],
  pageStart = 0,
  distance = 0,
): { output: number[]; lse: number } {
  const kvHead = Math.floor(head / (c.numQoHeads / c.numKvHeads));
  const offset = (key: number): number => {
    const index = pageStart + Math.floor(key / c.pageSize);
    const page = c.kvIndices ? c.kvIndices[index] : index;
    return ((page * c.pageSize + (key % c.pageSize)) * c.numKvHeads + kvHead) * c.headDim;
  };
  const q = (token * c.numQoHeads + head) * c.headDim;
  const logits = keys.map((key) => {
    let dot = 0;
    for (let d = 0; d < c.headDim; d++) dot += c.q[q + d] * c.k[offset(key) + d];
    const logit = dot * (c.smScale ?? 1);
    const capped = c.logitsSoftCap ? c.logitsSoftCap * Math.tanh(logit / c.logitsSoftCap) : logit;
    return capped + (c.alibiSlopes?.[head] ?? 0) * (key + distance);
  });
  if (c.sinks && c.sinks[head] !== Number.NEGATIVE_INFINITY) logits.push(c.sinks[head]);
  const max = Math.max(...logits);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - max), 0);
  const output = Array.from({ length: c.headDim }, (_, d) =>
    keys.reduce((total, key, i) => total + (Math.exp(logits[i] - max) / sum) * c.v[offset(key) + d], 0),
  );
  return { output, lse: logits.length > 0 ? max + Math.log(sum) : Number.NEGATIVE_INFINITY };
}
