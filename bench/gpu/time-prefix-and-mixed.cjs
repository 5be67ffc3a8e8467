/**
 * Cascade against reading a shared prefix for each request, and prefill with decode on one SM against one after the other:
 *
 *   node bench/gpu/time-prefix-and-mixed.cjs ROOT cuda FILE [PART [CONTENDER,...]]
 *
 * ROOT: a folder with dist/ and the addon. PART: `cascade`, `mixed`, or `all` (default). CONTENDER: names of those to time
 * besides `binarySearch`, which the others' outputs are compared with; default: all.
 */
const [root, kind, out, part = 'all', only] = process.argv.slice(2);
const wb = {};
for (const m of [
  'attention/open-device',
  'attention/paged-kv',
  'attention/batch-decode',
  'attention/batch-prefill',
  'attention/page-table',
  'schedule/policies/known',
  'schedule/machine',
  'measure/measure',
  'tensor/random',
  'tensor/create',
])
  Object.assign(wb, require(`${root}/dist/${m}`));
const { openDevice, PagedKvCache, BatchDecode, BatchPrefill, policies, measure, normal, zeros, full, numCtaSlots } = wb;
const fs = require('node:fs');
const gpu = kind === 'cuda';
const result = { device: '', cascade: [], mixed: [], notes: [] };
const save = () => fs.writeFileSync(out, JSON.stringify(result));
const say = (...x) => console.log(...x);
const l2 = async (a, b) => {
  const [x, y] = [await a.data(), await b.data()];
  let d = 0,
    n = 0;
  for (let i = 0; i < x.length; i++) {
    d += (x[i] - y[i]) ** 2;
    n += y[i] ** 2;
  }
  return Math.sqrt(d / n);
};
const fillCache = (cache, seed, device) => {
  for (const [pool, s] of [
    [cache.k, seed],
    [cache.v, seed + 1],
  ]) {
    const values = normal([...pool.shape], { seed: s, dtype: 'bfloat16', device });
    pool.copyFrom(values);
    values.dispose();
  }
};
const spread = (m) => ({
  medianUs: +m.medianUs.toFixed(2),
  minUs: +m.minUs.toFixed(2),
  spreadPct: +m.spreadPct.toFixed(2),
});

/** What a schedule gives each CTA, `P` for a prefix's tiles, `o` for a request's own, with their steps of 128 tokens. */
function kindsOfCtas(schedule) {
  const kinds = [];
  for (let cta = 0; cta < schedule.numCtas; cta++) {
    const tiles = [];
    for (let t = schedule.ctaIndptr[cta]; t < schedule.ctaIndptr[cta + 1]; t++) {
      const { request, kvStart, kvEnd } = schedule.tile(t);
      tiles.push(`${request < 0 ? 'P' : 'o'}${Math.ceil((kvEnd - kvStart) / 128)}`);
    }
    kinds.push(tiles.join(' '));
  }
  return kinds;
}

/** Where a launch's time goes: by kind of CTA, median start and length of each tile in ns; and the merges. */
function traceOf(timeline, kinds) {
  const middle = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
  const spans = timeline.spans();
  const byCta = new Map();
  for (const span of spans.filter(({ phase }) => phase === 'tile')) {
    (byCta.get(span.cta) ?? byCta.set(span.cta, []).get(span.cta)).push(span);
  }
  const byKind = new Map();
  for (const [cta, tiles] of byCta) {
    tiles.sort((a, b) => a.startNs - b.startNs);
    (byKind.get(kinds[cta]) ?? byKind.set(kinds[cta], []).get(kinds[cta])).push(tiles);
  }
  const ctas = [...byKind].map(([tiles, all]) => ({
    tiles,
    ctas: all.length,
    startNs: all[0].map((_, i) => Math.round(middle(all.map((t) => t[i].startNs)))),
    lengthNs: all[0].map((_, i) => Math.round(middle(all.map((t) => t[i].endNs - t[i].startNs)))),
  }));
  const merges = spans.filter(({ phase }) => phase === 'merge');
  return {
    endNs: Math.round(timeline.durationNs),
    ctas,
    ...(merges.length > 0 && {
      merges: merges.length,
      mergeStartNs: Math.round(middle(merges.map((m) => m.startNs))),
      mergeNs: Math.round(middle(merges.map((m) => m.endNs - m.startNs))),
      lastMergeEndNs: Math.round(Math.max(...merges.map((m) => m.endNs))),
    }),
  };
}

