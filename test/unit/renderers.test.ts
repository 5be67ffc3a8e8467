import { describe, expect, test } from 'vitest';
import { jupyterDisplay, registerRecognizer, registerRenderer, renderBundle } from '../../src/renderers';

class Animal {
  constructor(readonly name: string) {}
}
class Dog extends Animal {}

describe('the registry of renderers', () => {
  test('shows instances of a class and of its subclasses', async () => {
    registerRenderer(Animal, (animal) => ({ 'text/plain': `animal ${animal.name}` }));
    expect(await renderBundle(new Dog('Rex'))).toEqual({ 'text/plain': 'animal Rex' });
    registerRenderer(Dog, async (dog, { columns }) => ({ 'text/plain': `dog ${dog.name} ${columns}` }));
    expect(await renderBundle(new Dog('Rex'), { columns: 80 })).toEqual({ 'text/plain': 'dog Rex 80' });
    expect(await renderBundle(new Animal('Tom'))).toEqual({ 'text/plain': 'animal Tom' });
  });

  test('gives registered classes the method that Jupyter kernels look for', async () => {
    registerRenderer(Animal, (animal) => ({ 'text/plain': `animal ${animal.name}` }));
    const animal = new Animal('Tom') as unknown as { [jupyterDisplay](): Promise<unknown> };
    expect(jupyterDisplay).toBe(Symbol.for('Jupyter.display'));
    expect(await animal[jupyterDisplay]()).toEqual({ 'text/plain': 'animal Tom' });
    expect(Object.keys(animal)).toEqual(['name']);
  });

  test('asks a foreign object that displays itself, and recognisers for the others', async () => {
    expect(await renderBundle({ [jupyterDisplay]: () => ({ 'text/plain': 'itself' }) })).toEqual({
      'text/plain': 'itself',
    });
    expect(await renderBundle({ [jupyterDisplay]: () => 'no bundle' })).toBeUndefined();
    const isDuck = (value: object): value is { quack: string } => 'quack' in value;
    registerRecognizer(isDuck, (duck) => ({ 'text/plain': duck.quack }));
    registerRecognizer(isDuck, () => ({ 'text/plain': 'registered twice' }));
    expect(await renderBundle({ quack: 'quack' })).toEqual({ 'text/plain': 'quack' });
  });

  test('knows nothing of other values', async () => {
    for (const value of [undefined, null, 3, 'text', Symbol('s'), {}, [], Object.create(null)]) {
      expect(await renderBundle(value)).toBeUndefined();
    }
  });

  test('a display that throws or rejects becomes a text, not an error', async () => {
    class Broken {}
    registerRenderer(Broken, () => {
      throw new Error('no ink');
    });
    expect(await renderBundle(new Broken())).toEqual({ 'text/plain': 'The display of Broken failed: no ink' });
    registerRenderer(Broken, () => Promise.reject('no paper'));
    expect(await renderBundle(new Broken())).toEqual({ 'text/plain': 'The display of Broken failed: no paper' });
  });
});
