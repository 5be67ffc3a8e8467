/** What is missing on this machine is named, and the tests that want it are skipped under that name. */
import { inject } from 'vitest';
import { clientBrowser } from '../../../scripts/client-environment';

declare module 'vitest' {
  interface ProvidedContext {
    python: string;
    missingPython: string;
  }
}

/** What a suite is named, and whether it is skipped. */
export interface Availability {
  readonly skip: boolean;
  /** Ends the suite's name where it is skipped. */
  readonly note: string;
}

export function pythonAvailability(): Availability {
  return availability(inject('missingPython'));
}

export function browserAvailability(): Availability {
  const browser = clientBrowser();
  return availability('missing' in browser ? browser.missing : '');
}

export function labAvailability(): Availability {
  const python = pythonAvailability();
  return python.skip ? python : browserAvailability();
}

function availability(missing: string): Availability {
  return missing === '' ? { skip: false, note: '' } : { skip: true, note: ` (skipped: ${missing})` };
}

/** The Python that has the clients; only where {@link pythonAvailability} doesn't skip. */
export function python(): string {
  return inject('python');
}
