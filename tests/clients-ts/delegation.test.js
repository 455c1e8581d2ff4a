// Delegation: the aggregate `security` lets others act for its owner, and no further than it says.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { newAccount } from '@aleph-sdk/ethereum'
import { InvalidMessageError } from '@aleph-sdk/message'
import { newAccount as newSolana } from '@aleph-sdk/solana'

import { eventually, fresh } from './network.js'
import { reader, wallet, writer } from './people.js'

const grant = (client, authorizations) => client.createAggregate({
  key: 'security', content: { authorizations }, channel: 'security', sync: true,
})

test('a delegate posts, aggregates and forgets for the owner', async () => {
  const owner = newAccount().account
  const helper = wallet(6)
  const [lord, delegate] = [writer(owner), writer(helper)]
  const channel = fresh('DELEGATION')
  const posting = () => delegate.createPost({ postType: 'note', content: 'for you', address: owner.address, channel, sync: true })
  await assert.rejects(posting, InvalidMessageError)
  await grant(lord, [{ address: helper.address }])
  const post = await posting()
  assert.equal(post.sender, helper.address)
  const seen = await eventually(() => reader().getPost({ hashes: [post.item_hash] }))
  assert.equal(seen.address, owner.address)
  assert.equal(seen.content, 'for you')
  const amend = await delegate.createPost({
    postType: 'amend', ref: post.item_hash, content: 'amended', address: owner.address, channel, sync: true,
  })
  assert.equal((await lord.getPost({ hashes: [post.item_hash] })).item_hash, amend.item_hash)
  await delegate.createAggregate({ key: 'profile', content: { by: 'helper' }, address: owner.address, channel, sync: true })
  assert.deepEqual(await lord.fetchAggregate(owner.address, 'profile'), { by: 'helper' })
  await delegate.forget({ hashes: [post.item_hash], address: owner.address, channel, sync: true })
  assert.equal((await lord.getPosts({ hashes: [post.item_hash] })).posts.length, 0)
  await grant(lord, [])
  await assert.rejects(posting, InvalidMessageError)
})

test('a right goes no further than its types, channels, post types, keys and chain', async () => {
  const owner = newAccount().account
  const [ether, sol] = [newAccount().account, newSolana().account]
  const lord = writer(owner)
  const [channel, type] = [fresh('DELEGATION'), fresh('type')]
  await grant(lord, [
    { address: ether.address, types: ['POST'], channels: [channel], post_types: [type] },
    { address: ether.address, types: ['AGGREGATE'], aggregate_keys: ['allowed'] },
    { address: sol.address, chain: 'SOL', types: ['POST'] },
  ])
  const post = (account, more) => writer(account).createPost({
    postType: type, content: 1, channel, address: owner.address, sync: true, ...more,
  })
  const aggregate = (key) => writer(ether).createAggregate({ key, content: { a: 1 }, address: owner.address, channel, sync: true })
  await post(ether)
  await aggregate('allowed')
  await post(sol, { channel: 'ANY' })
  assert.deepEqual(await lord.fetchAggregate(owner.address, 'allowed'), { a: 1 })
  await assert.rejects(post(ether, { channel: 'ANY' }), InvalidMessageError)
  await assert.rejects(post(ether, { postType: 'other' }), InvalidMessageError)
  await assert.rejects(aggregate('other'), InvalidMessageError)
  await assert.rejects(writer(sol).createAggregate({ key: 'allowed', content: {}, address: owner.address, sync: true }), InvalidMessageError)
})
