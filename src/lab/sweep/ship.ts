/**
 * Functions that go to worker threads as text. There they find the globals of Node, `require`, and every public name of warpbook,
 * as a cell does; what else they used where they were written is not there, and that is told by name.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Script } from 'node:vm';
import { WarpbookError } from '../../errors';

type AnyFunction = (...args: never[]) => unknown;

/**
 * The text of a function as an expression.
 * @throws WarpbookError INVALID_ARGUMENT for functions without a text of their own: built-in or bound ones, classes
 */
export function shipFunction(what: string, fn: AnyFunction): string {
  const text = Function.prototype.toString.call(fn);
  const name = fn.name || '(anonymous)';
  if (/\{\s*\[native code\]\s*\}\s*$/.test(text)) {
    throw cannotShip(what, name, 'is built in or bound, and has no text of its own');
  }
  if (/^class\b/.test(text)) throw cannotShip(what, name, 'is a class');
  for (const source of [text, `Object.values({ ${text} })[0]`, `Object.values({ async ${text} })[0]`]) {
    if (compiles(source)) return source;
  }
  throw cannotShip(what, name, 'has a text that does not stand alone (a getter, or a method with a computed name)');
}

function cannotShip(what: string, name: string, why: string): WarpbookError {
  return new WarpbookError(
    'INVALID_ARGUMENT',
    `${what} ${name} can't be sent to a worker: it ${why}. Write it as a function of its own, name a module that exports it ` +
      "({ module: './my-run.js', name: 'run' }), or leave out `workers`.",
  );
}

function compiles(source: string): boolean {
  try {
    new Script(`(${source})`);
    return true;
  } catch {
    return false;
  }
}

/** Public names of warpbook, and `require`, as the scope of what is revived. */
function makeScope(): object {
  const warpbook = require(join(__dirname, '..', '..', 'index.js')) as Record<string, unknown>;
  // The compiler of cells makes `machines` of one cell `exports.machines` in the next.
  const exports = new Proxy(warpbook, {
    get: (_, name) => {
      if (typeof name === 'string' && !(name in warpbook)) throw new ReferenceError(`${name} is not defined`);
      return Reflect.get(warpbook, name);
    },
  });
  const named: Record<string, unknown> = {
    warpbook,
    exports,
    require: createRequire(join(process.cwd(), 'sweep.js')),
  };
  return new Proxy(named, {
    has: (_, name) => typeof name === 'string' && (name in named || (name in warpbook && !(name in globalThis))),
    get: (_, name) => (typeof name === 'string' ? (named[name] ?? warpbook[name]) : undefined),
  });
}

let scope: object | undefined;

/** The function of a text that {@link shipFunction} made; loads warpbook. */
export function reviveFunction(source: string): (...args: unknown[]) => unknown {
  scope ??= makeScope();
  // The text is the user's own, from this very program.
  return new Function('scope', `with (scope) { return (${source}); }`)(scope) as (...args: unknown[]) => unknown;
}

/** What a shipped function missed, if that is why it failed. */
export function missingName(error: unknown): string | undefined {
  if (!(error instanceof Error) || error.name !== 'ReferenceError') return undefined;
  return /^(\S+) is not defined$/.exec(error.message)?.[1];
}

/** The error for a function that used what isn't with it. */
export function missingNameError(what: string, missing: string): WarpbookError {
  return new WarpbookError(
    'INVALID_ARGUMENT',
    `${what} uses ${missing}, which is not there in a worker: only the function's own text is sent. Declare it inside the function, ` +
      'hand it over as `data` (the second argument has it), or leave out `workers`. Names of warpbook and `require` are there.',
    { missing },
  );
}
