/**
 * The calls that must not happen while a stream is being captured, and what to do instead.
 *
 * CUDA fails them with an error that names neither the call nor the remedy, and leaves the capture invalid; we refuse
 * them on the caller's side, before anything has happened, so that the capture goes on.
 */
import { WarpbookError } from '../errors';

/** Call → what to do instead. Each row is a public call; a table-driven test makes every one of them. */
export const CAPTURE_GUARDS = {
  'device.allocate': 'Allocate before the capture: a graph replays work, not allocations.',
  'device.loadProgram': 'Load programs before the capture: loading may wait for the device.',
  'device.compile': 'Compile before the capture: nobody can wait for the compiler in it.',
  'device.dispose': 'Dispose the device after capture() has returned.',
  'device.synchronize':
    'Wait after capture() has returned: what is captured does not run, so there is nothing to wait for.',
  'stream.synchronize':
    'Wait after capture() has returned: what is captured does not run, so there is nothing to wait for.',
  'stream.pending': 'Ask after capture() has returned: captured work is never pending.',
  'stream.dispose': 'Dispose the stream after capture() has returned.',
  'stream.beginCapture': 'End the first capture before you start another one on the same stream.',
  'stream.wait': 'Record the event on a stream of this capture: a graph cannot wait for work outside of itself.',
  'event.synchronize':
    'Wait for an event that was recorded outside of a capture, after a replay: a captured record is an edge of the graph and has no time.',
  'event.elapsedSinceNs':
    'Time a replay with events recorded around it: a captured record is an edge of the graph and has no time.',
  'buffer.write':
    'Write before the capture, or into a buffer that the captured work reads: host bytes would be frozen into the graph.',
  'buffer.read': 'Read after a replay: what is captured has not run yet.',
  'staging.submit': 'Submit before the capture or between replays: the graph would read a slot that is reused.',
  'exec.replay':
    'Replay after capture() has returned, or put the graph itself into this one: stream.launchGraph(graph).',
  'exec.upload': 'Upload after capture() has returned: an upload prepares a replay and is no work of its own.',
} as const;

/** Name of a guarded call. */
export type GuardedCall = keyof typeof CAPTURE_GUARDS;

/** Calls that return a promise: in a capture nobody can await it, so the refusal is thrown by capture() as well. */
const ASYNC_CALLS: ReadonlySet<GuardedCall> = new Set([
  'device.loadProgram',
  'device.compile',
  'device.synchronize',
  'stream.synchronize',
  'event.synchronize',
  'event.elapsedSinceNs',
  'buffer.read',
]);

/** Throws `CAPTURE_FORBIDDEN` for `call`; `reason` is what is being captured, by `session` where it is known. */
export function refuseInCapture(call: GuardedCall, reason: string, session?: { overlooked: Error | undefined }): never {
  const error = new WarpbookError('CAPTURE_FORBIDDEN', `Got ${call}() ${reason}. ${CAPTURE_GUARDS[call]}`, { call });
  if (session && ASYNC_CALLS.has(call)) session.overlooked ??= error;
  throw error;
}
