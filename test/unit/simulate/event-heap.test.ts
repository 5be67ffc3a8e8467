import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EventHeap } from '../../../src/simulate/event-heap';

describe('EventHeap', () => {
  test('gives lanes by key, equal keys by lane, whatever was changed in between', () => {
    const operations = fc.array(fc.tuple(fc.nat(15), fc.nat(20)), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(operations, (sets) => {
        const heap = new EventHeap(16);
        const keys = new Map<number, number>();
        for (const [lane, key] of sets) {
          heap.set(lane, key);
          keys.set(lane, key);
        }
        const wanted = [...keys].sort((a, b) => a[1] - b[1] || a[0] - b[0]).map(([lane]) => lane);
        const got: number[] = [];
        while (heap.size > 0) {
          expect(heap.next).toBe(keys.get(wanted[got.length]));
          got.push(heap.pop());
        }
        expect(got).toEqual(wanted);
      }),
    );
  });

  test('knows keys of lanes that are in it', () => {
    const heap = new EventHeap(2);
    expect(heap.next).toBe(Number.POSITIVE_INFINITY);
    heap.set(1, 5);
    expect(heap.keyOf(1)).toBe(5);
    expect(heap.keyOf(0)).toBeUndefined();
    expect(heap.pop()).toBe(1);
    expect(heap.keyOf(1)).toBeUndefined();
  });
});
