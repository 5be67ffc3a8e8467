import { describe, expect, test } from 'vitest';
import { gantt } from '../../../src/display/gantt';
import { cpuMachine, machines } from '../../../src/schedule/machine';
import { fixedSplitSize } from '../../../src/schedule/policies/fixed-split-size';
import { policies } from '../../../src/schedule/policies/known';
import { makeProblem } from '../../../src/schedule/problem';
import { Schedule } from '../../../src/schedule/schedule';
import { Timeline } from '../../../src/timeline/timeline';
import { timelineOf } from '../timeline/spans';

interface Layer {
  data: { values: Record<string, unknown>[] };
  params?: { name: string; bind: unknown; select: { zoom?: string; type: string; fields?: string[] } }[];
  transform?: { calculate?: string }[];
  encoding: {
    x: { axis: { title: string }; scale: { domain: number[] } };
    y: { axis: { title: string; labelExpr?: string }; scale: { domain: number[] } };
    color: { field: string; legend: unknown; scale: { domain: string[]; range: string[] } };
    tooltip: { title: string }[];
  };
}
interface GanttSpec {
  $schema: string;
  background?: string;
  datasets: { bars: Record<string, unknown>[] };
  title: { text: string; subtitle: string[] };
  layer: Layer[];
}
const specOf = (...args: Parameters<typeof gantt>): GanttSpec => gantt(...args).toVegaLite() as unknown as GanttSpec;

const small = makeProblem({ kvLens: [1000, 3000, 0], numQoHeads: 4, numKvHeads: 2, headDim: 64 });
const schedule = fixedSplitSize(1024)(small, cpuMachine(3));

const timeline = timelineOf(4, [
  { cta: 0, sm: 7, startNs: 0, endNs: 12_000, request: 1, kvHead: 0, kvTokens: 900 },
  { cta: 0, sm: 7, startNs: 13_000, endNs: 20_000, request: 0, kvHead: 1, kvTokens: 512, partial: true },
  { cta: 2, sm: 3, startNs: 500, endNs: 15_250, request: 2, kvHead: 0, kvTokens: 1100, partial: true },
  { cta: 2, sm: 3, startNs: 16_000, endNs: 17_000, request: -1, kvHead: -1, phase: 'merge' },
]);

