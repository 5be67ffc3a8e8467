/** Makes the Python environment once, before the test files; they learn where it is, or what is missing. */
import type { TestProject } from 'vitest/node';
import { clientPython } from '../../../scripts/client-environment';

export default function setup(project: TestProject): void {
  const found = clientPython();
  project.provide('python', 'python' in found ? found.python : '');
  project.provide('missingPython', 'missing' in found ? found.missing : '');
}
