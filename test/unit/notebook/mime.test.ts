import { describe, expect, it } from 'vitest';
import { bundleOf, plainText } from '../../../src/notebook/kernel/mime';
import { jupyterDisplay, type MimeBundle } from '../../../src/renderers';

const shownBy = (display: () => unknown) => ({ value: 1, [jupyterDisplay]: display });

const dataOf = async (...args: Parameters<typeof bundleOf>): Promise<MimeBundle> => (await bundleOf(...args)).data;

describe('bundleOf', () => {
  it.each([
    ['text', 'text'],
    [42, '42'],
    [10n, '10n'],
    [null, 'null'],
    [[1, 'a'], "[ 1, 'a' ]"],
    [new Map([[1, { a: 2 }]]), 'Map(1) { 1 => { a: 2 } }'],
  ])('shows a value as text: %#', async (value, text) => {
    expect(await dataOf(value)).toEqual({ 'text/plain': text });
  });

  it('takes what a display method returns, made fit for JSON', async () => {
    const bundle = await dataOf(
      shownBy(async () => ({
        'image/png': new Uint8Array([0, 255]),
        'application/vnd.vegalite.v5+json': { data: { values: [undefined, 1] }, f: undefined },
        'text/html': ['<b>', '</b>'],
        'text/latex': undefined,
        'text/plain': 'text',
      })),
    );
    expect(bundle).toEqual({
      'image/png': 'AP8=',
      'application/vnd.vegalite.v5+json': { data: { values: [null, 1] } },
      'text/html': '<b></b>',
      'text/plain': 'text',
    });
  });

  it('adds a text where there is none, but none to nothing', async () => {
    expect(await dataOf(shownBy(() => ({ 'text/html': 'x' })))).toMatchObject({
      'text/plain': expect.stringContaining('value: 1'),
    });
    expect(await dataOf(shownBy(() => ({})))).toEqual({});
  });

  it('shows a value whose display has nothing to say as text', async () => {
    expect(await dataOf(shownBy(() => undefined))).toEqual({ 'text/plain': expect.stringContaining('value: 1') });
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('broken');
      },
      'broken',
    ],
    [
      'throws a string',
      () => {
        throw 'text';
      },
      'text',
    ],
    [
      'rejects',
      async () => {
        throw new Error('broken');
      },
      'broken',
    ],
    ['returns a string', () => '<b>', 'it returned a string, not a mime bundle'],
    ['returns no mime types', () => ({ html: '' }), "'html' is not a mime type"],
    [
      'returns what JSON cannot hold',
      () => ({ 'application/json': { n: 1n } }),
      'Do not know how to serialize a BigInt',
    ],
  ])('falls back to text where the method %s', async (_, display, reason) => {
    const { 'text/plain': text } = await dataOf(shownBy(display));
    expect(text).toMatch(/^\{ value: 1/);
    expect(text).toContain(`(its display failed: ${reason})`);
  });

  it('ends a display that loops, and one that never comes', async () => {
    const looping = await dataOf(
      shownBy(() => {
        for (;;);
      }),
      50,
    );
    expect(looping['text/plain']).toContain('(its display failed: Script execution timed out after 50ms)');
    const hanging = await dataOf(
      shownBy(() => new Promise(() => {})),
      50,
    );
    expect(hanging['text/plain']).toContain('(its display failed: no result within 0.05 s)');
  });
});

describe('plainText', () => {
  it('survives any inspection', () => {
    const bad = {
      a: 1,
      [Symbol.for('nodejs.util.inspect.custom')]: () => {
        throw new Error('no');
      },
    };
    expect(plainText(bad)).toContain('a: 1');
    const worse = new Proxy(
      {},
      {
        getPrototypeOf: () => {
          throw new Error('no');
        },
        ownKeys: () => {
          throw new Error('no');
        },
      },
    );
    expect(plainText(worse)).toEqual(expect.any(String));
  });
});
