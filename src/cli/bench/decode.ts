/** `warpbook bench decode`: paged decode over cold pages, beside the floor and the peers. One row after another. */
import { WarpbookError } from '../../errors';
import type { Measured } from '../../measure/chain';
import { measure } from '../../measure/measure';
import type { Measurement } from '../../measure/measurement';
import type { Policy } from '../../schedule/schedule';
import type { BenchCase } from './cases';
import type { BenchContext } from './context';
import { type DecodeOperands, makeOperands } from './operands';
import { decodePeers } from './peers';
import type { ResultRow } from './result-file';

export interface DecodeBenchOptions {
  readonly policy: Policy | undefined;
  readonly policyName: string;
  /** Longest idle time before a row, ms: a GPU that has just been hot is slower. */
  readonly pauseMs: number;
}

/** Measures one row, and torch right after it. @throws WarpbookError as `measure` and BatchDecode */
export async function benchDecode(
  context: BenchContext,
  bench: BenchCase,
  options: DecodeBenchOptions,
): Promise<ResultRow> {
  const { device, roof, maxSeconds } = context;
  const operands = await makeOperands(device, bench, options.policy, context.rotation);
  let measured: Measurement;
  try {
    await new Promise((resume) => setTimeout(resume, options.pauseMs));
    measured = await measure(decodeCalls(operands), {
      device,
      what: bench.what,
      rotate: operands.sets.length,
      bytes: operands.bytes,
      roof,
      maxSeconds,
      precisionPct: 0.25,
    });
    await requireNumbers(operands, bench);
  } finally {
    operands.dispose();
  }
  const floorUs = await context.floorUs(operands.bytes);
  const ofThisRun = await sameRun(context, bench);
  return {
    ...shapeOf(bench),
    policy: options.policyName,
    sets: operands.sets.length,
    cold: context.rotation.cold,
    ...timesOf(measured),
    gbps: round(measured.gbps as number),
    floorUs: round(floorUs),
    peers: { ...decodePeers(context.peers, bench), ...ofThisRun },
    peersOfThisRun: Object.keys(ofThisRun),
  };
}

/** A call for each operand set. */
export function decodeCalls({ sets, q, out, lse }: DecodeOperands): Measured {
  return (i) => void sets[i].wrapper.run(q, sets[i].cache, { out, lse });
}

/** What a row says of its shape. */
export interface RowShape {
  readonly what: string;
  readonly batch: number;
  readonly kvLen: number;
  readonly numQoHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly pageSize: number;
  readonly layout: string;
  readonly dtype: string;
  readonly kvDtype: string;
  readonly qoLen: number;
}

export function shapeOf(bench: BenchCase): RowShape {
  const { what, kvLens, numQoHeads, numKvHeads, headDim, pageSize, layout, dtype, kvDtype, qoLen } = bench;
  const shape = { what, batch: kvLens.length, kvLen: Math.max(...kvLens), numQoHeads, numKvHeads, headDim, pageSize };
  return { ...shape, layout, dtype, kvDtype, qoLen };
}

/** What a row says of its time, and how it came about. */
export interface RowTimes {
  readonly medianUs: number;
  readonly minUs: number;
  readonly spreadPct: number;
  /** Half the median's 95 % interval, percent. */
  readonly precisionPct: number;
  readonly samples: number;
  readonly callsPerSample: number;
  readonly stoppedBy: string;
  /** Before and after, where the device tells. */
  readonly smClockMhz?: readonly (number | undefined)[];
}

export function timesOf(measured: Measurement): RowTimes {
  const { telemetry, time, precisionPct, callsPerSample, stoppedBy } = measured;
  return {
    medianUs: round(measured.medianUs),
    minUs: round(measured.minUs),
    spreadPct: round(measured.spreadPct),
    precisionPct: round(precisionPct),
    samples: time.count,
    callsPerSample,
    stoppedBy,
    ...(telemetry ? { smClockMhz: [telemetry.before.smClockMhz, telemetry.after.smClockMhz] } : {}),
  };
}

/** Four significant digits and more: finer than any spread. */
export function round(value: number): number {
  return Number.isFinite(value) ? Number(value.toPrecision(5)) : value;
}

/** Torch's times of the same row, where there is torch and it can do the row: plain decode, all lengths equal. */
async function sameRun(context: BenchContext, bench: BenchCase): Promise<Readonly<Record<string, number>>> {
  const { kvLens, qoLen, dtype, kvDtype, numQoHeads, numKvHeads, headDim } = bench;
  if (!context.torch || qoLen !== 1 || dtype !== kvDtype || new Set(kvLens).size !== 1) return {};
  return context.torch.time({
    op: 'decode',
    batch: kvLens.length,
    kvLen: kvLens[0],
    numQoHeads,
    numKvHeads,
    headDim,
    dtype,
    causal: false,
    rotatedBytes: context.rotation.rotatedBytes,
  });
}

/** A time of a kernel that computed nothing is none. */
async function requireNumbers({ out }: DecodeOperands, bench: BenchCase): Promise<void> {
  const values = Array.from(await out.data(), Number);
  const wrong = values.find((value) => !Number.isFinite(value));
  if (wrong === undefined && values.some((value) => value !== 0)) return;
  throw new WarpbookError(
    'NATIVE',
    `The output of ${bench.what} holds ${wrong ?? 'nothing but 0'}; wanted numbers. The kernel is wrong, and its time is worth nothing.`,
  );
}
