/** The strategies by name, ready to be captured. */
import { ConditionalStrategy } from './conditional';
import { DeviceGraphStrategy } from './device-graph';
import { type DevicePlanOptions, DevicePlanStrategy } from './device-plan-strategy';
import { EagerStrategy } from './eager';
import { FixedGridStrategy } from './fixed-grid';
import { FrozenStrategy } from './frozen';
import { type GraphPoolOptions, GraphPoolStrategy } from './graph-pool';
import { type HostUpdateOptions, HostUpdateStrategy } from './host-update';
import { type LauncherOptions, LauncherStrategy } from './launcher';
import type { DecodeModel } from './model';
import { PersistentStrategy } from './persistent';
import type { Strategy, StrategyOptions } from './strategy';
import { UpdatableNodesStrategy } from './updatable-nodes';
import { type WhileLoopOptions, WhileLoopStrategy } from './while-loop';

/** Makes a strategy for a model; `capture()` comes next. */
export const strategies: {
  readonly eager: (model: DecodeModel, options?: StrategyOptions) => Strategy;
  /** The bug, on purpose. */
  readonly frozen: (model: DecodeModel, options?: StrategyOptions) => FrozenStrategy;
  readonly fixedGrid: (model: DecodeModel, options?: StrategyOptions) => Strategy;
  readonly persistent: (model: DecodeModel, options?: StrategyOptions) => Strategy;
  readonly devicePlanned: (model: DecodeModel, options?: DevicePlanOptions) => Strategy;
  readonly graphPool: (model: DecodeModel, options?: GraphPoolOptions) => GraphPoolStrategy;
  readonly launcher: (model: DecodeModel, options?: LauncherOptions) => Strategy;
  readonly deviceGraph: (model: DecodeModel, options?: StrategyOptions) => Strategy;
  readonly conditional: (model: DecodeModel, options?: StrategyOptions) => Strategy;
  readonly whileLoop: (model: DecodeModel, options?: WhileLoopOptions) => Strategy;
  readonly updatableNodes: (model: DecodeModel, options?: StrategyOptions) => Strategy;
  readonly hostUpdate: (model: DecodeModel, options?: HostUpdateOptions) => Strategy;
} = {
  eager: (model, options) => new EagerStrategy(model, options),
  frozen: (model, options) => new FrozenStrategy(model, options),
  fixedGrid: (model, options) => new FixedGridStrategy(model, options),
  persistent: (model, options) => new PersistentStrategy(model, options),
  devicePlanned: (model, options) => new DevicePlanStrategy(model, options),
  graphPool: (model, options) => new GraphPoolStrategy(model, options),
  launcher: (model, options) => new LauncherStrategy(model, options),
  deviceGraph: (model, options) => new DeviceGraphStrategy(model, options),
  conditional: (model, options) => new ConditionalStrategy(model, options),
  whileLoop: (model, options) => new WhileLoopStrategy(model, options),
  updatableNodes: (model, options) => new UpdatableNodesStrategy(model, options),
  hostUpdate: (model, options) => new HostUpdateStrategy(model, options),
};

/** The names of the strategies that come with warpbook. */
export type StrategyName = keyof typeof strategies;
