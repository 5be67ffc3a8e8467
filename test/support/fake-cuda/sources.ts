/** Sources of kernels for the fake compiler: real declarations, with what its lines make of them (see fake_nvrtc.cc). */
import { signatureExpression } from '../../../src/device/kernel/signature';

/**
 * A source that the fake compiler makes kernel `entry` of the fake driver from, when `expression` is asked for. `sizes` are
 * those of the parameters (8+4), `mangled` their types as in C++ names (Pij).
 */
export function fakeSource(
  declaration: string,
  expression: string,
  entry: string,
  sizes: string,
  mangled: string,
): string {
  return [`__global__ void ${declaration} {}`, ...fakeLines(expression, entry, sizes, mangled)].join('\n');
}

/** The lines of {@link fakeSource} without a declaration. */
export function fakeLines(expression: string, entry: string, sizes: string, mangled: string): string[] {
  return [
    `// fake: ${entry} ${sizes} 40 16 1024 512`,
    `// fake-name: ${expression} => ${entry}`,
    `// fake-name: ${signatureExpression(expression)} => _Z18warpbook_signatureIPFv${mangled}EEvv`,
  ];
}
