/** Captured graphs: a picture of nodes and edges drawn by Graphviz (compiled to WebAssembly, loaded on first use). */
import type { GraphNodeDescription } from '../device/backend';
import type { Graph } from '../graph/graph';
import type { GraphExec } from '../graph/graph-exec';
import type { MimeBundle, RenderOptions } from '../renderers';
import { formatBytes } from '../units';
import { cleanLabel } from './escape';
import { factsBundle } from './facts';
import { svgToPng } from './rasterize';
import { table } from './table';
import { countOf } from './text-lines';

/** Layout takes seconds beyond this, and nobody can read the picture. */
const MAX_DRAWN_NODES = 300;

/** Width of what Graphviz takes a sans-serif font for, over that of DejaVu Sans. */
const FONT_RATIO = 0.85;

export async function graphBundle(graph: Graph, options: RenderOptions): Promise<MimeBundle> {
  const nodes = await graph.nodes();
  const text = graphText(nodes, options);
  if (nodes.length === 0 || countAll(nodes) > MAX_DRAWN_NODES) return { 'text/plain': text };
  const png = await svgToPng(await dotToSvg(await graph.toDot()), 1.5);
  return {
    'image/png': Buffer.from(png.buffer, png.byteOffset, png.byteLength).toString('base64'),
    'text/plain': text,
  };
}

export async function graphExecBundle(exec: GraphExec, options: RenderOptions): Promise<MimeBundle> {
  const title = `GraphExec on device ${cleanLabel(exec.device.name)}`;
  if (exec.disposed) return { 'text/plain': `${title}: disposed` };
  const { ownBytes, bufferBytes, numBuffers } = await exec.memory();
  const facts = [
    ['state', 'ready to replay'],
    ['own memory', formatBytes(ownBytes)],
    ['points to', `${formatBytes(bufferBytes)} in ${countOf(numBuffers, 'buffer')}`],
  ] as const;
  return factsBundle(title, facts, [], options);
}

/** An SVG of a DOT text, styled as warpbook's charts are. */
async function dotToSvg(dot: string): Promise<string> {
  const { instance } = await import('@viz-js/viz');
  const viz = await instance();
  const svg = viz.renderString(dot, {
    format: 'svg',
    graphAttributes: { bgcolor: '#ffffff', pad: 0.25, nodesep: 0.35, ranksep: 0.35 },
    nodeAttributes: {
      style: 'filled',
      fillcolor: '#e8f1fa',
      color: '#0072b2',
      fontcolor: '#1f2937',
      margin: '0.28,0.1',
    },
    edgeAttributes: { color: '#6b7280', arrowsize: 0.7 },
  });
  // Boxes are laid out by the widths of a narrower font than the one that draws.
  return svg.replace(/font-size="([\d.]+)"/g, (_, size: string) => `font-size="${Number(size) * FONT_RATIO}"`);
}

function graphText(nodes: readonly GraphNodeDescription[], options: RenderOptions): string {
  const edges = nodes.reduce((sum, node) => sum + node.dependencies.length, 0);
  return table(rowsOf(nodes, ''), {
    title: `Graph: ${countOf(nodes.length, 'node')}, ${countOf(edges, 'edge')}`,
    maxRows: 60,
  }).toText(options.columns);
}

/** A child graph's nodes follow it, numbered `2.0`, `2.1`, … */
function rowsOf(nodes: readonly GraphNodeDescription[], prefix: string): Record<string, string>[] {
  return nodes.flatMap((node) => [
    {
      node: `${prefix}${node.index}`,
      kind: node.kind,
      label: node.label,
      grid: node.grid ? node.grid.join(' × ') : '',
      bytes: node.byteLength === undefined ? '' : formatBytes(node.byteLength),
      after: node.dependencies.map((index) => `${prefix}${index}`).join(', '),
    },
    ...rowsOf(node.nodes ?? [], `${prefix}${node.index}.`),
  ]);
}

function countAll(nodes: readonly GraphNodeDescription[]): number {
  return nodes.reduce((sum, node) => sum + 1 + countAll(node.nodes ?? []), 0);
}
