// What the suite itself says on the wire: the recorded vectors, bit for bit.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'

import { publicKeyToProtobuf } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'

import { identityOf, payload } from './keys.js'
import { fields, frame, frames, messageId, signed, unsigned } from './wire.js'

const vectors = (name) =>
  JSON.parse(readFileSync(path.resolve(import.meta.dirname, '../../vectors/network/p2p', name)))
const hex = (bytes) => Buffer.from(bytes).toString('hex')

test('wire: message ids are those of the vectors', () => {
  const { vectors: cases } = vectors('gossipsub_message_id_vectors.json')
  assert.ok(cases.length >= 6)
  for (const { label, data_base64, message_id_ascii } of cases) {
    assert.equal(messageId(Buffer.from(data_base64, 'base64')), message_id_ascii, label)
  }
  const { sample } = vectors('message_topic_samples.json')
  assert.equal(payload(sample.message).toString(), sample.payload_utf8)
  assert.equal(messageId(Buffer.from(sample.payload_utf8)), sample.gossipsub_message_id)
})

test('wire: peer ids of key files are those of the vectors', () => {
  for (const [name, key] of Object.entries(vectors('peer_id_vectors.json').keys)) {
    const found = peerIdFromPrivateKey(identityOf(key.private_key_pkcs8_der_base64))
    assert.equal(found.toString(), key.peer_id, name)
  }
})

test('wire: frames and signatures are those of the vectors', async () => {
  const sample = vectors('gossipsub_rpc_sample.json')
  const { keys } = vectors('peer_id_vectors.json')
  const key = identityOf(keys['client-test-key-1'].private_key_pkcs8_der_base64)
  const message = {
    from: Buffer.from(keys['client-test-key-1'].peer_id_multihash_hex, 'hex'),
    data: Buffer.from(sample.data_utf8),
    seqno: Buffer.from(sample.seqno_hex, 'hex'),
    topic: sample.topic,
    key: publicKeyToProtobuf(key.publicKey),
  }
  assert.equal(hex(unsigned(message)), sample.message_unsigned_hex)
  const whole = await signed(message, key)
  assert.equal(hex(whole), sample.message_signed_hex)
  assert.equal(hex(frame.publish([whole])), sample.rpc_publish_frame_hex)
  assert.equal(hex(frame.subscribe(['ALIVE', 'ALEPH-TEST'])), sample.rpc_subscribe_two_topics_frame_hex)
  assert.equal(hex(frame.ihave('ALIVE', [sample.message_id_ascii])), sample.rpc_ihave_frame_hex)
  assert.equal(hex(frame.iwant([sample.message_id_ascii])), sample.rpc_iwant_frame_hex)
  assert.equal(hex(frame.graft('ALIVE')), sample.rpc_graft_frame_hex)
  assert.equal(hex(frame.prune('ALIVE', 60)), sample.rpc_prune_frame_hex)

  const arrived = Buffer.concat([frame.publish([whole]), frame.graft('ALIVE'), frame.iwant(['1']).subarray(0, 5)])
  const [read, rest] = frames(arrived)
  assert.equal(read.length, 2)
  assert.equal(rest.length, 5)
  assert.equal(hex(fields(fields(read[0])[2][0])[2][0]), hex(message.data))
})
