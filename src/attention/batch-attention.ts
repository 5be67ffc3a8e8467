/**
 * What BatchDecode and BatchPrefill share: plan a batch into the workspace, launch the attention program on it, read the
 * trace back. The launch depends on capacity alone; `run` reads no state of the last plan except to check shapes, so it
 * may be captured once and replayed under any later plan.
 */
import type { CaptureSession } from '../device/capture-session';
import type { Device } from '../device/device';
import { offScope, onScope } from '../device/scope';
import type { Launch, Stream } from '../device/stream';
import { requireInteger, WarpbookError } from '../errors';
import { onCapture } from '../graph/capture';
import { HEADER, HEADER_WORDS } from '../schedule/layout';
import { type Machine, numCtaSlots } from '../schedule/machine';
import type { SharedPrefix } from '../schedule/prefixes';
import { type AttentionProblem, makeProblem } from '../schedule/problem';
import { runPolicy } from '../schedule/run-policy';
import type { Policy, Schedule } from '../schedule/schedule';
import { unpackSchedule } from '../schedule/unpack';
import { itemSize } from '../tensor/dtype';
import type { Tensor } from '../tensor/tensor';
import type { Timeline } from '../timeline/timeline';
import type {
  AttentionResult,
  BatchAttentionOptions,
  DevicePlanOptions,
  DeviceStatus,
  PlanOptions,
  RunOptions,
} from './batch-options';
import { type WrapperCapacity, wrapperCapacity } from './capacity';
import { checkHeadVectors, checkOperands, resolveOutputs } from './check-run';
import { type DevicePlanProblem, devicePlanValues } from './device-plan';
import { HostPlanner } from './host-planner';
import { Int32Pool } from './int32-pool';
import type { KvOperand } from './kv-operand';
import { attentionLaunch } from './launch';
import { type PageTable, samePages, sharedPrefixes } from './page-table';
import { DevicePlan, Plan } from './plan';
import { checkLengths, enqueueDevicePlan, missingPages } from './plan-on-device';
import type { PreparedKernel } from './prepare-kernel';
import { readTimeline } from './read-timeline';
import { StreamOrder } from './stream-order';
import { type AttentionVariant, makeVariant } from './variant';
import { type BatchPages, type SentPlan, Workspace } from './workspace';

type AnyPlan = Plan | DevicePlan;

export class BatchAttention {
  readonly device: Device;
  readonly variant: AttentionVariant;
  readonly machine: Machine;
  readonly capacity: WrapperCapacity;
  readonly pageSize: number;
  readonly traced: boolean;
  private readonly workspace: Workspace;
  private readonly name: string;
  private readonly defaultPolicy: Policy;
  private readonly order: StreamOrder;
  private readonly program: string;
  /** Writes the plans of the policies that it knows; undefined where keys are ragged. */
  private readonly planner: HostPlanner | undefined;
  /** Lengths that schedules are made of later. */
  private readonly lengths = new Int32Pool();
  private readonly waitForSlot: () => Promise<void>;
  private lastPlan: AnyPlan | undefined;
  /** The plan that the latest run or replay followed. */
  private lastRun: AnyPlan | undefined;
  /** The latest plan that became part of a capture. */
  private captured: { session: CaptureSession; plan: DevicePlan } | undefined;
  private isDisposed = false;
  private nextPlanId = 1;
  /** Largest page id of the last plan. */
  private plannedMaxPage = -1;

  /** @internal use BatchDecode.create or BatchPrefill.create */
  protected constructor(
    name: string,
    device: Device,
    options: BatchAttentionOptions,
    defaults: { causal: boolean; paged: boolean; policy: Policy },
    kernel: PreparedKernel,
  ) {
    this.name = name;
    this.defaultPolicy = defaults.policy;
    this.device = device;
    this.variant = makeVariant(options, defaults.causal);
    this.machine = kernel.machine;
    this.program = kernel.program;
    this.capacity = wrapperCapacity(options.capacity, this.variant, this.machine, options.sharedPrefixes);
    this.pageSize = defaults.paged ? (options.pageSize ?? 16) : 1;
    this.traced = options.trace ?? false;
    this.workspace = new Workspace(device, this.capacity, this.variant.headDim, {
      paged: defaults.paged,
      trace: this.traced,
      label: name,
    });
    const maxTokens = this.capacity.maxPages * this.pageSize;
    this.planner = defaults.paged
      ? new HostPlanner(this.plannerProblem(), this.machine, this.workspace.layout, maxTokens)
      : undefined;
    this.waitForSlot = () => this.workspace.ready();
    // The wrapper, not its buffers, is what a scope disposes or hands out.
    this.order = new StreamOrder(device);
    for (const buffer of this.workspace.buffers) offScope(buffer);
    onScope(this);
  }

