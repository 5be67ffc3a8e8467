/**
 * Fixed split size: cuts at multiples of a constant. Where a request's KV is cut depends on its own length alone, so its
 * result has the same bits whatever else is in the batch (batch invariance; see Thinking Machines Lab, "Defeating
 * Nondeterminism in LLM Inference", 2025).
 */
import { requireInteger } from '../../errors';
import { collectQueryTiles } from '../query-tiles';
import { type Policy, Schedule } from '../schedule';
import { trustPolicy } from '../trusted';
import { refuseProblem } from './configurable';
import { cutAtChunks, dealPieces } from './pieces';

/**
 * A policy that cuts each KV range at multiples of `tokens`.
 * @param tokens length of a piece, at least 1; a multiple of the page size wastes nothing
 */
export function fixedSplitSize(tokens: number): Policy {
  refuseProblem('fixedSplitSize', tokens);
  requireInteger('fixedSplitSize: tokens', tokens, 1);
  return trustPolicy((problem, machine) => {
    const pieces = cutAtChunks(collectQueryTiles(problem, machine.tileClasses[0].queryRows), tokens);
    const tiles = dealPieces(problem, machine, pieces);
    return new Schedule(`fixedSplitSize(${tokens})`, problem, machine, tiles, { kvChunkSizeTokens: tokens });
  });
}
