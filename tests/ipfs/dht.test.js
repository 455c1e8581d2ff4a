// Contents of peers that a node does not know, found in the table that IPFS shares:
//
//   keeper ──▶ hub ◀── node          Helia with Kademlia: the hub as a server,
//   reader ──▶                       keeper and reader as clients; the node is told of the hub alone
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, test } from 'node:test'

import { account } from './account.js'
import { eventually, start } from './node.js'
import { client, router, whole } from './peer.js'

const within = (seconds = 60) => ({ signal: AbortSignal.timeout(seconds * 1000) })

const hub = await router()
const keeper = await client(hub)
const node = await start(`bootstrap = ["${hub.address}"]`)
const reader = await client(hub)

after(async () => {
  for (const peer of [reader, keeper, hub]) await peer.stop()
  await node.stop()
})

const content = randomBytes(3_000_000)
const cid = await keeper.files.addBytes(content)

test('the node fetches from a peer that the table names', async () => {
  await eventually(async () => {
    await keeper.peer.routing.provide(cid, within())
    return true
  })
  const id = node.address.split('/p2p/')[1]
  const isKnown = keeper.libp2p.getConnections().some(({ remotePeer }) => remotePeer.toString() === id)
  assert.equal(isKnown, false, 'the keeper does not know the node')
  const message = account().store(cid)
  await node.submit(message)
  await eventually(() => node.status(message.item_hash), (status) => status === 'processed')
  assert.ok((await node.stored(cid)).equals(content))
})

test('what the node keeps is found in the table', async () => {
  // Only the node is left to have it, and the reader has never met it.
  await keeper.stop()
  const found = await eventually(() => whole(reader.files.cat(cid, within(10))))
  assert.ok(found.equals(content))
})
