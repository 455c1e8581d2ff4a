// What a node does with what is wrong: it passes nothing wrong on, bears with
// peers that pass on what they do not check, and cuts off who goes too far.
//
//   sender ─▶ node ─▶ listener          author ─▶ relay ─▶ node
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { bare } from './bare.js'
import { account, identity, payload, spoilt } from './keys.js'
import { MESSAGES, eventually, node } from './node.js'
import { peer, stopPeers } from './peer.js'
import { frame } from './wire.js'

// network/src/limits.rs: what a peer may bring that does not check what it passes on.
const EXCUSED = 200
const author = account()
let here, listener

before(async () => {
  here = await node(author.address)
  await here.start()
  listener = await peer({ key: await identity('Ed25519') })
  await listener.dial(here.address)
  await listener.meets(here.id)
})
after(async () => {
  await stopPeers()
  await here.stop()
  here.remove()
})

const withheld = async () => (await here.peers()).topics.find(({ topic }) => topic === MESSAGES).withheld

test('what is wrong is not passed on', async () => {
  const sender = await bare(await identity('Ed25519'), here.address)
  const before = await withheld()
  const good = author.post()
  const wrong = [
    payload(spoilt(author.post())),
    payload({ ...author.post(), item_hash: good.item_hash }),
    payload({ ...author.post(), sender: account().address }),
    Buffer.from('{"not": "a message"}'),
    Buffer.from([0xff, 0xfe]),
  ]
  const messages = await Promise.all([...wrong, payload(good)].map((data) => sender.message(data)))
  sender.send(frame.publish(messages))
  await listener.hears(payload(good))
  await here.processed(good)
  await eventually(withheld, (count) => count === before + wrong.length)
  for (const data of wrong) {
    assert.equal(listener.heard.some((one) => one.data.equals(data)), false, data.toString())
  }
  assert.equal(sender.isConnected(), true)
  await sender.stop()
})

test('a payload whose gossip signature is wrong is not even read', async () => {
  const sender = await bare(await identity('Ed25519'), here.address)
  const unread = author.post()
  const forged = Buffer.from(await sender.message(payload(unread)))
  forged[forged.length - 1] ^= 1
  const good = author.post()
  sender.send(frame.publish([forged, await sender.message(payload(good))]))
  await listener.hears(payload(good))
  await here.processed(good)
  assert.equal(await here.count(unread), 0)
  assert.equal(listener.heard.some((one) => one.data.equals(payload(unread))), false)
  await sender.stop()
})

test('the same message again, under other numbers and in other bytes, is stored once', async () => {
  const sender = await bare(await identity('Ed25519'), here.address)
  const message = author.post()
  const other = Buffer.from(JSON.stringify(message, null, 1))
  assert.notDeepEqual(other, payload(message))
  for (const data of [payload(message), payload(message), other, payload(message)]) {
    sender.send(frame.publish([await sender.message(data)]))
  }
  await listener.hears(payload(message))
  // The other bytes have another id, so they are passed on, and judged as the same message.
  await listener.hears(other)
  await here.processed(message)
  assert.equal(await here.count(message), 1)
  const copies = listener.heard.filter((one) => one.data.equals(payload(message)))
  assert.equal(copies.length, 1)
  await sender.stop()
})

test('a peer that passes on a few wrong messages stays', async () => {
  const relay = await peer({ key: await identity('Ed25519') })
  await relay.dial(here.address)
  await relay.meets(here.id)
  const sender = await bare(await identity('Ed25519'), relay.address)
  await eventually(() => relay.gossip.getSubscribers(MESSAGES).some((id) => id.toString() === sender.id))
  const before = await withheld()
  const wrong = Array.from({ length: 30 }, () => payload(spoilt(author.post())))
  const good = author.post()
  const messages = await Promise.all([...wrong, payload(good)].map((data) => sender.message(data)))
  sender.send(frame.publish(messages))
  await here.processed(good)
  await eventually(withheld, (count) => count === before + wrong.length)
  const seen = await here.peer(relay.id)
  assert.equal(seen.score >= 0, true, JSON.stringify(seen))
  assert.deepEqual(seen.meshes.includes(MESSAGES), true)
  await sender.stop()
  await relay.stop()
})

test('a peer that sends many wrong messages is cut off, and only that one', async () => {
  const sender = await bare(await identity('Ed25519'), here.address)
  const wrong = Array.from({ length: 3 * EXCUSED }, () => payload(spoilt(author.post())))
  const messages = await Promise.all(wrong.map((data) => sender.message(data)))
  for (let from = 0; from < messages.length; from += 50) {
    sender.send(frame.publish(messages.slice(from, from + 50)))
  }
  await eventually(() => !sender.isConnected())
  const { absent, connected } = await here.peers()
  assert.match(absent.find(({ id }) => id === sender.id).why, /^cut off for another \d+ s$/)
  assert.equal(connected.some(({ id }) => id === listener.id), true)
  const good = author.post()
  await here.submit(good)
  await listener.hears(payload(good))
  assert.equal(listener.heard.some((one) => wrong.some((data) => one.data.equals(data))), false)
  await sender.stop()
})
