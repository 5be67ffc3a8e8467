/** A binary min-heap of lanes by key, each lane at most once: the simulator's queue of events. No allocation after it is made. */
export class EventHeap {
  private readonly keys: Float64Array;
  private readonly lanes: Int32Array;
  size = 0;

  constructor(capacity: number) {
    this.keys = new Float64Array(capacity);
    this.lanes = new Int32Array(capacity);
  }

  /** Key of the next event; +∞ where there is none. */
  get next(): number {
    return this.size > 0 ? this.keys[0] : Number.POSITIVE_INFINITY;
  }

  /** Adds a lane. Equal keys come out lower lane first, so that results are the same everywhere. */
  push(key: number, lane: number): void {
    const { keys, lanes } = this;
    let i = this.size++;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (keys[parent] < key || (keys[parent] === key && lanes[parent] < lane)) break;
      keys[i] = keys[parent];
      lanes[i] = lanes[parent];
      i = parent;
    }
    keys[i] = key;
    lanes[i] = lane;
  }

  /** Takes the lane with the smallest key. */
  pop(): number {
    const { keys, lanes } = this;
    const top = lanes[0];
    const size = --this.size;
    const key = keys[size];
    const lane = lanes[size];
    let i = 0;
    for (let child = 1; child < size; child = 2 * i + 1) {
      const right = child + 1;
      if (right < size && (keys[right] < keys[child] || (keys[right] === keys[child] && lanes[right] < lanes[child]))) {
        child = right;
      }
      if (key < keys[child] || (key === keys[child] && lane < lanes[child])) break;
      keys[i] = keys[child];
      lanes[i] = lanes[child];
      i = child;
    }
    keys[i] = key;
    lanes[i] = lane;
    return top;
  }
}
