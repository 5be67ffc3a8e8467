/**
 * `./warpbook sanitize [tool …]`: compute-sanitizer over small cases that launch every kernel (test/device/sanitize-cases). Tools are
 * memcheck, synccheck, initcheck, racecheck, or all (the default). Exit code 0: every tool ended without a finding, every case
 * passed, and every kernel that is built ahead had a case.
 *
 *   --minutes 8         time for all tools together; what doesn't end in it fails
 *   --jobs N            processes at once (default: half of the processors, 8 at most); each tool's cases are dealt out to as many
 *   --out FOLDER        keeps each process's output and report.json (default: a temporary folder)
 *   --case PATTERN      cases whose name has this in it; may be repeated. Whether every kernel has a case isn't asked then
 *
 * COMPUTE_SANITIZER names the program where it is neither in CUDA_HOME nor on the path.
 */
import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { parseArgs } from 'node:util';

const ROOT = join(import.meta.dirname, '..');
const TOOLS = ['memcheck', 'synccheck', 'initcheck', 'racecheck'];
const FINDING_EXIT_CODE = 86;
const SLOWEST = 5;

/** What a tool is told beyond its name. */
const TOOL_OPTIONS = {
  // Driver calls that fail are none of its business: each is checked where it is made, and some are asked until they fail.
  memcheck: ['--leak-check', 'no', '--report-api-errors', 'no'],
  racecheck: ['--racecheck-report', 'all'],
  initcheck: [],
  synccheck: [],
};

function findSanitizer() {
  const { COMPUTE_SANITIZER, CUDA_HOME, CUDA_PATH, PATH = '' } = process.env;
  const homes = [CUDA_HOME, CUDA_PATH, '/usr/local/cuda'].filter(Boolean);
  const candidates = [
    ...homes.flatMap((home) => [join(home, 'bin'), join(home, 'compute-sanitizer')]),
    ...PATH.split(delimiter),
  ].map((folder) => join(folder, 'compute-sanitizer'));
  const found = COMPUTE_SANITIZER || candidates.find((path) => existsSync(path));
  if (found) return found;
  throw new Error(
    'Got no compute-sanitizer on the path, in CUDA_HOME or in /usr/local/cuda; wanted the one of the CUDA toolkit. Set COMPUTE_SANITIZER to its path.',
  );
}

/** Runs a tool over a part of the cases; answers with how it ended and what it said, which also goes into a file. */
function runPart(sanitizer, { tool, part, parts, log }, cases, patterns, timeoutMs) {
  const options = [
    '--tool',
    tool,
    ...TOOL_OPTIONS[tool],
    '--error-exitcode',
    String(FINDING_EXIT_CODE),
    '--print-limit',
    '50',
  ];
  const split = parts > 1 ? ['--part', `${part}/${parts}`] : [];
  const child = spawn(sanitizer, [...options, process.execPath, cases, ...split, ...patterns], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // a group of its own, so that a timeout ends the tool's children too
    env: { ...process.env, WARPBOOK_DEVICE: 'cuda', WARPBOOK_SANITIZER: tool },
  });
  const file = createWriteStream(log);
  child.stdout.pipe(file, { end: false });
  child.stderr.pipe(file, { end: false });
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    process.kill(-child.pid, 'SIGKILL');
  }, timeoutMs);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      file.end(() => resolve({ tool, log, code, signal, timedOut, output: readFileSync(log, 'utf8') }));
    });
  });
}

/** What a tool's own last line counts; undefined where it never came so far. */
function findingsOf(output) {
  const errors = /ERROR SUMMARY: (\d+) errors?/.exec(output);
  if (errors) return Number(errors[1]);
  const hazards = /RACECHECK SUMMARY: (\d+) hazards? displayed \((\d+) errors?, (\d+) warnings?\)/.exec(output);
  return hazards ? Number(hazards[2]) + Number(hazards[3]) : undefined;
}

function verdictOf({ code, signal, timedOut, output }) {
  const findings = findingsOf(output);
  if (timedOut) return 'did not end in time';
  if (findings === undefined) return `ended (${signal ?? `exit code ${code}`}) without a summary`;
  if (findings > 0) return `${findings} findings`;
  if (code !== 0) return `no finding, but the cases failed (${signal ?? `exit code ${code}`})`;
  return 'no finding';
}

