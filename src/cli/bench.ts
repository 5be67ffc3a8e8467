/** `warpbook bench`: what this machine makes of the rows of the results table. Parses and prints; bench/ measures. */
import { Command, Option } from 'commander';
import { openDevice } from '../attention/open-device';
import type { Device } from '../device/device';
import { onLabProgress } from '../lab/progress';
import { onMeasuring } from '../measure/progress';
import { type BenchCase, type CaseLists, policyByName, QUICK_ROWS, shapeCases, tableCases } from './bench/cases';
import { type BenchContext, type CommonFlags, openBench } from './bench/context';
import { benchDecode } from './bench/decode';
import { commandLine, list, number } from './bench/flags';
import { autoCommand, predictionCommand } from './bench/lab-commands';
import { benchPlan } from './bench/plan';
import { benchPrefill } from './bench/prefill';
import { resultTable } from './bench/report';
import { describeRun, type ResultRow, writeResultFile } from './bench/result-file';
import { benchStrategies, type StrategyFlags } from './bench/strategies';
import { benchTrace } from './bench/trace';
import { deviceKind } from './device-kind';
import { labBar, measuringBar } from './progress';

interface Flags extends CommonFlags {
  readonly out: string | false;
  readonly name?: string;
  readonly set?: 'table' | 'shapes';
  readonly rows?: readonly string[];
  readonly heads?: readonly string[];
  readonly headDim?: readonly string[];
  readonly page?: readonly string[];
  readonly layout?: readonly string[];
  readonly dtype?: readonly string[];
  readonly kvDtype?: readonly string[];
  readonly qo?: readonly string[];
  readonly policy: string;
  readonly kv?: readonly ('paged' | 'ragged')[];
  readonly mask?: readonly ('causal' | 'full')[];
  readonly pause: number;
}

const HELP = `
Calls rotate over random pages that no cache holds, are captured into one graph, and are timed by events; docs/measuring.md
says how. Rows are requests × tokens. Results go to --out as JSON, by GPU and date, or into one file where --out ends in .json.

Examples:
  warpbook bench decode --rows 1x1k,8x4k --heads 32/8
  warpbook bench decode --set shapes
  warpbook bench decode --torch python3             torch times each row on the same GPU right after
  warpbook bench prefill --rows 4x4k --kv ragged,paged
  warpbook bench plan --rows 32x1,128x1 --policy headGroups
  warpbook bench trace --rows 32x4k
  warpbook bench strategies --steps 1000 --batches 32,8
  warpbook bench auto --heads 32/8,64/2 --batches 30`;

/** Prompts that make 16k tokens in all. */
const PREFILL_ROWS: readonly string[] = ['32x512', '16x1k', '8x2k', '4x4k', '2x8k', '1x16k'];

export function benchCommand(): Command {
  const bench = new Command('bench')
    .summary('measure this machine')
    .description('Measure this machine.')
    .addHelpText('after', HELP);
  bench.addCommand(
    shared('decode', 'paged decode, beside floor and peers', 'headGroupsSpare')
      .addOption(new Option('--set <name>', 'rows to measure').choices(['table', 'shapes']).default('table'))
      .action((flags: Flags, command: Command) => runBench(flags, command, 'decode', decodeRows)),
  );
  bench.addCommand(
    shared('prefill', 'prefill, in TFLOP/s beside the peers', 'noSplit')
      .addOption(listOption('--kv <list>', 'paged, ragged', ['ragged', 'paged']))
      .addOption(listOption('--mask <list>', 'causal, full', ['causal']))
      .action((flags: Flags, command: Command) => runBench(flags, command, 'prefill', prefillRows)),
  );
  bench.addCommand(
    shared('plan', 'what a step costs the host: plan, run, replay').action((flags: Flags, command: Command) =>
      runBench(flags, command, 'plan', planRows),
    ),
  );
  bench.addCommand(
    new Command('strategies')
      .summary('ways to live with CUDA graphs, over a request trace')
      .description(
        'Measure the strategies side by side over a request trace; docs/graph-strategies.md reads the result.',
      )
      .addOption(new Option('-d, --device <kind>', 'device').choices(['auto', 'cpu', 'cuda']).default('auto'))
      .option('--steps <number>', 'decode steps', number)
      .option('--batches <list>', 'requests at the same time, one comparison each', list)
      .option('--layers <number>', 'layers of the model', number)
      .option('--max-kv <number>', 'tokens of a request at most; longer ones are left out', number)
      .option('--heads <list>', 'query heads / KV heads', list)
      .option('--head-dim <list>', 'head dim', list)
      .option(
        '--step-ms <number>',
        'what a step takes by the clock of arrivals (default 20; 0: requests always wait)',
        number,
      )
      .option('--trace <path>', 'a trace file or a folder with one (default: WARPBOOK_TRACES, else synthetic)')
      .option('-o, --out <path>', 'write the results here: a folder, or a file ending in .json', 'bench/results')
      .option('--no-out', 'write no file')
      .option('-q, --quick', 'fewer steps and batches')
      .action(runStrategies),
  );
  bench.addCommand(
    shared('trace', 'what the in-kernel timeline costs').action((flags: Flags, command: Command) =>
      runBench(flags, command, 'trace', traceRows),
    ),
  );
  bench.addCommand(predictionCommand());
  bench.addCommand(autoCommand());
  return bench;
}

