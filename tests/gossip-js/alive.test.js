// Alive messages: ours in the bytes of released nodes, theirs believed.
//
//   stranger ─alive─▶ hub ─▶ node ─ the registry lists it ─▶ the node calls the stranger
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { account, identity, payload } from './keys.js'
import { ALIVE, eventually, node } from './node.js'
import { peer, stopPeers } from './peer.js'

const registrar = account()
let here, hub

before(async () => {
  hub = await peer({ key: await identity('Ed25519') })
  here = await node(registrar.address)
  await here.start([hub.address])
  await hub.meets(here.id)
})
after(async () => {
  await stopPeers()
  await here.stop()
  here.remove()
})

/** As Python writes it, which released nodes are made of. */
const alive = (kind, address, version = '0.10.3') =>
  Buffer.from(`{"address": "${address}", "interests": null, "peer_type": "${kind}", "version": "${version}"}`)

test('a node says where it is in the bytes of released nodes', async () => {
  const said = (kind) => hub.heard.find(({ topic, data }) => topic === ALIVE && JSON.parse(data).peer_type === kind)
  for (const [kind, address] of [['P2P', here.address], ['HTTP', here.url]]) {
    const { data, from } = await eventually(() => said(kind))
    assert.equal(data.toString(), alive(kind, address, JSON.parse(data).version).toString())
    assert.equal(from, here.id)
  }
})

test('a registered peer that says where it is becomes known and is called', async () => {
  const key = await identity('Ed25519')
  const stranger = await peer({ key })
  await stranger.dial(hub.address)
  await stranger.meets(hub.id)
  const nodes = [{ hash: '0'.repeat(64), multiaddress: `/ip4/203.0.113.7/tcp/4025/p2p/${stranger.id}` }]
  const registry = registrar.message('AGGREGATE', { key: 'corechannel', content: { nodes } })
  await hub.publish(payload(registry))
  await here.processed(registry)

  assert.equal(await here.peer(stranger.id), undefined)
  await stranger.publish(alive('P2P', stranger.address), ALIVE)
  const seen = await eventually(() => here.peer(stranger.id))
  assert.equal(seen.direction, 'outbound')
  assert.equal(`${seen.address}/p2p/${stranger.id}`, stranger.address)

  await stranger.stop()
  const absent = async () => (await here.peers()).absent.find(({ id }) => id === stranger.id)
  assert.equal((await eventually(absent)).why, 'said that it is there')
})

test('the word of a peer that nobody registered counts for nothing', async () => {
  const unknown = await peer({ key: await identity('Ed25519') })
  await unknown.dial(hub.address)
  await unknown.meets(hub.id)
  await unknown.publish(alive('P2P', unknown.address), ALIVE)
  await hub.hears(alive('P2P', unknown.address), ALIVE)
  const after = registrar.post()
  await unknown.publish(payload(after))
  await here.processed(after)
  const { absent, connected } = await here.peers()
  assert.equal([...absent, ...connected].some(({ id }) => id === unknown.id), false)
})
