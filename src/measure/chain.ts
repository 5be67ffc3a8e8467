/**
 * Many calls as one piece of work whose length the clock sees well: captured into a graph, so that no launch waits for the
 * host, or enqueued one by one. Hides how a turn is timed; knows no statistics.
 */
import type { Device } from '../device/device';
import type { Stream } from '../device/stream';
import { WarpbookError } from '../errors';
import { capture } from '../graph/capture';
import type { Graph } from '../graph/graph';
import type { GraphExec } from '../graph/graph-exec';

/** What is measured: enqueues its work, for operand set `i` of those that rotate. */
export type Measured = (i: number) => void;

/** How calls become a turn; see {@link makeChain}. */
export interface ChainOptions {
  /** `graph`: captured and replayed; `stream`: enqueued call by call, launch gaps included. */
  readonly mode: 'graph' | 'stream';
  /** Operand sets; calls take them in turn. */
  readonly rotate: number;
  /** Wanted length of a turn, ns. */
  readonly turnNs: number;
  /** Calls of a turn; default: by its length. */
  readonly calls?: number;
}

/** A turn's times. */
export interface TurnTime {
  /** Of the device, ns a call. */
  readonly deviceNs: number;
  /** Of the host to enqueue the turn, ns: a replay, or all its calls. */
  readonly enqueueNs: number;
}

/** Most calls of a turn: more only make graphs that take long to capture. */
const MAX_CALLS = 1024;
/** Calls that are timed first, to learn how many a turn needs. */
const PROBE_CALLS = 8;
/** A turn may fall short of the wanted length by this factor before it is made longer. */
const SHORTFALL = 0.6;
const MAX_ATTEMPTS = 3;

/** Calls that run as one. Made by {@link makeChain}. */
export class Chain {
  private readonly exec: GraphExec | undefined;

  constructor(
    readonly stream: Stream,
    readonly calls: number,
    private readonly fn: Measured,
    private readonly rotate: number,
    private readonly graph: Graph | undefined,
  ) {
    this.exec = graph?.instantiate();
  }

  /** Enqueues a turn. */
  enqueue(): void {
    if (this.exec) this.exec.replay(this.stream);
    else for (let i = 0; i < this.calls; i++) this.fn(i % this.rotate);
  }

  dispose(): void {
    this.exec?.dispose();
    this.graph?.dispose();
  }
}

/**
 * Times turns of chains on one stream, in order, back to back: the first one runs once more ahead, untimed, so that the
 * device is busy while the host enqueues, and no turn waits for it.
 */
export async function timeTurns(turns: readonly Chain[]): Promise<TurnTime[]> {
  const { stream } = turns[0];
  turns[0].enqueue();
  const marks = [stream.record()];
  const enqueueNs: number[] = [];
  for (const turn of turns) {
    const before = process.hrtime.bigint();
    turn.enqueue();
    enqueueNs.push(Number(process.hrtime.bigint() - before));
    marks.push(stream.record());
  }
  try {
    const elapsed = await Promise.all(turns.map((_, i) => marks[i + 1].elapsedSinceNs(marks[i])));
    return turns.map((turn, i) => ({ deviceNs: elapsed[i] / turn.calls, enqueueNs: enqueueNs[i] }));
  } finally {
    for (const mark of marks) mark.dispose();
  }
}

/**
 * Warms `fn` up and makes a chain of it whose turn is about as long as wanted.
 * @throws WarpbookError INVALID_ARGUMENT where a call enqueues no work; whatever `fn` throws, CAPTURE_FORBIDDEN included
 */
export async function makeChain(device: Device, stream: Stream, fn: Measured, options: ChainOptions): Promise<Chain> {
  const { mode, rotate, turnNs } = options;
  const make = (calls: number): Chain => {
    const graph =
      mode === 'graph'
        ? capture(
            device,
            () => {
              for (let i = 0; i < calls; i++) fn(i % rotate);
            },
            { stream },
          )
        : undefined;
    if (graph?.size === 0) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `Got a function to measure that enqueues nothing on stream '${stream.label}'; wanted work there. To time the host, use { mode: 'host' }.`,
      );
    }
    return new Chain(stream, calls, fn, rotate, graph);
  };

  for (let i = 0; i < Math.min(rotate, PROBE_CALLS); i++) fn(i);
  await stream.synchronize();
  if (options.calls !== undefined) return make(options.calls);
  const probe = new Chain(stream, PROBE_CALLS, fn, rotate, undefined);
  const [{ deviceNs }] = await timeTurns([probe]);

  let calls = callsFor(turnNs / deviceNs, rotate);
  for (let attempt = 1; ; attempt++) {
    const chain = make(calls);
    const [probed] = await timeTurns([chain]);
    // Alone, a short kernel waits for its launch; in the chain it doesn't, and more of them fit.
    const wanted = callsFor(turnNs / probed.deviceNs, rotate);
    if (attempt === MAX_ATTEMPTS || calls >= SHORTFALL * wanted) return chain;
    chain.dispose();
    calls = wanted;
  }
}

/** Whole rotations, at least one, and at least two calls. */
function callsFor(wanted: number, rotate: number): number {
  const bounded = Math.min(MAX_CALLS, Math.max(2, wanted || 2));
  return Math.max(1, Math.round(bounded / rotate)) * rotate || rotate;
}
