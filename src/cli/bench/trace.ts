/** `warpbook bench trace`: what the in-kernel timeline costs: the same row with and without, in turns. */
import { compare } from '../../measure/compare';
import type { Spread } from '../../measure/statistics';
import type { Policy } from '../../schedule/schedule';
import type { BenchCase } from './cases';
import type { BenchContext } from './context';
import { decodeCalls, round, shapeOf } from './decode';
import { makeOperands } from './operands';
import type { ResultRow } from './result-file';

/** Sets of each kind: both read the same pages' worth, and neither finds its data in a cache. */
export async function benchTrace(
  context: BenchContext,
  bench: BenchCase,
  policy: Policy | undefined,
  policyName: string,
): Promise<ResultRow> {
  const { device, rotation } = context;
  const half = {
    ...rotation,
    rotatedBytes: Math.ceil(rotation.rotatedBytes / 2),
    spreadBytes: rotation.spreadBytes / 2,
  };
  const plain = await makeOperands(device, bench, policy, half);
  try {
    const traced = await makeOperands(device, bench, policy, half, { trace: true });
    try {
      const verdict = await compare(decodeCalls(traced), decodeCalls(plain), {
        device,
        names: ['traced', 'untraced'],
        rotate: plain.sets.length,
        marginPct: 1,
      });
      context.say(`${bench.what}: ${verdict}`);
      const times = (spread: Spread): { medianUs: number; minUs: number; spreadPct: number } => ({
        medianUs: round(spread.median / 1e3),
        minUs: round(spread.min / 1e3),
        spreadPct: round(spread.spreadPct),
      });
      return {
        ...shapeOf(bench),
        policy: policyName,
        ...times(verdict.a),
        gbps: round(traced.bytes / verdict.a.median),
        floorUs: round(await context.floorUs(traced.bytes)),
        peers: { untraced: round(verdict.b.median / 1e3) },
        verdict: verdict.verdict,
        ratio: [verdict.ratioLow, verdict.ratio, verdict.ratioHigh].map((x) => round(x)),
        rounds: verdict.rounds,
      };
    } finally {
      traced.dispose();
    }
  } finally {
    plain.dispose();
  }
}
