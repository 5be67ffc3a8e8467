import { PNG } from 'pngjs';
import { describe, expect, test } from 'vitest';
import { registerDisplays } from '../../../src/display/register';
import { jupyterDisplay, renderBundle } from '../../../src/renderers';

registerDisplays();

const spec = {
  $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
  title: 'Mine',
  data: { values: [{ a: 1, b: 2 }] },
  mark: 'point',
  encoding: { x: { field: 'a', type: 'quantitative' }, y: { field: 'b', type: 'quantitative' } },
};
const VEGA_LITE = 'application/vnd.vegalite.v5+json';

describe('specifications show themselves', () => {
  test('Vega-Lite as a plain object, with the schema that front ends draw and a picture', async () => {
    const bundle = await renderBundle(spec);
    expect(Object.keys(bundle ?? {})).toEqual([VEGA_LITE, 'text/plain', 'image/png']);
    expect(bundle?.[VEGA_LITE]).toMatchObject({ ...spec, $schema: 'https://vega.github.io/schema/vega-lite/v5.json' });
    expect(bundle?.['text/plain']).toBe('[chart: Mine]');
    expect(PNG.sync.read(Buffer.from(bundle?.['image/png'] as string, 'base64')).width).toBeGreaterThan(100);
    expect(spec.$schema).toMatch(/v6/);
  });

  test('a builder by its toSpec()', async () => {
    class Builder {
      toSpec(): object {
        return spec;
      }
    }
    expect(Object.keys((await renderBundle(new Builder())) ?? {})).toContain(VEGA_LITE);
  });

  test('Vega itself', async () => {
    const bundle = await renderBundle({
      $schema: 'https://vega.github.io/schema/vega/v6.json',
      width: 50,
      height: 50,
      marks: [],
    });
    expect(Object.keys(bundle ?? {})).toEqual(['application/vnd.vega.v5+json', 'image/png', 'text/plain']);
  });

  test('one that can not be drawn here is left to the front end', async () => {
    for (const broken of [
      { ...spec, data: { url: '/no/such/file.json' } },
      { ...spec, mark: 'nonsense' },
    ]) {
      const bundle = await renderBundle(broken);
      expect(Object.keys(bundle ?? {})).toEqual([VEGA_LITE, 'text/plain']);
    }
  });

  test('other objects are not taken for one; an own display method goes first', async () => {
    const throwing = {
      toSpec: () => {
        throw new Error('no');
      },
    };
    for (const other of [{}, { $schema: 'https://json-schema.org/draft-07/schema' }, throwing, { toSpec: () => 3 }]) {
      expect(await renderBundle(other)).toBeUndefined();
    }
    expect(await renderBundle({ ...spec, [jupyterDisplay]: () => ({ 'text/plain': 'own' }) })).toEqual({
      'text/plain': 'own',
    });
  });
});
