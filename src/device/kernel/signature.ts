/**
 * The parameters of a kernel: their types as the compiler has them, their names as the source has them, and where each lies
 * in a launch's parameter bytes.
 *
 * Types come from the name that the compiler gave to a function template instantiated with the kernel's own type: exact
 * behind typedefs, templates and macros. Names are read from the source by a pattern and serve messages alone.
 */
import { WarpbookError } from '../../errors';
import type { ParameterPlace } from '../backend';
import { SIGNATURE_KERNEL } from '../programs/compile-job';
import { pointeeOf, type ScalarType, scalarType } from './c-types';

/** See the file head. */
export interface KernelParameter {
  /** As in the source; undefined where it can't be told. */
  readonly name: string | undefined;
  /** Such as `float const*`. */
  readonly type: string;
  /** What it points to, such as `float`; '' for something nameless; undefined for what is no pointer. */
  readonly pointee: string | undefined;
  /** Undefined for pointers and for structs, which are passed as bytes. */
  readonly scalar: ScalarType | undefined;
  /** Of its bytes in a launch. */
  readonly offset: number;
  readonly byteLength: number;
}

/** Appended to a kernel's source: instantiated with the kernel's type, its name tells that type. */
export const SIGNATURE_TEMPLATE: string = `\ntemplate <class warpbook_kernel>\n__global__ void ${SIGNATURE_KERNEL}() {}\n`;

/** The name expression that tells the type of kernel `expression`. */
export function signatureExpression(expression: string): string {
  return `${SIGNATURE_KERNEL}<decltype(&${expression})>`;
}

const POINTER_BYTES = 8;

/** Types of the parameters, from the readable name of {@link signatureExpression}. */
export function parameterTypes(readable: string): string[] {
  const start = readable.indexOf('void (*)(');
  if (start < 0) {
    throw new WarpbookError('NATIVE', `Got '${readable}' as a kernel's type; wanted 'void (*)(…)' in it.`, {
      readable,
    });
  }
  return splitParameters(parenthesized(readable, start + 'void (*)'.length));
}

/**
 * The parameters with their places: `places` are the driver's own; without them (before CUDA 12.4) they follow C's rule,
 * which needs to know every size. Throws `UNSUPPORTED` for a struct then.
 */
export function describeParameters(
  kernel: string,
  types: readonly string[],
  names: readonly string[] | undefined,
  places: readonly ParameterPlace[] | undefined,
): KernelParameter[] {
  if (places && places.length !== types.length) {
    throw new WarpbookError(
      'NATIVE',
      `The driver found ${places.length} parameters of kernel '${kernel}', the compiler ${types.length}.`,
    );
  }
  let end = 0;
  return types.map((type, index) => {
    const pointee = pointeeOf(type);
    const scalar = pointee === undefined ? scalarType(type) : undefined;
    const place = places?.[index] ?? naturalPlace(kernel, type, pointee, scalar, end);
    end = place.offset + place.byteLength;
    return { name: names?.[index], type, pointee, scalar, ...place };
  });
}

function naturalPlace(
  kernel: string,
  type: string,
  pointee: string | undefined,
  scalar: ScalarType | undefined,
  end: number,
): ParameterPlace {
  const byteLength = pointee === undefined ? scalar?.byteLength : POINTER_BYTES;
  if (byteLength === undefined) {
    throw new WarpbookError(
      'UNSUPPORTED',
      `Got kernel '${kernel}' with a parameter of type ${type}, whose size this driver does not tell; wanted pointers and ` +
        'numbers, or a driver for CUDA 12.4 or newer.',
    );
  }
  return { offset: Math.ceil(end / byteLength) * byteLength, byteLength };
}

/** Names of the parameters of the `__global__` function `name`; undefined where the source doesn't show `count` of them. */
export function parameterNames(source: string, name: string, count: number): string[] | undefined {
  const text = withoutComments(source);
  const attributes = '(?:[^;{}()]|__launch_bounds__\\s*\\([^;{}]*?\\)|__cluster_dims__\\s*\\([^;{}]*?\\))*?';
  for (const match of text.matchAll(new RegExp(`__global__${attributes}\\b${name}\\s*(?=\\()`, 'g'))) {
    const names = splitParameters(parenthesized(text, match.index + match[0].length)).map(nameOf);
    if (names.length === count && names.every((found) => found !== undefined)) return names as string[];
  }
  return undefined;
}

/** Whether a kernel of the source launches kernels. */
export function launchesKernels(source: string): boolean {
  return withoutComments(source).includes('<<<');
}

/** Without comments and the content of strings; lines stay where they are. */
function withoutComments(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:[^"\\\n]|\\.)*"/g, (found) =>
    found.startsWith('"') ? '""' : found.replace(/[^\n]/g, ' '),
  );
}

/** The content of the parentheses that open at `open`. */
function parenthesized(text: string, open: number): string {
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    if (text[at] === '(') depth++;
    else if (text[at] === ')' && --depth === 0) return text.slice(open + 1, at);
  }
  return '';
}

function splitParameters(list: string): string[] {
  const parameters: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at <= list.length; at++) {
    const c = list[at];
    if (c === '(' || c === '<' || c === '[') depth++;
    else if (c === ')' || c === '>' || c === ']') depth--;
    else if (c === undefined || (c === ',' && depth === 0)) {
      parameters.push(list.slice(start, at).trim());
      start = at + 1;
    }
  }
  return parameters.length === 1 && (parameters[0] === '' || parameters[0] === 'void') ? [] : parameters;
}

/** `x` of `const float* __restrict__ x`, `z` of `int (*z)[4]`. */
function nameOf(declaration: string): string | undefined {
  const text = declaration
    .replace(/=[\s\S]*$/, '')
    .replace(/\[[^\]]*\]/g, '')
    .trim();
  const inner = /\(\s*\*\s*(?:const\s+|__restrict__\s+)*(\w+)\s*\)/.exec(text);
  if (inner) return inner[1];
  const last = /(\w+)$/.exec(text)?.[1];
  return last === undefined || last === text || /^(int|float|double|char|short|long|bool|unsigned|const)$/.test(last)
    ? undefined
    : last;
}
