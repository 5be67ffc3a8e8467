/**
 * The simulator's queue of events: a binary min-heap of lanes by key, each lane in it at most once, so that a lane's key can be
 * changed. No allocation after it is made.
 */
export class EventHeap {
  private readonly keys: Float64Array;
  private readonly lanes: Int32Array;
  /** Place of each lane in the heap; −1 where it isn't in it. */
  private readonly places: Int32Array;
  size = 0;

  constructor(numLanes: number) {
    this.keys = new Float64Array(numLanes);
    this.lanes = new Int32Array(numLanes);
    this.places = new Int32Array(numLanes).fill(-1);
  }

  /** Key of the next event; +∞ where there is none. */
  get next(): number {
    return this.size > 0 ? this.keys[0] : Number.POSITIVE_INFINITY;
  }

  /** Key of a lane; undefined where it isn't in the heap. */
  keyOf(lane: number): number | undefined {
    const place = this.places[lane];
    return place < 0 ? undefined : this.keys[place];
  }

  /** Adds a lane, or gives it another key. Equal keys come out lower lane first, so that results are the same everywhere. */
  set(lane: number, key: number): void {
    let place = this.places[lane];
    if (place < 0) {
      place = this.size++;
      this.up(place, key, lane);
    } else if (key < this.keys[place]) {
      this.up(place, key, lane);
    } else {
      this.down(place, key, lane);
    }
  }

  /** Takes the lane with the smallest key. */
  pop(): number {
    const top = this.lanes[0];
    this.places[top] = -1;
    const last = --this.size;
    if (last > 0) this.down(0, this.keys[last], this.lanes[last]);
    return top;
  }

  private up(from: number, key: number, lane: number): void {
    const { keys, lanes, places } = this;
    let i = from;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (keys[parent] < key || (keys[parent] === key && lanes[parent] < lane)) break;
      keys[i] = keys[parent];
      lanes[i] = lanes[parent];
      places[lanes[i]] = i;
      i = parent;
    }
    keys[i] = key;
    lanes[i] = lane;
    places[lane] = i;
  }

  private down(from: number, key: number, lane: number): void {
    const { keys, lanes, places, size } = this;
    let i = from;
    for (let child = 2 * i + 1; child < size; child = 2 * i + 1) {
      const right = child + 1;
      if (right < size && (keys[right] < keys[child] || (keys[right] === keys[child] && lanes[right] < lanes[child]))) {
        child = right;
      }
      if (key < keys[child] || (key === keys[child] && lane < lanes[child])) break;
      keys[i] = keys[child];
      lanes[i] = lanes[child];
      places[lanes[i]] = i;
      i = child;
    }
    keys[i] = key;
    lanes[i] = lane;
    places[lane] = i;
  }
}
