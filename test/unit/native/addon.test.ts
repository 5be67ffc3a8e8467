import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { WarpbookError } from '../../../src/errors';
import { loadAddon } from '../../../src/native/load';

type Untyped = Record<string, (...args: unknown[]) => unknown>;

/** Methods of the interface `Addon` with their numbers of parameters, in the order of the file. */
function declaredExports(): [name: string, numParameters: number][] {
  const path = join(__dirname, '../../../src/native/addon.ts');
  const source = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest, true);
  const declaration = source.statements.find((node) => ts.isInterfaceDeclaration(node) && node.name.text === 'Addon');
  return (declaration as ts.InterfaceDeclaration).members
    .filter((member) => ts.isMethodSignature(member))
    .map((member) => [member.name.getText(source), member.parameters.length]);
}

function error(run: () => unknown): WarpbookError {
  try {
    run();
  } catch (thrown) {
    return thrown as WarpbookError;
  }
  throw new Error('nothing was thrown');
}

describe('the addon', () => {
  const addon = loadAddon() as unknown as Untyped;

  it('exports exactly what addon.ts declares, in its order', () => {
    expect(Object.keys(addon)).toEqual(declaredExports().map(([name]) => name));
  });

  it('takes as many arguments as addon.ts declares', () => {
    const tooMany = Array.from({ length: 20 }, () => 0);
    for (const [name, numParameters] of declaredExports()) {
      expect(error(() => addon[name](...tooMany)).message).toBe(`${name}: got 20 arguments; wanted ${numParameters}`);
    }
  });

  it('throws WarpbookError with code NATIVE for misuse', () => {
    const thrown = error(() => addon.cpu_open(0));
    expect(thrown).toBeInstanceOf(WarpbookError);
    expect(thrown.code).toBe('NATIVE');
    expect(thrown.message).toBe('cpu_open: argument 0 (number of threads) is 0; wanted an integer from 1 to 1024');
  });

  it('takes only its own handles for devices', () => {
    for (const foreign of [undefined, null, 7, {}, () => 0, new Uint8Array(8)]) {
      expect(error(() => addon.cpu_close(foreign)).message).toMatch(
        /argument 0 \(device\) is .*; wanted a handle from/,
      );
    }
  });

  it('refuses wrong handles, ranges and types instead of crashing', () => {
    const device = addon.cpu_open(1);
    addon.cpu_create_stream(device, 1);
    addon.cpu_allocate(device, 2, 16);
    const bytes = new Uint8Array(8);
    const cases: [() => unknown, RegExp][] = [
      [() => addon.cpu_allocate(device, 2, 16), /got buffer 2 twice/],
      [() => addon.cpu_create_stream(device, 1), /got stream 1 twice/],
      [() => addon.cpu_allocate(device, 3, -1), /argument 2 \(byte length\) is -1/],
      [() => addon.cpu_allocate(device, 3.5, 1), /argument 1 \(buffer\) is 3.5/],
      [() => addon.cpu_allocate(device, '3', 1), /argument 1 \(buffer\) is '3'/],
      [() => addon.cpu_free(device, 99), /buffer 99, which does not exist/],
      [() => addon.cpu_write(device, 1, 2, 12, bytes), /bytes \[12, 20\) of buffer 2, which has 16 bytes/],
      [() => addon.cpu_write(device, 1, 2, 0, new Float32Array(2)), /argument 4 \(bytes\).*wanted a Uint8Array/],
      [() => addon.cpu_read(device, 1, 2, 2 ** 53 - 2, 16), /of buffer 2/],
      [() => addon.cpu_fill(device, 1, 2, 0, 9, new Uint8Array(3)), /pattern of 3 bytes; wanted 1, 2, 4 or 8/],
      [() => addon.cpu_launch(device, 1, 1e6, 1, 1, 1, bytes, new Float64Array(0), 0), /\(program index\)/],
      [
        () => addon.cpu_launch(device, 1, 0, 1, 1, 1, bytes, new Float64Array(0), 0),
        /8 parameter bytes .*'noop'; wanted 0/,
      ],
      [() => addon.cpu_launch(device, 1, 0, -1, 1, 1, bytes, new Float64Array(0), 0), /\(grid x\) is -1/],
      [() => addon.cpu_run_program(1e6, bytes, new Int32Array(0), []), /\(program index\)/],
      [() => addon.cpu_run_program(0, bytes, new Int32Array(0), []), /8 parameter bytes for program 'noop'; wanted 0/],
      [() => addon.cpu_run_program(0, new Uint8Array(0), new Int32Array(1), []), /\(memory\).*one for each offset/],
      [() => addon.cpu_run_program(0, new Uint8Array(0), new Int32Array(1), [7]), /\(memory\).*typed arrays/],
      [() => addon.cpu_run_program(0, new Uint8Array(0), new Int32Array(1), [bytes]), /offset 0 of 0 parameter bytes/],
      [() => addon.cpu_run_program(0, new Uint8Array(0), [0], [bytes]), /\(offsets\).*an Int32Array/],
      [() => addon.cpu_event_time(device, 5), /event 5, which does not exist/],
      [() => addon.cpu_end_capture(device, 1, 9), /wanted the stream of begin_capture/],
      [() => addon.cpu_replay(device, 4, 1), /graph exec 4, which does not exist/],
    ];
    for (const [run, message] of cases) {
      const thrown = error(run);
      expect(thrown.code).toBe('NATIVE');
      expect(thrown.message).toMatch(message);
    }
    addon.cpu_close(device);
    expect(error(() => addon.cpu_allocate(device, 3, 16)).code).toBe('DISPOSED');
  });

  it('reports a size that the host refuses as OUT_OF_MEMORY', () => {
    const device = addon.cpu_open(1);
    expect(error(() => addon.cpu_allocate(device, 1, 2 ** 52)).code).toBe('OUT_OF_MEMORY');
    addon.cpu_close(device);
  });

  it('closes twice without harm', () => {
    const device = addon.cpu_open(2);
    addon.cpu_close(device);
    addon.cpu_close(device);
    expect(addon.cpu_live_counts(device)).toMatchObject({ buffers: 0, streams: 0 });
  });
});
