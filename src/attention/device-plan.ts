/**
 * Planning on the device: what the `plan_tiles` program is told, which is all that a graph freezes. Lengths, pages and the
 * number of requests are read from device memory at each replay.
 */
import { WarpbookError } from '../errors';
import { groupWidth } from '../schedule/deal';
import type { WorkspaceLayout } from '../schedule/layout';
import { type Machine, numCtaSlots } from '../schedule/machine';
import { ceilDiv } from '../units';
import { PLAN_POLICY, PLAN_RULES, type planTilesParams } from './plan-params';

/** Policies that the planner on the device knows; `policies` has those of the same names for the host. */
export type DevicePolicy = keyof typeof PLAN_POLICY;

/** What a plan on the device is made for. */
export interface DevicePlanShape {
  readonly policy: DevicePolicy;
  /** Requests at most; a device tensor may say that there are fewer. */
  readonly maxRequests: number;
  /** Query tokens of each request. */
  readonly qoLen: number;
}

/** Heads and masks, as in the host's problem. */
export interface DevicePlanProblem {
  readonly numKvHeads: number;
  /** Query heads of a KV head. */
  readonly groupSize: number;
  readonly pageSize: number;
  readonly causal: boolean;
  /** Tokens; -1: no window. */
  readonly windowLeft: number;
}

type Addresses = 'kv_lens' | 'num_requests' | 'page_ranges' | 'workspace';
/** Every field of `PlanTilesParams` but the addresses. */
export type DevicePlanValues = Readonly<
  Record<Exclude<keyof Parameters<typeof planTilesParams.pack>[0], Addresses>, number>
>;

/**
 * The parameters of a plan on the device.
 * @throws WarpbookError INVALID_ARGUMENT for an unknown policy, UNSUPPORTED for a batch or machine beyond the planner's,
 * CAPACITY_EXCEEDED where not even the plan that splits nothing would fit
 */
export function devicePlanValues(
  shape: DevicePlanShape,
  problem: DevicePlanProblem,
  machine: Machine,
  layout: WorkspaceLayout,
  planId: number,
): DevicePlanValues {
  const { capacity } = layout;
  const { policy, maxRequests, qoLen } = shape;
  const { numKvHeads } = problem;
  if (!Object.hasOwn(PLAN_POLICY, policy)) {
    const known = Object.keys(PLAN_POLICY).join(', ');
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `planOnDevice got the policy '${String(policy)}'; wanted one of ${known}.`,
    );
  }
  const values = planValues(shape, problem, machine, layout, planId);
  const { num_ctas: numCtas, rows_per_tile: rowsPerTile } = values;
  const queryTiles = maxRequests * values.tiles_per_request;
  const items = queryTiles * (numKvHeads / values.group_width);
  if (items > PLAN_RULES.maxItems || numCtas > PLAN_RULES.maxCtas || rowsPerTile > PLAN_RULES.maxRowsPerTile) {
    throw new WarpbookError(
      'UNSUPPORTED',
      `planOnDevice got ${maxRequests} requests of ${qoLen} query tokens, which make ${items} items of up to ${rowsPerTile} rows ` +
        `for ${numCtas} CTAs; wanted at most ${PLAN_RULES.maxItems} items of ${PLAN_RULES.maxRowsPerTile} rows and ` +
        `${PLAN_RULES.maxCtas} CTAs. Plan on the host with plan().`,
      { items, rowsPerTile, numCtas },
    );
  }
  requireRoom('maxTiles', queryTiles * numKvHeads, capacity.maxTiles);
  requireRoom('maxKvSequences', maxRequests, capacity.maxKvSequences);
  requireRoom('maxCtas', numCtas, capacity.maxCtas);
  return values;
}

/** The same without a check: what the planner is told, wherever it runs. */
export function planValues(
  { policy, maxRequests, qoLen }: DevicePlanShape,
  problem: DevicePlanProblem,
  machine: Machine,
  { capacity, offsets }: WorkspaceLayout,
  planId: number,
): DevicePlanValues {
  const { numKvHeads, groupSize } = problem;
  const numCtas = numCtaSlots(machine);
  const width = groupWidth(numKvHeads, numCtas);
  const { queryRows, kvStep } = machine.tileClasses[0];
  const rowsPerTile = queryRows >= groupSize ? queryRows - (queryRows % groupSize) : queryRows;
  return {
    max_requests: maxRequests,
    qo_len: qoLen,
    num_kv_heads: numKvHeads,
    group_size: groupSize,
    rows_per_tile: rowsPerTile,
    tiles_per_request: ceilDiv(qoLen * groupSize, rowsPerTile),
    kv_step: kvStep,
    // Divisions that the device would have to do one after the other.
    kv_step_shift: Number.isInteger(Math.log2(kvStep)) ? Math.log2(kvStep) : -1,
    num_ctas: numCtas,
    num_shares: Math.floor(numCtas / numKvHeads),
    num_groups: Math.floor(numCtas / width),
    group_width: width,
    page_size: problem.pageSize,
    causal: problem.causal ? 1 : 0,
    window_left: problem.windowLeft,
    policy: PLAN_POLICY[policy],
    plan_id: planId,
    max_tiles: capacity.maxTiles,
    max_merge_groups: capacity.maxMergeGroups,
    max_merge_slots: capacity.maxMergeSlots,
    max_partial_rows: capacity.maxPartialRows,
    tiles_offset: offsets.tiles,
    cta_indptr_offset: offsets.ctaIndptr,
    kv_sequences_offset: offsets.kvSequences,
    merge_groups_offset: offsets.mergeGroups,
    merge_slots_offset: offsets.mergeSlots,
  };
}

function requireRoom(option: string, asked: number, available: number): void {
  if (asked <= available) return;
  throw new WarpbookError(
    'CAPACITY_EXCEEDED',
    `planOnDevice needs ${option} = ${asked} even if it splits nothing, the workspace was made for ${available}; raise the ` +
      `option capacity.${option}.`,
    { asked, available, option: `capacity.${option}` },
  );
}