describe('the Gantt of a Schedule', () => {
  test('is Vega-Lite 5 with its data inline, by KV tokens, on the background of whoever draws it', () => {
    const spec = specOf(schedule);
    expect(spec.$schema).toBe('https://vega.github.io/schema/vega-lite/v5.json');
    expect(spec.background).toBeUndefined();
    expect(spec.title.text).toBe('Schedule: fixedSplitSize(1024)');
    expect(spec.title.subtitle.join(' · ')).toMatch(
      /^CPU · 10 tiles on 3 CTAs · longest [\d,]+ tokens · [\d.]+ % busy · 2 merges$/,
    );
    const bars = spec.layer[1];
    expect(bars.encoding.x.axis.title).toBe('KV tokens (scheduled)');
    expect(bars.encoding.y.axis.title).toBe('CTA');
    expect(bars.data).toEqual({ name: 'bars' });
    expect(spec.datasets.bars).toHaveLength(schedule.numTiles);
    expect(bars.encoding.tooltip.map((entry) => entry.title)).toEqual([
      'CTA',
      'Item',
      'Phase',
      'Request',
      'KV head',
      'Keys',
      'Start (tokens)',
    ]);
    expect(bars.params?.[0]).toMatchObject({
      bind: 'scales',
      select: { zoom: 'wheel![event.ctrlKey || event.metaKey]' },
    });
    expect(JSON.parse(JSON.stringify(spec))).toEqual(spec);
  });

  test('lays the tiles of a CTA end to end in their order', () => {
    const bars = specOf(schedule).datasets.bars;
    for (let cta = 0; cta < schedule.numCtas; cta++) {
      let at = 0;
      for (let t = schedule.ctaIndptr[cta]; t < schedule.ctaIndptr[cta + 1]; t++) {
        const tile = schedule.tile(t);
        const tokens = tile.kvEnd - tile.kvStart;
        expect(bars[t]).toMatchObject({
          lane: cta,
          start: at,
          end: at + tokens,
          item: t,
          request: String(tile.request),
          kvHead: String(tile.kvHead),
          kvTokens: tokens,
          kvStart: tile.kvStart,
          phase: tile.partialSlot >= 0 ? 'partial tile' : 'tile',
        });
        at += tokens;
      }
    }
  });

  test('deals the tiles of one queue to the CTA that is free first', () => {
    const { policy, problem, machine } = schedule;
    const queued = new Schedule(policy, problem, machine, {
      ...schedule.tables,
      tiles: schedule.tiles,
      ctaIndptr: schedule.ctaIndptr,
      dispatch: 'queue',
    } as Schedule);
    const bars = specOf(queued).datasets.bars as { lane: number; start: number; end: number }[];
    expect(bars.slice(0, 3).map((bar) => [bar.lane, bar.start])).toEqual([
      [0, 0],
      [1, 0],
      [2, 0],
    ]);
    const freeAt = [0, 0, 0];
    for (const bar of bars) {
      expect(bar.start).toBe(Math.min(...freeAt));
      freeAt[bar.lane] = bar.end;
    }
    expect(specOf(queued).title.subtitle.join(' · ')).toContain('one queue: CTAs are nominal');
  });

  test('an empty batch draws empty lanes', async () => {
    const empty = policies.noSplit(
      makeProblem({ kvLens: [], numQoHeads: 4, numKvHeads: 2, headDim: 64 }),
      cpuMachine(2),
    );
    const chart = gantt(empty);
    expect(await chart.toSvg()).toContain('<svg');
    expect(chart.toText()).toContain('0 │····');
  });
});

describe('the Gantt of a Timeline', () => {
  test('is by time in a fitting unit, merges told apart', () => {
    const spec = specOf(timeline);
    expect(spec.title).toMatchObject({ text: 'Measured timeline' });
    expect(spec.title.subtitle.join(' · ')).toBe(
      '20.0 µs · 3 tiles on 4 CTAs · 43.4 % busy · longest tile 14.8 µs · 1 merge · merges are outlined',
    );
    const bars = spec.layer[1];
    expect(bars.encoding.x.axis.title).toBe('Time (µs)');
    expect(bars.encoding.x.scale.domain).toEqual([0, 20]);
    expect(spec.datasets.bars[3]).toEqual({
      lane: 2,
      start: 16,
      end: 17,
      cta: 2,
      sm: 3,
      item: 3,
      phase: 'merge',
      request: 'several',
      kvHead: 'several',
      kvTokens: 0,
    });
    expect(bars.encoding.color.scale.domain).toEqual(['0', '1', '2', 'several']);
    expect(bars.encoding.tooltip.map((entry) => entry.title)).toEqual([
      'CTA',
      'SM',
      'Item',
      'Phase',
      'Request',
      'KV head',
      'Keys',
      'Start (µs)',
      'Duration (µs)',
    ]);
  });

  test('by SM shows the SMs that ran something, by their numbers', () => {
    const spec = specOf(timeline, { lanes: 'sm' });
    expect(spec.layer[1].encoding.y.axis.title).toBe('SM');
    expect(spec.layer[1].encoding.y.axis.labelExpr).toBe('[3,7][datum.value]');
    expect(spec.datasets.bars.map((bar) => bar.lane)).toEqual([1, 1, 0, 0]);
  });

  test('is coloured by request, KV head or phase', () => {
    expect(specOf(timeline, { colorBy: 'kvHead' }).layer[1].encoding.color.scale.domain).toEqual(['0', '1', 'several']);
    const byPhase = specOf(timeline, { colorBy: 'phase' }).layer[1].encoding.color;
    expect(byPhase).toMatchObject({ field: 'phase', scale: { domain: ['tile', 'partial tile', 'merge'] } });
  });

  test('requests of one name keep colours of their own', () => {
    const spec = specOf(timeline, { requestLabels: ['chat', 'chat', 'code'] });
    expect(spec.layer[1].encoding.color.scale.domain).toEqual(['chat (0)', 'chat (1)', 'code', 'several']);
    expect(new Set(spec.layer[1].encoding.color.scale.range).size).toBe(4);
  });

  test('more than 20 requests have no legend', () => {
    const many = timelineOf(
      1,
      Array.from({ length: 21 }, (_, i) => ({ cta: 0, startNs: i, endNs: i + 1, request: i })),
    );
    expect(specOf(many).layer[1].encoding.color.legend).toBeNull();
  });
});

