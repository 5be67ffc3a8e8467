/**
 * How long a batch takes under a schedule: launch to launch in a graph of them, over keys that no cache holds. For runs of
 * hundreds of batches; `measure` is for one of them, and says how sure it is.
 */
import { BatchDecode } from '../attention/batch-decode';
import { BatchPrefill } from '../attention/batch-prefill';
import type { Device } from '../device/device';
import { type Chain, makeChain, timeTurns } from '../measure/chain';
import type { Policy, Schedule } from '../schedule/schedule';
import type { Timeline } from '../timeline/timeline';
import type { ColdPool, ColdSets } from './cold-pool';

/** Which wrapper runs a batch. */
export type BatchKind = 'decode' | 'prefill';

/** A batch to time. */
export interface TimedBatch {
  readonly kind: BatchKind;
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

  /** The wrapper of a kind; its machine is what policies plan for. Those of other slots are others of the same kind. */
  async wrapper(kind: BatchKind, numQoHeads: number, trace: boolean, slot: number = 0): Promise<Wrapper> {
    const key = `${kind} ${numQoHeads} ${trace} ${slot}`;
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
      return batchTime(
        schedule,
        turns.map((turn) => turn.deviceNs),
      );
    } finally {
      chain.dispose();
    }
  }

  /**
   * Several policies on one batch, in turns: what a machine does meanwhile (clocks, neighbours) meets all of them alike. Each has a
   * wrapper of its own, since a plan stays in force until the next.
   * @param expected about how long a launch takes, ns
   * @param samples turns of each; the median counts
   */
  async sideBySide(
    batch: TimedBatch,
    cold: ColdSets,
    policies: Readonly<Record<string, Policy>>,
    expected: (schedule: Schedule) => number,
    samples: number = 7,
  ): Promise<Map<string, BatchTime>> {
    const chains: Chain[] = [];
    const schedules: Schedule[] = [];
    const names = Object.keys(policies);
    try {
      for (const [slot, name] of names.entries()) {
        const wrapper = await this.wrapper(batch.kind, batch.numQoHeads, false, slot);
        const schedule = this.plan(wrapper, batch, cold, policies[name]);
        schedules.push(schedule);
        chains.push(await this.chain(wrapper, batch, cold, expected(schedule), TURN_NS));
      }
      const taken: number[][] = names.map(() => []);
      for (let sample = 0; sample < samples; sample++) {
        // Another one begins each time, so that none is always behind the same one.
        const order = names.map((_, i) => (i + sample) % names.length);
        const turns = await timeTurns(order.map((i) => chains[i]));
        for (const [turn, i] of order.entries()) taken[i].push(turns[turn].deviceNs);
      }
      return new Map(names.map((name, i) => [name, batchTime(schedules[i], taken[i])]));
    } finally {
      for (const chain of chains) chain.dispose();
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

function batchTime(schedule: Schedule, taken: readonly number[]): BatchTime {
  const ns = Float64Array.from(taken).sort();
  const medianNs = ns[ns.length >> 1];
  return { schedule, medianNs, minNs: ns[0], rangePct: (100 * (ns[ns.length - 1] - ns[0])) / medianNs };
}
