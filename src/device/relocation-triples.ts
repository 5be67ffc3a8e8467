/** Relocations as the addon takes them: (offset, buffer, byte offset) triples in one typed array, which is reused. */
import type { Relocation } from './backend';

/** See the file head. */
export class RelocationTriples {
  private triples: Float64Array = new Float64Array(3 * 32);

  /** Valid until the next call; only the first `relocations.length` triples count. */
  pack(relocations: readonly Relocation[]): Float64Array {
    if (relocations.length * 3 > this.triples.length) this.triples = new Float64Array(relocations.length * 6);
    let at = 0;
    for (const relocation of relocations) {
      this.triples[at++] = relocation.offset;
      this.triples[at++] = relocation.buffer;
      this.triples[at++] = relocation.byteOffset;
    }
    return this.triples;
  }
}
