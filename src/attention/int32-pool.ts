/**
 * Short int32 arrays out of long ones. V8 asks the system for the memory of each typed array beyond 64 bytes, which takes most of
 * a microsecond: several plans' worth of arithmetic. Nothing is given back: a block goes when no array of it is left.
 */
const BLOCK_WORDS = 4096;

export class Int32Pool {
  private block = new Int32Array(BLOCK_WORDS);
  private used = 0;

  /** A copy of `values`; its `buffer` is shared with other copies. */
  copy(values: Int32Array): Int32Array {
    const { length } = values;
    if (this.used + length > this.block.length) {
      this.block = new Int32Array(Math.max(BLOCK_WORDS, length));
      this.used = 0;
    }
    const copy = this.block.subarray(this.used, this.used + length);
    this.used += length;
    copy.set(values);
    return copy;
  }
}
