import { describe, expect, it } from 'vitest';
import { openDevice } from '../../../src/device/device';
import { offScope, onScope, scope } from '../../../src/device/scope';

class Resource {
  disposals = 0;
  constructor(readonly onDispose: () => void = () => {}) {
    onScope(this);
  }
  dispose(): void {
    this.disposals++;
    this.onDispose();
  }
}

describe('scope', () => {
  it('disposes, youngest first, what was made in it', () => {
    const order: string[] = [];
    scope(() => {
      new Resource(() => order.push('first'));
      new Resource(() => order.push('second'));
    });
    expect(order).toEqual(['second', 'first']);
  });

  it('keeps what it returns: itself, in arrays, in plain objects', () => {
    const direct = scope(() => new Resource());
    const nested = scope(() => ({ list: [new Resource()], map: { key: new Resource() }, other: 1 }));
    for (const kept of [direct, nested.list[0], nested.map.key]) expect(kept.disposals).toBe(0);
  });

  it('looks into cyclic values without end, and not into instances', () => {
    class Holder {
      constructor(readonly resource: Resource) {}
    }
    const cyclic = scope(() => {
      const value: Record<string, unknown> = { holder: new Holder(new Resource()) };
      value.self = value;
      return value;
    });
    expect((cyclic.holder as Holder).resource.disposals).toBe(1);
  });

  it('hands what it keeps to the enclosing scope', () => {
    let kept: Resource | undefined;
    scope(() => {
      kept = scope(() => new Resource());
      expect(kept.disposals).toBe(0);
    });
    expect(kept?.disposals).toBe(1);
  });

  it('works with async functions, each with its own resources', async () => {
    const made: Resource[] = [];
    const run = async (delayMs: number): Promise<Resource> => {
      made.push(new Resource());
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      const kept = new Resource();
      made.push(new Resource());
      return kept;
    };
    const [a, b] = await Promise.all([scope(() => run(5)), scope(() => run(1))]);
    expect(made.map(({ disposals }) => disposals)).toEqual([1, 1, 1, 1]);
    expect([a.disposals, b.disposals]).toEqual([0, 0]);
  });

  it('disposes everything when the function throws or rejects, and passes its error on', async () => {
    const made: Resource[] = [];
    const fail = (): never => {
      made.push(
        new Resource(() => {
          throw new Error('while cleaning up');
        }),
      );
      throw new Error('from the function');
    };
    expect(() => scope(fail)).toThrow('from the function');
    await expect(scope(async () => fail())).rejects.toThrow('from the function');
    expect(made.map(({ disposals }) => disposals)).toEqual([1, 1]);
  });

  it('disposes all the rest when one dispose() throws, and then throws that error', () => {
    let survivor: Resource | undefined;
    expect(() =>
      scope(() => {
        survivor = new Resource();
        new Resource(() => {
          throw new Error('broken');
        });
      }),
    ).toThrow('broken');
    expect(survivor?.disposals).toBe(1);
  });

  it('forgets what another object takes over', () => {
    let taken: Resource | undefined;
    scope(() => {
      taken = scope(() => {
        const resource = new Resource();
        offScope(resource);
        return resource;
      });
    });
    expect(taken?.disposals).toBe(0);
  });

  it('cleans up buffers', async () => {
    const device = await openDevice('cpu', { threads: 1 });
    const kept = scope(() => {
      device.allocate(100);
      return device.allocate(10);
    });
    expect(device.memory().usedBytes).toBe(10);
    kept.dispose();
    device.dispose();
  });
});
