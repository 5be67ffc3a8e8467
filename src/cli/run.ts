/** `warpbook run`: notebooks from top to bottom, several at once where they may, for people and for CI. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { WarpbookError } from '../errors';
import { writeNotebook } from '../notebook/run/notebook-file';
import { type Parameters, parseParameter } from '../notebook/run/parameters';
import { failureText, type NotebookReport, outputText } from '../notebook/run/report';
import { runNotebook } from '../notebook/run/run-notebook';
import { inOrder } from './in-order';
import type { JUnitReport } from './junit';
import { makeProgress, type RunProgress } from './progress';

interface Flags {
  readonly out?: string;
  readonly writeBack?: boolean;
  readonly html?: boolean;
  readonly print?: boolean;
  readonly junit?: string;
  readonly parameter?: Parameters;
  readonly anyKernel?: boolean;
  readonly timeout: number;
  readonly cellTimeout?: number;
  readonly jobs?: number;
}

/** What a notebook came to: its report, or why it could not be run. */
type Outcome = { readonly report: NotebookReport } | { readonly error: WarpbookError };

/** Kernels take a few hundred megabytes each. */
const MAX_JOBS = 8;

const HELP = `
Runs each notebook from its first cell to its last in a kernel of its own; neither Jupyter nor Python is needed.
A notebook fails on the first cell that fails, on an exception or a rejection that nobody caught (also one that
comes after its cell has ended), on a timeout, and when its kernel dies. The next notebook is run all the same.

Cell tags: 'skip-execution' (not run), 'raises-exception' (must fail), 'gpu' (skipped where there is no GPU),
'parameters' (declares the defaults of what -p sets). A cell's or a notebook's metadata.execution.timeout is its
limit in seconds.

Parameters: a value that reads as JSON is that value, all else is text. They are declared in a cell of their own
behind the one tagged 'parameters', as papermill does.

Several notebooks run side by side, one for each core (at most ${MAX_JOBS}), and are told of in the order in which they were
named. On a GPU (WARPBOOK_DEVICE=cuda) they run one after the other, so that they don't disturb each other's times;
so they do anywhere with --jobs 1.

Exit codes: 0 every notebook ran well, 1 a notebook failed or could not be read, 2 wrong usage.

Examples:
  warpbook run notebooks/01-first-decode.ipynb --out out --html --print
  warpbook run notebooks/*.ipynb --cell-timeout 60 --junit report.xml
  warpbook run sweep.ipynb -p batch=64 -p dtype=bfloat16 --write-back`;

export function runCommand(): Command {
  return new Command('run')
    .summary('run notebooks headless')
    .description('Run notebooks headless.')
    .argument('<notebook...>', 'notebook files (.ipynb)')
    .option('-o, --out <dir>', 'write the notebooks with their outputs into this folder')
    .option('--write-back', 'write the outputs into the notebooks themselves')
    .option('--html', 'write each as one self-contained HTML page too (beside what --out or --write-back writes)')
    .option('--print', 'print what the cells print, and their results as text')
    .option('--junit <file>', 'write a JUnit report: a suite for each notebook, a case for each cell')
    .option('-p, --parameter <name=value>', 'set a parameter; may be repeated', collectParameter)
    .option('--any-kernel', 'run notebooks whose metadata name another kernel too')
    .option('--timeout <seconds>', 'limit for a notebook', parseSeconds, 600)
    .option('--cell-timeout <seconds>', 'limit for a cell (default: what is left of --timeout)', parseSeconds)
    .option('-j, --jobs <number>', 'notebooks that run at once (default: as many as cores; on a GPU 1)', parseJobs)
    .addHelpText('after', HELP)
    .action(runAll);
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (!(seconds > 0) || !Number.isFinite(seconds))
    throw new InvalidArgumentError('Wanted a number of seconds above 0.');
  return seconds;
}

function parseJobs(text: string): number {
  const jobs = Number(text);
  if (!Number.isInteger(jobs) || jobs < 1) throw new InvalidArgumentError('Wanted a whole number from 1.');
  return jobs;
}

function defaultJobs(): number {
  return process.env.WARPBOOK_DEVICE === 'cuda' ? 1 : Math.min(availableParallelism(), MAX_JOBS);
}

