/** The commands `warpbook bench prediction` and `warpbook bench auto`: their flags, what they print and write. */
import { Command, Option } from 'commander';
import { openDevice } from '../../attention/open-device';
import { table } from '../../display/table';
import { deviceKind } from '../device-kind';
import { benchAuto } from './auto';
import { parsePair } from './cases';
import type { CommonFlags } from './context';
import { commandLine, list, number } from './flags';
import { benchPrediction } from './prediction';
import { describeRun, writeResultFile } from './result-file';

/** Of the batches, unless told otherwise; below 100,000 are those that the model was developed with. */
const PREDICTION_SEED = 500_000;
const AUTO_SEED = 700_000;

/** What a prediction bench is told. */
interface PredictionFlags extends CommonFlags {
  readonly device: 'auto' | 'cpu' | 'cuda';
  readonly traces?: string;
  readonly calibration?: string;
  readonly batches: number;
  readonly prefill: number;
  readonly seed: number;
  readonly ends?: boolean;
  readonly out: string | false;
}

export function predictionCommand(): Command {
  return new Command('prediction')
    .summary('predicted beside measured times of batches from request traces')
    .description('Calibrate, then predict and measure batches from request traces under several policies.')
    .addOption(new Option('-d, --device <kind>', 'device').choices(['auto', 'cpu', 'cuda']).default('auto'))
    .option('--traces <folder>', 'Azure and Mooncake traces (default: WARPBOOK_TRACES)')
    .option('--calibration <file>', 'judge this one (default: calibrate now)')
    .option('--batches <number>', 'decode batches of each trace, concurrency and number of heads', number, 7)
    .option('--prefill <number>', 'prefill and mixed batches', number, 44)
    .option('--seed <number>', 'draws other batches', number, PREDICTION_SEED)
    .option('--ends', 'keep the measured ends of CTAs')
    .option('--seconds <number>', 'stop after so long, with what there is', number, 300)
    .option('-o, --out <path>', 'write the results here: a folder, or a file ending in .json', 'bench/results')
    .option('--no-out', 'write no file')
    .action(runPrediction);
}

async function runPrediction(flags: PredictionFlags, command: Command): Promise<void> {
  const device = await openDevice(deviceKind(flags.device));
  try {
    const before = await device.telemetry();
    const say = (line: string): void => void process.stderr.write(`${line}\n`);
    const { traces, calibration, batches, prefill, seed, seconds, ends } = flags;
    const maxSeconds = seconds ?? 300;
    const result = await benchPrediction(device, say, {
      traces,
      calibration,
      batches,
      prefillBatches: prefill,
      seed,
      maxSeconds,
      ends,
    });
    const { rows, model, summary, summaries } = result;
    process.stdout.write(`${JSON.stringify({ all: summary, ...summaries }, undefined, 1)}\n`);
    if (flags.out === false) return;
    const run = describeRun(device, commandLine(command), before, await device.telemetry());
    const path = writeResultFile(flags.out, device, 'prediction', {
      ...run,
      summary,
      summaries,
      failures: result.failures,
      calibration: result.calibration,
      model,
      rows: [...rows],
    });
    process.stderr.write(`wrote ${path}\n`);
  } finally {
    device.dispose();
  }
}

/** What an auto bench is told. */
interface AutoFlags {
  readonly device: 'auto' | 'cpu' | 'cuda';
  readonly traces?: string;
  readonly calibration?: string;
  readonly heads: readonly string[];
  readonly concurrency: readonly string[];
  readonly batches: number;
  readonly seed: number;
  readonly seconds: number;
  readonly out: string | false;
}

export function autoCommand(): Command {
  return new Command('auto')
    .summary("the policy that 'auto' chooses beside every single one, over batches of a request trace")
    .description(
      "Measure decode batches of a request trace under every single policy and under 'auto', in turns; docs/simulator.md reads the result.",
    )
    .addOption(new Option('-d, --device <kind>', 'device').choices(['auto', 'cpu', 'cuda']).default('auto'))
    .option('--traces <path>', 'Azure conversations, or a folder with them (default: WARPBOOK_TRACES)')
    .option('--calibration <file>', "what 'auto' scores by (default: the device's)")
    .option('--heads <list>', 'query heads / KV heads', list, ['32/8', '64/8', '64/2'])
    .option('--concurrency <list>', 'requests at the same time', list, ['8', '32', '128'])
    .option('--batches <number>', 'batches of each', number, 30)
    .option('--seed <number>', 'draws other batches', number, AUTO_SEED)
    .option('--seconds <number>', 'stop after so long, with what there is', number, 300)
    .option('-o, --out <path>', 'write the results here: a folder, or a file ending in .json', 'bench/results')
    .option('--no-out', 'write no file')
    .action(runAuto);
}

async function runAuto(flags: AutoFlags, command: Command): Promise<void> {
  const device = await openDevice(deviceKind(flags.device));
  try {
    const before = await device.telemetry();
    const say = (line: string): void => void process.stderr.write(`${line}\n`);
    const { traces, calibration, batches, seed, seconds } = flags;
    const result = await benchAuto(device, say, {
      traces,
      calibration,
      heads: flags.heads.map(parsePair),
      concurrencies: flags.concurrency.map(number),
      batches,
      seed,
      maxSeconds: seconds,
    });
    const { rows, ...rest } = result;
    for (const [what, { meanUs, ...summary }] of Object.entries(result.summaries)) {
      const means = Object.entries(meanUs).sort((a, b) => a[1] - b[1]);
      process.stdout.write(`${what}\n${table(means.map(([policy, us]) => ({ policy, 'mean µs': us }))).toText(80)}\n`);
      process.stdout.write(`${JSON.stringify({ ...summary, idlePct: result.idlePct[what] })}\n\n`);
    }
    if (flags.out === false) return;
    const run = describeRun(device, commandLine(command), before, await device.telemetry());
    process.stderr.write(`wrote ${writeResultFile(flags.out, device, 'auto', { ...run, ...rest, rows: [...rows] })}\n`);
  } finally {
    device.dispose();
  }
}
