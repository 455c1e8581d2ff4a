// Every kind of peer: publishes to a node of this build and hears from it.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { bare } from './bare.js'
import { account, identity, payload } from './keys.js'
import { ALIVE, MESSAGES, eventually, node } from './node.js'
import { peer, stopPeers } from './peer.js'
import { frame, messageId } from './wire.js'

const author = account()
let here

before(async () => {
  here = await node(author.address)
  await here.start()
})
after(async () => {
  await stopPeers()
  await here.stop()
  here.remove()
})

async function bothWays(options) {
  const other = await peer(options)
  await other.dial(here.address)
  await other.meets(here.id)
  const theirs = author.post()
  const id = await other.publish(payload(theirs))
  assert.equal(id, messageId(payload(theirs)))
  await here.processed(theirs)
  const ours = author.post()
  await here.submit(ours)
  const heard = await other.hears(payload(ours))
  assert.deepEqual([heard.id, heard.from], [messageId(payload(ours)), here.id])
  assert.equal((await here.peer(other.id)).score >= 0, true)
  return other
}

for (const type of ['Ed25519', 'RSA']) {
  test(`a peer with an identity of ${type}`, async () => {
    const other = await bothWays({ key: await identity(type) })
    assert.equal(other.id.startsWith({ Ed25519: '12D3Koo', RSA: 'Qm' }[type]), true)
    await other.stop()
  })
}

test('a peer with an identity of secp256k1 is refused, as released nodes refuse it', async () => {
  const other = await peer({ key: await identity('secp256k1') })
  await assert.rejects(other.dial(here.address))
  assert.equal(await here.peer(other.id), undefined)
  await other.stop()
})

test('a peer that multiplexes with Mplex alone', async () => {
  const other = await bothWays({ key: await identity('Ed25519'), muxer: 'mplex' })
  const multiplexers = other.libp2p.getConnections().map(({ multiplexer }) => multiplexer)
  assert.deepEqual(multiplexers, ['/mplex/6.7.0'])
  await other.stop()
})

test('identify and ping are answered', async () => {
  const other = await bothWays({ key: await identity('Ed25519') })
  const [connection] = other.libp2p.getConnections()
  const said = await other.libp2p.services.identify.identify(connection)
  assert.match(said.agentVersion, /^beth\/\d+\.\d+\.\d+/)
  assert.equal(said.protocolVersion, 'aleph/1.0.0')
  for (const protocol of ['/meshsub/1.2.0', '/meshsub/1.1.0', '/meshsub/1.0.0', '/ipfs/ping/1.0.0', '/ipfs/id/1.0.0']) {
    assert.equal(said.protocols.includes(protocol), true, `${protocol} of ${said.protocols}`)
  }
  const milliseconds = await other.libp2p.services.ping.ping(connection.remotePeer)
  assert.equal(milliseconds >= 0, true)
  const seen = await here.peer(other.id)
  assert.match(seen.agent, /js-libp2p/)
  assert.equal(seen.protocols.includes('/meshsub/1.1.0'), true)
  assert.equal((await eventually(() => here.peer(other.id), (seen) => seen.round_trip_milliseconds !== null)).direction, 'inbound')
  await other.stop()
})

test('a peer that speaks gossip and nothing else, as released nodes', async () => {
  const other = await bare(await identity('RSA'), here.address)
  assert.equal(other.protocol, '/meshsub/1.1.0')

  // Grafted and pruned, it is no longer in the mesh, so it is told the ids.
  await other.asked(3)
  other.send(frame.prune(MESSAGES, 60))
  other.send(frame.prune(ALIVE, 60))
  const theirs = author.post()
  other.send(frame.publish([await other.message(payload(theirs))]))
  await here.processed(theirs)

  const ours = payload(author.post())
  await here.submit(JSON.parse(ours))
  await eventually(() => other.payloads().some((data) => data.equals(ours)))
  const told = () => other.control(1).flatMap((ihave) => ihave[2] ?? []).map(String)
  await eventually(() => told().includes(messageId(ours)))
  const ids = new Set([payload(theirs), ours].map(messageId))
  assert.deepEqual(told().filter((id) => !/^\d{1,20}$/.test(id)), [])

  // By the same ids the node gives what is asked for, and asks for what it is told of.
  const times = () => other.payloads().filter((data) => data.equals(ours)).length
  const before = times()
  other.send(frame.iwant([...ids]))
  await eventually(() => times() > before)
  const news = author.post()
  const id = messageId(payload(news))
  other.send(frame.ihave(MESSAGES, [id]))
  const wanted = () => other.control(2).flatMap((iwant) => iwant[1] ?? []).map(String)
  await eventually(() => wanted().includes(id))
  other.send(frame.publish([await other.message(payload(news))]))
  await here.processed(news)
  assert.equal((await here.peer(other.id)).gossip, '/meshsub/1.1.0')
  await other.stop()
})
