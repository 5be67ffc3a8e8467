import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { generatedHeaders } from '../../scripts/generate-headers';

it.each(Object.entries(generatedHeaders()))('native/kernels/%s is what its descriptor says', (name, content) => {
  const file = join(__dirname, '../../native/kernels', name);
  expect(readFileSync(file, 'utf8'), `${name} is out of date; run 'npm run generate'`).toBe(content);
});
