/** How the benches read their flags, and tell afterwards which were given. */
import { type Command, InvalidArgumentError } from 'commander';

/** `a,b` as a list. */
export function list(text: string): string[] {
  return text.split(',').map((part) => part.trim());
}

/** @throws InvalidArgumentError for what is no number of at least 0 */
export function number(text: string): number {
  const value = Number(text);
  if (!(value >= 0) || !Number.isFinite(value)) throw new InvalidArgumentError('Wanted a number of at least 0.');
  return value;
}

/** The options that were given, without where results go. */
export function commandLine(command: Command): string {
  const given = command.options.filter((option) => {
    const name = option.attributeName();
    if (name === 'out' || name === 'name') return false;
    // A seed says which batches were drawn, also where nobody chose it.
    return name === 'seed' || command.getOptionValueSource(name) === 'cli';
  });
  const parts = given.map((option) => {
    const value: unknown = command.getOptionValue(option.attributeName());
    return value === true ? `${option.long}` : `${option.long} ${Array.isArray(value) ? value.join(',') : value}`;
  });
  return ['warpbook bench', command.name(), ...parts].join(' ');
}
