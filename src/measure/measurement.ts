/** What was measured: timings with their spread, rates, and the circumstances. Plain values; shown as a table with a strip. */
import type { Telemetry } from '../device/telemetry';
import { ascending, quantile, type Spread, spreadOf } from './statistics';

/** What a machine can do at most, as it was measured; see `measureRoof`. */
export interface Roof {
  /** Of a streaming read, GB/s (10⁹ bytes). */
  readonly readGbps: number;
  /** Of multiply-adds out of registers, TFLOP/s: bf16 `mma.sync` on a GPU, float32 on the CPU device. */
  readonly tflops: number;
}

/** Why a measurement ended. */
export type StoppedBy = 'precision' | 'time' | 'samples';

/** Everything that a {@link Measurement} is made of. */
export interface MeasurementFacts {
  readonly what: string;
  readonly mode: 'graph' | 'stream' | 'host';
  /** Name of the device. */
  readonly device: string;
  /** Nanoseconds a call, in the order taken. */
  readonly samplesNs: Float64Array;
  /** Host's time to enqueue: ns a replay (`graph`), ns a call (`stream`); empty for `host`. */
  readonly enqueueSamplesNs: Float64Array;
  readonly callsPerSample: number;
  readonly rotate: number;
  readonly precisionPct: number;
  readonly stoppedBy: StoppedBy;
  /** Moved by a call. */
  readonly bytes?: number;
  /** Computed by a call. */
  readonly flops?: number;
  readonly roof?: Roof;
  readonly telemetry?: { readonly before: Telemetry; readonly after: Telemetry };
}

/** Made by `measure`. Times are nanoseconds of the device, or of the host in mode `host`. */
export class Measurement {
  readonly what: string;
  readonly mode: 'graph' | 'stream' | 'host';
  readonly device: string;
  readonly samplesNs: Float64Array;
  readonly callsPerSample: number;
  readonly rotate: number;
  /** Half the median's 95 % confidence interval, percent of the median. */
  readonly precisionPct: number;
  readonly stoppedBy: StoppedBy;
  readonly bytes: number | undefined;
  readonly flops: number | undefined;
  readonly roof: Roof | undefined;
  readonly telemetry: { readonly before: Telemetry; readonly after: Telemetry } | undefined;
  /** Statistics of `samplesNs`. */
  readonly time: Spread;
  /** The host's time to enqueue a replay (`graph`) or a call (`stream`), ns; undefined for `host`. */
  readonly enqueue: Spread | undefined;

  constructor(facts: MeasurementFacts) {
    this.what = facts.what;
    this.mode = facts.mode;
    this.device = facts.device;
    this.samplesNs = facts.samplesNs;
    this.callsPerSample = facts.callsPerSample;
    this.rotate = facts.rotate;
    this.precisionPct = facts.precisionPct;
    this.stoppedBy = facts.stoppedBy;
    this.bytes = facts.bytes;
    this.flops = facts.flops;
    this.roof = facts.roof;
    this.telemetry = facts.telemetry;
    this.time = spreadOf(facts.samplesNs);
    this.enqueue = facts.enqueueSamplesNs.length > 0 ? spreadOf(facts.enqueueSamplesNs) : undefined;
  }

  get medianUs(): number {
    return this.time.median / 1e3;
  }

  get minUs(): number {
    return this.time.min / 1e3;
  }

  /** (p90 − p10) / median. */
  get spreadPct(): number {
    return this.time.spreadPct;
  }

  /** The time below which `percent` of the samples lie, ns. */
  percentile(percent: number): number {
    return quantile(ascending(this.samplesNs), percent / 100);
  }

  /** 10⁹ bytes a second at the median; undefined where `bytes` wasn't given. */
  get gbps(): number | undefined {
    return this.bytes === undefined ? undefined : this.bytes / this.time.median;
  }

  /** 10¹² operations a second at the median; undefined where `flops` wasn't given. */
  get tflops(): number | undefined {
    return this.flops === undefined ? undefined : this.flops / this.time.median / 1e3;
  }

  /** Share of the roof that the call comes closer to, 0 to 1; undefined without a roof, or without bytes and flops. */
  get shareOfRoof(): number | undefined {
    if (!this.roof || (this.gbps === undefined && this.tflops === undefined)) return undefined;
    return Math.max((this.gbps ?? 0) / this.roof.readGbps, (this.tflops ?? 0) / this.roof.tflops);
  }

  toString(): string {
    const rates = [
      this.gbps === undefined ? '' : `, ${this.gbps.toPrecision(4)} GB/s`,
      this.tflops === undefined ? '' : `, ${this.tflops.toPrecision(4)} TFLOP/s`,
    ].join('');
    return `Measurement(${this.what}: ${this.medianUs.toPrecision(4)} µs${rates}, ${this.time.count} samples, spread ${this.spreadPct.toFixed(1)} %)`;
  }
}
