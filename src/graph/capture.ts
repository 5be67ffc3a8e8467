/**
 * Capture: run a synchronous function while its device work becomes a graph instead of being done.
 *
 * Parameters and addresses are frozen as they are at that moment, exactly as CUDA freezes them: whatever may change
 * between replays has to be in device memory.
 */
import type { CaptureGuard } from '../device/capture-session';
import type { Device } from '../device/device';
import type { Stream } from '../device/stream';
import { WarpbookError } from '../errors';
import { Graph } from './graph';

/**
 * Captures what `fn` enqueues on `options.stream` (default: the device's own), and on streams that wait for events
 * recorded there; these have to be joined back before `fn` returns.
 *
 * Throws `CAPTURE_FORBIDDEN` where a read or a wait was refused whose promise nobody could await, `CAPTURE_INVALID` where `fn` returns a Promise or a stream is left unjoined, and whatever `fn` throws. The
 * capture is then dropped and every stream is usable again.
 */
export function capture(device: Device, fn: () => void, options: { stream?: Stream } = {}): Graph {
  const { stream = device.stream } = options;
  stream.requireEager('stream.beginCapture', device);
  const session = stream.beginCapture();
  let result: unknown;
  try {
    result = fn();
  } catch (error) {
    stream.abortCapture(session);
    throw error;
  }
  if (isPromise(result)) {
    stream.abortCapture(session);
    // The error below says what is wrong; a rejection of this promise would only repeat it, unhandled.
    result.then(undefined, () => {});
    throw new WarpbookError(
      'CAPTURE_INVALID',
      'Got a capture function that returns a Promise (is it async?); wanted a synchronous one, because other work could ' +
        'run in between. Await before the capture or after it. The capture was dropped.',
    );
  }
  if (session.overlooked) {
    stream.abortCapture(session);
    throw session.overlooked;
  }
  const handle = device.state.newHandle();
  stream.endCapture(session, handle);
  return new Graph(device, handle, session.nodes, session.guards);
}

/**
 * Called by the users of graphs (attention, say) while `stream` is being captured: `guard.check()` is asked before
 * each replay, and a string makes the replay throw `GRAPH_STALE` with it. Outside of a capture it does nothing.
 */
export function onCapture(stream: Stream, guard: CaptureGuard): void {
  stream.session?.guards.push(guard);
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function';
}
