/**
 * The registry of renderers: which class is shown how. A leaf that imports nothing, so that pure objects (schedules,
 * timelines, tensors) never import charts or tables; `display` fills it, kernels and `Symbol.for('Jupyter.display')`
 * read it. Knows no mime type but the plain text of a failed display.
 */

/** Representations of one value by mime type; a front end shows the richest that it knows. */
export type MimeBundle = Readonly<Record<string, unknown>>;

export interface RenderOptions {
  /** Width of a terminal, in characters, for `text/plain`; default 100. */
  readonly columns?: number;
}

/** Makes the bundle of one value. May be async; may throw (the value is then shown as an error text). */
export type Renderer<T> = (value: T, options: RenderOptions) => MimeBundle | Promise<MimeBundle>;

/** A class as a key of the registry; abstract classes and private constructors included. */
export type RenderedClass<T> = { readonly prototype: T };

/** The method that Jupyter kernels of JavaScript look for: `value[jupyterDisplay]()` returns a mime bundle. */
export const jupyterDisplay: unique symbol = Symbol.for('Jupyter.display');

/** On a bundle that stands in for a display that failed: why it failed. Not enumerable, so it is no representation. */
export const displayFailure: unique symbol = Symbol.for('warpbook.displayFailure');

const byPrototype = new Map<object, Renderer<never>>();
const byRecognition: { readonly recognizes: (value: object) => boolean; readonly render: Renderer<never> }[] = [];

/** Shows instances of `cls` and of its subclasses by `render`; a second registration replaces the first. */
export function registerRenderer<T extends object>(cls: RenderedClass<T>, render: Renderer<T>): void {
  byPrototype.set(cls.prototype, render as Renderer<never>);
  installDisplaySymbol(cls);
}

/** Shows values of foreign classes, recognised by what they can do; asked after the registered classes and after the value's own method. */
export function registerRecognizer<T extends object>(
  recognizes: (value: object) => value is T,
  render: Renderer<T>,
): void {
  if (byRecognition.some((entry) => entry.recognizes === recognizes)) return;
  byRecognition.push({ recognizes, render: render as Renderer<never> });
}

/** Gives instances of `cls` the method `[Symbol.for('Jupyter.display')](options?)`, which asks this registry. */
export function installDisplaySymbol<T extends object>(cls: RenderedClass<T>): void {
  Object.defineProperty(cls.prototype, jupyterDisplay, {
    configurable: true,
    enumerable: false,
    writable: true,
    value(this: object, options?: RenderOptions): Promise<MimeBundle | undefined> {
      return renderBundle(this, options);
    },
  });
}

/**
 * The mime bundle of a value, or undefined where nobody knows it. Never rejects: a display that throws becomes a text
 * that says so, since a value that can't be drawn must not fail (or hang) the cell that computed it.
 */
export async function renderBundle(value: unknown, options: RenderOptions = {}): Promise<MimeBundle | undefined> {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return undefined;
  try {
    const render = rendererOfClass(value);
    if (render) return await render(value as never, options);
    const own = (value as { [jupyterDisplay]?: unknown })[jupyterDisplay];
    if (typeof own !== 'function') return await recognizerOf(value)?.(value as never, options);
    const bundle: unknown = await own.call(value, options);
    return isBundle(bundle) ? bundle : undefined;
  } catch (error) {
    const bundle = { 'text/plain': `The display of ${nameOf(value)} failed: ${messageOf(error)}` };
    return Object.defineProperty(bundle, displayFailure, { value: messageOf(error) });
  }
}

/** Whether a value's class has a renderer. */
export function hasRenderer(value: unknown): boolean {
  return typeof value === 'object' && value !== null && (rendererOfClass(value) ?? recognizerOf(value)) !== undefined;
}

function rendererOfClass(value: object): Renderer<never> | undefined {
  for (let p: object | null = Object.getPrototypeOf(value); p; p = Object.getPrototypeOf(p)) {
    const render = byPrototype.get(p);
    if (render) return render;
  }
  return undefined;
}

function recognizerOf(value: object): Renderer<never> | undefined {
  return byRecognition.find((entry) => entry.recognizes(value))?.render;
}

function isBundle(value: unknown): value is MimeBundle {
  return typeof value === 'object' && value !== null && Object.keys(value).every((key) => key.includes('/'));
}

function nameOf(value: object): string {
  const name: unknown = value.constructor?.name;
  return typeof name === 'string' && name !== '' ? name : 'a value';
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
