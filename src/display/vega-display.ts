/**
 * Vega-Lite and Vega specifications as they come: plain objects with a `$schema`, and builders with `toSpec()`, such as those of
 * vega-lite-api. A specification may ask for data that isn't there; it is shown then without a picture.
 */
import type { MimeBundle, RenderOptions } from '../renderers';
import { Chart } from './chart';
import { svgToPng, vegaToSvg } from './rasterize';
import type { VegaLiteSpec } from './vega-theme';

const VEGA_MIME = 'application/vnd.vega.v5+json';
/** What JupyterLab and VS Code draw; what is newer differs in little. */
const SCHEMAS = {
  'vega-lite': 'https://vega.github.io/schema/vega-lite/v5.json',
  vega: 'https://vega.github.io/schema/vega/v5.json',
} as const;
/** Data from the net may never come. */
const PICTURE_TIMEOUT_MS = 5_000;

interface FoundSpec {
  readonly language: keyof typeof SCHEMAS;
  readonly spec: VegaLiteSpec;
}

/** Recognises a specification, or what makes one. */
export function isVegaLike(value: object): value is object {
  return findSpec(value) !== undefined;
}

export async function vegaBundle(value: object, options: RenderOptions): Promise<MimeBundle> {
  const found = findSpec(value);
  if (!found) return {};
  const { language, spec } = found;
  if (language === 'vega') {
    const shown = { ...spec, $schema: SCHEMAS.vega };
    const picture = await pictureOf(async () => svgToPng(await vegaToSvg(spec)));
    return { [VEGA_MIME]: shown, ...picture, 'text/plain': '[chart]' };
  }
  const chart = new Chart({ ...spec, $schema: SCHEMAS['vega-lite'] });
  const picture = await pictureOf(() => chart.toPng());
  return { ...chart.bundleWithoutPng(options), ...picture };
}

async function pictureOf(draw: () => Promise<Uint8Array>): Promise<MimeBundle> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), PICTURE_TIMEOUT_MS);
  });
  try {
    const png = await Promise.race([draw(), late]);
    return png ? { 'image/png': Buffer.from(png.buffer, png.byteOffset, png.byteLength).toString('base64') } : {};
  } catch {
    // The front end draws it, or says why it can't.
    return {};
  } finally {
    clearTimeout(timer);
  }
}

function findSpec(value: object): FoundSpec | undefined {
  const own = specOf(value);
  if (own) return own;
  const { toSpec } = value as { toSpec?: unknown };
  if (typeof toSpec !== 'function') return undefined;
  try {
    const made: unknown = toSpec.call(value);
    return typeof made === 'object' && made !== null ? specOf(made) : undefined;
  } catch {
    return undefined;
  }
}

function specOf(value: object): FoundSpec | undefined {
  const { $schema } = value as { $schema?: unknown };
  if (typeof $schema !== 'string') return undefined;
  const language = /\/schema\/(vega-lite|vega)\/v\d/.exec($schema)?.[1] as keyof typeof SCHEMAS | undefined;
  return language && { language, spec: value as VegaLiteSpec };
}
