// Two nodes that know only a peer of the other implementation, which is all that
// joins them; then directly:
//
//   A ─▶ hub ◀─ B          A ─▶ hub ◀─ B ─▶ A
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { account, identity, payload } from './keys.js'
import { eventually, node } from './node.js'
import { peer, stopPeers } from './peer.js'
import { messageId } from './wire.js'

const author = account()
let a, b, hub, key

async function join() {
  hub = await peer({ key, port: hub?.port })
}

before(async () => {
  key = await identity('RSA')
  await join()
  ;[a, b] = [await node(author.address), await node(author.address)]
  await Promise.all([a, b].map((one) => one.start([hub.address])))
  await hub.meets(a.id, b.id)
})
after(async () => {
  await stopPeers()
  await Promise.all([a, b].map((one) => one.stop()))
  a.remove()
  b.remove()
})

const neighbours = async (one) => (await one.peers()).connected.map(({ id }) => id)

async function agree() {
  const both = () => Promise.all([a.digest(), b.digest()])
  await eventually(both, ([ours, theirs]) => ours === theirs, 60)
}

test('what the other implementation publishes, both nodes process', async () => {
  const message = author.post({ text: 'ℶ é "quoted" \\ 😀' })
  await hub.publish(payload(message))
  for (const one of [a, b]) {
    const { message: stored } = await one.processed(message)
    assert.deepEqual([stored.item_content, stored.signature], [message.item_content, message.signature])
  }
  await agree()
})

test('what one node accepts reaches the other one through it, bit for bit', async () => {
  assert.deepEqual(await neighbours(a), [hub.id])
  assert.deepEqual(await neighbours(b), [hub.id])
  for (const [here, there] of [[a, b], [b, a]]) {
    const message = author.post()
    await here.submit(message)
    const heard = await hub.hears(payload(message))
    assert.deepEqual([heard.id, heard.from, heard.by], [messageId(payload(message)), here.id, here.id])
    await there.processed(message)
  }
  await agree()
})

test('many messages from all three', async () => {
  const messages = Array.from({ length: 60 }, () => author.post())
  const ways = [(one) => a.submit(one), (one) => b.submit(one), (one) => hub.publish(payload(one))]
  await Promise.all(messages.map((one, place) => ways[place % 3](one)))
  for (const one of [a, b]) for (const message of messages) await one.processed(message)
  await agree()
})

test('it goes away and comes back; what it missed is reconciled once the nodes meet', async () => {
  await hub.stop()
  await eventually(async () => (await neighbours(a)).length + (await neighbours(b)).length === 0)
  const [ours, theirs] = [author.post(), author.post()]
  await a.submit(ours)
  await b.submit(theirs)

  await join()
  await hub.meets(a.id, b.id)
  const after = author.post()
  await hub.publish(payload(after))
  for (const one of [a, b]) await one.processed(after)

  await b.stop()
  const meanwhile = author.post()
  await a.submit(meanwhile)
  await b.start([hub.address, a.address])
  await hub.meets(b.id)
  assert.deepEqual((await eventually(() => neighbours(b), (ids) => ids.length === 2)).sort(), [a.id, hub.id].sort())
  for (const one of [a, b]) for (const message of [ours, theirs, after, meanwhile]) await one.processed(message)
  await agree()
  const last = author.post()
  await b.submit(last)
  await hub.hears(payload(last))
  await a.processed(last)
  await agree()
})
