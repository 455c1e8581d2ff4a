// One core node of this build, alone, and what its API says:
//
//   suite ─ `beth ccn --config …` ─▶ where it listens ─▶ tests ─ SIGTERM ─▶ code 0
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'

const ROOT = path.resolve(import.meta.dirname, '../..')
const READY_SECONDS = 60
const POLL_MILLISECONDS = 20

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

/** Asks again and again until the answer is accepted; a failure is an answer not yet there. */
export async function eventually(ask, accept = Boolean, seconds = READY_SECONDS) {
  const deadline = Date.now() + seconds * 1000
  for (;;) {
    let answer, failure
    try {
      answer = await ask()
      if (accept(answer)) return answer
    } catch (error) {
      failure = error
    }
    if (Date.now() > deadline) {
      throw new Error(`not within ${seconds} s: ${failure ?? JSON.stringify(answer)?.slice(0, 2000)}`)
    }
    await new Promise((resume) => setTimeout(resume, POLL_MILLISECONDS))
  }
}

/** A running node. `ipfs`: further lines of its section [ccn.ipfs]. */
export async function start(ipfs = '') {
  const binary = process.env.BETH_BIN ?? path.join(ROOT, 'target/release/beth')
  const folder = mkdtempSync(path.join(tmpdir(), 'beth-ipfs-'))
  const port = await freePort()
  const config = path.join(folder, 'beth.toml')
  writeFileSync(config, `
[ccn]
listen = "127.0.0.1:${port}"
folder = "${path.join(folder, 'node')}"
[ccn.p2p]
listen = "/ip4/127.0.0.1/tcp/0"
[ccn.ipfs]
max_unauthenticated_upload_file_size = 1073741824
${ipfs}`)
  const log = path.join(folder, 'node.log')
  const said = openSync(log, 'w')
  const child = spawn(binary, ['ccn', '--config', config], { stdio: ['ignore', said, said] })
  process.on('exit', () => child.kill('SIGKILL'))
  const ended = once(child, 'exit')
  const url = `http://127.0.0.1:${port}`
  const ready = eventually(async () => {
    if (child.exitCode !== null) return []
    const answer = await fetch(`${url}/api/v0/info/public.json`)
    return (await answer.json()).node_multi_addresses
  }, (addresses) => child.exitCode !== null || addresses.length > 0)
  const addresses = await ready.catch((error) => { throw new Error(`${error}\n${readFileSync(log, 'utf8')}`) })
  if (child.exitCode !== null) throw new Error(`the node ended:\n${readFileSync(log, 'utf8')}`)
  return {
    url,
    address: addresses.find((address) => address.includes('/ip4/127.0.0.1/tcp/')) ?? addresses[0],

    /** The CID under which the node keeps these bytes. */
    async add(bytes) {
      const form = new FormData()
      form.append('file', new Blob([bytes]), 'file.bin')
      const answer = await fetch(`${url}/api/v0/ipfs/add_file`, { method: 'POST', body: form })
      const text = await answer.text()
      if (answer.status !== 200) throw new Error(`add_file: ${answer.status} ${text}`)
      return JSON.parse(text).hash
    },

    /** Imports an archive; the CID of its root. */
    async addArchive(bytes) {
      const form = new FormData()
      form.append('file', new Blob([bytes]), 'archive.car')
      const answer = await fetch(`${url}/api/v0/ipfs/add_car`, { method: 'POST', body: form })
      const text = await answer.text()
      if (answer.status !== 200) throw new Error(`add_car: ${answer.status} ${text}`)
      return JSON.parse(text).hash
    },

    /** Publishes a message. */
    async submit(message) {
      const body = JSON.stringify({ sync: false, message })
      const headers = { 'content-type': 'application/json' }
      const answer = await fetch(`${url}/api/v0/messages`, { method: 'POST', headers, body })
      const text = await answer.text()
      if (!answer.ok) throw new Error(`messages: ${answer.status} ${text}`)
    },

    /** What has become of a message. */
    async status(hash) {
      const answer = await fetch(`${url}/api/v0/messages/${hash}/status`)
      return (await answer.json()).status
    },

    /** The content that the storage serves. */
    async stored(cid) {
      const answer = await fetch(`${url}/api/v0/storage/raw/${cid}`)
      if (answer.status !== 200) throw new Error(`storage/raw: ${answer.status} ${await answer.text()}`)
      return Buffer.from(await answer.arrayBuffer())
    },

    /** What the gateway serves below a CID. */
    async open(place, headers = {}) {
      const answer = await fetch(`${url}/ipfs/${place}`, { headers })
      const bytes = Buffer.from(await answer.arrayBuffer())
      if (![200, 206].includes(answer.status)) throw new Error(`/ipfs/${place}: ${answer.status} ${bytes.toString('utf8', 0, 300)}`)
      return bytes
    },

    /** Ends the node; it must end by itself and with code 0. */
    async stop() {
      child.kill('SIGTERM')
      const [code] = await ended
      const text = readFileSync(log, 'utf8')
      if (!process.env.KEEP) rmSync(folder, { recursive: true, force: true })
      if (code !== 0) throw new Error(`the node must end with code 0 after SIGTERM, not ${code}:\n${text}`)
    },
  }
}
