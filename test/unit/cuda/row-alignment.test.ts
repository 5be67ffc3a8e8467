import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkOperands, resolveOutputs } from '../../../src/attention/check-run';
import type { KvOperand } from '../../../src/attention/kv-operand';
import { makeVariant } from '../../../src/attention/variant';
import type { Device } from '../../../src/device/device';
import { empty } from '../../../src/tensor/create';
import type { Tensor } from '../../../src/tensor/tensor';
import { openFakeCuda } from '../../support/fake-cuda/build';

const variant = makeVariant({ numQoHeads: 2, numKvHeads: 1, headDim: 64 }, false);

describe('rows of attention on a GPU', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openFakeCuda();
  });
  afterAll(() => device.dispose());

  const make = (shape: number[]): Tensor => empty(shape, { dtype: 'bfloat16', device });
  const kvOf = (k: Tensor): KvOperand => ({
    k,
    v: k,
    stridePage: k.strides[0],
    strideToken: k.strides[1],
    strideHead: k.strides[2],
    numPages: 4,
    pageSize: 16,
    kScale: 1,
    vScale: 1,
  });

  it("begin at multiples of 16 bytes: queries, keys and outputs that don't are refused with the remedy", () => {
    const owner = { name: 'BatchDecode', device, variant };
    const aligned = make([3, 2, 64]);
    const keys = make([4, 16, 1, 64]);
    expect(() => checkOperands(owner, aligned, kvOf(keys), 3, 3)).not.toThrow();
    expect(() => checkOperands(owner, make([3, 2, 72]).slice(2, 8, 72), kvOf(keys), 3, 3)).not.toThrow();

    const shifted = make([3, 2, 68]).slice(2, 4, 68);
    expect(() => checkOperands(owner, shifted, kvOf(keys), 3, 3)).toThrow(
      'BatchDecode.run: q starts at byte 8 with strides [136,68,1]; on a GPU rows must begin at multiples of 16 bytes. Use q.contiguous().',
    );
    const narrow = make([4, 16, 1, 68]).slice(3, 0, 64);
    expect(() => checkOperands(owner, aligned, kvOf(narrow), 3, 3)).toThrow('Use k.contiguous()');
    const lse = empty([3, 2], { dtype: 'float32', device });
    expect(() => resolveOutputs(owner, aligned, { out: shifted, lse }, device.stream)).toThrow(
      'Pass one that is no slice',
    );
  });
});