/** @param policy the one that the figures of docs/kernels.md are of */
function shared(name: string, summary: string, policy = 'headGroups'): Command {
  return new Command(name)
    .summary(summary)
    .description(`Measure ${summary}.`)
    .addOption(new Option('-d, --device <kind>', 'device').choices(['auto', 'cpu', 'cuda']).default('auto'))
    .option('-r, --rows <list>', 'requests × tokens, such as 1x1k,8x4k,1x64k+31x512', list)
    .option('--heads <list>', 'query heads / KV heads, such as 32/8', list)
    .option('--head-dim <list>', 'head dims', list)
    .option('--page <list>', 'tokens a page', list)
    .option('--layout <list>', 'NHD, HND', list)
    .option('--dtype <list>', 'of queries', list)
    .option('--kv-dtype <list>', 'of keys and values: same, float8_e4m3fn, float8_e5m2', list)
    .option('--qo <list>', 'query tokens of a request', list)
    .option('--policy <name>', 'how batches are scheduled', policy)
    .option('--peers <file>', 'figures of others (default: those that come with warpbook for this GPU)')
    .option('--torch [python]', 'time torch on the same rows, with this interpreter')
    .option('-o, --out <path>', 'write the results here: a folder, or a file ending in .json', 'bench/results')
    .option('--no-out', 'write no file')
    .option('--name <name>', "what the file is called after its date (default: the bench's name)")
    .option('-q, --quick', 'fewer rows, less time for each')
    .option('--seconds <number>', 'time for a row at most', number)
    .option('--rotate-mb <number>', 'MiB to read before pages come round again', number)
    .addOption(
      new Option('--cold <what>', 'what no cache holds: kv, or all: schedule and page list too').choices(['kv', 'all']),
    )
    .option('--pause <ms>', 'idle time before a row, for a GPU to cool', number, 0);
}

/** A list with a default, which --help shows as it would be typed. */
function listOption(flags: string, description: string, standard: readonly string[]): Option {
  return new Option(flags, description).argParser(list).default(standard, standard.join(','));
}

/** Reads the flags at once, so that a wrong one is told before anything is measured; measures when it is asked for rows. */
type Rows = (flags: Flags) => (context: BenchContext) => AsyncGenerator<readonly ResultRow[]>;

/** Opens the device, measures the rows, prints and writes them. What was measured is told even if a later row fails. */
async function runBench(flags: Flags, command: Command, what: string, rowsOf: Rows): Promise<void> {
  const measureRows = rowsOf(flags);
  const device = await openDevice(deviceKind(flags.device));
  const bar = measuringBar(process.stderr);
  const unsubscribe = onMeasuring((progress) => bar.show(progress));
  let context: BenchContext | undefined;
  const rows: ResultRow[] = [];
  try {
    const python = (flags.torch as string | boolean | undefined) === true ? 'python3' : flags.torch;
    context = await openBench(device, { ...flags, torch: python });
    for await (const some of measureRows(context)) rows.push(...some);
  } finally {
    unsubscribe();
    bar.stop();
    context?.close();
    if (context && rows.length > 0) await tell(context, device, flags, command, what, rows);
    device.dispose();
  }
}

/** Has a device, but neither a roof nor peers. */
async function runStrategies(flags: StrategyFlags & Pick<Flags, 'device' | 'out'>, command: Command): Promise<void> {
  const device = await openDevice(deviceKind(flags.device));
  const before = await device.telemetry();
  const [measuring, comparing] = [measuringBar(process.stderr), labBar(process.stderr)];
  const unsubscribe = [onMeasuring((at) => measuring.show(at)), onLabProgress((at) => comparing.show(at))];
  const rows: ResultRow[] = [];
  try {
    for await (const some of benchStrategies(device, flags, (text) => process.stdout.write(`${text}\n\n`)))
      rows.push(...some);
  } finally {
    for (const stop of unsubscribe) stop();
    measuring.stop();
    comparing.stop();
    if (flags.out !== false && rows.length > 0) {
      const run = describeRun(device, commandLine(command), before, await device.telemetry());
      process.stderr.write(`wrote ${writeResultFile(flags.out, device, 'strategies', { ...run, rows })}\n`);
    }
    device.dispose();
  }
}

