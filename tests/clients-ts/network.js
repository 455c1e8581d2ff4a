// One local network for the whole suite, started by the binary under test:
//
//   suite ─ `beth up --json` ─▶ one line that names the nodes ─▶ tests ─ SIGTERM ─▶ code 0
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'

const ROOT = path.resolve(import.meta.dirname, '../..')
const READY_SECONDS = 60
const VISIBLE_SECONDS = 15
const POLL_MILLISECONDS = 20

async function start() {
  const binary = process.env.BETH_BIN ?? path.join(ROOT, 'target/release/beth')
  const folder = mkdtempSync(path.join(tmpdir(), 'beth-ts-'))
  const log = path.join(folder, 'up.log')
  const command = ['up', '--json', '--port-base', '0', '--dir', path.join(folder, 'net')]
  const child = spawn(binary, command, { stdio: ['ignore', 'pipe', openSync(log, 'w')] })
  process.on('exit', () => child.kill('SIGTERM'))
  const ended = once(child, 'exit')
  const late = new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`not ready after ${READY_SECONDS} s`)), READY_SECONDS * 1000).unref()
  })
  const first = once(createInterface({ input: child.stdout }), 'line').then(([line]) => JSON.parse(line))
  try {
    const said = await Promise.race([first, late, ended.then(([code]) => { throw new Error(`ended with code ${code}`) })])
    return { child, ended, folder, said }
  } catch (error) {
    throw new Error(`\`${binary} up\`: ${error.message}\n${readFileSync(log, 'utf8')}`)
  }
}

const running = await start()

/** The base addresses of the two core nodes: tests write `here` and read `there`. */
export const [here, there] = running.said.core_nodes.map((node) => node.url)

/** The same nodes as the WebSocket clients want them. */
export const sockets = [here, there].map((url) => url.replace(/^http/, 'ws'))

/** The base address of the compute node. */
export const compute = running.said.compute_nodes[0].url

/** Ten accounts with tokens and credits: `{address, private_key, chain}`. */
export const funded = running.said.accounts

/** Where tests may write files. */
export const folder = running.folder

/** Ends the network; it must end by itself and with code 0. */
export async function stop() {
  running.child.kill('SIGTERM')
  const [code] = await running.ended
  rmSync(running.folder, { recursive: true, force: true })
  if (code !== 0) throw new Error(`\`beth up\` must end with code 0 after SIGTERM, not ${code}`)
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

let names = 0

/** A name that no other test uses. */
export function fresh(stem) {
  names += 1
  return `${stem}-${names}-${process.pid}`
}
