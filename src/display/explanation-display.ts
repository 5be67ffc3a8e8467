/** How a strategy explains itself: what it follows, what it freezes, and what it can't do, with the reason. */
import type { MimeBundle, RenderOptions } from '../renderers';
import type { StrategyExplanation } from '../strategy/strategy';
import { type Facts, factsBundle } from './facts';

/** An explanation is a plain object, found by its shape. */
export function isExplanation(value: unknown): value is StrategyExplanation {
  const candidate = value as Partial<StrategyExplanation> | null;
  return (
    typeof candidate === 'object' &&
    candidate !== null &&
    typeof candidate.does === 'string' &&
    Array.isArray(candidate.cannot)
  );
}

export function explanationBundle(explanation: StrategyExplanation, options: RenderOptions): MimeBundle {
  const { name, does, follows, freezes, cannot, needs } = explanation;
  const facts: Facts = [
    ['does', does],
    ['a replay follows', follows.join(', ')],
    ['frozen at capture', freezes.join(', ') || 'nothing'],
    ...cannot.map(({ what, why }): [string, string] => [`can't ${what}`, why]),
    ['needs', needs],
  ];
  return factsBundle(name, facts, [], options);
}
