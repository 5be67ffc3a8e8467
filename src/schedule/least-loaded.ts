/**
 * The CTA with the least load, again and again: a tournament tree whose leaves are the CTAs' loads.
 *
 * Which CTA wins a match depends on the data, so a branch there is mispredicted half of the time and would cost more than
 * all the rest; matches are decided by masks instead. Equal loads: the lower CTA wins, so the result is the same everywhere.
 */
export class LeastLoaded {
  /** Loads must stay at or below this in sum. */
  static readonly MAX_LOAD: number = 2 ** 30;
  private readonly leaves: number;
  /** Node n has children 2n and 2n + 1; the root is 1, leaves start at `leaves`. */
  private readonly load: Int32Array;
  private readonly winner: Int32Array;

  constructor(numCtas: number) {
    let leaves = 1;
    while (leaves < numCtas) leaves *= 2;
    this.leaves = leaves;
    this.load = new Int32Array(2 * leaves);
    this.winner = new Int32Array(2 * leaves);
    // Leaves beyond the CTAs never win.
    this.load.fill(2 ** 31 - 1, leaves + numCtas);
    for (let leaf = 0; leaf < leaves; leaf++) this.winner[leaves + leaf] = leaf;
    for (let node = leaves - 1; node >= 1; node--) {
      this.load[node] = this.load[2 * node];
      this.winner[node] = this.winner[2 * node];
    }
  }

  /** Sets what the first CTAs have to begin with; integers, before the first `take`. */
  start(loads: readonly number[]): void {
    const { load, winner, leaves } = this;
    load.set(loads, leaves);
    for (let node = leaves - 1; node >= 1; node--) {
      const least = load[2 * node + 1] < load[2 * node] ? 2 * node + 1 : 2 * node;
      load[node] = load[least];
      winner[node] = winner[least];
    }
  }

  /** Adds `load` (an integer, at least 0) to the least loaded CTA and returns that CTA. */
  take(load: number): number {
    const { load: loads, winner: winners } = this;
    const taken = winners[1];
    let node = this.leaves + taken;
    let least = (loads[node] + load) | 0;
    let winner = taken;
    loads[node] = least;
    while (node > 1) {
      const sibling = node ^ 1;
      const other = loads[sibling];
      // All ones where the sibling wins: it is lighter, or as light and on the left.
      const mask = (other - least - (node & 1)) >> 31;
      least ^= (least ^ other) & mask;
      winner ^= (winner ^ winners[sibling]) & mask;
      node >>= 1;
      loads[node] = least;
      winners[node] = winner;
    }
    return taken;
  }
}
