// Files between Helia and a node, both ways.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { after, test } from 'node:test'

import { account } from './account.js'
import { eventually, start } from './node.js'
import { helia, whole } from './peer.js'

const { CID } = await import('multiformats/cid')
const { fixedSize } = await import('ipfs-unixfs-importer/chunker')
const { balanced } = await import('ipfs-unixfs-importer/layout')
const raw = await import('multiformats/codecs/raw')
const { sha256 } = await import('multiformats/hashes/sha2')

const BIG_BYTES = 100_000_000
const SECONDS = 60
const CHUNK_BYTES = 262_144
/** How a node cuts and frames what is uploaded. */
const AS_THE_NODE = { cidVersion: 0, rawLeaves: false, chunker: fixedSize({ chunkSize: CHUNK_BYTES }), layout: balanced({ maxChildrenPerNode: 174 }) }

const node = await start('gateway_fetch = true')
const remote = await helia(node)
const probe = await helia()
const within = (seconds = SECONDS) => ({ signal: AbortSignal.timeout(seconds * 1000) })
const digest = (bytes) => createHash('sha256').update(bytes).digest('hex')

after(async () => {
  await probe.stop()
  await remote.stop()
  await node.stop()
})

/** Bytes that differ in every run and from chunk to chunk. */
function bytes(size) {
  const all = randomBytes(Math.min(size, CHUNK_BYTES + 77))
  return Buffer.alloc(size, all)
}

function same(found, expected) {
  assert.equal(found.length, expected.length)
  assert.equal(digest(found), digest(expected))
}

test('the node says which protocols it speaks', async () => {
  const [connection] = remote.libp2p.getConnections()
  const peer = await eventually(
    () => remote.libp2p.peerStore.get(connection.remotePeer),
    ({ protocols }) => protocols.includes('/ipfs/bitswap/1.2.0'),
  )
  assert.ok(peer.protocols.includes('/ipfs/bitswap/1.1.0'))
})

// This peer serves no pings itself, and takes who does not answer its own for dead.
test('the node answers pings of a peer that answers none', async () => {
  const [connection] = remote.libp2p.getConnections()
  for (let turn = 0; turn < 3; turn++) {
    const stream = await connection.newStream('/ipfs/ping/1.0.0', within())
    const sent = randomBytes(32)
    const parts = []
    const came = new Promise((resolve) => stream.addEventListener('message', ({ data }) => {
      parts.push(data.subarray())
      if (Buffer.concat(parts).length >= sent.length) resolve()
    }))
    stream.send(sent)
    await Promise.race([came, new Promise((_, reject) => within().signal.addEventListener('abort', () => reject(new Error('no answer'))))])
    assert.deepEqual(Buffer.concat(parts), sent)
    await stream.close(within())
  }
})

for (const size of [0, 1, 1_000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 5_000_001, 50_000_000]) {
  test(`from the node: a file of ${size} bytes`, async () => {
    const content = bytes(size)
    const cid = CID.parse(await node.add(content))
    // A peer that is not connected makes the same name of the same bytes.
    const named = await probe.files.addBytes(content, AS_THE_NODE)
    assert.equal(named.toString(), cid.toString())
    same(await whole(remote.files.cat(cid, within())), content)
    // Version 1 names the same block.
    if (cid.version === 0) same(await whole(remote.files.cat(cid.toV1(), within())), content)
  })
}

test('from the node: 100 MB', async (context) => {
  const content = bytes(BIG_BYTES)
  const cid = CID.parse(await node.add(content))
  const begun = Date.now()
  same(await whole(remote.files.cat(cid, within(180))), content)
  context.diagnostic(`${Math.round(BIG_BYTES / 1000 / (Date.now() - begun))} MB/s`)
})

test('from the node: what is asked for before it is there', async () => {
  const content = bytes(70_000)
  const cid = await probe.files.addBytes(content, AS_THE_NODE)
  const early = whole(remote.files.cat(cid, within()))
  assert.equal(await node.add(content), cid.toString())
  same(await early, content)
})

test('to the node: single blocks', async () => {
  for (const content of [bytes(1), bytes(10_000), bytes(1_048_576)]) {
    const cid = CID.createV1(raw.code, await sha256.digest(content))
    await remote.blockstore.put(cid, content)
    same(await node.open(cid), content)
  }
})

for (const [name, options] of Object.entries({
  'version 0': { cidVersion: 0, rawLeaves: false },
  'version 1': { cidVersion: 1, rawLeaves: true },
  'version 1 with framed leaves': { cidVersion: 1, rawLeaves: false },
})) {
  test(`to the node: files of ${name}`, async () => {
    for (const size of [0, 1, 1_000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 5_000_001]) {
      const content = bytes(size)
      const cid = await remote.files.addBytes(content, options)
      same(await node.open(cid), content)
    }
  })
}

test('to the node: 100 MB', async (context) => {
  const content = bytes(BIG_BYTES)
  const cid = await remote.files.addBytes(content)
  const begun = Date.now()
  same(await node.open(cid), content)
  context.diagnostic(`${Math.round(BIG_BYTES / 1000 / (Date.now() - begun))} MB/s`)
})

test('to the node: what a STORE names and only Helia has', async () => {
  for (const [size, options] of [[5_000, { cidVersion: 0, rawLeaves: false }], [3_000_000, { cidVersion: 1, rawLeaves: true }]]) {
    const content = bytes(size)
    const cid = await remote.files.addBytes(content, options)
    const message = account().store(cid)
    await node.submit(message)
    await eventually(() => node.status(message.item_hash), (status) => status === 'processed')
    same(await node.stored(cid), content)
    same(await node.open(cid), content)
  }
})

test('to the node: a part of a file', async () => {
  const content = randomBytes(1_000_000)
  const cid = await remote.files.addBytes(content)
  same(await node.open(cid, { range: 'bytes=262100-600000' }), content.subarray(262_100, 600_001))
})

test('to the node: a directory so large that it is sharded', async () => {
  let root = await remote.files.addDirectory()
  const names = Array.from({ length: 40 }, (_, number) => `entry number ${number}`)
  for (const name of names) {
    const file = await remote.files.addBytes(Buffer.from(name))
    root = await remote.files.cp(file, root, name, { shardSplitThresholdBytes: 500 })
  }
  const { type } = await remote.files.stat(root)
  assert.equal(type, 'directory')
  for (const name of names) same(await node.open(`${root}/${encodeURIComponent(name)}`), Buffer.from(name))
  const page = (await node.open(`${root}/`)).toString()
  for (const name of names) assert.ok(page.includes(name), name)
})

test('to the node, and on to another peer: a directory', async () => {
  const tree = { 'readme.txt': bytes(100), 'deep/er/picture.bin': bytes(600_000), 'deep/empty': bytes(0) }
  const sources = Object.entries(tree).map(([path, content]) => ({ path, content: [content] }))
  let root
  for await (const added of remote.files.addAll(sources, { wrapWithDirectory: true })) root = added.cid
  for (const [path, content] of Object.entries(tree)) same(await node.open(`${root}/${path}`), content)
  // Helia has gone: what the other peer gets is from the node.
  const archive = await node.open(`${root}?format=car`)
  assert.ok(archive.length > 600_000)
  const other = await helia(node)
  for (const [path, content] of Object.entries(tree)) {
    same(await whole(other.files.cat(root, { path: `/${path}`, ...within() })), content)
  }
  const names = []
  for await (const entry of other.files.ls(root, within())) names.push(entry.name)
  assert.deepEqual(names.sort(), ['deep', 'readme.txt'])
  await other.stop()
})