async function cascadeCase(device, { users, prompt, own, numQoHeads, numKvHeads }) {
  const heads = { numQoHeads, numKvHeads, headDim: 128 };
  const perSet = (prompt + users * own) * numKvHeads * 128 * 4;
  const sets = gpu ? Math.max(2, Math.ceil(600e6 / perSet)) : 2;
  const numPages = (prompt + users * (own + 16)) / 16 + 4;
  const list = [];
  for (let s = 0; s < sets; s++) {
    const cache = new PagedKvCache({ ...heads, device, numPages: Math.ceil(numPages), dtype: 'bfloat16' });
    fillCache(cache, 2 * s + 1, device);
    const system = cache.allocate(prompt);
    const requests = Array.from({ length: users }, () => cache.fork(system));
    for (const r of requests) cache.grow(r, own);
    list.push({ cache, table: cache.pageTable(requests) });
  }
  const q = normal([users, numQoHeads, 128], { seed: 3, dtype: 'bfloat16', device });
  const shape = [users, numQoHeads, 128];
  const poison = full(shape, Number.NaN, { dtype: 'bfloat16', device });
  const [o, wanted] = [zeros(shape, { dtype: 'bfloat16', device }), zeros(shape, { dtype: 'bfloat16', device })];
  const lse = zeros([users, numQoHeads], { device });
  const capacity = {
    ...{ maxTiles: 8192, maxPartialRows: 1 << 16, maxMergeGroups: 8192, maxMergeSlots: 1 << 15 },
    ...{ maxBatch: users, maxPages: Math.ceil((users * (prompt + own + 16)) / 16 + 64) },
  };
  const wrappersOf = (options, count = sets) =>
    Promise.all(Array.from({ length: count }, () => BatchDecode.create({ ...heads, device, capacity, ...options })));
  const builds = { plain: await wrappersOf({}), gathering: await wrappersOf({ sharedPrefixes: true }) };
  const contenders = [
    ['binarySearch', policies.binarySearch, builds.plain],
    ['headGroupsSpare', policies.headGroupsSpare, builds.plain],
    ['headGroupsSpare, gathering build', policies.headGroupsSpare, builds.gathering],
    ['cascade', policies.cascade, builds.gathering],
    ...[512, 1024].map((chunkTokens) => [
      `cascade chunk ${chunkTokens}`,
      policies.cascade({ chunkTokens }),
      builds.gathering,
    ]),
  ].filter(([name]) => name === 'binarySearch' || !only || only.split(',').includes(name));
  const row = { users, prompt, own, heads: `${numQoHeads}/${numKvHeads}`, sets, contenders: {} };
  const kinds = {};
  for (const [name, policy, wrappers] of contenders) {
    const { schedule } = wrappers[0].plan(list[0].table, { policy, validate: true });
    o.copyFrom(poison);
    wrappers[0].run(q, list[0].cache, { out: o, lse });
    if (name === 'binarySearch') wanted.copyFrom(o);
    kinds[name] = kindsOfCtas(schedule);
    const ctas = {};
    for (const kind of kinds[name]) ctas[kind] = (ctas[kind] ?? 0) + 1;
    row.contenders[name] = {
      error: +(await l2(o, wanted)).toExponential(1),
      readMiB: +(schedule.kvBytesRead / 2 ** 20).toFixed(2),
      tiles: schedule.numTiles,
      decisions: schedule.decisions,
      ctas,
      runs: [],
    };
  }
  for (let round = 0; round < 2; round++)
    for (const [name, policy, wrappers] of contenders) {
      wrappers.forEach((wrapper, i) => void wrapper.plan(list[i].table, { policy, validate: false }));
      const run = (i) => void wrappers[i].run(q, list[i].cache, { out: o, lse });
      const m = await measure(run, { device, rotate: sets, maxSeconds: gpu ? 0.25 : 0.1, what: name });
      row.contenders[name].runs.push(spread(m));
    }
  const timeOf = (name) => row.contenders[name]?.runs[1].medianUs ?? Number.POSITIVE_INFINITY;
  const without = Math.min(timeOf('binarySearch'), timeOf('headGroupsSpare'));
  say(row.users, row.prompt, row.own, row.heads);
  for (const [name, { error, readMiB, tiles, runs }] of Object.entries(row.contenders)) {
    if (name.startsWith('cascade')) row.contenders[name].speedup = +(without / timeOf(name)).toFixed(3);
    const times = runs.map(({ medianUs }) => medianUs).join(' ');
    say(
      '  ',
      name.padEnd(32),
      times,
      'µs',
      row.contenders[name].speedup ?? '',
      'tiles',
      tiles,
      'MiB',
      readMiB,
      'error',
      error,
    );
  }
  const traced = await wrappersOf({ sharedPrefixes: true, trace: true }, Math.min(sets, 4));
  traced.forEach((wrapper, i) => void wrapper.plan(list[i].table, { policy: policies.cascade }));
  for (let i = 0; i < 2 * traced.length; i++) {
    const k = i % traced.length;
    traced[k].run(q, list[k].cache, { out: o, lse });
  }
  row.trace = traceOf(await traced[traced.length - 1].timeline(), kinds.cascade ?? []);
  result.cascade.push(row);
  save();
  for (const x of [...builds.plain, ...builds.gathering, ...traced, o, wanted, poison, lse, q]) x.dispose();
  for (const { cache } of list) cache.dispose();
}