function collectParameter(text: string, earlier: Parameters = {}): Parameters {
  try {
    const [name, value] = parseParameter(text);
    return { ...earlier, [name]: value };
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

async function runAll(paths: readonly string[], flags: Flags, command: Command): Promise<void> {
  if (flags.html && flags.out === undefined && !flags.writeBack)
    command.error('error: --html needs --out <dir> or --write-back: the page goes beside the notebook written there');
  const names = paths.map((path) => basename(path, '.ipynb'));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (flags.out !== undefined && twice !== undefined) {
    command.error(`error: two notebooks are named '${twice}'; with --out each needs a name of its own`);
  }
  // Loaded for who asks.
  const junit = flags.junit === undefined ? undefined : new (await import('./junit.js')).JUnitReport();
  const stop = new AbortController();
  let wasStopped = false;
  const interrupted = (): void => {
    wasStopped = true;
    stop.abort();
  };
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  const progress = makeProgress(paths, process.stderr);
  let ended = 0;
  let failed = 0;
  try {
    await inOrder(paths, flags.jobs ?? defaultJobs(), {
      run: (path) => (stop.signal.aborted ? undefined : runOne(path, flags, stop.signal, progress)),
      conclude: async (path, outcome) => {
        if (!outcome) return;
        ended += 1;
        if (!(await conclude(path, outcome, flags, progress, junit))) failed += 1;
      },
    });
  } finally {
    // A mistake in the call ends the command; the other kernels' work is of no use then.
    progress.stop();
    stop.abort();
    process.removeListener('SIGINT', interrupted).removeListener('SIGTERM', interrupted);
  }
  if (junit && flags.junit !== undefined) junit.write(flags.junit);
  if (paths.length > 1) process.stderr.write(`${ended - failed} of ${paths.length} notebooks ran well.\n`);
  if (failed > 0 || ended < paths.length || wasStopped) process.exitCode = 1;
}

async function runOne(path: string, flags: Flags, signal: AbortSignal, progress: RunProgress): Promise<Outcome> {
  try {
    const { timeout: timeoutS, cellTimeout: cellTimeoutS, parameter: parameters, anyKernel } = flags;
    const onEvent = progress.show.bind(progress, path);
    return { report: await runNotebook(path, { timeoutS, cellTimeoutS, parameters, anyKernel, signal, onEvent }) };
  } catch (error) {
    // What the user asked for is wrong, not the notebook.
    if (!(error instanceof WarpbookError) || error.code === 'INVALID_ARGUMENT') throw error;
    return { error };
  }
}

/** Tells of a notebook and writes what was asked for; whether it ran well. */
async function conclude(
  path: string,
  outcome: Outcome,
  flags: Flags,
  progress: RunProgress,
  junit?: JUnitReport,
): Promise<boolean> {
  if ('error' in outcome) {
    const { message } = outcome.error;
    progress.conclude(path, () => process.stderr.write(`FAILED ${message}\n`));
    junit?.addError(path, message);
    return false;
  }
  const { report } = outcome;
  junit?.add(report);
  const written: string[] = [];
  // A failed notebook is written as well: its outputs say more than the message.
  if (flags.out !== undefined) written.push(...(await writeOutputs(report, flags.out, flags.html === true)));
  if (flags.writeBack) written.push(...(await writeOutputs(report, dirname(path), flags.html === true)));
  progress.conclude(path, () => {
    if (flags.print) process.stdout.write(outputText(report.notebook));
    for (const file of written) process.stderr.write(`wrote ${file}\n`);
    const seconds = (report.durationMs / 1000).toFixed(1);
    if (report.failure) process.stderr.write(`FAILED ${failureText(path, report.failure)}\n`);
    else process.stderr.write(`ok ${path}: ${report.cells.length} cells in ${seconds} s\n`);
  });
  return report.ok;
}

/** @returns the files that were written. */
async function writeOutputs(report: NotebookReport, folder: string, html: boolean): Promise<string[]> {
  mkdirSync(folder, { recursive: true });
  const name = basename(report.path, '.ipynb');
  const file = join(folder, `${name}.ipynb`);
  writeNotebook(file, report.notebook);
  if (!html) return [file];
  const { renderNotebookHtml } = await import('../display/html.js');
  const page = join(folder, `${name}.html`);
  writeFileSync(page, await renderNotebookHtml(report.notebook));
  return [file, page];
}
