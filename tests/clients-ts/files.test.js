// Files: store and fetch by both engines, small ones and of 100 MB, as objects and by hash.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { test } from 'node:test'

import { InvalidMessageError, ItemType, PaymentType, StoreMessageClient, pushFileToStorageEngine } from '@aleph-sdk/message'

import { eventually, fresh, here } from './network.js'
import { reader, wallet, writer } from './people.js'
import { uncounted } from './surface.js'

const BIG_BYTES = 100_000_000
const BIG_SECONDS = 60
const UNSIGNED_BYTES = 26_214_400

const account = wallet(7)
const author = writer(account)
const guest = reader()
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex')

async function same(client, hash, bytes, seconds) {
  const found = await eventually(() => client.downloadFile(hash), Boolean, seconds)
  assert.equal(found.length, bytes.length)
  assert.equal(sha256(found), sha256(bytes))
}

/** A file of random bytes that differ in every run; the whole is not random, so that large ones are made quickly. */
function bytes(size) {
  const unit = randomBytes(Math.min(size, 65_536))
  return Buffer.alloc(size, unit)
}

test('storage: objects of both kinds, and what is said of them', async () => {
  for (const size of [1, 21, 1_000_003]) {
    const content = bytes(size)
    for (const fileObject of [new Blob([content]), new File([content], 'name.bin')]) {
      const stored = await author.createStore({
        fileObject, channel: fresh('FILES'), metadata: { name: 'a file' }, extraFields: { extra: 1 },
        payment: { chain: 'ETH', type: PaymentType.credit }, sync: true,
      })
      assert.equal(stored.content.item_hash, sha256(content))
      assert.equal(stored.content.item_type, ItemType.storage)
      const seen = await eventually(() => guest.getMessage(stored.item_hash))
      assert.deepEqual(seen.content.metadata, { name: 'a file' })
      assert.equal(seen.content.payment.type, 'credit')
      assert.deepEqual(JSON.parse(seen.item_content).extra_fields, { extra: 1 })
    }
    await same(author, sha256(content), content)
    await same(guest, sha256(content), content)
  }
})

test('storage: 100 MB', async () => {
  const content = bytes(BIG_BYTES)
  const store = () => author.createStore({ fileObject: new Blob([content]), channel: fresh('FILES'), sync: true })
  const stored = await uncounted(store)
  assert.equal(stored.content.item_hash, sha256(content))
  await same(author, stored.content.item_hash, content)
  await same(guest, stored.content.item_hash, content, BIG_SECONDS)
})

test('client bug: bytes that are no Blob are sent to storage as text', async () => {
  const text = Buffer.from(fresh('plain text'))
  const stored = await author.createStore({ fileObject: text, channel: fresh('FILES'), sync: true })
  await same(author, stored.content.item_hash, text)
  const sent = new FormData()
  sent.append('file', Buffer.from([0xff]))
  assert.equal(typeof sent.get('file'), 'string')
  await assert.rejects(author.createStore({ fileObject: bytes(100), channel: fresh('FILES'), sync: true }), InvalidMessageError)
})

test('what a STORE needs: a file or a hash, not both, and a hash is of ipfs', async () => {
  const fileObject = new Blob(['x'])
  await assert.rejects(author.createStore({}), /specify a File/)
  await assert.rejects(author.createStore({ fileObject, fileHash: 'Qm' }), /same time/)
  await assert.rejects(author.createStore({ fileHash: sha256('x') }), /choose ipfs/)
  await assert.rejects(author.storeClient.getHash(undefined, ItemType.storage, undefined, here), /File Hash/)
  await assert.rejects(author.downloadFile(sha256(fresh('nothing'))), (error) => error.response.status === 404)
  await assert.rejects(author.downloadFile('abc'), (error) => error.response.status === 400)
})