function overlapOf(timeline, isPrefill) {
  const bySm = new Map();
  for (let i = 0; i < timeline.numSpans; i++) {
    const s = timeline.span(i);
    if (s.phase !== 'tile') continue;
    const at = bySm.get(s.sm) ?? bySm.set(s.sm, { p: [], d: [] }).get(s.sm);
    (isPrefill(s) ? at.p : at.d).push(s);
  }
  let decode = 0,
    covered = 0,
    prefillNs = 0,
    bothKinds = 0;
  for (const { p, d } of bySm.values()) {
    if (p.length && d.length) bothKinds++;
    p.sort((a, b) => a.startNs - b.startNs);
    for (const s of p) prefillNs += s.endNs - s.startNs;
    // Union of prefill intervals.
    const union = [];
    for (const s of p) {
      const last = union[union.length - 1];
      if (last && s.startNs <= last[1]) last[1] = Math.max(last[1], s.endNs);
      else union.push([s.startNs, s.endNs]);
    }
    for (const s of d) {
      decode += s.endNs - s.startNs;
      for (const [a, b] of union) covered += Math.max(0, Math.min(b, s.endNs) - Math.max(a, s.startNs));
    }
  }
  const ctasOfSm = new Map();
  for (let i = 0; i < timeline.numSpans; i++) {
    const s = timeline.span(i);
    (ctasOfSm.get(s.sm) ?? ctasOfSm.set(s.sm, new Set()).get(s.sm)).add(s.cta);
  }
  let assumed = 0;
  for (const ctas of ctasOfSm.values()) if (new Set([...ctas].map((c) => c % ctasOfSm.size)).size === 1) assumed++;
  return {
    overlapPct: +((100 * covered) / decode).toFixed(1),
    decodeUs: +(decode / 1e3).toFixed(0),
    prefillUs: +(prefillNs / 1e3).toFixed(0),
    sms: bySm.size,
    smsWithBoth: bothKinds,
    smsAsAssumed: assumed,
    makespanUs: +(timeline.durationNs / 1e3).toFixed(1),
  };
}

