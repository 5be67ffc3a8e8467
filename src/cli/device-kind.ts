/** Which device a command takes where it isn't told. */
import { diagnoseCuda } from '../device/programs/diagnose';

/** What WARPBOOK_DEVICE says; where it says nothing, a GPU if the driver offers one. */
export function deviceKind(wanted: 'auto' | 'cpu' | 'cuda'): 'cpu' | 'cuda' | undefined {
  if (wanted !== 'auto') return wanted;
  if (process.env.WARPBOOK_DEVICE) return undefined;
  const { driver } = diagnoseCuda();
  return 'gpus' in driver && driver.gpus.length > 0 ? 'cuda' : 'cpu';
}
