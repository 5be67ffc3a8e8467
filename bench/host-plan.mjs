/**
 * What planning costs the host, two builds of the library in turn in one process: `plan()` of batches of the request trace in
 * the loops that a server may have, and the steps of strategies that plan.
 *
 *   node bench/host-plan.mjs RESULT.json before=DIST after=DIST [device=cuda] [rounds=4] [calls=300] [traces=0]
 *
 * DIST is a compiled `dist` with its addon beside it. Each figure is of one loop of `calls` calls in one round; rounds go
 * through the builds forwards and back. `traces=0`: lengths like the trace's, drawn here, where there is none.
 */

import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';

const require = createRequire(import.meta.url);
const [out, ...rest] = process.argv.slice(2);
const given = Object.fromEntries(rest.map((arg) => arg.split('=')));
const { device: kind = 'cuda', rounds = '4', calls = '300', only = '' } = given;
const numCalls = Number(calls);
const WARM = 100;
const heads = { numQoHeads: 32, numKvHeads: 8, headDim: 128 };

const builds = ['before', 'after']
  .filter((name) => given[name])
  .map((name) => {
    const dist = resolve(given[name]);
    const from = (path) => require(`${dist}/${path}`);
    return {
      name,
      library: from('index.js'),
      DecodeModel: from('strategy/model.js').DecodeModel,
      strategies: from('strategy/strategies.js').strategies,
    };
  });

/** Lengths like those of conversations: most short, a few long. The same for all builds. */
function batchesOf(batch, count) {
  let seed = 12345;
  const draw = () => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) / 2 ** 24;
  };
  return Array.from({ length: count }, () =>
    Int32Array.from({ length: batch }, () => Math.min(8000, Math.floor(100 + 900 * -Math.log(1 - draw() * 0.9999)))),
  );
}

function summary(us) {
  const sorted = [...us].sort((a, b) => a - b);
  const at = (share) => Number(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))].toFixed(2));
  return { median: at(0.5), min: at(0), p10: at(0.1), p90: at(0.9), n: us.length };
}

async function plansOf(build, batch) {
  const { BatchDecode, PagedKvCache, PageTable, policies, capture, normal, empty } = build.library;
  const { device } = build;
  const cuda = kind === 'cuda';
  const lengths = batchesOf(batch, 16);
  const pagesEach = 512;
  const shape = cuda ? heads : { ...heads, headDim: 64 };
  const dtype = cuda ? 'bfloat16' : 'float32';
  const cache = new PagedKvCache({ ...shape, device, numPages: pagesEach, dtype });
  cache.k.buffer.fill(new Uint8Array(4));
  cache.v.buffer.fill(new Uint8Array(4));
  const table = new PageTable({
    pagedKvIndptr: Int32Array.from({ length: batch + 1 }, (_, r) => r * pagesEach),
    pagedKvIndices: Int32Array.from({ length: batch * pagesEach }, (_, i) => i % pagesEach),
    kvLens: lengths[0],
    pageSize: 16,
    numPages: pagesEach,
  });
  const decode = await BatchDecode.create({
    ...shape,
    device,
    dtype,
    capacity: { maxBatch: batch, maxPages: batch * pagesEach },
  });
  const policy = policies.headGroups;
  decode.plan(table, { policy });
  const loops = {};
  let graph;
  let exec;
  if (cuda) {
    const q = normal([batch, 32, 128], { seed: 1, dtype, device });
    const [o, lse] = [empty([batch, 32, 128], { dtype, device }), empty([batch, 32], { device })];
    decode.run(q, cache, { out: o, lse });
    graph = capture(device, () => decode.run(q, cache, { out: o, lse }));
    exec = graph.instantiate();
  }
  const loop = async (name, { replay, wait }) => {
    if (replay && !cuda) return;
    loops[name] = async () => {
      const [plan, step, policyUs, packUs] = [[], [], [], []];
      for (let i = 0; i < WARM + numCalls; i++) {
        const kvLens = lengths[i % lengths.length];
        const t0 = process.hrtime.bigint();
        const { cost } = decode.plan(kvLens, { policy });
        const t1 = process.hrtime.bigint();
        if (replay) exec.replay();
        const t2 = process.hrtime.bigint();
        if (i >= WARM) {
          plan.push(Number(t1 - t0) / 1e3);
          step.push(Number(t2 - t0) / 1e3);
          policyUs.push(cost.policyNs / 1e3);
          packUs.push(cost.packNs / 1e3);
        }
        if (i % wait === wait - 1) await device.synchronize();
      }
      await device.synchronize();
      return {
        planUs: summary(plan),
        ...(replay && { stepUs: summary(step) }),
        policyUs: summary(policyUs),
        packUs: summary(packUs),
      };
    };
  };
  await loop('plans, a wait in four', { replay: false, wait: 4 });
  await loop('plan, replay, wait', { replay: true, wait: 1 });
  await loop('plan, replay, a wait in four', { replay: true, wait: 4 });
  const dispose = () => {
    for (const each of [exec, graph, decode, cache]) each?.dispose();
  };
  return { loops, dispose };
}