  /** The plan that the next run or replay will follow; undefined before the first. */
  get currentPlan(): AnyPlan | undefined {
    return this.lastPlan;
  }

  /** Plans lengths that are already checked against their pages. */
  protected planBatch(
    kvLens: Int32Array,
    qoLens: ArrayLike<number> | undefined,
    pages: BatchPages,
    maxPage: number,
    options: PlanOptions,
  ): Plan {
    this.requireUsable('plan');
    const { policy = this.defaultPolicy, stream = this.device.stream } = options;
    const started = performance.now();
    const problem = this.problemOf(kvLens, qoLens, () =>
      sharedPrefixes(pages.indptr, pages.indices, kvLens, this.pageSize),
    );
    const numQoTokens = problem.qoIndptr[problem.batchSize];
    this.checkFits(problem.batchSize, numQoTokens, pages.indices.length);
    const schedule = runPolicy(policy, problem, this.machine, {
      validate: options.validate,
      timeLimitMs: options.timeLimitMs,
      sharesPages: (a, b, first, count) => samePages(pages.indptr, pages.indices, a, b, first, count),
    });
    const writtenMs = performance.now();
    const id = this.nextPlanId++;
    this.order.enter(stream);
    const uploadedBytes = this.workspace.upload(schedule, pages, id, stream);
    this.order.leave(stream);
    return this.planned(started, { writtenMs, uploadedBytes }, () => schedule, numQoTokens, maxPage);
  }

  /**
   * Plans lengths within the pages of the plan before, a query token each, by native code: no problem, no schedule, no table is
   * made but when somebody looks. Undefined where it has to be `planBatch`, with whatever error that has.
   * @param table what the plan before was of
   */
  protected planLengths(kvLens: Int32Array, table: PageTable, options: PlanOptions): Plan | undefined {
    const { policy = this.defaultPolicy, stream = this.device.stream } = options;
    const { planner } = this;
    if (!planner?.knows(policy) || options.validate || stream.capturing) return undefined;
    const { length } = kvLens;
    if (length !== table.batchSize || length > this.capacity.maxQoTokens || !table.isIntact()) return undefined;
    this.requireUsable('plan');
    const started = performance.now();
    this.order.enter(stream);
    const sent = this.workspace.uploadFrom(planner, policy, kvLens, this.nextPlanId, stream);
    if (!sent) return undefined;
    this.nextPlanId++;
    this.order.leave(stream);
    const { pagedKvIndptr, pagedKvIndices, maxPage } = table;
    const own = this.lengths.copy(kvLens);
    const schedule = (): Schedule => {
      const prefixes = (): SharedPrefix[] => sharedPrefixes(pagedKvIndptr, pagedKvIndices, own, this.pageSize);
      return policy(this.problemOf(own, undefined, prefixes), this.machine);
    };
    return this.planned(started, sent, schedule, length, maxPage);
  }

  /** The plan that was just enqueued, as the one in force. */
  private planned(
    startedMs: number,
    { writtenMs, uploadedBytes }: SentPlan,
    schedule: () => Schedule,
    numQoTokens: number,
    maxPage: number,
  ): Plan {
    const cost = {
      policyNs: Math.round((writtenMs - startedMs) * 1e6),
      packNs: Math.round((performance.now() - writtenMs) * 1e6),
      uploadedBytes,
    };
    this.plannedMaxPage = maxPage;
    const { capacity, waitForSlot: ready } = this;
    const plan = new Plan(this.nextPlanId - 1, { capacity, cost, numQoTokens, schedule, ready });
    this.lastPlan = plan;
    return plan;
  }

  private problemOf(
    kvLens: Int32Array,
    qoLens: ArrayLike<number> | undefined,
    prefixes?: () => SharedPrefix[],
  ): AttentionProblem {
    const { variant } = this;
    return makeProblem({
      kvLens,
      qoLens,
      numQoHeads: variant.numQoHeads,
      numKvHeads: variant.numKvHeads,
      headDim: variant.headDim,
      pageSize: this.pageSize,
      causal: variant.causal,
      windowLeft: variant.windowLeft,
      kvElementBytes: itemSize(variant.kvDtype),
      prefixes,
    });
  }

