/**
 * One launch of attention: everything that its kernel is told, out of operands, workspace and variant. All of it is the capacity's
 * and the operands', nothing the plan's, so that a captured launch follows any later plan.
 */
import type { Launch } from '../device/stream';
import { DTYPE_CODE } from '../tensor/dtype';
import type { Tensor } from '../tensor/tensor';
import type { KvOperand } from './kv-operand';
import { attentionParams } from './launch-params';
import type { AttentionVariant } from './variant';
import type { Workspace } from './workspace';

/** What a run reads and writes, checked before. */
export interface LaunchOperands {
  readonly q: Tensor;
  readonly kv: KvOperand;
  readonly output: Tensor;
  readonly lse: Tensor;
  readonly sinks: Tensor | undefined;
  readonly alibiSlopes: Tensor | undefined;
}

/** @param numCtas the grid: CTA slots of the machine, whatever the batch */
export function attentionLaunch(
  program: string,
  numCtas: number,
  operands: LaunchOperands,
  workspace: Workspace,
  variant: AttentionVariant,
): Launch {
  const { q, kv, output, lse, sinks, alibiSlopes } = operands;
  const { capacity, offsets } = workspace.layout;
  return {
    program,
    grid: [numCtas, 1, 1],
    params: attentionParams.pack({
      q: q.address(),
      k: kv.k.address(),
      v: kv.v.address(),
      kv_indices: workspace.pageList?.pages() ?? null,
      workspace: workspace.image.address(),
      partial_o: workspace.partialO.address(),
      partial_lse: workspace.partialLse.address(),
      counters: workspace.counters.address(),
      o: output.address(),
      lse: lse.address(),
      trace: workspace.trace?.address() ?? null,
      sinks: sinks?.address() ?? null,
      alibi_slopes: alibiSlopes?.address() ?? null,
      q_stride_token: q.strides[0],
      q_stride_head: q.strides[1],
      o_stride_token: output.strides[0],
      o_stride_head: output.strides[1],
      kv_stride_page: kv.stridePage,
      kv_stride_token: kv.strideToken,
      kv_stride_head: kv.strideHead,
      num_pages: kv.numPages,
      num_kv_indices: workspace.maxPages,
      q_dtype: DTYPE_CODE[variant.dtype],
      kv_dtype: DTYPE_CODE[variant.kvDtype],
      head_dim: variant.headDim,
      num_qo_heads: variant.numQoHeads,
      num_kv_heads: variant.numKvHeads,
      page_size: kv.pageSize,
      causal: variant.causal ? 1 : 0,
      window_left: variant.windowLeft,
      sm_scale: variant.smScale,
      logits_soft_cap: variant.logitsSoftCap,
      k_scale: kv.kScale,
      v_scale: kv.vScale,
      max_tiles: capacity.maxTiles,
      max_merge_groups: capacity.maxMergeGroups,
      max_partial_rows: capacity.maxPartialRows,
      tiles_offset: offsets.tiles,
      cta_indptr_offset: offsets.ctaIndptr,
      kv_sequences_offset: offsets.kvSequences,
      rows_offset: offsets.rows,
      segments_offset: offsets.segments,
      merge_groups_offset: offsets.mergeGroups,
      merge_slots_offset: offsets.mergeSlots,
    }),
    buffers: [
      ...[q, kv.k, kv.v, output, lse, sinks, alibiSlopes].flatMap((tensor) => (tensor ? [tensor.buffer] : [])),
      ...workspace.buffers,
    ],
  };
}
