/** What the benches share: the host, robust statistics, and the result files. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Summary {
  medianUs: number;
  minUs: number;
  p90Us: number;
  /** (p90 − p10) / median, percent. */
  spreadPct: number;
  samples: number;
}

/** Median, minimum and spread of microseconds. */
export function summarize(us: readonly number[]): Summary {
  const sorted = Float64Array.from(us).sort();
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  const round = (value: number): number => Number(value.toPrecision(4));
  return {
    medianUs: round(at(0.5)),
    minUs: round(sorted[0]),
    p90Us: round(at(0.9)),
    spreadPct: round(((at(0.9) - at(0.1)) / at(0.5)) * 100),
    samples: sorted.length,
  };
}

/** Processor, threads and Node of this run. */
export function describeHost(): { cpu: string; threads: number; node: string } {
  return { cpu: cpus()[0].model.trim(), threads: cpus().length, node: process.version };
}

/** Writes bench/results/<machine>/<date>-<what>.json and prints the rows. */
export async function writeResults(
  machine: string,
  what: string,
  command: string,
  result: { rows: readonly object[] } & Record<string, unknown>,
): Promise<void> {
  const date = new Date().toISOString().slice(0, 10);
  const file = join(dirname(fileURLToPath(import.meta.url)), 'results', machine, `${date}-${what}.json`);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify({ date, command, ...result }, undefined, 1)}\n`);
  console.table(result.rows);
  console.log(`wrote ${file}`);
}
