// Aggregates: create, merge, fetch one key, some keys, all keys.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { AggregateMessageClient, ItemType, MessageNotFoundError } from '@aleph-sdk/message'
import { newAccount } from '@aleph-sdk/ethereum'

import { eventually, fresh, here } from './network.js'
import { reader, writer } from './people.js'

const { account } = newAccount()
const author = writer(account)
const guest = reader()

test('elements merge, and the other node says the same', async () => {
  const send = (content) => author.createAggregate({ key: 'profile', content, channel: fresh('AGGREGATES'), sync: true })
  const first = await send({ name: 'alice', bio: 'x', deep: { a: 1 } })
  assert.equal(first.type, 'AGGREGATE')
  await send({ bio: 'y', deep: { b: 2 } })
  const merged = { name: 'alice', bio: 'y', deep: { b: 2 } }
  assert.deepEqual(await author.fetchAggregate(account.address, 'profile'), merged)
  await eventually(
    () => guest.fetchAggregate(account.address, 'profile'),
    (value) => value.bio === 'y',
  )
  assert.deepEqual(await guest.fetchAggregate(account.address, 'profile'), merged)
})

test('one key, several, all', async () => {
  const other = newAccount().account
  const client = writer(other)
  for (const key of ['one', 'two', 'three']) {
    await client.createAggregate({ key, content: { key }, channel: fresh('AGGREGATES'), sync: true })
  }
  const all = { one: { key: 'one' }, two: { key: 'two' }, three: { key: 'three' } }
  assert.deepEqual(await client.fetchAggregates(other.address), all)
  assert.deepEqual(await client.fetchAggregates(other.address, []), all)
  assert.deepEqual(await client.fetchAggregates(other.address, ['one', 'three', 'none']), { one: all.one, three: all.three })
  assert.deepEqual(await client.aggregateClient.get({ address: other.address, keys: 'two' }), { two: all.two })
  await eventually(() => guest.fetchAggregates(other.address), (said) => Object.keys(said).length === 3)
  assert.deepEqual(await guest.fetchAggregates(other.address), all)
})

test('nothing there is an error of its own', async () => {
  await assert.rejects(author.fetchAggregate(newAccount().account.address, 'profile'), MessageNotFoundError)
  await assert.rejects(author.fetchAggregates(account.address, ['none']), MessageNotFoundError)
})

test('an element beside its message, and a key as an object', async () => {
  const client = new AggregateMessageClient(here)
  const content = { body: 'z'.repeat(60_000) }
  const sent = await client.send({ account, key: 'long', content, channel: fresh('AGGREGATES'), sync: true })
  assert.equal(sent.item_type, ItemType.storage)
  assert.deepEqual(await client.get({ address: account.address, keys: ['long'] }), { long: content })
  const stored = await client.send({
    account, key: 'stored', content: { s: 1 }, channel: fresh('AGGREGATES'), storageEngine: ItemType.storage, sync: true,
  })
  assert.equal(stored.item_type, ItemType.storage)
  assert.deepEqual(await author.fetchAggregate(account.address, 'stored'), { s: 1 })
  const named = await client.send({ account, key: { name: 'named' }, content: { n: 1 }, channel: fresh('AGGREGATES'), sync: true })
  assert.deepEqual(named.content.key, { name: 'named' })
  assert.deepEqual(await author.fetchAggregate(account.address, 'named'), { n: 1 })
})
