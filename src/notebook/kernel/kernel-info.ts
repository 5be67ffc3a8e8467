/** Who the kernel is, as `kernel_info_reply` tells it. Loads nothing, so that it is answered before all else. */
import { type Content, PROTOCOL_VERSION } from '../run/protocol';
import { packageVersion } from './package-paths';

export function kernelInfo(): Content {
  const version = packageVersion();
  return {
    status: 'ok',
    protocol_version: PROTOCOL_VERSION,
    implementation: 'warpbook',
    implementation_version: version,
    language_info: {
      name: 'typescript',
      // Of the compiler that tslab pins; a notebook's metadata should not change with each Node.
      version: '5.0.4',
      mimetype: 'text/typescript',
      file_extension: '.ts',
      pygments_lexer: 'typescript',
      // Both shapes are read: JupyterLab looks at `mode`, the classic notebook at `name` with `typescript`.
      codemirror_mode: { name: 'javascript', typescript: true, mode: 'typescript' },
    },
    banner: `warpbook ${version}: TypeScript on Node ${process.version}`,
    help_links: [],
  };
}
