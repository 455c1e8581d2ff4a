// A relay between a client and a node, for what a client cannot be told by an address:
//
//   client ─ port or Unix socket, TLS or not ─▶ relay ─ same path ─▶ node
//                                                 └─ paths that it answers itself
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import https from 'node:https'
import path from 'node:path'

import { folder, fresh, here } from './network.js'

// A key that both ends know takes the place of certificates.
const SHARED = { ciphers: 'PSK', maxVersion: 'TLSv1.2' }
const KEY = Buffer.alloc(32, 1)

/**
 * Starts a relay to the first node. `at` is what `server.listen` takes; `refused` maps a path to the status that the
 * relay answers itself. `asked` lists the paths that came. `create` makes the server around its answers.
 */
export async function relay({ at = { host: '127.0.0.1', port: 0 }, refused = {}, create = createServer } = {}) {
  const asked = []
  const server = create((incoming, answer) => {
    const { pathname, search } = new URL(incoming.url, here)
    asked.push(pathname)
    if (pathname in refused) return answer.writeHead(refused[pathname]).end()
    const onward = request(new URL(pathname + search, here), { method: incoming.method, headers: incoming.headers })
    onward.on('response', (said) => {
      answer.writeHead(said.statusCode, said.headers)
      said.pipe(answer)
    })
    onward.on('error', () => answer.destroy())
    incoming.pipe(onward)
  })
  server.listen(at)
  await once(server, 'listening')
  const port = server.address().port
  const stop = () => {
    server.closeAllConnections()
    return new Promise((closed) => server.close(closed))
  }
  return { asked, stop, url: `http://127.0.0.1:${port}` }
}

/**
 * Runs `act` while the public node, whose https address is built into the clients, is the local one: through the
 * Unix socket that clients take from their environment. `act` is given the paths that were asked.
 */
export async function publicly(act) {
  const file = path.join(folder, `${fresh('public')}.sock`)
  const create = (answers) => https.createServer({ ...SHARED, pskCallback: () => KEY }, answers)
  const node = await relay({ at: { path: file }, create })
  const before = { ...https.globalAgent.options }
  const pskCallback = () => ({ psk: KEY, identity: 'suite' })
  Object.assign(https.globalAgent.options, SHARED, { pskCallback, checkServerIdentity: () => undefined })
  try {
    return await within({ ALEPH_API_UNIX_SOCKET: file }, () => act(node.asked))
  } finally {
    https.globalAgent.options = before
    https.globalAgent.destroy()
    await node.stop()
  }
}

/** Runs `act` with these environment variables, and puts back what was there. */
export async function within(environment, act) {
  const before = Object.fromEntries(Object.keys(environment).map((name) => [name, process.env[name]]))
  Object.assign(process.env, environment)
  try {
    return await act()
  } finally {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  }
}