async function tell(
  context: BenchContext,
  device: Device,
  flags: Flags,
  command: Command,
  what: string,
  rows: ResultRow[],
): Promise<void> {
  const { shape, table } = resultTable(rows);
  const width = process.stdout.columns ?? 200;
  process.stdout.write(`${what} on ${device.description.name}\n${shape}; peers in µs\n${table.toText(width)}\n`);
  if (flags.out === false) return;
  const said = commandLine(command);
  const run = describeRun(device, said, context.before, await device.telemetry());
  const { readGbps, tflops } = context.roof;
  const torch = context.torch?.versions;
  const name = flags.name ?? (flags.set === 'shapes' ? `${what}-shapes` : what);
  const path = writeResultFile(flags.out, device, name, { ...run, roof: { readGbps, tflops }, torch, rows });
  process.stderr.write(`wrote ${path}\n`);
}

function lists(flags: Flags, rows: readonly string[] | undefined): Partial<CaseLists> {
  const { heads, headDim, page, layout, dtype, kvDtype, qo } = flags;
  const given = { rows: flags.rows ?? rows, heads, headDim, page, layout, dtype, kvDtype, qoLen: qo };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

const decodeRows: Rows = (flags) => {
  const given = lists(flags, flags.quick ? QUICK_ROWS : undefined);
  const cases = flags.set === 'shapes' ? shapeCases(given) : tableCases(given);
  const options = { policy: policyByName(flags.policy), policyName: flags.policy, pauseMs: flags.pause };
  return async function* (context) {
    for (const bench of cases) yield [await announced(context, bench, () => benchDecode(context, bench, options))];
  };
};

const prefillRows: Rows = (flags) => {
  const given = lists({ ...flags, heads: flags.heads ?? ['32/8'] }, flags.quick ? ['16x1k', '4x4k'] : PREFILL_ROWS);
  const options = { policy: policyByName(flags.policy), policyName: flags.policy, pauseMs: flags.pause };
  const cases = (flags.mask ?? []).flatMap((mask) =>
    (flags.kv ?? []).flatMap((kv) => tableCases(given).map((bench) => ({ kv, ...bench, causal: mask === 'causal' }))),
  );
  return async function* (context) {
    for (const { kv, ...bench } of cases) {
      yield [await announced(context, bench, () => benchPrefill(context, bench, { ...options, kv }))];
    }
  };
};

const planRows: Rows = (flags) => {
  const given = lists({ ...flags, heads: flags.heads ?? ['32/8'] }, flags.quick ? ['32x1'] : ['32x1', '128x1']);
  const cases = tableCases(given);
  policyByName(flags.policy);
  return async function* (context) {
    for (const bench of cases) yield await benchPlan(context, bench, flags.policy);
  };
};

const traceRows: Rows = (flags) => {
  const rows = flags.quick ? ['8x4k'] : ['8x4k', '32x4k', '1x64k+31x512'];
  const cases = tableCases(lists({ ...flags, heads: flags.heads ?? ['32/8'] }, rows));
  const policy = policyByName(flags.policy);
  return async function* (context) {
    for (const bench of cases) {
      yield [await announced(context, bench, () => benchTrace(context, bench, policy, flags.policy))];
    }
  };
};

/** One line a row for whoever reads a log. */
async function announced(context: BenchContext, bench: BenchCase, run: () => Promise<ResultRow>): Promise<ResultRow> {
  const row = await run();
  const { numQoHeads, numKvHeads, headDim, pageSize, layout, kvDtype, qoLen } = bench;
  const rate = row.gbps === undefined ? `${row.tflops} TFLOP/s` : `${row.gbps} GB/s`;
  const peers = Object.entries(row.peers).map(([name, us]) => `${name} ${us}`);
  context.say(
    `${row.what} ${numQoHeads}/${numKvHeads}×${headDim} page ${pageSize} ${layout} ${kvDtype} q${qoLen}: ${row.medianUs} µs ± ${row.spreadPct} %, ` +
      `${rate}, floor ${row.floorUs} µs${peers.length > 0 ? `; ${peers.join(', ')}` : ''}`,
  );
  return row;
}
