// Gossip as bytes, written from the specification alone, so that it depends on
// no library that either side uses:
//
//   RPC { 1 subscriptions[] · 2 publish[] · 3 control }, each with its length before it
//   message id: SipHash-1-3, key zero, of length and payload, in decimal

const MASK = (1n << 64n) - 1n
const rotate = (word, bits) => ((word << bits) | (word >> (64n - bits))) & MASK

function round(v) {
  v[0] = (v[0] + v[1]) & MASK
  v[1] = rotate(v[1], 13n) ^ v[0]
  v[0] = rotate(v[0], 32n)
  v[2] = (v[2] + v[3]) & MASK
  v[3] = rotate(v[3], 16n) ^ v[2]
  v[0] = (v[0] + v[3]) & MASK
  v[3] = rotate(v[3], 21n) ^ v[0]
  v[2] = (v[2] + v[1]) & MASK
  v[1] = rotate(v[1], 17n) ^ v[2]
  v[2] = rotate(v[2], 32n)
}

/** The id under which all nodes know a payload: decimal digits. */
export function messageId(data) {
  const v = [0x736f6d6570736575n, 0x646f72616e646f6dn, 0x6c7967656e657261n, 0x7465646279746573n]
  const hashed = new Uint8Array(8 + data.length)
  new DataView(hashed.buffer).setBigUint64(0, BigInt(data.length), true)
  hashed.set(data, 8)
  const whole = hashed.length - (hashed.length % 8)
  const tail = new Uint8Array(8)
  tail.set(hashed.subarray(whole))
  tail[7] = hashed.length & 0xff
  const words = new DataView(hashed.buffer)
  const take = (word) => {
    v[3] ^= word
    round(v)
    v[0] ^= word
  }
  for (let place = 0; place < whole; place += 8) take(words.getBigUint64(place, true))
  take(new DataView(tail.buffer).getBigUint64(0, true))
  v[2] ^= 0xffn
  for (let turn = 0; turn < 3; turn++) round(v)
  return String(v[0] ^ v[1] ^ v[2] ^ v[3])
}

export function varint(number) {
  const bytes = []
  for (; number > 127; number = Math.floor(number / 128)) bytes.push((number % 128) | 128)
  return Buffer.from([...bytes, number])
}

const number = (field, value) => Buffer.concat([varint(field << 3), varint(value)])

function bytes(field, value) {
  const content = Buffer.from(value)
  return Buffer.concat([varint((field << 3) | 2), varint(content.length), content])
}

/** What the author of a message signs. */
export function unsigned({ from, data, seqno, topic }) {
  return Buffer.concat([bytes(1, from), bytes(2, data), bytes(3, seqno), bytes(4, topic)])
}

/** A message signed with a key of libp2p; the key goes along if the id does not hold it. */
export async function signed(message, key) {
  const content = unsigned(message)
  const signature = await key.sign(Buffer.concat([Buffer.from('libp2p-pubsub:'), content]))
  const inlined = key.type === 'RSA' ? [bytes(6, message.key)] : []
  return Buffer.concat([content, bytes(5, signature), ...inlined])
}

const framed = (rpc) => Buffer.concat([varint(rpc.length), rpc])
const control = (field, content) => framed(bytes(3, bytes(field, content)))

/** Frames, each with its length before it. */
export const frame = {
  subscribe: (topics) => framed(Buffer.concat(topics.map((topic) => bytes(1, Buffer.concat([number(1, 1), bytes(2, topic)]))))),
  publish: (messages) => framed(Buffer.concat(messages.map((message) => bytes(2, message)))),
  ihave: (topic, ids) => control(1, Buffer.concat([bytes(1, topic), ...ids.map((id) => bytes(2, id))])),
  iwant: (ids) => control(2, Buffer.concat(ids.map((id) => bytes(1, id)))),
  graft: (topic) => control(3, bytes(1, topic)),
  prune: (topic, seconds) => control(4, Buffer.concat([bytes(1, topic), number(3, seconds)])),
}

/** The fields of a protobuf message: a list of values for each number. */
export function fields(content) {
  const found = {}
  let place = 0
  const read = () => {
    let value = 0
    for (let factor = 1; ; factor *= 128) {
      const byte = content[place++]
      if (byte === undefined) throw new Error('a number that has no end')
      value += (byte & 127) * factor
      if (byte < 128) return value
    }
  }
  while (place < content.length) {
    const tag = read()
    const size = tag & 7 ? read() : 0
    const value = tag & 7 ? content.subarray(place, place + size) : read()
    place += size
    ;(found[tag >> 3] ??= []).push(value)
  }
  return found
}

/** Cuts what arrives into frames: returns those that are whole, and the rest. */
export function frames(arrived) {
  const whole = []
  for (;;) {
    let size = 0
    let place = 0
    let ended = false
    for (let factor = 1; place < arrived.length && !ended; factor *= 128) {
      ended = arrived[place] < 128
      size += (arrived[place++] & 127) * factor
    }
    if (!ended || arrived.length < place + size) return [whole, arrived]
    whole.push(arrived.subarray(place, place + size))
    arrived = arrived.subarray(place + size)
  }
}
