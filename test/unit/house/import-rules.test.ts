/** Every import rule is broken once, in a tree of its own, and the linter must name it. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const ROOT = resolve(__dirname, '../../..');
const config = createRequire(__filename)('../../../.dependency-cruiser.cjs');
const RULES: string[] = config.forbidden.map((rule: { name: string }) => rule.name);

/** A small tree that keeps every rule. */
const CLEAN: Readonly<Record<string, string>> = {
  'src/errors.ts': 'export class WarpbookError extends Error {}',
  'src/units.ts': "import { WarpbookError } from './errors';\nexport const unit = (): Error => new WarpbookError();",
  'src/native/load.ts': "import { unit } from '../units';\nexport const addon = unit;",
  'src/device/backend.ts': 'export type Handle = number;',
  'src/device/params.ts': "import type { Handle } from './backend';\nexport const handle: Handle = 1;",
  'src/device/device.ts':
    "import { addon } from '../native/load';\nimport { handle } from './params';\nexport const device = [addon, handle];",
  'src/schedule/tile.ts': "import { unit } from '../units';\nexport const tile = unit;",
  'src/attention/run.ts':
    "import { device } from '../device/device';\nimport { tile } from '../schedule/tile';\nexport const run = [device, tile];",
  'src/display/table.ts':
    "import { run } from '../attention/run';\nexport const show = async () => [run, await import('arquero')];",
  'src/cli/main.ts': "import { show } from '../display/table';\nvoid show();",
  'src/index.ts': "export { run } from './attention/run';",
};

/** For each rule a file to plant, and what it imports. The clean tree lacks some folders: `with` brings their files. */
const VIOLATIONS: Readonly<Record<string, { file: string; imports: string; with?: Readonly<Record<string, string>> }>> =
  {
    'native-imports': { file: 'src/native/bad.ts', imports: '../device/device' },
    'device-imports': { file: 'src/device/bad.ts', imports: '../schedule/tile' },
    'graph-imports': { file: 'src/graph/bad.ts', imports: '../attention/run' },
    'tensor-imports': { file: 'src/tensor/bad.ts', imports: '../native/load' },
    'measure-imports': { file: 'src/measure/bad.ts', imports: '../attention/run' },
    'workload-imports': { file: 'src/workload/bad.ts', imports: '../schedule/tile' },
    'schedule-imports': { file: 'src/schedule/bad.ts', imports: '../device/device' },
    'timeline-imports': { file: 'src/timeline/bad.ts', imports: '../schedule/tile' },
    'simulate-imports': { file: 'src/simulate/bad.ts', imports: '../device/device' },
    'attention-imports': { file: 'src/attention/bad.ts', imports: '../display/table' },
    'strategy-imports': { file: 'src/strategy/bad.ts', imports: '../display/table' },
    'lab-imports': { file: 'src/lab/bad.ts', imports: '../display/table' },
    'display-imports': { file: 'src/display/bad.ts', imports: '../native/load' },
    'notebook-imports': { file: 'src/notebook/bad.ts', imports: '../attention/run' },
    'cli-imports': { file: 'src/cli/bad.ts', imports: '../native/load' },
    'folder-without-rule': { file: 'src/helpers/bad.ts', imports: '../errors' },
    'leaves-import-nothing': { file: 'src/renderers.ts', imports: './schedule/tile' },
    'params-stay-light': { file: 'src/device/params.ts', imports: './device' },
    'index-imports': { file: 'src/index.ts', imports: './cli/main' },
    'nobody-imports-index': { file: 'src/cli/bad.ts', imports: '../index' },
    'pure-folders': { file: 'src/schedule/bad.ts', imports: 'node:fs' },
    'charts-and-frames': { file: 'src/attention/bad.ts', imports: 'arquero' },
    'file-formats': { file: 'src/timeline/bad.ts', imports: '@bufbuild/protobuf' },
    'tslab-and-zeromq': { file: 'src/display/bad.ts', imports: 'zeromq' },
    'no-development-package': { file: 'src/display/bad.ts', imports: 'vitest' },
    'no-unknown-package': { file: 'src/display/bad.ts', imports: './nowhere' },
    'no-cycle': {
      file: 'src/schedule/bad.ts',
      imports: './worse',
      with: { 'src/schedule/worse.ts': "import './bad';" },
    },
    'no-orphan': { file: 'src/schedule/bad.ts', imports: '../errors' },
  };

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'warpbook-rules-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Lints a tree of files; answers `rule: from → to` for each broken rule. */
async function lint(files: Readonly<Record<string, string>>): Promise<string[]> {
  const { cruise } = await import('dependency-cruiser');
  const base = mkdtempSync(join(folder, 'tree-'));
  symlinkSync(join(ROOT, 'node_modules'), join(base, 'node_modules'));
  const everything = { ...files, 'package.json': JSON.stringify(createRequire(__filename)('../../../package.json')) };
  for (const [name, content] of Object.entries(everything)) {
    mkdirSync(dirname(join(base, name)), { recursive: true });
    writeFileSync(join(base, name), content);
  }
  const { forbidden, options } = config;
  const { tsConfig, enhancedResolveOptions, ...rest } = options;
  const tree = { ...rest, baseDir: base, validate: true, ruleSet: { forbidden } };
  const { output } = await cruise(['src'], tree, enhancedResolveOptions);
  if (typeof output === 'string') throw new Error(`wanted a result object, got: ${output}`);
  const { violations } = output.summary;
  return violations.map(({ rule, from, to }) => `${rule.name}: ${from} → ${to}`);
}

it('a clean tree passes', async () => {
  expect(await lint(CLEAN)).toEqual([]);
});

describe('a broken rule fails', () => {
  it.each(RULES)('%s', async (rule) => {
    expect(VIOLATIONS, `a violation of ${rule} to plant`).toHaveProperty(rule);
    const { file, imports, with: others } = VIOLATIONS[rule];
    const broken = await lint({ ...CLEAN, ...others, [file]: `import '${imports}';\n${CLEAN[file] ?? ''}` });
    expect(broken.filter((line) => line.startsWith(`${rule}: `) && line.includes(file))).not.toEqual([]);
  });

  it('also where only a type is imported', async () => {
    const type = "import type { device } from '../device/device';\nexport type Bad = typeof device;";
    expect(await lint({ ...CLEAN, 'src/schedule/bad.ts': type })).toContain(
      'schedule-imports: src/schedule/bad.ts → src/device/device.ts',
    );
  });
});
