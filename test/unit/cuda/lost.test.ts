/** An illegal address: the device is lost, and with it, as on a real GPU, CUDA in this process. */
import { beforeAll, describe, expect, it } from 'vitest';
import type { Buffer } from '../../../src/device/buffer';
import { type Device, openDevice } from '../../../src/device/device';
import { defineParams } from '../../../src/device/params';
import type { Launch } from '../../../src/device/stream';
import { noop } from '../../support/device-programs';
import { openFakeCuda } from '../../support/fake-cuda/build';

const faultParams = defineParams('FaultParams', { word: ['address', ''] });

function fault(buffer: Buffer): Launch {
  return { program: 'fault', grid: [1, 1, 1], params: faultParams.pack({ word: buffer.address() }), buffers: [buffer] };
}

describe('a lost CUDA device', () => {
  let device: Device;
  let failure: Promise<void>;
  beforeAll(async () => {
    device = await openFakeCuda();
    const buffer = device.allocate(16);
    device.stream.launch(noop());
    await device.stream.synchronize();
    device.stream.launch(fault(buffer));
    device.stream.launch(noop());
    failure = device.stream.synchronize();
    await failure.catch(() => undefined);
  });

  it('tells the first call that failed, what may be at fault and what to do', async () => {
    await expect(failure).rejects.toMatchObject({
      code: 'DEVICE_LOST',
      message: expect.stringMatching(
        /^The CUDA device failed: cu\w+ answered CUDA_ERROR_ILLEGAL_ADDRESS \(700\), an illegal memory access was encountered, while .* stream '1' \(its latest launches: .*fault.*restart the kernel\. Values on the host are unharmed/,
      ),
    });
  });

  it('throws at every later call, with the same message', async () => {
    const message = await failure.catch((error: Error) => error.message);
    for (const call of [() => device.allocate(4), () => device.stream.launch(noop()), () => device.createStream()]) {
      expect(call).toThrow(expect.objectContaining({ code: 'DEVICE_LOST', message }));
    }
  });

  it('can be disposed, and the CPU device works on', async () => {
    device.dispose();
    expect(device.leaks).toHaveLength(1);
    const cpu = await openDevice('cpu', { threads: 1 });
    const buffer = cpu.allocate(1);
    buffer.fill(new Uint8Array([1]));
    expect([...(await buffer.read())]).toEqual([1]);
    cpu.dispose();
  });

  it('cannot be opened again', async () => {
    await expect(openDevice('cuda')).rejects.toMatchObject({
      code: 'DEVICE_LOST',
      message: expect.stringContaining('restart the kernel'),
    });
  });
});
