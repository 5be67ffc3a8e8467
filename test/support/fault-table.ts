/**
 * Two hundred ways in which a notebook goes wrong. For each the runner has to end, to name the cell, and never to
 * be green. Data alone; the names are unique.
 */

export interface Fault {
  readonly kind: string;
  readonly name: string;
  /** The code cells, in order. */
  readonly cells: readonly string[];
  /** Number of the cell to blame, from 1. */
  readonly cell: number;
  readonly cellTimeoutS?: number;
  readonly env?: Readonly<Record<string, string>>;
}

export interface MalformedFile {
  readonly name: string;
  /** The file's bytes; undefined: there is no file; 'folder': it is one. */
  readonly content: string | Buffer | 'folder' | undefined;
}

const PAUSE = 'await new Promise((resolve) => setTimeout(resolve, 50));';
const FOREVER = 'await new Promise(() => {});';

/** Source of one cell by name. */
type Cells = Readonly<Record<string, string>>;

const COMPILE_ERRORS: Cells = {
  'a wrong type': 'const text: string = 1;',
  'an unknown name': 'unknownName + 1',
  'a misspelled name of the package': 'BatchDecod.create({})',
  'an unclosed brace': 'function open() {\n  return 1;',
  'an unclosed bracket': 'const list = [1, 2;',
  'an unclosed string': 'const text = "abc',
  'an unclosed template': 'const text = `abc',
  'an unclosed comment': 'const a = 1; /* no end',
  'a stray brace': 'const a = 1; }',
  'too few arguments': 'function two(a: number, b: number) { return a + b; }\ntwo(1);',
  'a missing property': 'const o: { a: number } = {};',
  'a module that is not there': "import { x } from './not-there';\nx",
  'a package that is not there': "import x from 'no-such-package-at-all';\nx",
  'a name that a module has not': "import { nothing } from 'node:fs';\nnothing",
  'an await in a plain function': 'function f() { await null; }',
  'an assignment to a constant': 'const fixed = 1;\nfixed = 2;',
  'a use before declaration': 'const a = b + 1;\nconst b = 1;',
  'a private member': 'class P { private x = 1; }\nnew P().x',
  'a syntax of newer versions': 'using handle = null;',
  'a return at the top': 'return 1;',
  'something that is no TypeScript': 'print "hello" if True else None',
  'a call of what is no function': 'const n = 1;\nn();',
};

const THROWS: Cells = {
  'an error': 'throw new Error("fault");',
  'an error of the package': 'new PagedKvCache({} as never)',
  'null dereferenced': 'const o = null as any;\no.x',
  'a string': 'throw "fault";',
  undefined: 'throw undefined;',
  null: 'throw null;',
  'a number': 'throw 0;',
  'a symbol': 'throw Symbol("fault");',
  'a plain object': 'throw { code: 1 };',
  'an object without a prototype': 'throw Object.create(null);',
  'a proxy that throws': 'throw new Proxy({}, { get() { throw new Error("trap"); } });',
  'an error after an await': `${PAUSE}\nthrow new Error("fault");`,
  'an error in an awaited function': 'const f = async () => { await null; throw new Error("fault"); };\nawait f();',
  'an error in Promise.all': 'await Promise.all([1, Promise.reject(new Error("fault"))]);',
  'an aggregate error': 'await Promise.any([Promise.reject(new Error("a")), Promise.reject(new Error("b"))]);',
  'an error in a getter': 'const o = { get a(): number { throw new Error("fault"); } };\no.a',
  'an error whose message throws': 'class E extends Error { get message(): string { throw 1; } }\nthrow new E();',
  'an error whose stack is no text':
    'const e = new Error("fault"); Object.defineProperty(e, "stack", { value: 7 });\nthrow e;',
  'an error with a long message': 'throw new Error("x".repeat(1_000_000));',
  'an error that causes itself': 'const e = new Error("fault"); e.cause = e;\nthrow e;',
  'a frozen error': 'throw Object.freeze(new Error("fault"));',
  'an error with markup': 'throw new Error("<img src=x onerror=alert(1)>");',
  'an endless recursion': 'const f = (): number => f() + 1;\nf();',
  'an error in finally': 'try { throw new Error("a"); } finally { throw new Error("b"); }',
  'an array of invalid length': 'new Array(-1)',
};

