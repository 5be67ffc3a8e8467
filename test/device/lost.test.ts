/** An illegal address on a real GPU. In a file, and so in a process, of its own: nothing on CUDA works after it. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { openDevice } from '../../src/device/device';
import { noop, openProbed, store } from './probes';

it('loses the device, tells why, and leaves the rest alone', async () => {
  const device = await openProbed();
  const buffer = device.allocate(16);
  device.stream.launch(noop());
  await device.synchronize();
  device.stream.launch(store('illegal_address', buffer, 1));
  device.stream.launch(noop());
  await assert.rejects(device.stream.synchronize(), (error: Error & { code: string }) => {
    assert.equal(error.code, 'DEVICE_LOST');
    assert.match(error.message, /CUDA_ERROR_ILLEGAL_ADDRESS \(700\).*illegal_address.*restart the kernel/s);
    return true;
  });
  assert.throws(() => device.stream.launch(noop()), { code: 'DEVICE_LOST' });
  device.dispose();
  await assert.rejects(openDevice('cuda'), { code: 'DEVICE_LOST' });
  const cpu = await openDevice('cpu');
  const there = cpu.allocate(1);
  there.fill(new Uint8Array([1]));
  assert.deepEqual([...(await there.read())], [1]);
  cpu.dispose();
});