test('ipfs: objects, and the same file by its hash', async () => {
  const client = new StoreMessageClient(here)
  for (const size of [5, 300_000, 1_000_003]) {
    const content = bytes(size)
    for (const fileObject of [content, new Blob([content])]) {
      const stored = await author.createStore({ fileObject, storageEngine: ItemType.ipfs, channel: fresh('FILES'), sync: true })
      assert.equal(stored.content.item_type, ItemType.ipfs)
      assert.match(stored.content.item_hash, /^Qm/)
      await same(author, stored.content.item_hash, content)
      await same(guest, stored.content.item_hash, content)
      const again = await author.createStore({
        fileHash: stored.content.item_hash, storageEngine: ItemType.ipfs, channel: fresh('FILES'), sync: true,
      })
      assert.equal(again.content.item_hash, stored.content.item_hash)
    }
    const fileHash = await pushFileToStorageEngine({ file: content, apiServer: here, storageEngine: ItemType.ipfs })
    const pinned = await client.pin({ account, channel: fresh('FILES'), fileHash, storageEngine: ItemType.ipfs })
    const seen = await eventually(() => guest.getMessage(pinned.item_hash))
    assert.equal(seen.content.item_hash, fileHash)
  }
})

test('unsigned uploads end at 25 MiB, which is how this client uploads to ipfs', async () => {
  const largest = bytes(UNSIGNED_BYTES)
  const upload = (fileObject) => author.createStore({
    fileObject, storageEngine: ItemType.ipfs, channel: fresh('FILES'), sync: true,
  })
  const stored = await upload(largest)
  await same(author, stored.content.item_hash, largest)
  const tooLarge = (error) => error.response.status === 413
  await assert.rejects(upload(bytes(UNSIGNED_BYTES + 1)), tooLarge)
  await assert.rejects(upload(bytes(BIG_BYTES)), tooLarge)
  const file = bytes(UNSIGNED_BYTES + 1)
  await assert.rejects(pushFileToStorageEngine({ file, apiServer: here, storageEngine: ItemType.storage }), tooLarge)
  const small = Buffer.from(fresh('small'))
  assert.equal(await pushFileToStorageEngine({ file: small, apiServer: here, storageEngine: ItemType.storage }), sha256(small))
})

test('ipfs: 100 MB by its hash, after an upload that is signed', async () => {
  const content = bytes(BIG_BYTES)
  const wrong = await uploaded(content, 'QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn')
  assert.equal(wrong.status, 422)
  const [, fileHash] = /^422: File hash does not match \((\w+) != /.exec(wrong.text)
  const right = await uploaded(content, fileHash)
  assert.deepEqual([right.status, JSON.parse(right.text).size], [200, BIG_BYTES])
  const stored = await author.createStore({ fileHash, storageEngine: ItemType.ipfs, channel: fresh('FILES'), sync: true })
  assert.equal(stored.content.item_hash, fileHash)
  await same(author, fileHash, content)
  await same(guest, fileHash, content, BIG_SECONDS)
})

/** Uploads with a signed message, as this client cannot: the node computes the name of the file. */
async function uploaded(content, item_hash) {
  const form = new FormData()
  const message = await signed({ address: account.address, item_type: 'ipfs', item_hash, time: Date.now() / 1000 })
  form.append('metadata', JSON.stringify({ message, sync: true }))
  form.append('file', new Blob([content]))
  const answer = await fetch(`${here}/api/v0/ipfs/add_file`, { method: 'POST', body: form })
  return { status: answer.status, text: await answer.text() }
}

async function signed(content) {
  const item_content = JSON.stringify(content)
  const message = {
    chain: 'ETH', sender: account.address, type: 'STORE', time: content.time, item_type: 'inline', item_content,
    item_hash: sha256(item_content),
  }
  const lines = [message.chain, message.sender, message.type, message.item_hash]
  return { ...message, signature: await account.sign({ getVerificationBuffer: () => Buffer.from(lines.join('\n')) }) }
}