async function stepsOf(build, batch) {
  const { device } = build;
  const first = kind === 'cuda' ? 1000 : 100;
  const maxKvLen = 2 * first + WARM + numCalls + 16;
  const shape = kind === 'cuda' ? heads : {};
  const model = await build.DecodeModel.create({
    device,
    ...shape,
    layers: kind === 'cuda' ? 4 : 1,
    maxBatch: batch,
    maxKvLen,
  });
  const requests = Array.from({ length: batch }, () => model.caches[0].allocate(maxKvLen));
  const pages = model.caches[0].pageTable(requests);
  const loops = {};
  for (const name of ['persistent', 'devicePlanned']) {
    const strategy = build.strategies[name](model);
    await strategy.capture({ maxBatch: batch, maxKvLen });
    loops[`${name} step`] = async () => {
      model.reset();
      const kvLens = Int32Array.from({ length: batch }, (_, r) => first + Math.floor((r * first) / batch));
      const remaining = new Int32Array(batch).fill(2 ** 30);
      await strategy.step({ kvLens, remaining, stepsAhead: 1, table: pages.withLengths(kvLens) });
      await device.synchronize();
      const times = [];
      for (let i = 0; i < WARM + numCalls; i++) {
        for (let r = 0; r < batch; r++) kvLens[r]++;
        const started = process.hrtime.bigint();
        const report = strategy.step({ kvLens, remaining, stepsAhead: 1 });
        const ns = Number(process.hrtime.bigint() - started);
        await report;
        if (i >= WARM) times.push(ns / 1e3);
        if (i % 4 === 0) await device.synchronize();
      }
      await device.synchronize();
      return { stepUs: summary(times) };
    };
  }
  return { loops, dispose: () => model.dispose() };
}

/** Where the time of a persistent step goes: the calls behind the seam, and the planner, each timed where it is made. */
async function partsOf(build, batch) {
  const { loops, dispose } = await stepsOf(build, batch);
  const { backend } = build.device.state;
  const parts = {};
  const time = (object, method, name) => {
    const original = object[method];
    if (!original) return;
    parts[name] = [];
    object[method] = function (...args) {
      const started = process.hrtime.bigint();
      const result = original.apply(this, args);
      parts[name].push(Number(process.hrtime.bigint() - started) / 1e3);
      return result;
    };
  };
  time(backend, 'writeFromStaging', 'copy');
  time(backend, 'recordEvent', 'event');
  time(backend, 'completed', 'completed');
  time(backend, 'replay', 'replay');
  const { addon } = backend;
  if (addon.cpu_run_program) {
    const plan = addon.cpu_run_program;
    const [noParams, noOffsets] = [new Uint8Array(0), new Int32Array(0)];
    const noop = addon.cpu_program_names().indexOf('noop');
    time(addon, 'cpu_run_program', 'planner');
    const timed = addon.cpu_run_program;
    // The same once more, and a call into native code that does nothing: what of the first one is memory, and what the way.
    const again = { plan, noop: () => plan(noop, noParams, noOffsets, []) };
    time(again, 'plan', 'planner again');
    time(again, 'noop', 'a call that does nothing');
    addon.cpu_run_program = (...args) => {
      timed(...args);
      again.plan(...args);
      again.noop();
    };
  }
  const { 'persistent step': run } = loops;
  return {
    dispose,
    loops: {
      'parts of a persistent step': async () => {
        for (const times of Object.values(parts)) times.length = 0;
        const { stepUs } = await run();
        const shares = Object.entries(parts).map(([name, times]) => [name, times.length && summary(times)]);
        return { stepUs, parts: Object.fromEntries(shares) };
      },
    },
  };
}

for (const build of builds) build.device = await build.library.openDevice(kind);
const rows = [];
for (const [what, batch, make] of [
  ['plan', 32, plansOf],
  ['plan', 128, plansOf],
  ['step', 32, stepsOf],
  ['parts', 32, partsOf],
]) {
  if (only && only !== what) continue;
  const made = [];
  for (const build of builds) made.push({ build, ...(await make(build, batch)) });
  for (let round = 0; round < Number(rounds); round++) {
    for (const { build, loops } of round % 2 ? [...made].reverse() : made) {
      for (const [loop, run] of Object.entries(loops)) {
        const row = { version: build.name, round, batch, loop, ...(await run()) };
        rows.push(row);
        console.log(JSON.stringify(row));
      }
    }
  }
  for (const { dispose } of made) dispose();
}
for (const { device } of builds) device?.dispose();
writeFileSync(
  out,
  JSON.stringify(
    { command: `node bench/host-plan.mjs ${process.argv.slice(3).join(' ')}`, device: kind, rows },
    null,
    1,
  ),
);
