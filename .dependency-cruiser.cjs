/**
 * Who may import whom. `npm run lint` fails on a broken rule; test/unit/house/import-rules.test.ts breaks each.
 *
 * A folder of src/ may import itself, the leaves and what MAY_IMPORT lists for it: nothing is inherited, so every arrow
 * of the architecture stands here. A new folder needs a line here before it may import anything.
 */

/** Files without knowledge of any folder; all may import them. */
const LEAVES = ['errors', 'units', 'renderers', 'interruption', 'time-limit'];

const MAY_IMPORT = {
  native: [],
  device: ['native'],
  graph: ['device'],
  tensor: ['device'],
  measure: ['device', 'graph'],
  workload: [],
  schedule: [],
  timeline: [],
  simulate: ['schedule', 'timeline'],
  attention: ['tensor', 'device', 'schedule', 'graph', 'timeline'],
  strategy: ['attention', 'tensor', 'device', 'schedule', 'graph'],
};
const lab = Object.keys(MAY_IMPORT).filter((folder) => folder !== 'native');
MAY_IMPORT.lab = lab;
MAY_IMPORT.display = [...lab, 'lab'];
MAY_IMPORT.notebook = ['display'];
MAY_IMPORT.cli = ['display', 'notebook', ...lab, 'lab'];

/** Folders that compute and nothing else: no device, no file, no process, no package. */
const PURE = ['schedule', 'timeline', 'simulate'];

/** Files that something outside imports or starts. */
const ENTRY_POINTS =
  '^src/(index|cli/main|notebook/kernel/(main|wire-thread)|lab/sweep/worker|notebook/vitest/(plugin|suite))[.]m?ts$';

const inFolders = (...folders) => `^src/(${folders.join('|')})/`;
const leaves = `^src/(${LEAVES.join('|')})[.]ts$`;

const folderRules = Object.entries(MAY_IMPORT).map(([folder, others]) => ({
  name: `${folder}-imports`,
  comment: `src/${folder} may import ${[...others, 'the leaves'].join(', ')} and nothing else of src.`,
  severity: 'error',
  from: { path: inFolders(folder) },
  to: { path: '^src/', pathNot: [inFolders(folder, ...others), leaves] },
}));

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    ...folderRules,
    {
      name: 'folder-without-rule',
      comment: 'A folder of src needs a line in MAY_IMPORT, in .dependency-cruiser.cjs.',
      severity: 'error',
      from: { path: '^src/[^/]+/', pathNot: inFolders(...Object.keys(MAY_IMPORT)) },
      to: {},
    },
    {
      name: 'leaves-import-nothing',
      comment:
        'errors, units, renderers, interruption and time-limit know no folder of src; they may import one another.',
      severity: 'error',
      from: { path: leaves },
      to: { path: '^src/', pathNot: leaves },
    },
    {
      name: 'params-stay-light',
      comment:
        'src/device/params.ts describes parameter blocks and must not bring in a device: apart from the leaves it may ' +
        'import types of the seam alone.',
      severity: 'error',
      from: { path: '^src/device/params[.]ts$' },
      to: { path: '^src/', pathNot: [leaves, '^src/device/backend[.]ts$'] },
    },
    {
      name: 'index-imports',
      comment: 'src/index.ts holds the names for cells and programs; the command line is no part of them.',
      severity: 'error',
      from: { path: '^src/index[.]ts$' },
      to: { path: inFolders('cli', 'native') },
    },
    {
      name: 'nobody-imports-index',
      comment: 'Inside src, import the module that has the name, not the index.',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^src/index[.]ts$' },
    },
    {
      name: 'pure-folders',
      comment: `${PURE.join(', ')} compute and nothing else: no package and no module of Node.`,
      severity: 'error',
      from: { path: inFolders(...PURE) },
      to: { pathNot: '^src/' },
    },
    {
      name: 'charts-and-frames',
      comment: 'arquero and vega stay in display, and at the edge of lab.',
      severity: 'error',
      from: { path: '^src/', pathNot: inFolders('display', 'lab') },
      to: { path: '(^|node_modules/)(arquero|vega|vega-lite|vega-embed)(/|$)' },
    },
    {
      name: 'file-formats',
      comment: 'Formats of other programs, Perfetto traces and Parquet files, are written by lab.',
      severity: 'error',
      from: { path: '^src/', pathNot: inFolders('lab') },
      to: { path: '(^|node_modules/)(@bufbuild/protobuf|hyparquet|hyparquet-writer)(/|$)' },
    },
    {
      name: 'tslab-and-zeromq',
      comment: 'The Jupyter kernel and its wire protocol stay in notebook.',
      severity: 'error',
      from: { path: '^src/', pathNot: inFolders('notebook') },
      to: { path: '(^|node_modules/)(tslab|@tslab|zeromq)(/|$)' },
    },
    {
      name: 'no-development-package',
      comment: 'A user has the dependencies, not the devDependencies. Types alone are gone when the package is built.',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'no-unknown-package',
      comment: 'A package must be named in package.json, and a relative import must lead somewhere.',
      severity: 'error',
      from: { path: '^src/' },
      // A peer is named there too.
      to: {
        dependencyTypes: ['npm-no-pkg', 'npm-unknown', 'unknown', 'undetermined'],
        dependencyTypesNot: ['npm-peer'],
      },
    },
    {
      name: 'no-cycle',
      comment:
        'Modules that need each other to load. A way back that is types alone (a buffer names its device) is none, and ' +
        'stays within a folder, as MAY_IMPORT has no cycle.',
      severity: 'error',
      from: { path: '^src/' },
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'no-orphan',
      comment:
        'Every module is reached from an entry point: the index, the command line, the kernel, its wire thread or the vitest plugin and its suite.',
      severity: 'error',
      from: { path: ENTRY_POINTS },
      to: { path: '^src/', pathNot: ENTRY_POINTS, reachable: false },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    // Type-only imports are arrows of the architecture too.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'types', 'default'],
    },
  },
};