const REJECTIONS: Cells = {
  'a forgotten promise': 'void Promise.reject(new Error("fault"));\n1',
  'a forgotten function': 'const go = async () => { throw new Error("fault"); };\nvoid go();',
  'a rejection with nothing': 'void Promise.reject();',
  'a rejection with a string': 'void Promise.reject("fault");',
  'a rejection in then': 'void Promise.resolve().then(() => { throw new Error("fault"); });',
  'a rejection in finally': 'void Promise.resolve().finally(() => { throw new Error("fault"); });',
  'a rejection in an executor': 'void new Promise(() => { throw new Error("fault"); });',
  'many rejections': 'for (let i = 0; i < 100; i++) void Promise.reject(new Error("fault" + i));',
  'a rejection while the cell waits':
    'setTimeout(() => void Promise.reject(new Error("fault")), 20);\nawait new Promise((r) => setTimeout(r, 5000));',
  'a rejection for which the cell waits forever': `setTimeout(() => void Promise.reject(new Error("fault")), 20);\n${FOREVER}`,
};

const LATE: Cells = {
  'a timer of 0 ms': 'setTimeout(() => { throw new Error("fault"); }, 0);',
  'a timer of 100 ms': 'setTimeout(() => { throw new Error("fault"); }, 100);',
  'a timer of 1,000 ms': 'setTimeout(() => { throw new Error("fault"); }, 1000);',
  'a timer of a timer': 'setTimeout(() => setTimeout(() => { throw new Error("fault"); }, 100), 100);',
  'an immediate': 'setImmediate(() => { throw new Error("fault"); });',
  'an immediate of an immediate':
    'setImmediate(() => setImmediate(() => setImmediate(() => { throw new Error("fault"); })));',
  'a tick': 'process.nextTick(() => { throw new Error("fault"); });',
  'a microtask': 'queueMicrotask(() => { throw new Error("fault"); });',
  'an interval': 'const every = setInterval(() => { clearInterval(every); throw new Error("fault"); }, 50);',
  'a late rejection': 'setTimeout(async () => { throw new Error("fault"); }, 50);',
  'a late rejection after awaits': `void (async () => { for (let i = 0; i < 5; i++) ${PAUSE} throw new Error("fault"); })();`,
  'an error event':
    "import { EventEmitter } from 'node:events';\nconst e = new EventEmitter();\nsetTimeout(() => e.emit('error', new Error('fault')), 50);",
  'a file that is read': "import { readFile } from 'node:fs';\nreadFile('.', () => { throw new Error('fault'); });",
  'a stream': "import { createReadStream } from 'node:fs';\ncreateReadStream('/no/such/file');",
  'a program that is not there': "import { spawn } from 'node:child_process';\nspawn('no-such-program-at-all');",
  'a worker':
    "import { Worker } from 'node:worker_threads';\nnew Worker('throw new Error(\"fault\")', { eval: true });",
  'a late string': 'setTimeout(() => { throw "fault"; }, 50);',
  'a late throw of nothing': 'setTimeout(() => { throw undefined; }, 50);',
};

const BUSY: Cells = {
  'a loop': 'for (;;) {}',
  'a loop that prints': 'for (;;) console.log("x");',
  'a loop that catches': 'for (;;) { try { for (;;) {} } catch {} }',
  'a loop after an await': `${PAUSE}\nfor (;;) {}`,
  'a loop of awaits': 'for (;;) await null;',
  'a loop in a timer': `setTimeout(() => { for (;;) {} }, 5);\n${FOREVER}`,
  'a loop in a microtask': `queueMicrotask(() => { for (;;) {} });\n${FOREVER}`,
  'a loop in an immediate': `setImmediate(() => { for (;;) {} });\n${FOREVER}`,
  'ticks without end': `const tick = (): void => process.nextTick(tick);\ntick();\n${FOREVER}`,
  'a slow regular expression': "/^(a+)+$/.test('a'.repeat(40) + 'b')",
  'a promise that never settles': FOREVER,
  'a long sleep': 'await new Promise((resolve) => setTimeout(resolve, 1e6));',
  'a thread that waits': 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);',
  'a program that is waited for': "import { execSync } from 'node:child_process';\nexecSync('sleep 100');",
  'a retry without end': 'for (;;) { try { await new Promise((r) => setTimeout(r, 5)); throw 1; } catch {} }',
};

