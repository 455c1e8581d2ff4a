// A core node of this build as a process, and what its API and its operator's
// command say:
//
//   suite ─ `beth ccn --config …` ─▶ where it listens ─▶ tests ─ SIGTERM ─▶ code 0
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'

const ROOT = path.resolve(import.meta.dirname, '../..')
const BINARY = process.env.BETH_BIN ?? path.join(ROOT, 'target/release/beth')
const READY_SECONDS = 60
const VISIBLE_SECONDS = 30
const POLL_MILLISECONDS = 20

export const MESSAGES = 'ALEPH-TEST'
export const ALIVE = 'ALIVE'

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

/** Asks again and again until the answer is accepted; a failure is an answer not yet there. */
export async function eventually(ask, accept = Boolean, seconds = VISIBLE_SECONDS) {
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

/** A node that does not run yet. `registry`: the account whose aggregate lists the nodes. */
export async function node(registry) {
  const folder = mkdtempSync(path.join(tmpdir(), 'beth-gossip-js-'))
  const [api, gossip] = [await freePort(), await freePort()]
  const url = `http://127.0.0.1:${api}`
  const config = path.join(folder, 'beth.toml')
  const log = path.join(folder, 'node.log')
  let child, ended

  const words = () => readFileSync(log, 'utf8').split('\n').slice(-40).join('\n')

  async function get(place) {
    const answer = await fetch(url + place)
    if (!answer.ok) throw new Error(`${place}: ${answer.status} ${await answer.text()}`)
    return answer.json()
  }

  const self = {
    url,
    get,
    words,
    /** Where peers reach it; known once it ran. */
    address: undefined,
    id: undefined,

    /** Starts it and waits until it serves. */
    async start(bootstrap = []) {
      writeFileSync(config, `
[ccn]
listen = "127.0.0.1:${api}"
folder = "${path.join(folder, 'node')}"
[ccn.rules]
corechannel_address = "${registry}"
[ccn.p2p]
listen = "/ip4/127.0.0.1/tcp/${gossip}"
bootstrap = ${JSON.stringify(bootstrap)}
registry_seconds = 1
[log]
level = "info,beth_network=debug"
`)
      const said = openSync(log, 'a')
      // It ends with this process, however that ends.
      const env = { ...process.env, BETH_PARENT: String(process.pid) }
      child = spawn(BINARY, ['ccn', '--config', config], { stdio: ['ignore', said, said], env })
      const started = child
      process.on('exit', () => started.kill('SIGKILL'))
      ended = once(child, 'exit')
      const over = ended.then(([code]) => { throw new Error(`the node ended with code ${code}`) })
      const ready = eventually(
        async () => (await get('/api/v0/info/public.json')).node_multi_addresses,
        (addresses) => addresses.length > 0 || started.exitCode !== null,
        READY_SECONDS,
      )
      const addresses = await Promise.race([ready, over]).catch((error) => { throw new Error(`${error}\n${words()}`) })
      over.catch(() => {})
      self.address = addresses.find((address) => address.includes('/tcp/'))
      self.id = self.address.split('/p2p/')[1]
    },

    /** Ends it; it must end by itself and with code 0. Its folder stays. */
    async stop() {
      child.kill('SIGTERM')
      const [code] = await ended
      if (code !== 0) throw new Error(`the node must end with code 0 after SIGTERM, not ${code}:\n${words()}`)
    },

    remove: () => rmSync(folder, { recursive: true, force: true }),

    /** Submits a message as a client does and waits for the verdict. */
    async submit(message) {
      const body = JSON.stringify({ sync: true, message })
      const headers = { 'content-type': 'application/json' }
      const answer = await fetch(`${url}/api/v0/messages`, { method: 'POST', body, headers })
      const said = await answer.json()
      if (said.message_status !== 'processed') throw new Error(`${answer.status} ${JSON.stringify(said)}`)
    },

    /** How often it lists a message. */
    async count({ item_hash }) {
      return (await get(`/api/v0/messages.json?hashes=${item_hash}`)).messages.length
    },

    /** Waits until it has processed a message. */
    processed({ item_hash }, seconds) {
      const look = () => get(`/api/v0/messages/${item_hash}`)
      return eventually(look, (said) => said.status === 'processed', seconds)
        .catch((error) => { throw new Error(`${item_hash}: ${error}\n${words()}`) })
    },

    digest: async () => (await get('/api/v0/state/digest')).digest,

    /** What `beth ccn peers` says. */
    async peers() {
      const { stdout } = await promisify(execFile)(BINARY, ['ccn', 'peers', '--json', '--config', config])
      return JSON.parse(stdout)
    },

    /** One connected peer as it sees it. */
    async peer(id) {
      return (await self.peers()).connected.find((peer) => peer.id === id)
    },
  }
  return self
}
