/** Writes a cascade's tables, KV head by KV head: tiles, gathered rows, and the merge group of each unit. */
import { type AttentionProblem, queryPosition } from '../problem';
import { TILE_FLAG } from '../work-tile';
import type { Dealt, Piece } from './cascade-deal';
import type { CascadeWork, SharedTile, Unit } from './cascade-work';

export class CascadeTables {
  readonly tiles: number[] = [];
  readonly rows: number[] = [];
  readonly mergeGroups: number[] = [];
  readonly mergeSlots: number[] = [];
  /** CTA of each tile. */
  readonly ctas: number[] = [];
  /** When each comes on its CTA. */
  readonly turns: number[] = [];
  numPartialRows = 0;
  private ctasOf: Int32Array = new Int32Array(0);
  private numRows = 0;
  private numGroups = 0;

  constructor(
    private readonly problem: AttentionProblem,
    private readonly work: CascadeWork,
  ) {}

  /**
   * @param dealt pieces of each shared tile, then of each range in `ownOf`
   * @param ownOf the place of each unit's own keys among those, −1 for a unit that has none
   */
  addHead(kvHead: number, { pieces, ctas }: Dealt, ownOf: ArrayLike<number>): void {
    this.ctasOf = ctas;
    const { units, sharedTiles } = this.work;
    const ownPieces = units.map((_, u) => (ownOf[u] < 0 ? [] : pieces[ownOf[u]]));
    const { groupOf, rowOf } = this.numberUnits(kvHead, ownPieces);
    // The partial rows of a shared tile's first piece; those of the next ones follow.
    const slotOf = sharedTiles.map((tile, s) =>
      this.addShared(tile, pieces[s], kvHead, groupOf[tile.firstUnit], rowOf[tile.firstUnit]),
    );
    units.forEach((unit, u) => {
      const group = groupOf[u];
      const slotStart = this.mergeSlots.length;
      for (const s of unit.shared) {
        const tile = sharedTiles[s];
        const offset = slotOf[s] + rowOf[u] - rowOf[tile.firstUnit];
        for (let i = 0; i < pieces[s].length; i++) this.mergeSlots.push(offset + i * tile.rowCount);
      }
      this.addOwn(unit, ownPieces[u], kvHead, group);
      if (group < 0) return;
      const slotCount = this.mergeSlots.length - slotStart;
      this.mergeGroups.push(unit.rowStart, unit.rowCount, kvHead, slotStart, slotCount, 0, 0, 0);
    });
  }

  /**
   * Merge groups and gathered rows of a head. Units whose rows share tiles are neighbours, so the groups at which a shared tile
   * arrives are neighbours too, as a tile's record wants them.
   * @returns the group of each unit, −1 for one whose only tile writes the output, and its first entry in the row table
   */
  private numberUnits(
    kvHead: number,
    ownPieces: readonly (readonly Piece[])[],
  ): { groupOf: Int32Array; rowOf: Int32Array } {
    const { problem, work } = this;
    const { groupSize } = problem;
    const groupOf = new Int32Array(work.units.length).fill(-1);
    const rowOf = new Int32Array(work.units.length);
    work.units.forEach((unit, u) => {
      const { request, rowStart, rowCount, shared } = unit;
      if (shared.length > 0 || ownPieces[u].length > 1) groupOf[u] = this.numGroups++;
      if (shared.length === 0) return;
      rowOf[u] = this.numRows;
      this.numRows += rowCount;
      for (let row = rowStart; row < rowStart + rowCount; row++) {
        const token = Math.floor(row / groupSize);
        const head = kvHead * groupSize + (row % groupSize);
        this.rows.push(request, token, head, queryPosition(problem, request, token));
      }
    });
    return { groupOf, rowOf };
  }

  /** Adds the pieces of a shared tile; answers with the first one's partial rows. */
  private addShared(
    tile: SharedTile,
    pieces: readonly Piece[],
    kvHead: number,
    group: number,
    rowStart: number,
  ): number {
    const slot = this.numPartialRows;
    const kvSeq = this.problem.batchSize + tile.prefix;
    for (const { start, end, turn, place } of pieces) {
      this.ctas.push(this.ctasOf[place + kvHead]);
      this.turns.push(turn);
      const flags = TILE_FLAG.gatherRows | maskFlag(start, end, tile);
      const numGroups = tile.endUnit - tile.firstUnit;
      const rows = this.takeRows(tile.rowCount);
      this.tiles.push(
        0,
        kvHead,
        kvSeq,
        rowStart,
        tile.rowCount,
        start,
        end,
        0,
        0,
        rows,
        group,
        flags,
        -1,
        0,
        0,
        numGroups,
      );
    }
    return slot;
  }

  private addOwn(unit: Unit, pieces: readonly Piece[], kvHead: number, group: number): void {
    const { request, rowStart, rowCount } = unit;
    const base = queryPosition(this.problem, request, 0);
    for (const { start, end, turn, place } of pieces) {
      this.ctas.push(this.ctasOf[place + kvHead]);
      this.turns.push(turn);
      const rows = group < 0 ? -1 : this.takeRows(rowCount);
      if (group >= 0) this.mergeSlots.push(rows);
      const [flags, arrivals] = [maskFlag(start, end, unit), group < 0 ? 0 : 1];
      this.tiles.push(
        0,
        kvHead,
        request,
        rowStart,
        rowCount,
        start,
        end,
        0,
        0,
        rows,
        group,
        flags,
        request,
        0,
        base,
        arrivals,
      );
    }
  }

  private takeRows(count: number): number {
    this.numPartialRows += count;
    return this.numPartialRows - count;
  }
}

function maskFlag(start: number, end: number, { fullStart, fullEnd }: Pick<Unit, 'fullStart' | 'fullEnd'>): number {
  return start < fullStart || end > fullEnd ? TILE_FLAG.needsMask : 0;
}
