// Posts: create, amend, fetch and list with every filter, in every engine.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ItemType, MessageNotFoundError, PostMessageClient } from '@aleph-sdk/message'

import { eventually, fresh, here, there } from './network.js'
import { hashes, reader, wallet, writer } from './people.js'

const account = wallet(1)
const author = writer(account)
const guest = reader()

test('a post is created, amended and read at the other node', async () => {
  const channel = fresh('POSTS')
  const post = await author.createPost({ postType: 'note', content: { title: 'hello' }, channel, sync: true })
  assert.equal(post.sender, account.address)
  assert.deepEqual(post.content.content, { title: 'hello' })
  const amend = await author.createPost({
    postType: 'amend', ref: post.item_hash, content: { title: 'hello again' }, channel, sync: true,
  })
  const seen = await eventually(
    () => guest.getPost({ hashes: [post.item_hash] }),
    (found) => found.item_hash === amend.item_hash,
  )
  assert.deepEqual(seen.content, { title: 'hello again' })
  assert.deepEqual(Object.keys(seen).sort(), [
    'address', 'chain', 'channel', 'confirmations', 'confirmed', 'content', 'hash', 'item_content', 'item_hash',
    'item_type', 'original_item_hash', 'original_signature', 'original_type', 'ref', 'sender', 'signature', 'size',
    'time', 'type',
  ])
  assert.equal(seen.original_item_hash, post.item_hash)
  assert.equal(seen.original_signature, post.signature)
  assert.equal(seen.original_type, 'note')
  assert.equal(seen.type, 'amend')
  assert.equal(seen.signature, amend.signature)
})

test('an asynchronous post appears without being waited for', async () => {
  const post = await author.createPost({ postType: 'later', content: 'text', channel: fresh('POSTS') })
  const seen = await eventually(() => author.getPost({ hashes: [post.item_hash] }))
  assert.equal(seen.content, 'text')
})

test('lists of posts keep to every filter', async () => {
  const other = wallet(2)
  const [channel, side, type] = [fresh('POSTS'), fresh('POSTS'), fresh('type')]
  const [ref, tag] = [fresh('ref'), fresh('tag')]
  const send = (client, more) => client.createPost({ postType: type, content: {}, channel, sync: true, ...more })
  const plain = await send(author, {})
  const second = await send(writer(other), { content: { tags: [tag, 'x'] } })
  const referring = await send(author, { ref, postType: `${type}-b` })
  const aside = await send(author, { channel: side })
  const all = [plain, second, referring, aside]
  const cases = [
    [{ channels: [channel, side] }, all],
    [{ channels: [side] }, [aside]],
    [{ channels: [channel], types: type }, [plain, second]],
    [{ channels: [channel], types: [type, `${type}-b`] }, [plain, second, referring]],
    [{ channels: [channel, side], addresses: [other.address] }, [second]],
    [{ channels: [channel, side], addresses: [other.address, account.address] }, all],
    [{ refs: [ref] }, [referring]],
    [{ tags: [tag] }, [second]],
    [{ tags: [tag, 'y'], addresses: [account.address] }, []],
    [{ hashes: [plain.item_hash, aside.item_hash] }, [plain, aside]],
    [{ hashes: [] , channels: [side] }, [aside]],
  ]
  for (const client of [author, guest]) {
    for (const [filter, expected] of cases) {
      const wanted = hashes(expected)
      const found = await eventually(
        () => client.getPosts(filter),
        (said) => said.posts.length === wanted.length,
      )
      assert.deepEqual(hashes(found.posts), wanted, JSON.stringify(filter))
      assert.equal(found.pagination_total, wanted.length)
      assert.equal(found.pagination_item, 'posts')
    }
  }
  const pages = []
  for (const page of [1, 2, 3]) {
    const said = await author.getPosts({ channels: [channel, side], pagination: 2, page })
    assert.equal(said.pagination_page, page)
    assert.equal(said.pagination_per_page, 2)
    assert.equal(said.pagination_total, 4)
    pages.push(said.posts.map((post) => post.item_hash))
  }
  const newest = all.map((post) => post.item_hash).reverse()
  assert.deepEqual(pages, [newest.slice(0, 2), newest.slice(2), []])
  assert.equal((await author.getPost({ channels: [channel, side] })).item_hash, aside.item_hash)
  assert.equal((await author.getPosts({ channels: [side] })).pagination_per_page, 50)
})

test('no post is an error of its own', async () => {
  await assert.rejects(author.getPost({ types: fresh('nothing') }), MessageNotFoundError)
})

test('contents beside the message: storage, and by their size', async () => {
  const channel = fresh('POSTS')
  const long = 'x'.repeat(60_000)
  for (const [storageEngine, body] of [[ItemType.storage, 'short'], [ItemType.inline, long]]) {
    const post = await author.createPost({ postType: 'beside', content: { body }, channel, storageEngine, sync: true })
    assert.equal(post.item_type, ItemType.storage)
    assert.equal(post.item_content, undefined)
    const seen = await eventually(() => guest.getPost({ hashes: [post.item_hash] }))
    assert.deepEqual(seen.content, { body })
    assert.equal(seen.item_content, null)
    assert.equal(seen.item_type, 'storage')
  }
})

test('contents beside the message: ipfs', async () => {
  const post = await author.createPost({
    postType: 'beside', content: { body: 'by ipfs' }, channel: fresh('POSTS'), storageEngine: ItemType.ipfs, sync: true,
  })
  assert.equal(post.item_type, ItemType.ipfs)
  assert.match(post.item_hash, /^Qm/)
  const seen = await eventually(() => guest.getPost({ hashes: [post.item_hash] }))
  assert.deepEqual(seen.content, { body: 'by ipfs' })
})

test('the client of posts alone, with a slash at the end of its address', async () => {
  const client = new PostMessageClient(`${here}/`)
  const post = await client.send({ account, postType: 'alone', content: 1, channel: fresh('POSTS'), ref: '', sync: true })
  assert.ok(!('ref' in post.content))
  assert.equal((await client.get({ hashes: [post.item_hash] })).content, 1)
  const seen = await eventually(() => new PostMessageClient(there).getAll({ hashes: [post.item_hash] }), (said) => said.posts.length === 1)
  assert.equal(seen.posts[0].ref, null)
})
