// Watching over a WebSocket: history, then live, with every filter of the client.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'

import { AlephHttpClient } from '@aleph-sdk/client'
import { DEFAULT_API_WS_V2, stripTrailingSlash } from '@aleph-sdk/core'
import { AlephNodeWebSocket, AlephWebSocket, BaseMessageClient, MessageType, PaymentType, getMessagesSocket } from '@aleph-sdk/message'
import { newAccount as newSolana } from '@aleph-sdk/solana'
import WebSocket from 'ws'

import { eventually, fresh, here, sockets } from './network.js'
import { reader, wallet, writer } from './people.js'
import { remember } from './surface.js'

const account = wallet(5)
const author = writer(account)
const seen = (socket) => socket.getData().map((message) => message.item_hash)

async function watching(filter, client = author) {
  const socket = await client.watchMessages(filter)
  assert.ok(socket instanceof AlephNodeWebSocket)
  await eventually(() => socket.getIsOpen())
  return socket
}

async function closed(socket) {
  const end = once(socket.getSocket(), 'close')
  socket.closeSocket()
  await end
  assert.equal(socket.getIsOpen(), false)
}

const post = (channel, more = {}) => author.createPost({ postType: 'seen', content: {}, channel, sync: true, ...more })

test('history comes first, the oldest first; then what is new, at either node', async () => {
  const channel = fresh('WATCH')
  const [, second, third] = [await post(channel), await post(channel), await post(channel)]
  const guest = reader()
  await eventually(() => guest.getMessage(third.item_hash))
  for (const client of [author, guest]) {
    const socket = await watching({ channels: [channel], history: 2 }, client)
    remember('message.AlephNodeWebSocket', socket)
    await eventually(() => seen(socket).length === 2)
    assert.deepEqual(seen(socket), [second.item_hash, third.item_hash])
    assert.equal(socket.getData()[1].size, third.item_content.length)
    socket.clearData()
    const live = await post(channel, { content: { n: 1 } })
    await eventually(() => seen(socket).includes(live.item_hash))
    const [frame] = socket.getData()
    assert.deepEqual(seen(socket), [live.item_hash])
    assert.deepEqual(frame.content.content, { n: 1 })
    assert.equal(frame.signature, live.signature)
    assert.deepEqual([frame.confirmed, frame.confirmations, 'size' in frame], [false, [], false])
    assert.equal(socket.getSocket().readyState, WebSocket.OPEN)
    await closed(socket)
    await author.forget({ hashes: [live.item_hash], channel: fresh('WATCH'), sync: true })
    await eventually(async () => (await guest.getMessages({ hashes: [live.item_hash] })).messages.length === 0)
  }
})

test('only what a filter asks for is told, in history and live', async () => {
  const stranger = newSolana().account
  const channel = fresh('WATCH')
  const [ref, tag, type, key] = [fresh('ref'), fresh('tag'), fresh('type'), fresh('key')]
  const foreign = writer(stranger)
  const others = () => post(channel, { content: { tags: ['other'] }, ref: 'other' })
  const cases = [
    [{ addresses: [stranger.address] }, () => foreign.createPost({ postType: 'seen', content: {}, channel, sync: true })],
    [{ channels: [`${channel}-own`] }, () => post(`${channel}-own`)],
    [{ chains: ['SOL'], channels: [channel] }, () => foreign.createPost({ postType: 'seen', content: {}, channel, sync: true })],
    [{ refs: [ref] }, () => post(channel, { ref })],
    [{ tags: [tag, 'none'] }, () => post(channel, { content: { tags: [tag] } })],
    [{ contentTypes: [type] }, () => post(channel, { postType: type })],
    [{ contentKeys: [key] }, () => author.createAggregate({ key, content: {}, channel, sync: true })],
    [{ messageType: MessageType.aggregate, channels: [channel] }, () => author.createAggregate({ key, content: {}, channel, sync: true })],
    [{ paymentTypes: [PaymentType.credit], channels: [channel] }, () => author.createStore({
      fileObject: new Blob([fresh('file')]), payment: { chain: 'ETH', type: PaymentType.credit }, channel, sync: true,
    })],
  ]
  for (const [filter, act] of cases) {
    const socket = await watching(filter)
    const [, wanted] = [await others(), await act()]
    await eventually(() => seen(socket).includes(wanted.item_hash))
    const behind = await watching({ ...filter, history: 100 })
    await eventually(() => seen(behind).includes(wanted.item_hash))
    for (const message of [...socket.getData(), ...behind.getData()]) {
      assert.ok(fits(message, filter), `${JSON.stringify(filter)} ${JSON.stringify(message)}`)
    }
    await closed(socket)
    await closed(behind)
  }
})

/** Whether a message is what this filter asks for. */
function fits(message, filter) {
  const said = {
    addresses: [message.sender], channels: [message.channel], chains: [message.chain], refs: [message.content.ref],
    tags: message.content.content?.tags ?? [], contentTypes: [message.content.type], contentKeys: [message.content.key],
    messageType: [message.type], paymentTypes: [message.content.payment?.type],
  }
  return Object.entries(filter).every(([name, wanted]) => said[name].some((one) => [wanted].flat().includes(one)))
}

test('hashes, and the dates of history', async () => {
  const channel = fresh('WATCH')
  const [first, second] = [await post(channel), await post(channel)]
  const border = new Date(second.time * 1000)
  const cases = [
    [{ hashes: [first.item_hash] }, first],
    [{ channels: [channel], startDate: border }, second],
    [{ channels: [channel], endDate: border }, first],
  ]
  for (const [filter, wanted] of cases) {
    const socket = await watching({ ...filter, history: 10 })
    await eventually(() => seen(socket).length > 0)
    assert.deepEqual(seen(socket), [wanted.item_hash], JSON.stringify(filter))
    await closed(socket)
  }
})

test('a filter that cannot be is refused before the socket opens', async () => {
  const socket = new BaseMessageClient(here, sockets[0]).getMessagesSocket({ messageType: 'NONSENSE' })
  const [error] = await once(socket.getSocket(), 'error')
  assert.match(error.message, /422/)
  assert.equal(socket.getIsOpen(), false)
})

test('the class for browsers, with the browser’s interface of a socket', async () => {
  globalThis.WebSocket ??= WebSocket
  const channel = fresh('WATCH')
  const sent = await post(channel)
  const socket = new AlephWebSocket({ channels: channel, history: 1 }, sockets[0])
  remember('message.AlephWebSocket', socket)
  await eventually(() => socket.getIsOpen() && seen(socket).length === 1)
  assert.deepEqual(seen(socket), [sent.item_hash])
  socket.clearData()
  const live = await post(channel)
  await eventually(() => seen(socket).length === 1)
  assert.deepEqual(seen(socket), [live.item_hash])
  socket.closeSocket()
  await eventually(() => !socket.getIsOpen())
  assert.notEqual(socket.getSocket().readyState, WebSocket.OPEN)
})

test('without a client: the function that opens a socket', async () => {
  const channel = fresh('WATCH')
  const sent = await post(channel)
  const socket = getMessagesSocket({ channels: [channel], history: 5, apiServer: sockets[0] })
  await eventually(() => seen(socket).length === 1)
  assert.deepEqual(seen(socket), [sent.item_hash])
  await closed(socket)
})

test('client bug: it watches the public node, whatever node it was given', () => {
  assert.equal(new AlephHttpClient(here).messageClient.wsServer, stripTrailingSlash(DEFAULT_API_WS_V2))
})
