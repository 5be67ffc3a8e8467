// What a notebook's cells do with the public types. Compiled by test/types/declarations.test.ts, never run.
import * as warpbook from 'warpbook';
import { loadTrace, snapshot, syntheticTrace, WarpbookError } from 'warpbook';

async function cells(): Promise<void> {
  const trace: warpbook.RequestTrace = await loadTrace({ kind: 'mooncake-conversation' });
  const batch: warpbook.BatchSnapshot = snapshot(syntheticTrace({ seed: 1 }), { concurrency: 8 });
  const kvLens: Int32Array = batch.kvLens;
  const problem = warpbook.makeProblem({ kvLens, numQoHeads: 32, numKvHeads: 8, headDim: 128 });
  const indptr: Int32Array = problem.qoIndptr;
  const slots: number = warpbook.numCtaSlots(warpbook.machines.h100);

  // A type that silently became `any` would accept each of these.
  // @ts-expect-error: a number is no text
  const name: string = trace.length;
  // @ts-expect-error: no such option
  await loadTrace({ file: 'x' });
  // @ts-expect-error: no such kind
  syntheticTrace({ kind: 'azure-code' });
  // @ts-expect-error: lengths are numbers
  const lengths: string[] = Array.from(batch.kvLens);
  // @ts-expect-error: heads are numbers
  warpbook.makeProblem({ kvLens, numQoHeads: '32', numKvHeads: 8, headDim: 128 });

  try {
    console.log(indptr, slots, name, lengths);
  } catch (error) {
    if (error instanceof WarpbookError && error.code === 'FILE_NOT_FOUND') console.log(error.details);
  }
}

void cells();
