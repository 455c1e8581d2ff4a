// Messages: fetch one, list with every filter and page, and what forgetting leaves.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import {
  ForgottenMessageError, ItemType, MessageNotFoundError, MessageType, PaymentType, QueryError,
} from '@aleph-sdk/message'
import { newAccount as newSolana } from '@aleph-sdk/solana'

import { eventually, fresh } from './network.js'
import { hashes, reader, wallet, writer } from './people.js'

const account = wallet(3)
const author = writer(account)
const guest = reader()

async function several() {
  const channel = fresh('MESSAGES')
  const stranger = newSolana().account
  const named = { ref: fresh('ref'), tag: fresh('tag'), type: fresh('type'), key: fresh('key') }
  const common = { channel, sync: true }
  const post = await author.createPost({ ...common, postType: named.type, content: { tags: [named.tag] } })
  const referring = await author.createPost({ ...common, postType: 'plain', content: {}, ref: named.ref })
  const aggregate = await author.createAggregate({ ...common, key: named.key, content: { a: 1 } })
  const file = await author.createStore({
    ...common, fileObject: new Blob([channel]), payment: { chain: 'ETH', type: PaymentType.credit },
  })
  const foreign = await writer(stranger).createPost({ ...common, postType: 'plain', content: {} })
  const forget = await author.forget({ ...common, hashes: [referring.item_hash], reason: 'no more' })
  return { channel, stranger, named, post, referring, aggregate, file, foreign, forget }
}

test('lists keep to every filter', async () => {
  const { channel, stranger, named, post, referring, aggregate, file, foreign, forget } = await several()
  const all = [post, aggregate, file, foreign, forget]
  const after = new Date(Math.ceil(aggregate.time * 1000))
  const cases = [
    [{ channels: [channel] }, all],
    [{ channels: channel }, all],
    [{ channels: [channel, 'none'], addresses: [account.address] }, [post, aggregate, file, forget]],
    [{ channels: channel, addresses: stranger.address }, [foreign]],
    [{ channels: channel, chains: ['SOL'] }, [foreign]],
    [{ channels: channel, chains: ['SOL', 'ETH'] }, all],
    [{ refs: [named.ref] }, []],
    [{ tags: [named.tag, 'none'] }, [post]],
    [{ contentTypes: [named.type] }, [post]],
    [{ contentKeys: [named.key] }, [aggregate]],
    [{ contentKeys: named.key, channels: channel }, [aggregate]],
    [{ hashes: [post.item_hash, file.item_hash] }, [post, file]],
    [{ hashes: referring.item_hash }, []],
    [{ channels: channel, messageTypes: [MessageType.store] }, [file]],
    [{ channels: channel, messageTypes: [MessageType.post, MessageType.forget] }, [post, foreign, forget]],
    [{ channels: channel, paymentTypes: [PaymentType.credit] }, [file]],
    [{ channels: channel, paymentTypes: PaymentType.hold }, []],
    [{ channels: channel, startDate: after }, all.filter((one) => one.time * 1000 >= after.valueOf())],
    [{ channels: channel, endDate: after }, all.filter((one) => one.time * 1000 < after.valueOf())],
  ]
  for (const client of [author, guest]) {
    for (const [filter, expected] of cases) {
      const wanted = hashes(expected)
      const found = await eventually(() => client.getMessages(filter), (said) => said.messages.length === wanted.length)
      assert.deepEqual(hashes(found.messages), wanted, JSON.stringify(filter))
    }
  }
  const first = await author.getMessages({ channels: channel, pagination: 2 })
  const last = await author.getMessages({ channels: channel, pagination: 2, page: 3 })
  assert.deepEqual([first.pagination_page, first.pagination_per_page, first.pagination_total], [1, 2, all.length])
  assert.equal(first.pagination_item, 'messages')
  assert.deepEqual(first.messages.map((one) => one.item_hash), [forget.item_hash, foreign.item_hash])
  assert.deepEqual(last.messages.map((one) => one.item_hash), [post.item_hash])
  assert.equal((await author.getMessages({})).pagination_per_page, 20)
})

test('a reference that is not forgotten is found', async () => {
  const ref = fresh('ref')
  const post = await author.createPost({ postType: 'referring', content: {}, ref, channel: fresh('MESSAGES'), sync: true })
  const found = await eventually(() => guest.getMessages({ refs: [ref] }), (said) => said.messages.length > 0)
  assert.deepEqual(hashes(found.messages), [post.item_hash])
  const [listed] = found.messages
  assert.deepEqual(listed.content, post.content)
  assert.equal(listed.item_content, post.item_content)
  assert.equal(listed.signature, post.signature)
  assert.equal(listed.size, post.item_content.length)
  assert.deepEqual([listed.confirmed, listed.confirmations], [false, []])
})

test('one message, of the expected type', async () => {
  const post = await author.createPost({ postType: 'one', content: { a: [1, null] }, channel: fresh('MESSAGES'), sync: true })
  const seen = await eventually(() => guest.getMessage(post.item_hash))
  assert.deepEqual(seen.content.content, { a: [1, null] })
  assert.equal(seen.signature, post.signature)
  assert.equal(seen.time, post.time)
  const typed = await author.messageClient.get({ hash: post.item_hash, messageType: MessageType.post })
  assert.equal(typed.item_hash, post.item_hash)
  await assert.rejects(author.messageClient.get({ hash: post.item_hash, messageType: MessageType.store }), TypeError)
  await assert.rejects(author.getMessage('ab'.repeat(32)), MessageNotFoundError)
  await assert.rejects(author.getMessage('abc'), (error) => error instanceof QueryError && !(error instanceof MessageNotFoundError))
})

test('a message that waits for another is told as pending', async () => {
  const amend = await author.createPost({
    postType: 'amend', ref: 'cd'.repeat(32), content: { waits: true }, channel: fresh('MESSAGES'), sync: true,
  })
  const seen = await author.getMessage(amend.item_hash)
  assert.equal(seen.item_hash, amend.item_hash)
  assert.deepEqual(seen.content.content, { waits: true })
})

test('what is forgotten says by what', async () => {
  const channel = fresh('MESSAGES')
  const post = await author.createPost({ postType: 'secret', content: 'secret', channel, sync: true })
  const file = await author.createStore({ fileObject: new Blob(['forgotten ' + channel]), channel, sync: true })
  assert.equal((await author.downloadFile(file.content.item_hash)).length, 'forgotten '.length + channel.length)
  const forget = await author.forget({ hashes: [post.item_hash, file.item_hash], channel, sync: true })
  assert.deepEqual(forget.content.hashes, [post.item_hash, file.item_hash])
  const forgotten = (error) => error instanceof ForgottenMessageError && error.message.includes(forget.item_hash)
  for (const client of [author, guest]) {
    for (const one of [post, file]) await eventually(() => assert.rejects(client.getMessage(one.item_hash), forgotten).then(() => true))
  }
  const stored = await author.createPost({ postType: 'secret', content: 'again', channel, sync: true })
  const beside = await author.forget({ hashes: [stored.item_hash], channel, storageEngine: ItemType.storage, sync: true })
  assert.equal(beside.item_type, ItemType.storage)
  await assert.rejects(author.getMessage(stored.item_hash), ForgottenMessageError)
})
