/** What every bench needs: a device, its roof, the peers, where results go, and how a row is told. Knows no attention. */
import type { Device } from '../../device/device';
import type { Telemetry } from '../../device/telemetry';
import { measure } from '../../measure/measure';
import { fillUnevenly, loadRoofPrograms, type MeasuredRoof, measureRoof, streamRead } from '../../measure/roof';
import type { RotationOptions } from './operands';
import { knownPeers, type PeersFile, readPeers } from './peers';
import { resultFolder } from './result-file';
import { startTorch, type TorchPeer } from './torch-peer';

/** Options that all benches share, as the command line gives them. */
export interface CommonFlags {
  readonly device: 'auto' | 'cpu' | 'cuda';
  readonly peers?: string;
  readonly torch?: string;
  readonly quick?: boolean;
  /** MiB; undefined: by the device. */
  readonly rotateMb?: number;
  readonly seconds?: number;
  readonly cold?: 'kv' | 'all';
}

export interface BenchContext {
  readonly device: Device;
  readonly roof: MeasuredRoof;
  readonly rotation: RotationOptions;
  /** Figures of another day, or of `--peers`. */
  readonly peers: PeersFile | undefined;
  readonly torch: TorchPeer | undefined;
  readonly before: Telemetry;
  /** Seconds that a row may take at most. */
  readonly maxSeconds: number;
  /** µs to read this many bytes once, measured here and now. */
  floorUs(bytes: number): Promise<number>;
  /** A line for whoever waits. */
  say(line: string): void;
  close(): void;
}

/** Bytes that calls read before they come round again, MiB: far beyond the L2 of a GPU, and beyond a CPU's last cache. */
const ROTATE_MB = { cuda: 4096, cpu: 512 } as const;
/** Pages of all layers together, as a multiple of what is rotated: an engine's pool is far larger than a batch. */
const SPREAD = { cuda: 4, cpu: 1 } as const;
const MAX_SETS = { cuda: 128, cpu: 64 } as const;
/** A floor is read from this many bytes, in at most this many parts. */
const FLOOR_BYTES = 2 ** 30;
const MAX_FLOOR_SETS = 256;

export async function openBench(device: Device, flags: CommonFlags): Promise<BenchContext> {
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  const before = await device.telemetry();
  const maxSeconds = flags.seconds ?? (flags.quick ? 0.5 : 2);
  const rotatedBytes = (flags.rotateMb ?? ROTATE_MB[device.kind]) * 2 ** 20;
  const spreadBytes = rotatedBytes * SPREAD[device.kind];
  const torch = flags.torch === undefined ? undefined : await startTorch(flags.torch);
  if (torch) say(`beside torch ${torch.versions.torch}, cuDNN ${torch.versions.cudnn}`);
  const roof = await measureRoof({
    device,
    bytes: Math.min(rotatedBytes / 2, (device.kind === 'cuda' ? 512 : 128) * 2 ** 20),
    rotatedBytes: Math.min(rotatedBytes, 2 ** 30),
    maxSeconds: Math.min(1, maxSeconds),
  });
  say(`roof: reads ${roof.readGbps.toPrecision(4)} GB/s, computes ${roof.tflops.toPrecision(4)} TFLOP/s`);
  const floors = new Map<number, number>();
  return {
    device,
    roof,
    rotation: { rotatedBytes, spreadBytes, maxSets: MAX_SETS[device.kind], cold: flags.cold ?? 'kv' },
    peers: flags.peers === undefined ? knownPeers(resultFolder(device)) : readPeers(flags.peers),
    torch,
    before,
    maxSeconds,
    floorUs: async (bytes) => {
      const known = floors.get(bytes) ?? (await measureFloor(device, bytes, rotatedBytes, roof.readGbps, maxSeconds));
      floors.set(bytes, known);
      return known;
    },
    say,
    close: () => torch?.close(),
  };
}

/** Where the bytes are too many to hold twice, their time at the roof. */
async function measureFloor(
  device: Device,
  bytes: number,
  rotatedBytes: number,
  readGbps: number,
  maxSeconds: number,
): Promise<number> {
  const numBytes = Math.ceil(bytes / 256) * 256;
  if (2 * numBytes > rotatedBytes) return bytes / readGbps / 1e3;
  await loadRoofPrograms(device);
  const sets = Math.max(2, Math.min(MAX_FLOOR_SETS, Math.ceil(Math.min(rotatedBytes, FLOOR_BYTES) / numBytes)));
  const buffer = device.allocate(numBytes * sets, { label: 'floor' });
  const sink = device.allocate(16, { label: 'floor' });
  try {
    fillUnevenly(buffer);
    const read = await measure((i) => streamRead(device.stream, buffer, sink, { byteOffset: i * numBytes, numBytes }), {
      device,
      what: `reading ${bytes} bytes`,
      rotate: sets,
      maxSeconds: Math.min(0.5, maxSeconds),
    });
    return read.medianUs;
  } finally {
    buffer.dispose();
    sink.dispose();
  }
}
