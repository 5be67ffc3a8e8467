/** `warpbook calibrate`: measures what this machine's kernels cost, so that predictions are of it. */
import { SingleBar } from 'cli-progress';
import { Command, Option } from 'commander';
import { openDevice } from '../attention/open-device';
import { type CalibrateProgress, calibrateDevice } from '../lab/calibrate-run';
import { costTable } from './bench/cost-table';
import { deviceKind } from './device-kind';

const HELP = `
About 40 short measurements and a fit, less than a minute in all; nothing else should run on the device meanwhile. The result is
kept by GPU, driver and version of the kernels, where predictions for this device find it. docs/simulator.md says what is
measured and how.

Examples:
  warpbook calibrate
  warpbook calibrate --out h100.json      write it into a file too, for a laptop without a GPU
  warpbook calibrate --no-store --out …   and nowhere else`;

interface Flags {
  readonly device: 'auto' | 'cpu' | 'cuda';
  readonly out?: string;
  readonly store: boolean;
}

export function calibrateCommand(): Command {
  return new Command('calibrate')
    .summary("measure what this machine's kernels cost, for predictions")
    .description("Measure what this machine's kernels cost, for predictions.")
    .addHelpText('after', HELP)
    .addOption(new Option('-d, --device <kind>', 'device').choices(['auto', 'cpu', 'cuda']).default('auto'))
    .option('-o, --out <file>', 'write the calibration here too, as JSON')
    .option('--no-store', "don't keep it in the user's cache folder")
    .action(runCalibrate);
}

async function runCalibrate({ device: kind, out, store }: Flags): Promise<void> {
  const device = await openDevice(deviceKind(kind));
  const progress = progressBar(process.stderr);
  try {
    const { model, residuals, paths } = await calibrateDevice(device, { out, store, onProgress: progress.show });
    progress.stop();
    process.stdout.write(`${costTable(residuals).toText(process.stdout.columns ?? 120)}\n`);
    process.stdout.write(`${model.name}: fits ${model.fit?.measurements} measurements within ${model.fit?.meanPct} % `);
    process.stdout.write(`in the mean, ${model.fit?.worstPct} % at worst; kernels ${model.kernelHash}\n`);
    for (const path of paths) process.stderr.write(`wrote ${path}\n`);
  } finally {
    progress.stop();
    device.dispose();
  }
}

/** A bar on a terminal, a line for each measurement elsewhere. */
function progressBar(stream: NodeJS.WriteStream): { show(progress: CalibrateProgress): void; stop(): void } {
  if (!stream.isTTY) {
    return {
      show: ({ done, total, what }) => void stream.write(`${done}/${total} ${what}\n`),
      stop: () => undefined,
    };
  }
  const format = '{bar} {value}/{total} {what}';
  const bar = new SingleBar({ format, stream, hideCursor: true, clearOnComplete: true, barsize: 24, fps: 10 });
  let isRunning = false;
  return {
    show: ({ done, total, what }) => {
      if (!isRunning) bar.start(total, 0, { what });
      isRunning = true;
      bar.update(done, { what });
    },
    stop: () => {
      if (isRunning) bar.stop();
      isRunning = false;
    },
  };
}
