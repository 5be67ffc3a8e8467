/**
 * How long a batch takes under a schedule: launch to launch in a graph of them, over keys that no cache holds. For runs of
 * hundreds of batches; `measure` is for one of them, and says how sure it is.
 */
import { BatchDecode } from '../attention/batch-decode';
import { BatchPrefill } from '../attention/batch-prefill';
import type { Device } from '../device/device';
import { type Chain, makeChain, timeTurns } from '../measure/chain';
import type { Policy, Schedule } from '../schedule/schedule';
import type { KernelKind } from '../simulate/cost-model';
import type { Timeline } from '../timeline/timeline';
import type { ColdPool, ColdSets } from './cold-pool';

/** A batch to time. */
export interface TimedBatch {
  readonly kind: KernelKind;
  readonly kvLens: readonly number[];
  /** Query tokens of each request; default one each. */
  readonly qoLens?: readonly number[];
  readonly numQoHeads: number;
  /** Tokens at the start that all requests share; default 0. */
  readonly sharedTokens?: number;
}

/** Times of a launch, ns. */
export interface BatchTime {
  readonly schedule: Schedule;
  readonly medianNs: number;
  readonly minNs: number;
  /** (largest − smallest) / median, percent. */
  readonly rangePct: number;
}

/** What the wrappers hold at most. */
export interface BatchLimits {
  readonly maxBatch: number;
  readonly maxQoTokens: number;
  readonly maxTiles: number;
}

/** Wanted length of a turn, ns; a graph of short kernels has to be long enough for the clock. */
const TURN_NS = 1.5e6;
const MAX_CALLS = 300;
/** Batches of few, slow CTAs don't get round all sets: what they read is far more than a cache all the same. */
const LONGEST_TURN_NS = 400e6;
const LONG_PREFILL_NS = 1e6;
const PAUSE_MS = 100;
const TRACED_TURN_NS = 0.4e6;

type Wrapper = BatchDecode | BatchPrefill;

/** Times batches on one device; wrappers are made when they are first needed. */
export class BatchTimer {
  private readonly wrappers = new Map<string, Wrapper>();

  constructor(
    readonly device: Device,
    readonly pool: ColdPool,
    private readonly shape: { readonly numKvHeads: number; readonly headDim: number; readonly pageSize: number },
    private readonly limits: BatchLimits,
  ) {}

  /** The wrapper of a kind; its machine is what policies plan for. */
  async wrapper(kind: KernelKind, numQoHeads: number, trace: boolean): Promise<Wrapper> {
    const key = `${kind} ${numQoHeads} ${trace}`;
    let made = this.wrappers.get(key);
    if (!made) {
      const { maxBatch, maxQoTokens, maxTiles } = this.limits;
      const tokens = kind === 'decode' ? maxBatch : maxQoTokens;
      const capacity = {
        maxBatch,
        maxQoTokens: tokens,
        maxPages: this.pool.maxPages,
        maxTiles,
        maxMergeGroups: maxTiles,
        maxMergeSlots: maxTiles,
        maxPartialRows: kind === 'decode' ? maxTiles * 8 : Math.min(maxTiles * 128, 2 ** 20),
      };
      const options = { ...this.shape, numQoHeads, device: this.device, capacity, trace };
      const variant = { dtype: 'bfloat16', kvDtype: 'bfloat16' } as const;
      made =
        kind === 'decode'
          ? await BatchDecode.create({ ...options, ...variant })
          : await BatchPrefill.create({ ...options, ...variant, causal: true });
      this.wrappers.set(key, made);
    }
    return made;
  }

  /** Operand sets of a batch, to be handed to {@link time} for each policy. */
  sets({ kvLens, sharedTokens }: TimedBatch): ColdSets {
    return this.pool.sets(kvLens, sharedTokens);
  }

  /** @param expectedNs about how long a launch takes */
  async time(
    batch: TimedBatch,
    cold: ColdSets,
    policy: Policy,
    expected: (schedule: Schedule) => number,
    samples: number = 7,
  ): Promise<BatchTime> {
    const wrapper = await this.wrapper(batch.kind, batch.numQoHeads, false);
    const schedule = this.plan(wrapper, batch, cold, policy);
    const expectedNs = expected(schedule);
    const chain = await this.chain(wrapper, batch, cold, expectedNs, TURN_NS);
    try {
      // Arithmetic back to back brings a GPU to its power cap, and its clocks down: long prefills are timed in bursts.
      if (batch.kind === 'prefill' && expectedNs > LONG_PREFILL_NS) {
        await new Promise((resume) => setTimeout(resume, PAUSE_MS));
      }
      const turns = await timeTurns(Array.from({ length: samples }, () => chain));
      const ns = turns.map((turn) => turn.deviceNs).sort((a, b) => a - b);
      const medianNs = ns[samples >> 1];
      return { schedule, medianNs, minNs: ns[0], rangePct: (100 * (ns[samples - 1] - ns[0])) / medianNs };
    } finally {
      chain.dispose();
    }
  }

  /** What a policy makes of a batch. */
  async schedule(batch: TimedBatch, cold: ColdSets, policy: Policy): Promise<Schedule> {
    return this.plan(await this.wrapper(batch.kind, batch.numQoHeads, false), batch, cold, policy);
  }

  /** The timeline of a launch amid others. The traced build is a little slower than the one that `time` times. */
  async timeline(batch: TimedBatch, cold: ColdSets, policy: Policy, expectedNs: number): Promise<Timeline> {
    const wrapper = await this.wrapper(batch.kind, batch.numQoHeads, true);
    this.plan(wrapper, batch, cold, policy);
    const chain = await this.chain(wrapper, batch, cold, expectedNs, TRACED_TURN_NS);
    try {
      await timeTurns([chain]);
      return await wrapper.timeline();
    } finally {
      chain.dispose();
    }
  }

  private plan(wrapper: Wrapper, batch: TimedBatch, cold: ColdSets, policy: Policy): Schedule {
    const options = { policy, validate: false };
    if (wrapper instanceof BatchDecode) return wrapper.plan(cold.table, options).schedule;
    return wrapper.plan(batch.qoLens ?? batch.kvLens.map(() => 1), cold.table, options).schedule;
  }

  private chain(
    wrapper: Wrapper,
    batch: TimedBatch,
    { sets }: ColdSets,
    expectedNs: number,
    turnNs: number,
  ): Promise<Chain> {
    const tokens = batch.qoLens?.reduce((sum, length) => sum + length, 0) ?? batch.kvLens.length;
    const { q, out, lse } = this.pool.queries(tokens, batch.numQoHeads);
    // A turn that leaves sets out would find the others in a cache.
    const calls = Math.max(
      Math.min(sets.length, Math.ceil(LONGEST_TURN_NS / expectedNs)),
      2,
      Math.min(MAX_CALLS, Math.ceil(turnNs / expectedNs)),
    );
    const run = (i: number): void => void wrapper.run(q, sets[i], { out, lse });
    return makeChain(this.device, this.device.stream, run, {
      mode: 'graph',
      rotate: sets.length,
      turnNs,
      calls,
    });
  }

  dispose(): void {
    for (const wrapper of this.wrappers.values()) wrapper.dispose();
    this.wrappers.clear();
  }
}