const DEATHS: Cells = {
  'an exit with 0': 'process.exit(0);',
  'an exit with 1': 'process.exit(1);',
  'an exit after an await': `${PAUSE}\nprocess.exit(0);`,
  'an exit in a timer while the cell waits': `setTimeout(() => process.exit(0), 30);\n${FOREVER}`,
  'an exit while a promise is pending': `void (async () => { ${PAUSE} process.exit(0); })();\n${FOREVER}`,
  'an abort': 'process.abort();',
  'a kill': `process.kill(process.pid, 'SIGKILL');\n${FOREVER}`,
  'a termination': `process.kill(process.pid, 'SIGTERM');\n${FOREVER}`,
  'a segmentation fault': `process.kill(process.pid, 'SIGSEGV');\n${FOREVER}`,
  'a bus error': `process.kill(process.pid, 'SIGBUS');\n${FOREVER}`,
  'an illegal instruction': `process.kill(process.pid, 'SIGILL');\n${FOREVER}`,
  'a hang-up': `process.kill(process.pid, 'SIGHUP');\n${FOREVER}`,
  'a library that is none': "process.dlopen({ exports: {} } as never, '/etc/hostname');",
};

const IDLE: Cells = {
  'prints, then a throw':
    'let n = 0;\nconst every = setInterval(() => { console.log(n); if (++n === 10) { clearInterval(every); throw new Error("fault"); } }, 10);',
  'prints, then an exit': 'let n = 0;\nsetInterval(() => { console.log(n); if (++n === 10) process.exit(0); }, 10);',
  'prints, then a kill':
    "let n = 0;\nsetInterval(() => { console.log(n); if (++n === 10) process.kill(process.pid, 'SIGKILL'); }, 10);",
  'a loop that starts late': 'setTimeout(() => { for (;;) {} }, 100);',
  'displays, then a rejection':
    'const shown = display(0);\nlet n = 0;\nconst every = setInterval(async () => { shown.update(++n); if (n === 10) { clearInterval(every); throw new Error("fault"); } }, 10);',
};

const HUGE: Cells = {
  '200,000 lines': 'for (let i = 0; i < 200_000; i++) console.log(i);\nthrow new Error("fault");',
  'a line of 20 MB': 'console.log("x".repeat(20_000_000));\nthrow new Error("fault");',
  '100,000 lines on both streams':
    'for (let i = 0; i < 50_000; i++) { console.log(i); console.error(i); }\nthrow new Error("fault");',
  'bytes that are no text': 'process.stdout.write(Buffer.alloc(1_000_000, 0xff));\nthrow new Error("fault");',
  '2,000 displays': 'for (let i = 0; i < 2000; i++) display(i);\nthrow new Error("fault");',
  'a large result, then an exit': 'console.log("x".repeat(5_000_000));\nprocess.exit(0);',
};

const shows = (body: string): string => `({ a: 1, [Symbol.for('Jupyter.display')]() { ${body} } })`;

const DISPLAYS: Cells = {
  'that throws': shows('throw new Error("no paint");'),
  'that rejects': shows('return Promise.reject(new Error("no paint"));'),
  'that returns a number': shows('return 7;'),
  'that returns null': shows('return null;'),
  'whose type is none': shows('return { html: "" };'),
  'that is circular': shows('const c: any = {}; c.c = c; return { "application/json": c };'),
  'that throws in the middle of a cell': `display(${shows('throw new Error("no paint");')});\n1`,
  'that throws when it is updated': `const handle = display(1);\nhandle.update(${shows('throw new Error("no paint");')});\n1`,
  'whose inspection throws': '({ [Symbol.for("nodejs.util.inspect.custom")]() { throw new Error("no text"); } })',
  'that loops': shows('for (;;) {}'),
};

/** The faulty cell behind `before` good ones and before another. */
function place(kind: string, cells: Cells, before: number, more: Partial<Fault> = {}): Fault[] {
  const good = ['const first = 1;', 'console.log("second");'].slice(0, before);
  return Object.entries(cells).map(([name, source]) => ({
    kind,
    name: `${kind}: ${name}${before > 0 ? `, in cell ${before + 1}` : ''}`,
    cells: [...good, source, '"after"'],
    cell: before + 1,
    ...more,
  }));
}