/** Cases that ended, with seconds and kernels, out of the lines of sanitize-cases. */
function casesOf(output) {
  const lines = output.matchAll(/^\d+\/\d+ (.*) \((\d+\.\d+) s\):(.*)$/gm);
  return [...lines].map(([, name, seconds, kernels]) => ({
    name,
    seconds: Number(seconds),
    kernels: kernels.split(' ').filter(Boolean),
  }));
}

/** Kernels that no part of a tool's cases launched. */
function missedBy(runs) {
  const [first, ...others] = runs.map(({ output }) => (/^not launched: (.*)$/m.exec(output)?.[1] ?? '').split(' '));
  return first.filter((name) => name !== '' && others.every((names) => names.includes(name)));
}

/** Prints what came of a tool; answers with its part of the report. */
function summarize(tool, runs, seconds, every) {
  const verdicts = runs.map((run) => ({ ...run, verdict: run.notRun ?? verdictOf(run) }));
  const bad = verdicts.filter(({ verdict }) => verdict !== 'no finding');
  const cases = runs.flatMap(({ output = '' }) => casesOf(output));
  const kernels = [...new Set(cases.flatMap((entry) => entry.kernels))].sort();
  const missed = every && bad.length === 0 ? missedBy(runs) : [];
  const verdict = bad[0]?.verdict ?? 'no finding';
  const counts = `${cases.length} cases, ${kernels.length} kernels`;
  console.log(`${tool.padEnd(10)} ${verdict}, ${counts}, ${seconds.toFixed(0)} s, ${runs[0].log}`);
  for (const { verdict: other, log, output = '' } of bad) {
    if (bad.length > 1) console.log(`${log}: ${other}`);
    if (output !== '') console.log(output.split('\n').slice(-25).join('\n'));
  }
  if (missed.length > 0) console.log(`${tool}: kernels that no case launches; add cases: ${missed.join(', ')}`);
  const ok = bad.length === 0 && missed.length === 0;
  return { tool, ok, verdict, seconds: Math.round(seconds), kernels, missed, cases };
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '8' },
    jobs: { type: 'string', default: String(Math.max(1, Math.min(8, availableParallelism() >> 1))) },
    out: { type: 'string' },
    case: { type: 'string', multiple: true, default: [] },
    cases: { type: 'string', default: join(ROOT, 'test', 'device', 'sanitize-cases.js') },
  },
});
const tools = positionals.length === 0 || positionals.includes('all') ? TOOLS : positionals;
const unknown = tools.find((tool) => !TOOLS.includes(tool));
if (unknown !== undefined) {
  console.error(`Got the tool '${unknown}'; wanted ${TOOLS.join(', ')} or all.`);
  process.exit(2);
}
const jobs = Number(values.jobs);
if (!Number.isInteger(jobs) || jobs < 1) {
  console.error(`Got --jobs ${values.jobs}; wanted a whole number from 1 on.`);
  process.exit(2);
}
if (!existsSync(values.cases))
  throw new Error(`Got no cases at ${values.cases}; wanted those of the GPU bundle. Run this from the bundle.`);
const sanitizer = findSanitizer();
const folder = values.out ?? mkdtempSync(join(tmpdir(), 'warpbook-sanitize-'));
mkdirSync(folder, { recursive: true });
const deadline = performance.now() + Number(values.minutes) * 60e3;

const report = [];
for (const tool of tools) {
  const started = performance.now();
  const runs = await Promise.all(
    Array.from({ length: jobs }, (_, index) => {
      const log = join(folder, jobs > 1 ? `${tool}-${index + 1}.log` : `${tool}.log`);
      const left = deadline - performance.now();
      if (left <= 0) return { tool, log, notRun: 'not run: no time left' };
      return runPart(sanitizer, { tool, part: index + 1, parts: jobs, log }, values.cases, values.case, left);
    }),
  );
  report.push(summarize(tool, runs, (performance.now() - started) / 1e3, values.case.length === 0));
}
writeFileSync(join(folder, 'report.json'), `${JSON.stringify(report, null, 1)}\n`);
const slowest = report
  .flatMap(({ tool, cases }) => cases.map(({ name, seconds }) => ({ tool, name, seconds })))
  .sort((a, b) => b.seconds - a.seconds)
  .slice(0, SLOWEST);
for (const { tool, name, seconds } of slowest) console.log(`slow: ${tool}, ${name}: ${seconds.toFixed(1)} s`);
process.exitCode = report.every(({ ok }) => ok) ? 0 : 1;
