import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { gantt } from '../../../src/display/gantt';
import { renderNotebookHtml } from '../../../src/display/html';
import { table } from '../../../src/display/table';
import { timelineOf } from '../timeline/spans';

const markdown = (source: string | string[], rest: object = {}): object => ({
  cell_type: 'markdown',
  source,
  metadata: {},
  ...rest,
});
const code = (source: string, ...outputs: object[]): object => ({
  cell_type: 'code',
  source,
  outputs,
  execution_count: 3,
  metadata: {},
});
const result = (data: object): object => ({ output_type: 'execute_result', data, metadata: {}, execution_count: 3 });
const page = (...cells: object[]): Promise<string> => renderNotebookHtml({ cells, metadata: {} } as never);
const body = (html: string): string => html.slice(html.indexOf('<main>'), html.indexOf('</main>'));

describe('markdown and code', () => {
  test('title, headings, highlighted code, prompt number', async () => {
    const html = await page(
      markdown(['intro\n', '# The *first* `run`\n', 'text']),
      code('const x: number = 1; // <b>'),
    );
    expect(html).toContain('<title>The first run</title>');
    expect(html).toContain('<h1>The <em>first</em> <code>run</code></h1>');
    expect(html).toContain('<span class="hljs-keyword">const</span>');
    expect(html).toContain('// &lt;b&gt;');
    expect(html).toMatch(/class="count"[^>]*>3<\/span>/);
  });

  test('fenced code in markdown is highlighted, an unknown language is plain text', async () => {
    const html = body(await page(markdown('```ts\nconst a = 1;\n```\n```nope\n<x>\n```')));
    expect(html).toContain('hljs-keyword');
    expect(html).toContain('&lt;x&gt;');
  });

  test('HTML in markdown and unsafe links stay text', async () => {
    const html = body(
      await page(
        markdown(
          '<script>alert(1)</script> [x](javascript:alert(1)) <img src=x onerror=alert(1)> [ok](https://example.org)',
        ),
      ),
    );
    expect(html).not.toMatch(/<script|href="javascript|<img/);
    expect(html).toContain('&lt;script&gt;');
    expect(html).toContain('<a href="https://example.org" rel="noopener noreferrer">ok</a>');
  });

  test('attached pictures become part of the page, if they are pictures', async () => {
    const attachments = {
      'a b.png': { 'image/png': 'aGk=' },
      'x.svg': { 'image/svg+xml': '<svg onload=alert(1)>' },
      'y.png': { 'image/png': '"><script>' },
    };
    const html = body(
      await page(
        markdown('![one](attachment:a%20b.png) ![two](attachment:x.svg) ![three](attachment:y.png)', { attachments }),
      ),
    );
    expect(html).toContain('<img src="data:image/png;base64,aGk=" alt="one">');
    expect(html).not.toMatch(/onload|<script/);
  });

  test('hidden sources, raw cells and empty cells', async () => {
    const hidden = {
      ...code('secret()', result({ 'text/plain': 'shown' })),
      metadata: { jupyter: { source_hidden: true } },
    };
    const html = body(
      await page(hidden, { cell_type: 'raw', source: '<raw>' }, code('  '), { cell_type: 'raw', source: '' }),
    );
    expect(html).not.toContain('secret');
    expect(html).toContain('shown');
    expect(html).toContain('<pre>&lt;raw&gt;</pre>');
    expect(html.match(/<section/g)).toHaveLength(2);
  });
});

describe('outputs', () => {
  test('streams and errors with their colours, escaped', async () => {
    const html = body(
      await page(
        code(
          'x',
          { output_type: 'stream', name: 'stdout', text: ['\x1b[32mok\x1b[0m <i>\n'] },
          { output_type: 'stream', name: 'stderr', text: 'warning' },
          { output_type: 'error', ename: 'E', evalue: 'bad <x>', traceback: ['\x1b[31mE\x1b[0m: bad <x>', ' at cell'] },
          { output_type: 'error', ename: 'E2', evalue: 'no <traceback>', traceback: [] },
        ),
      ),
    );
    expect(html).toContain('<pre class="stream"><span class="ansi-fg-2">ok</span> &lt;i&gt;</pre>');
    expect(html).toContain('<pre class="stream stderr">warning</pre>');
    expect(html).toContain('<pre class="error"><span class="ansi-fg-1">E</span>: bad &lt;x&gt;\n at cell</pre>');
    expect(html).toContain('<pre class="error">E2: no &lt;traceback&gt;</pre>');
  });

  test('tables of ours go in as they are, other HTML into a sandbox', async () => {
    const ours = table([{ a: '<b>' }]).toHtml();
    const foreign = '<script>parent.alert("1")</script>';
    const html = body(
      await page(code('x', result({ 'text/html': ours, 'text/plain': 'p' }), result({ 'text/html': foreign }))),
    );
    expect(html).toContain(`<div class="html">${ours}</div>`);
    expect(html).toContain('srcdoc="&lt;script&gt;parent.alert(&quot;1&quot;)&lt;/script&gt;"');
    expect(html).toMatch(/<iframe class="html" sandbox title/);
    expect(html).not.toContain('<script');
  });

  test('the richest safe representation wins', async () => {
    const html = body(
      await page(
        code(
          'x',
          result({ 'text/plain': 'plain', 'image/png': 'aGk=\n' }),
          result({ 'image/svg+xml': '<svg onload="alert(1)"/>', 'text/plain': 'a "picture"' }),
          result({ 'image/png': '"><script>', 'text/plain': 'fallback' }),
          result({ 'text/markdown': '**bold**' }),
          result({ 'application/json': { a: ['<x>'] } }),
          result({ 'application/x-unknown<>': 1 }),
          result({}),
        ),
      ),
    );
    expect(html).toContain('<img src="data:image/png;base64,aGk=" alt="plain">');
    expect(html).toContain(
      `<img src="data:image/svg+xml;base64,${Buffer.from('<svg onload="alert(1)"/>').toString('base64')}" alt="a &quot;picture&quot;">`,
    );
    expect(html).toContain('<pre class="text">fallback</pre>');
    expect(html).toContain('<strong>bold</strong>');
    expect(html).toContain('&quot;&lt;x&gt;&quot;');
    expect(html).toContain('[no representation that a page can show: application/x-unknown&lt;&gt;]');
    expect(html).not.toMatch(/<script|onload/);
  });
});

describe('charts', () => {
  let html: string;
  beforeAll(async () => {
    const timeline = timelineOf(2, [{ cta: 0, startNs: 0, endNs: 10, request: 0 }]);
    const hostile = gantt(timeline, { title: '</script><script>alert(1)</script>', requestLabels: ['<!--<script>'] });
    const bundle = await hostile.bundle();
    const spec = {
      ...(bundle['application/vnd.vegalite.v5+json'] as object),
      usermeta: { embedOptions: { ast: false } },
    };
    html = await page(
      code('a', result({ ...bundle, 'application/vnd.vegalite.v5+json': spec })),
      code('b', result(bundle)),
    );
  });

  test('are pictures that scripts make interactive', () => {
    expect(html).toMatch(
      /<figure class="chart" data-spec="spec-1"><img src="data:image\/png;base64,[A-Za-z0-9+/=]+" alt="/,
    );
    const json = /<script type="application\/json" id="spec-1">(.*)<\/script>/.exec(html)?.[1] as string;
    const spec = JSON.parse(json) as { title: { text: string }; usermeta?: unknown };
    expect(spec.title.text).toBe('</script><script>alert(1)</script>');
    expect(spec.usermeta).toBeUndefined();
  });

  test('the libraries are inside once, and only where there is a chart', async () => {
    expect(html.match(/\.vegaEmbed=/g)).toHaveLength(1);
    const plain = await page(code('1', result({ 'text/plain': '1' })));
    expect(plain).not.toContain('vegaEmbed');
    expect(plain).toContain('script-src &#39;none&#39;');
    expect(plain.length).toBeLessThan(20_000);
  });

  test('the policy admits the scripts of the page and no other', () => {
    const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/
      .exec(html)?.[1]
      .replaceAll('&#39;', "'") as string;
    const scripts = [...html.matchAll(/<script>([\s\S]*?)<\/script>/g)].map((match) => match[1]);
    expect(scripts).toHaveLength(4);
    const hashes = scripts.map((script) => `'sha256-${createHash('sha256').update(script).digest('base64')}'`);
    expect(policy).toContain(`script-src ${hashes.join(' ')}`);
    expect(policy).toMatch(/^default-src 'none';/);
    expect(html.match(/<script(?! type="application\/json")/g)).toHaveLength(4);
  });

  test('a chart without a picture falls back to its text', async () => {
    const bare = await page(
      code('a', result({ 'application/vnd.vegalite.v5+json': { mark: 'point' }, 'text/plain': 'a <chart>' })),
    );
    expect(bare).toContain('<figure class="chart" data-spec="spec-1"><pre class="text">a &lt;chart&gt;</pre></figure>');
    const broken = await page(
      code('a', result({ 'application/vnd.vegalite.v5+json': 'no object', 'text/plain': 'text' })),
    );
    expect(broken).not.toContain('figure class="chart"');
  });
});

test('title as given, escaped; pages are the same for the same notebook', async () => {
  const notebook = { cells: [] };
  const html = await renderNotebookHtml(notebook, { title: '<T> & "t"' });
  expect(html).toContain('<title>&lt;T&gt; &amp; &quot;t&quot;</title>');
  expect(await renderNotebookHtml(notebook, { title: '<T> & "t"' })).toBe(html);
  expect(await renderNotebookHtml(notebook)).toContain('<title>Notebook</title>');
});