async function mixedCase(device, { prompt, decodes, kvLen, numQoHeads, numKvHeads }) {
  const heads = { numQoHeads, numKvHeads, headDim: 128 };
  const kvLens = [prompt, ...Array(decodes).fill(kvLen)];
  const qoLens = [prompt, ...Array(decodes).fill(1)];
  const tokens = prompt + decodes;
  const numPages = kvLens.reduce((s, n) => s + Math.ceil(n / 16), 0) + 4;
  const cache = new PagedKvCache({ ...heads, device, numPages, dtype: 'bfloat16' });
  fillCache(cache, 1, device);
  const table = cache.pageTable(kvLens.map((n) => cache.allocate(n)));
  const q = normal([tokens, numQoHeads, 128], { seed: 3, dtype: 'bfloat16', device });
  const capacity = {
    maxBatch: decodes + 1,
    maxQoTokens: tokens,
    maxPages: numPages,
    maxTiles: 1 << 15,
    maxPartialRows: 1 << 17,
    maxMergeGroups: 1 << 14,
    maxMergeSlots: 1 << 15,
  };
  const make = (trace) => BatchPrefill.create({ ...heads, device, capacity, trace });
  const [plain, traced] = [await make(false), await make(true)];
  const row = { prompt, decodes, kvLen, heads: `${numQoHeads}/${numKvHeads}`, ctas: numCtaSlots(plain.machine) };
  const o = zeros([tokens, numQoHeads, 128], { dtype: 'bfloat16', device });
  const lse = zeros([tokens, numQoHeads], { device });
  const wanted = zeros([tokens, numQoHeads, 128], { dtype: 'bfloat16', device });
  plain.plan(qoLens, table, { policy: policies.noSplit });
  plain.run(q, cache, { out: wanted, lse });
  const contenders = {
    longestFirst: policies.longestFirst,
    mixed: policies.mixed,
    mixedQueue: policies.mixed({ dispatch: 'queue' }),
  };
  for (const [name, policy] of Object.entries(contenders)) {
    plain.plan(qoLens, table, { policy, validate: true });
    plain.run(q, cache, { out: o, lse });
    // The last rows of the prompt, and all decodes.
    const rows = (t) => t.slice(0, Math.max(0, prompt - 256), tokens);
    const error = +(await l2(rows(o), rows(wanted))).toExponential(1);
    const m = await measure(
      () => {
        plain.run(q, cache, { out: o, lse });
      },
      { device, maxSeconds: gpu ? 0.8 : 0.1, what: name },
    );
    traced.plan(qoLens, table, { policy });
    for (let i = 0; i < 4; i++) traced.run(q, cache, { out: o, lse });
    const chained = overlapOf(await traced.timeline(), (s) => s.request === 0);
    await device.synchronize();
    traced.run(q, cache, { out: o, lse });
    const overlap = { ...overlapOf(await traced.timeline(), (s) => s.request === 0), chainedPct: chained.overlapPct };
    row[name] = { ...spread(m), error, ...overlap, tiles: plain.currentPlan.schedule.numTiles };
    say(prompt, decodes, kvLen, name, JSON.stringify(row[name]));
  }
  row.maps = [];
  traced.plan(qoLens, table, { policy: policies.mixed });
  for (let k = 0; k < 3; k++) {
    traced.run(q, cache, { out: o, lse });
    const timeline = await traced.timeline();
    const smOf = Array(numCtaSlots(traced.machine)).fill(-1);
    for (let i = 0; i < timeline.numSpans; i++) {
      const sp = timeline.span(i);
      smOf[sp.cta] = sp.sm;
    }
    row.maps.push(smOf);
  }
  say(
    'same map',
    row.maps.map((m) => m.filter((sm, c) => sm === row.maps[0][c]).length).join(' '),
    'of',
    row.maps[0].length,
  );
  const pairs = {};
  row.maps[0].forEach((sm, c) => {
    pairs[sm] ??= [];
    pairs[sm].push(c);
  });
  say(
    'pairs',
    Object.values(pairs)
      .slice(0, 12)
      .map((p) => p.join('+'))
      .join(' '),
    '...',
  );
  const gaps = {};
  for (const p of Object.values(pairs))
    if (p.length === 2) gaps[p[1] - p[0]] = (gaps[p[1] - p[0]] ?? 0) + 1;
    else gaps[`n${p.length}`] = (gaps[`n${p.length}`] ?? 0) + 1;
  say('gaps', JSON.stringify(gaps));
  // One kind after the other: the same batch without the other requests, and decodes with the decode kernel.
  const alone = await BatchPrefill.create({ ...heads, device, capacity });
  alone.plan([prompt], cacheTable(table, [0]), { policy: policies.longestFirst });
  const qp = normal([prompt, numQoHeads, 128], { seed: 3, dtype: 'bfloat16', device });
  row.prefillAlone = spread(
    await measure(
      () => {
        alone.run(qp, cache, { out: o.slice(0, 0, prompt), lse: lse.slice(0, 0, prompt) });
      },
      { device, maxSeconds: gpu ? 0.5 : 0.1 },
    ),
  );
  const decode = await BatchDecode.create({ ...heads, device, capacity: { maxBatch: decodes, maxPages: numPages } });
  decode.plan(
    cacheTable(
      table,
      Array.from({ length: decodes }, (_, i) => i + 1),
    ),
    { policy: policies.headGroupsSpare },
  );
  const qd = normal([decodes, numQoHeads, 128], { seed: 3, dtype: 'bfloat16', device });
  row.decodeAlone = spread(
    await measure(
      () => {
        decode.run(qd, cache, { out: o.slice(0, 0, decodes), lse: lse.slice(0, 0, decodes) });
      },
      { device, maxSeconds: gpu ? 0.5 : 0.1 },
    ),
  );
  say('alone: prefill', JSON.stringify(row.prefillAlone), 'decode', JSON.stringify(row.decodeAlone));
  result.mixed.push(row);
  save();
  for (const x of [plain, traced, alone, decode, q, qp, qd, o, lse, wanted, cache]) x.dispose();
}
function cacheTable(table, requests) {
  const indptr = [0],
    indices = [],
    lens = [];
  for (const r of requests) {
    for (let i = table.pagedKvIndptr[r]; i < table.pagedKvIndptr[r + 1]; i++) indices.push(table.pagedKvIndices[i]);
    indptr.push(indices.length);
    lens.push(table.kvLens[r]);
  }
  return new wb.PageTable({ pagedKvIndptr: indptr, pagedKvIndices: indices, kvLens: lens, pageSize: table.pageSize });
}