  /**
   * Enqueues planning on the device: a program reads the lengths and rewrites the workspace as the host's policy of that name
   * would, word for word. May be captured: each replay then plans for the lengths of its own moment. Pages are those of the
   * last `plan()`, which must have reserved them. A length beyond its request's pages is cut to fit and counted; a plan
   * beyond the capacity is replaced by one that splits nothing, and counted (see `status()`).
   * @param kvLens KV tokens of each request, contiguous int32 [batchSize], on this device
   * @throws WarpbookError INVALID_ARGUMENT, SHAPE_MISMATCH, DTYPE_MISMATCH, DEVICE_MISMATCH, CAPACITY_EXCEEDED,
   * INVALID_PAGE_TABLE where fewer requests have been planned, UNSUPPORTED for ragged keys or a batch beyond the planner's
   */
  planOnDevice(kvLens: Tensor, options: DevicePlanOptions = {}): DevicePlan {
    this.requireUsable('planOnDevice');
    const { policy = 'adaptive', qoLen = 1, batchSize, stream = this.device.stream } = options;
    const { workspace } = this;
    const { pageList } = workspace;
    if (!pageList) {
      throw new WarpbookError(
        'UNSUPPORTED',
        `${this.name}.planOnDevice: keys are ragged; plan on the host with plan().`,
      );
    }
    const maxRequests = checkLengths(this.device, kvLens, batchSize);
    requireInteger('planOnDevice: qoLen', qoLen, 1);
    this.requireCapacity('planOnDevice', { maxBatch: maxRequests, maxQoTokens: maxRequests * qoLen });
    const checkPages = (): string | undefined => missingPages(pageList.numRequests, maxRequests);
    const missing = checkPages();
    if (missing) {
      throw new WarpbookError('INVALID_PAGE_TABLE', `${this.name}.planOnDevice: ${missing}; plan() their table first.`);
    }
    const id = this.nextPlanId++;
    const shape = { policy, maxRequests, qoLen };
    const values = devicePlanValues(shape, this.plannerProblem(), this.machine, workspace.layout, id);
    if (!stream.capturing) this.order.enter(stream);
    enqueueDevicePlan(stream, values, { kvLens, batchSize, pageList, image: workspace.image });
    const plan = new DevicePlan(id, policy, maxRequests, qoLen, {
      capacity: this.capacity,
      read: (own) => this.readDevicePlan(own),
      ready: () => workspace.ready(),
    });
    if (stream.session) {
      this.captured = { session: stream.session, plan };
      onCapture(stream, {
        check: checkPages,
        beforeReplay: (on) => this.order.enter(on),
        afterReplay: (on) => {
          this.order.leave(on);
          this.lastPlan = plan;
        },
      });
    } else {
      this.order.leave(stream);
      this.lastPlan = plan;
    }
    return plan;
  }

  private plannerProblem(): DevicePlanProblem {
    const { numKvHeads, numQoHeads, causal, windowLeft } = this.variant;
    return { numKvHeads, groupSize: numQoHeads / numKvHeads, pageSize: this.pageSize, causal, windowLeft };
  }