describe('a click on a bar', () => {
  /** What a browser draws after a click on a bar: the texts, and the opacity of each bar. */
  async function clicked(values: readonly unknown[] | undefined): Promise<{ texts: string[]; opacities: number[] }> {
    const withKeys = timelineOf(2, [
      { cta: 0, endNs: 9_000, startNs: 0, request: 0, kvTokens: 1500 },
      { cta: 1, endNs: 6_000, startNs: 0, request: 1, kvTokens: 1024, partial: true },
    ]);
    const chart = gantt(new Timeline('measured', 2, { ...withKeys, kvStart: Int32Array.of(0, 2048) }));
    const [vega, vegaLite] = await Promise.all([import('vega'), import('vega-lite')]);
    const view = new vega.View(vega.parse(vegaLite.compile(chart.toVegaLite() as never).spec), { renderer: 'none' });
    await view.runAsync();
    if (values) {
      for (const [name, picked] of [
        ['tile', values],
        ['group', [values[2]]],
      ] as const) {
        const fields = view.signal(`${name}_tuple_fields`);
        view.signal(`${name}_tuple`, { unit: 'layer_1', fields, values: picked.slice(0, fields.length) });
      }
      await view.runAsync();
    }
    const svg = await view.toSVG();
    view.finalize();
    const texts = [...svg.matchAll(/>([^<]+)<\/(?:text|tspan)>/g)].map((match) => match[1]);
    const bars = [...svg.matchAll(/<path aria-label="[^"]*CTA: [^>]*>/g)].map((match) => match[0]);
    return { texts, opacities: bars.map((bar) => Number(/opacity="([\d.]+)"/.exec(bar)?.[1] ?? 1)) };
  }

  test('before it, the longest tile is told and all bars are alike', async () => {
    const { texts, opacities } = await clicked(undefined);
    expect(texts).toContain('Tile 0 · request 0 · KV head 0 · KV tokens 0–1,499 (1,500)');
    expect(texts).toContain('CTA 0 on SM 0 · 0 → 9 µs (9 µs) · the longest');
    expect(opacities).toEqual([1, 1]);
  });

  test('tells the tile, and its request stands out', async () => {
    const { texts, opacities } = await clicked([1, 'partial tile', '1']);
    expect(texts).toContain('Tile 1 · request 1 · KV head 0 · KV tokens 2,048–3,071 (1,024)');
    expect(texts).toContain('CTA 1 on SM 1 · 0 → 6 µs (6 µs) · writes a partial state');
    expect(texts.join()).not.toContain('the longest');
    expect(opacities).toEqual([0.2, 1]);
  });
});