/** Faults of notebooks that can be read. */
export const faults: readonly Fault[] = [
  ...place('compile error', COMPILE_ERRORS, 0),
  ...place('compile error in the third cell', COMPILE_ERRORS, 2).slice(0, 12),
  ...place('throw', THROWS, 1),
  ...place('rejection', REJECTIONS, 1),
  ...place('late throw', LATE, 0).map((fault) => ({ ...fault, cells: [...fault.cells, PAUSE] })),
  ...place('late throw in the last cell', LATE, 2).map((fault) => ({ ...fault, cells: fault.cells.slice(0, -1) })),
  ...place('busy', BUSY, 1, { cellTimeoutS: 1.5 }),
  ...place('death', DEATHS, 0),
  ...place('death in the third cell', DEATHS, 2),
  ...place('idle', IDLE, 1).map((fault) => ({ ...fault, cells: fault.cells.slice(0, -1) })),
  ...place('huge output', HUGE, 0),
  ...place('broken display', DISPLAYS, 1, { cellTimeoutS: 3 }),
  {
    kind: 'death',
    name: 'death: memory runs out',
    cells: ['1', 'const kept: number[][] = [];\nfor (;;) kept.push(new Array(100_000).fill(1.5));', '3'],
    cell: 2,
    env: { NODE_OPTIONS: '--max-old-space-size=160' },
  },
];

const WHOLE = JSON.stringify(
  {
    cells: [{ cell_type: 'code', id: 'a', metadata: {}, source: ['1'], outputs: [], execution_count: null }],
    metadata: {},
    nbformat: 4,
    nbformat_minor: 5,
  },
  undefined,
  1,
);
const change = (from: string, to: string): string => {
  if (!WHOLE.includes(from)) throw new Error(`the notebook has no ${from}`);
  return WHOLE.replace(from, to);
};

/** Files that are no notebook. */
export const malformed: readonly MalformedFile[] = [
  { name: 'missing', content: undefined },
  { name: 'folder', content: 'folder' },
  { name: 'empty', content: '' },
  { name: 'blank', content: ' \n\n' },
  { name: 'binary', content: Buffer.from([0, 1, 2, 255, 254, 0]) },
  { name: 'html', content: '<!doctype html><title>404</title>' },
  { name: 'number', content: '7' },
  { name: 'null', content: 'null' },
  { name: 'list', content: '[]' },
  { name: 'object', content: '{}' },
  ...[0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 0.97].map((share) => ({
    name: `cut-at-${Math.round(share * 100)}-percent`,
    content: WHOLE.slice(0, Math.floor(WHOLE.length * share)),
  })),
  { name: 'trailing-comma', content: change('"nbformat_minor": 5', '"nbformat_minor": 5,') },
  { name: 'two-documents', content: WHOLE + WHOLE },
  { name: 'merge-conflict', content: `<<<<<<< HEAD\n${WHOLE}=======\n${WHOLE}>>>>>>> theirs\n` },
  { name: 'version-3', content: change('"nbformat": 4', '"nbformat": 3') },
  { name: 'version-5', content: change('"nbformat": 4', '"nbformat": 5') },
  { name: 'version-as-text', content: change('"nbformat": 4', '"nbformat": "4"') },
  { name: 'cells-missing', content: change('"cells"', '"cellz"') },
  { name: 'metadata-missing', content: change(' "metadata": {},\n "nbformat"', ' "nbformat"') },
  { name: 'cell-type-unknown', content: change('"code"', '"cod"') },
  { name: 'source-is-a-number', content: change('[\n    "1"\n   ]', '1') },
  { name: 'outputs-missing', content: change('"outputs": []', '"outputz": []') },
  { name: 'output-unknown', content: change('"outputs": []', '"outputs": [{ "output_type": "smell" }]') },
  { name: 'id-with-blanks', content: change('"id": "a"', '"id": "a b"') },
  { name: 'count-is-negative', content: change('"execution_count": null', '"execution_count": -1') },
  { name: 'control-character', content: change('"1"', '"\u0001"') },
];
