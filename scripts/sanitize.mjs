/**
 * `./warpbook sanitize [tool …]`: compute-sanitizer over small cases that launch every kernel (test/device/sanitize-cases). Tools are
 * memcheck, racecheck, initcheck, synccheck, or all (the default). Exit code 0: every tool ended without a finding.
 *
 *   --minutes 8         time for all tools together; what doesn't end in it fails
 *   --out FOLDER        keeps each tool's output (default: a temporary folder)
 *   --case PATTERN      cases whose name has this in it; may be repeated
 *
 * COMPUTE_SANITIZER names the program where it is neither in CUDA_HOME nor on the path.
 */
import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { parseArgs } from 'node:util';

const ROOT = join(import.meta.dirname, '..');
const TOOLS = ['memcheck', 'synccheck', 'initcheck', 'racecheck'];
const FINDING_EXIT_CODE = 86;

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

/** Runs one tool; answers with how it ended. What it says goes into a file. */
function runTool(sanitizer, tool, cases, patterns, log, timeoutMs) {
  const options = [
    '--tool',
    tool,
    ...TOOL_OPTIONS[tool],
    '--error-exitcode',
    String(FINDING_EXIT_CODE),
    '--print-limit',
    '50',
  ];
  const started = performance.now();
  const child = spawn(sanitizer, [...options, process.execPath, cases, ...patterns], {
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
      file.end(() => resolve({ code, signal, timedOut, seconds: (performance.now() - started) / 1e3 }));
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

function verdictOf({ code, signal, timedOut }, findings) {
  if (timedOut) return 'did not end in time';
  if (findings === undefined) return `ended (${signal ?? `exit code ${code}`}) without a summary`;
  if (findings > 0) return `${findings} findings`;
  if (code !== 0) return `no finding, but the cases failed (${signal ?? `exit code ${code}`})`;
  return 'no finding';
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '8' },
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
if (!existsSync(values.cases))
  throw new Error(`Got no cases at ${values.cases}; wanted those of the GPU bundle. Run this from the bundle.`);
const sanitizer = findSanitizer();
const folder = values.out ?? mkdtempSync(join(tmpdir(), 'warpbook-sanitize-'));
mkdirSync(folder, { recursive: true });
const deadline = performance.now() + Number(values.minutes) * 60e3;

let failed = 0;
for (const tool of tools) {
  const log = join(folder, `${tool}.log`);
  const left = deadline - performance.now();
  if (left <= 0) {
    console.log(`${tool.padEnd(10)} not run: no time left`);
    failed++;
    continue;
  }
  const ended = await runTool(sanitizer, tool, values.cases, values.case, log, left);
  const output = readFileSync(log, 'utf8');
  const verdict = verdictOf(ended, findingsOf(output));
  console.log(`${tool.padEnd(10)} ${verdict}, ${ended.seconds.toFixed(0)} s, ${log}`);
  if (verdict === 'no finding') continue;
  failed++;
  console.log(output.split('\n').slice(-25).join('\n'));
}
process.exitCode = failed > 0 ? 1 : 0;