  private async readDevicePlan(plan: DevicePlan): Promise<Schedule> {
    const { layout, image } = this.workspace;
    const bytes = await image.read({ stream: this.order.stream });
    const words = new Int32Array(bytes.buffer, bytes.byteOffset, layout.totalWords);
    if (words[HEADER.planId] !== plan.id) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `Got readSchedule() of plan ${plan.id} while the workspace holds plan ${words[HEADER.planId]}; read it after a replay ` +
          'of it, and before the next plan.',
      );
    }
    return unpackSchedule(words, layout, {
      policy: plan.policy,
      machine: this.machine,
      problemOf: (kvLens) => this.problemOf(kvLens, new Int32Array(kvLens.length).fill(plan.qoLen)),
    });
  }

  private requireUsable(call: string): void {
    if (!this.isDisposed) return;
    throw new WarpbookError('DISPOSED', `Got ${call}() of a ${this.name} after its dispose(); make another one.`);
  }

  private checkFits(maxBatch: number, maxQoTokens: number, maxPages: number): void {
    this.requireCapacity('plan', { maxBatch, maxQoTokens, maxPages });
  }

  private requireCapacity(call: string, asked: Partial<Record<'maxBatch' | 'maxQoTokens' | 'maxPages', number>>): void {
    const { capacity } = this;
    for (const key of ['maxBatch', 'maxQoTokens', 'maxPages'] as const) {
      const value = asked[key] ?? 0;
      if (value <= capacity[key]) continue;
      throw new WarpbookError(
        'CAPACITY_EXCEEDED',
        `${call}: the batch needs ${key} = ${value}, ${this.name} was made for ${capacity[key]}; raise the option capacity.${key}.`,
        { asked: value, available: capacity[key], option: `capacity.${key}` },
      );
    }
  }

  /** @internal What launches point to, for whoever writes the work list or launches attention otherwise than `run`. */
  get memory(): Workspace {
    return this.workspace;
  }

  /**
   * The launch that `run` would enqueue, as an object: for graphs whose launches are updated, and launchers on the device. Checks
   * operands as `run` does, but enqueues nothing, follows no plan and guards no capture.
   */
  protected bindLaunch(q: Tensor, kv: KvOperand, outputs: AttentionResult): Launch {
    this.requireUsable('bindRun');
    const owner = { name: this.name, device: this.device, variant: this.variant };
    checkOperands(owner, q, kv, 0, this.plannedMaxPage);
    const { sinks, alibiSlopes } = checkHeadVectors(owner, {});
    const operands = { q, kv, ...outputs, sinks, alibiSlopes };
    return attentionLaunch(this.program, numCtaSlots(this.machine), operands, this.workspace, this.variant);
  }

  /** Launches attention over `kv`; see {@link RunOptions} for outputs. */
  protected launch(q: Tensor, kv: KvOperand, options: RunOptions): AttentionResult {
    this.requireUsable('run');
    const stream = options.stream ?? this.device.stream;
    // In a capture that plans, the plan of before is in force again as soon as the capture ends.
    const own = stream.session && this.captured?.session === stream.session ? this.captured.plan : undefined;
    const plan = own ?? this.lastPlan;
    if (!plan)
      throw new WarpbookError('INVALID_ARGUMENT', `${this.name}.run before plan: call plan() with the batch first.`);
    const owner = { name: this.name, device: this.device, variant: this.variant };
    checkOperands(owner, q, kv, plan.numQoTokens, this.plannedMaxPage);
    const { sinks, alibiSlopes } = checkHeadVectors(owner, options);
    const { output, lse } = resolveOutputs(owner, q, options, stream);
    const { workspace, variant } = this;
    if (!stream.capturing) this.order.enter(stream);
    const operands = { q, kv, output, lse, sinks, alibiSlopes };
    stream.launch(attentionLaunch(this.program, numCtaSlots(this.machine), operands, workspace, variant));
    if (stream.capturing) {
      onCapture(stream, {
        check: () => this.checkReplay(own ?? this.lastPlan, q.shape[0], kv.numPages),
        beforeReplay: (on) => this.order.enter(on),
        afterReplay: (on) => this.followed(on),
      });
    } else {
      this.followed(stream);
    }
    return { output, lse };
  }

  /** A run or replay was enqueued; it follows the plan that was enqueued before it. */
  private followed(stream: Stream): void {
    this.order.leave(stream);
    this.lastRun = this.lastPlan;
  }

  /** Why a graph captured with these operands can't follow the plan of now; undefined if it can. */
  private checkReplay(plan: AnyPlan | undefined, qoTokens: number, numPages: number): string | undefined {
    if (!plan) return undefined;
    const planned = plan.numQoTokens;
    if (planned > qoTokens) return `the plan has ${planned} query tokens, the graph was captured with q of ${qoTokens}`;
    if (this.plannedMaxPage >= numPages)
      return `the plan names page ${this.plannedMaxPage}, the captured cache has ${numPages} pages`;
    return undefined;
  }

  /**
   * What every CTA did in the latest finished run or replay. Waits for the stream.
   * @throws WarpbookError INVALID_ARGUMENT where the wrapper was made without `trace: true`, or nothing has run
   */
  async timeline(options: { stream?: Stream } = {}): Promise<Timeline> {
    const { trace } = this.workspace;
    if (!trace)
      throw new WarpbookError('INVALID_ARGUMENT', `${this.name} is not traced; make it with { trace: true }.`);
    const { lastRun } = this;
    if (!lastRun) {
      throw new WarpbookError('INVALID_ARGUMENT', `${this.name}.timeline before run: there is nothing to show.`);
    }
    const stream = options.stream ?? this.order.stream;
    return readTimeline(trace, await lastRun.readSchedule(), this.capacity, stream);
  }

  /** What the device found wrong since the last `plan()`. Waits for the stream. */
  async status(options: { stream?: Stream } = {}): Promise<DeviceStatus> {
    const bytes = await this.workspace.image.read({
      byteLength: HEADER_WORDS * 4,
      stream: options.stream ?? this.order.stream,
    });
    const header = new Int32Array(bytes.buffer, bytes.byteOffset, HEADER_WORDS);
    return {
      skippedPages: header[HEADER.status],
      badLengths: header[HEADER.badLengths],
      unsplitPlans: header[HEADER.unsplitPlans],
    };
  }

  /** Resolves when the next `plan()` will find a free staging slot. */
  ready(): Promise<void> {
    this.requireUsable('ready');
    return this.workspace.ready();
  }

  get disposed(): boolean {
    return this.isDisposed;
  }

  /** Frees the workspace. Idempotent; graphs that captured `run` refuse to replay afterwards. */
  dispose(): void {
    if (this.isDisposed) return;
    this.isDisposed = true;
    this.workspace.dispose();
    this.order.dispose();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
}
