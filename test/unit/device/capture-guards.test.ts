import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Buffer } from '../../../src/device/buffer';
import { CAPTURE_GUARDS, type GuardedCall } from '../../../src/device/capture-guards';
import { type Device, openDevice } from '../../../src/device/device';
import type { Event } from '../../../src/device/event';
import { StagingRing } from '../../../src/device/staging';
import type { Stream } from '../../../src/device/stream';
import { capture } from '../../../src/graph/capture';
import type { GraphExec } from '../../../src/graph/graph-exec';
import { arange, noop, words } from '../../support/device-programs';
import { openFakeCuda } from '../../support/fake-cuda/build';

interface Things {
  device: Device;
  stream: Stream;
  buffer: Buffer;
  ring: StagingRing;
  exec: GraphExec;
  /** Recorded before the capture. */
  outside: Event;
  /** Recorded in the capture. */
  inside: Event;
}

/** Every guarded call, made while `stream` is being captured. */
const CALLS: Record<GuardedCall, (things: Things) => unknown> = {
  'device.allocate': ({ device }) => device.allocate(4),
  'device.loadProgram': ({ device }) =>
    device.loadProgram('x', new Uint8Array(), { entry: 'x', threads: 1, sharedMemoryBytes: 0 }),
  'device.compile': ({ device }) => device.compile('', { name: 'x' }),
  'device.dispose': ({ device }) => device.dispose(),
  'device.synchronize': ({ device }) => device.synchronize(),
  'stream.synchronize': ({ stream }) => stream.synchronize(),
  'stream.pending': ({ stream }) => stream.pending(),
  'stream.dispose': ({ stream }) => stream.dispose(),
  'stream.beginCapture': ({ device, stream }) => capture(device, () => {}, { stream }),
  'stream.wait': ({ stream, outside }) => stream.wait(outside),
  'event.synchronize': ({ inside }) => inside.synchronize(),
  'event.elapsedSinceNs': ({ inside, outside }) => inside.elapsedSinceNs(outside),
  'buffer.write': ({ buffer, stream }) => buffer.write(new Uint8Array(4), { stream }),
  'buffer.read': ({ buffer, stream }) => buffer.read({ stream }),
  'staging.submit': ({ ring, stream, buffer }) => {
    const slot = ring.acquire();
    try {
      ring.submit(slot, 4, stream, buffer);
    } finally {
      ring.release(slot);
    }
  },
  'exec.replay': ({ exec, stream }) => exec.replay(stream),
  'exec.upload': ({ exec, stream }) => exec.upload(stream),
};

const DEVICES: [string, () => Promise<Device>][] = [
  ['the CPU device', () => openDevice('cpu', { threads: 2 })],
  ['the CUDA device, over a fake driver', () => openFakeCuda()],
];

describe.each(DEVICES)('in a capture on %s', (_name, open) => {
  let device: Device;
  let things: Omit<Things, 'inside'>;
  beforeAll(async () => {
    device = await open();
    const stream = device.createStream('captured');
    const buffer = device.allocate(16);
    const ring = new StagingRing(device, 16, 1);
    const exec = capture(device, () => stream.launch(noop()), { stream }).instantiate();
    things = { device, stream, buffer, ring, exec, outside: device.stream.record() };
  });
  afterEach(() => expect(things.stream.capturing).toBe(false));
  afterAll(() => device.dispose());

  // Nobody can await their refusal in a capture, so capture() throws it.
  const waiting: readonly GuardedCall[] = [
    'device.loadProgram',
    'device.compile',
    'device.synchronize',
    'stream.synchronize',
    'buffer.read',
  ];
  const goesOn = (Object.keys(CALLS) as GuardedCall[]).filter((call) => !waiting.includes(call));

  it.each(waiting)('%s() is refused, and the capture fails with the same error', async (call) => {
    const { stream, buffer } = things;
    let refusal: Promise<unknown> = Promise.resolve();
    const attempt = () =>
      capture(
        device,
        () => {
          stream.launch(arange(buffer, 1));
          const inside = stream.record();
          refusal = (async () => CALLS[call]({ ...things, inside }))();
          refusal.catch(() => undefined);
        },
        { stream },
      );
    expect(attempt).toThrow(`Got ${call}() while stream 'captured' is being captured. ${CAPTURE_GUARDS[call]}`);
    await expect(refusal).rejects.toMatchObject({ code: 'CAPTURE_FORBIDDEN', details: { call } });
    stream.launch(arange(buffer, 1));
    expect((await words(buffer, stream))[0]).toBe(1);
  });

  it.each(goesOn)('%s() is refused, and the capture goes on', async (call) => {
    const { stream, buffer } = things;
    let refusal: Promise<unknown> = Promise.resolve();
    const graph = capture(
      device,
      () => {
        stream.launch(arange(buffer, 1));
        const inside = stream.record();
        refusal = (async () => CALLS[call]({ ...things, inside }))();
        stream.launch(arange(buffer, 2, 1, 2));
      },
      { stream },
    );
    await expect(refusal).rejects.toMatchObject({
      code: 'CAPTURE_FORBIDDEN',
      message: expect.stringContaining(`Got ${call}()`),
      details: { call },
    });
    await expect(refusal).rejects.toThrow(CAPTURE_GUARDS[call]);
    const exec = graph.instantiate();
    exec.replay(stream);
    expect(await words(buffer, stream)).toEqual([2, 3, 3, 4]);
    exec.dispose();
    graph.dispose();
  });

  it('names the stream that is being captured', () => {
    const { stream } = things;
    capture(device, () => {
      expect(() => device.allocate(4)).toThrow(
        "Got device.allocate() while stream 'default' is being captured. Allocate before the capture: a graph replays " +
          'work, not allocations.',
      );
      expect(() => capture(device, () => {}, { stream: device.stream })).toThrow("while stream 'default' is being");
      expect(stream.capturing).toBe(false);
    });
  });

  it('other streams work, wait and are waited for as usual', async () => {
    const { stream } = things;
    const other = device.createStream('bystander');
    const target = device.allocate(16);
    let during: Promise<number[]> | undefined;
    capture(
      device,
      () => {
        stream.launch(noop());
        target.write(new Uint8Array(16), { stream: other });
        other.launch(arange(target, 5));
        other.wait(other.record());
        during = words(target, other);
      },
      { stream },
    ).dispose();
    expect(await during).toEqual([5, 6, 7, 8]);
    target.dispose();
    other.dispose();
  });

  it('an event of another capture is refused', () => {
    const other = device.createStream('other capture');
    capture(device, () => {
      device.stream.launch(noop());
      const event = device.stream.record();
      capture(
        device,
        () => {
          expect(() => other.wait(event)).toThrow('in a capture for an event of another capture');
        },
        { stream: other },
      ).dispose();
    }).dispose();
    other.dispose();
  });

  it('an event of a capture that has ended has to be recorded again', async () => {
    const { stream } = things;
    let event: Event | undefined;
    capture(
      device,
      () => {
        event = stream.record();
      },
      { stream },
    ).dispose();
    expect(() => device.stream.wait(event as Event)).toThrow(
      'for an event that was recorded in a capture which has ended',
    );
    await expect(event?.synchronize()).rejects.toMatchObject({ code: 'CAPTURE_FORBIDDEN' });
    stream.record(event);
    device.stream.wait(event as Event);
    await event?.synchronize();
  });
});