describe('many bars', () => {
  const wide = timelineOf(
    132,
    Array.from({ length: 20_001 }, (_, i) => {
      const start = Math.floor(i / 132) * 1000;
      return { cta: i % 132, startNs: start, endNs: start + (i % 132 === 7 ? 500 : 1000), request: i % 300 };
    }),
  );

  test('above 20,000 are shown as busy shares, whose sum is the busy time', () => {
    const spec = specOf(wide);
    expect(spec.title.subtitle.join(' · ')).toContain('shown as busy share by bin');
    const cells = spec.layer[0].data.values as { row: number; bin: number; busy: number; items: number }[];
    expect(cells.length).toBeLessThanOrEqual(20_000);
    const bins = Math.max(...cells.map((cell) => cell.bin)) + 1;
    const busy = cells.reduce((sum, cell) => sum + cell.busy, 0) / (bins * 132);
    expect(busy).toBeCloseTo(wide.stats().utilisation, 2);
    const row = (r: number): number => cells.filter((cell) => cell.row === r).reduce((sum, cell) => sum + cell.busy, 0);
    expect(row(7) / row(8)).toBeCloseTo(0.5, 1);
    expect(JSON.stringify(spec).length).toBeLessThan(1_000_000);
  });

  test('more than 1,000 lanes share rows', () => {
    const tall = timelineOf(3000, [{ cta: 2999, startNs: 0, endNs: 10 }]);
    const all = specOf(tall).layer[0].data.values as { row: number; busy: number }[];
    const cells = all.filter((cell) => cell.busy > 0);
    expect(new Set(cells.map((cell) => cell.row))).toEqual(new Set([Math.floor(2999 / 11)]));
    expect(cells[0].busy).toBeCloseTo(1 / 8, 3);
  });
});

describe('the Gantt in a terminal', () => {
  test('small: bars, merges and idle time by CTA', () => {
    expect(gantt(timeline).toText(60)).toBe(
      [
        'Measured timeline',
        '20.0 µs · 3 tiles on 4 CTAs · 43.4 % busy',
        'longest tile 14.8 µs · 1 merge',
        '  0 │█████████████████████████████▏·▏▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓│  95%',
        '  1 │·················································│   0%',
        '  2 │·████████████████████████████████████▏·▒▒▒·······│  79%',
        '  3 │·················································│   0%',
        '    └─────────────────────────────────────────────────┘',
        '     0                      10                   20 µs',
        '█▓ tiles  ▒ merge  · idle  % busy',
      ].join('\n'),
    );
  });

  test('132 CTAs fit a screen of 100 columns', () => {
    const kvLens = Array.from({ length: 64 }, (_, i) => 100 + ((i * 977) % 5000));
    const problem = makeProblem({ kvLens, numQoHeads: 32, numKvHeads: 8, headDim: 128 });
    const lines = gantt(fixedSplitSize(512)(problem, machines.h100)).toText().split('\n');
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(100);
    expect(lines.length).toBeLessThanOrEqual(45);
    expect(lines.join('\n')).toContain('4 CTAs a line');
    expect(lines.some((line) => line.startsWith('128–131 │'))).toBe(true);
  });
});

describe('what gantt() refuses', () => {
  test('other values, and SM lanes of a schedule', () => {
    expect(() => gantt({ tiles: [] } as never)).toThrow(/^gantt\(\) got a Object; wanted a Schedule .* or a Timeline/);
    expect(() => gantt(undefined as never)).toThrow(/^gantt\(\) got undefined;/);
    expect(() => gantt(schedule, { lanes: 'sm' })).toThrow(/its tiles are dealt to CTAs: use 'cta'/);
  });
});

test('markup and control characters in names stay text in every representation', async () => {
  const hostile = '</text><script>alert(1)</script>\x1b[2J"&\'';
  const chart = gantt(timeline, { title: hostile, note: hostile, requestLabels: [hostile, hostile, hostile] });
  const svg = await chart.toSvg();
  expect(svg).not.toContain('<script');
  expect(svg).not.toContain('\x1b');
  expect(svg).toContain('&lt;script&gt;alert(1)');
  expect(chart.toText()).not.toContain('\x1b');
  expect(JSON.stringify(chart.toVegaLite())).not.toContain('\\u001b');
});