(async () => {
  const device = await openDevice(kind);
  result.device = device.description.name;
  result.telemetry = [await device.telemetry?.()];
  const h = { numQoHeads: 32, numKvHeads: 8 };
  const shapes = [
    [2, 1024, 64, 32, 8],
    [2, 4096, 256, 32, 8],
    [4, 4096, 64, 32, 8],
    [8, 1024, 64, 32, 8],
    [8, 4096, 64, 32, 8],
    [8, 4096, 512, 32, 8],
    [8, 16384, 256, 32, 8],
    [16, 4096, 2048, 32, 8],
    [32, 4096, 256, 32, 8],
    [32, 16384, 64, 32, 8],
    [8, 4096, 64, 64, 8],
    [16, 1024, 64, 64, 8],
    [16, 1024, 256, 16, 8],
    [8, 4096, 64, 32, 1],
  ];
  const cases = (gpu ? shapes : [[8, 512, 64, 16, 2]]).map(([users, prompt, own, numQoHeads, numKvHeads]) => ({
    ...{ users, prompt, own },
    ...{ numQoHeads, numKvHeads },
  }));
  for (const c of part === 'mixed' ? [] : cases) {
    try {
      await cascadeCase(device, c);
    } catch (e) {
      say('FAILED', JSON.stringify(c), e.code, e.message, e.stack);
    }
  }
  const mixes = gpu
    ? [{ prompt: 8192, decodes: 64, kvLen: 4096, ...h }]
    : [{ prompt: 256, decodes: 8, kvLen: 300, ...h }];
  for (const c of part === 'cascade' ? [] : mixes) {
    try {
      await mixedCase(device, c);
    } catch (e) {
      say('FAILED', JSON.stringify(c), e.code, e.message, e.stack);
    }
  }
  result.telemetry.push(await device.telemetry?.());
  save();
  device.dispose();
})();
