// Runs a test program that was built for wasm32-wasip1: node wasi.mjs PROGRAM.wasm [ARGUMENT]...
// It sees the repository's folder, where the tests' data lies, and nothing else.
import { readFile } from 'node:fs/promises';
import { argv, env, exit } from 'node:process';
import { fileURLToPath } from 'node:url';
import { WASI } from 'node:wasi';

const repository = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '');
const wasi = new WASI({
  version: 'preview1',
  args: argv.slice(2),
  env,
  preopens: { [repository]: repository },
  returnOnExit: true,
});
const program = await WebAssembly.compile(await readFile(argv[2]));
exit(wasi.start(await WebAssembly.instantiate(program, wasi.getImportObject())));
