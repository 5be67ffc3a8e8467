/** Whether one captured graph can take another one's place in an instance, and if not, why: the same nodes and edges. */
import type { CapturedNode } from '../device/capture-session';

/** The first difference between what an instance has and what it is to get; undefined where there is none. */
export function findDifference(has: readonly CapturedNode[], gets: readonly CapturedNode[]): string | undefined {
  if (has.length !== gets.length) return `it has ${nodes(gets.length)} and the instance ${has.length}`;
  for (const [index, node] of has.entries()) {
    const other = gets[index];
    if (node.deviceUpdatable || other.deviceUpdatable) {
      return `node ${index} may be updated by kernels, and CUDA exchanges no graph with such a node`;
    }
    if (kindOf(node) !== kindOf(other)) {
      return `node ${index} is a ${kindOf(other)} and the instance's a ${kindOf(node)}`;
    }
    if (String(node.dependencies) !== String(other.dependencies)) {
      return `node ${index} comes after ${list(other.dependencies)} and the instance's after ${list(node.dependencies)}`;
    }
    const inner = node.children && other.children && findDifference(node.children, other.children);
    if (inner !== undefined) return `in child graph ${index}, ${inner}`;
  }
  return undefined;
}

function kindOf(node: CapturedNode): string {
  if (node.children) return node.what ?? 'child graph';
  return node.program === undefined ? 'copy or fill' : 'launch';
}

function nodes(count: number): string {
  return `${count} node${count === 1 ? '' : 's'}`;
}

function list(dependencies: readonly number[]): string {
  return dependencies.length === 0 ? 'nothing' : `node ${dependencies.join(' and ')}`;
}
