/**
 * A policy and its packing in one call of native code: `plan_tiles`, the planner of the CPU device, writes the image of a plan
 * straight into a staging slot, word for word what the policy of that name and `packSchedule` write.
 *
 * It knows the four policies of the planner on a device, a query token a request and no more. What is beyond it, or doesn't
 * fit the capacity, it leaves to them, and to their errors.
 */
import { HostProgram } from '../device/host-program';
import { HEADER, HEADER_WORDS, type WorkspaceLayout } from '../schedule/layout';
import { type Machine, numCtaSlots } from '../schedule/machine';
import { policies } from '../schedule/policies/known';
import type { Policy } from '../schedule/schedule';
import { TILE_STRIDE } from '../schedule/work-tile';
import { type DevicePlanProblem, type DevicePolicy, planValues } from './device-plan';
import { PLAN_POLICY, planTilesParams } from './plan-params';

/** Tokens of a request from which on the planner's 32 bits might not do. */
const MAX_TOKENS = 2 ** 30;

const PLANNED: ReadonlyMap<Policy, number> = new Map(
  (Object.keys(PLAN_POLICY) as DevicePolicy[]).map((name) => [policies[name], PLAN_POLICY[name]]),
);

const field = (name: string) => {
  const found = planTilesParams.fields.find((each) => each.name === name);
  if (!found) throw new Error(`PlanTilesParams has no ${name}`);
  return found;
};
const wordOf = (name: string): number => field(name).offset / 4;
const MAX_REQUESTS = wordOf('max_requests');
const POLICY = wordOf('policy');
const PLAN_ID = wordOf('plan_id');

/** See the file head. */
export class HostPlanner {
  private readonly program: HostProgram;
  /** Requests whose plan surely fits where it splits nothing. */
  private readonly maxRequests: number;
  private readonly tilesOffset: number;

  /** @param maxTokens of a request */
  constructor(problem: DevicePlanProblem, machine: Machine, layout: WorkspaceLayout, maxTokens: number) {
    const { capacity, offsets } = layout;
    const values = planValues({ policy: 'headGroups', maxRequests: 1, qoLen: 1 }, problem, machine, layout, 0);
    const none = { kv_lens: null, num_requests: null, page_ranges: null, workspace: null };
    const { params } = planTilesParams.pack({ ...values, ...none });
    this.program = new HostProgram('plan_tiles', params, ['kv_lens', 'page_ranges', 'workspace'].map(field));
    const unsplit = Math.floor(capacity.maxTiles / (values.tiles_per_request * problem.numKvHeads));
    const works = numCtaSlots(machine) <= capacity.maxCtas && maxTokens < MAX_TOKENS;
    this.maxRequests = works ? Math.min(unsplit, capacity.maxKvSequences) : 0;
    this.tilesOffset = offsets.tiles;
  }

  /** Whether plans of this policy may be asked for. */
  knows(policy: Policy): boolean {
    return PLANNED.has(policy);
  }

  /**
   * Writes the image of a plan.
   * @param kvLens tokens of each request, within its pages; int32 [batchSize]
   * @param pageRanges {first page, pages} of each request in the page list, int32 [at least batchSize, 2]
   * @param image int32 [layout.totalWords]
   * @returns the words used at its front; undefined where the plan has to be made by the policy itself, and the image then
   *   holds nothing of use
   */
  write(
    policy: Policy,
    kvLens: Int32Array,
    pageRanges: Int32Array,
    image: Int32Array,
    planId: number,
  ): number | undefined {
    const code = PLANNED.get(policy);
    const batchSize = kvLens.length;
    if (code === undefined || batchSize === 0 || batchSize > this.maxRequests) return undefined;
    const { words } = this.program;
    words[MAX_REQUESTS] = batchSize;
    words[POLICY] = code;
    words[PLAN_ID] = planId;
    image.fill(0, 0, HEADER_WORDS);
    this.program.run([kvLens, pageRanges, image]);
    if (image[HEADER.badLengths] !== 0 || image[HEADER.unsplitPlans] !== 0) return undefined;
    return this.tilesOffset + image[HEADER.numTiles] * TILE_STRIDE;
  }
}
