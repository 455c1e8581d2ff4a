// A peer that speaks gossip and nothing else, as released nodes do: no identify,
// no ping. Its frames are written and read by wire.js.
import { publicKeyToProtobuf } from '@libp2p/crypto/keys'
import { multiaddr } from '@multiformats/multiaddr'

import { ALIVE, MESSAGES, eventually } from './node.js'
import { foundation } from './peer.js'
import { fields, frame, frames, signed } from './wire.js'

const PROTOCOL = '/meshsub/1.1.0'

/** Bytes for a stream, one after the other as they come. */
function outbox() {
  const waiting = []
  let wake
  let ended = false
  return {
    push(bytes) {
      waiting.push(bytes)
      wake?.()
    },
    end() {
      ended = true
      wake?.()
    },
    async* [Symbol.asyncIterator]() {
      for (;;) {
        while (waiting.length > 0) yield waiting.shift()
        if (ended) return
        await new Promise((resume) => { wake = resume })
      }
    },
  }
}

/** Connects to one node. `frames`: what it said, each as its fields. */
export async function bare(key, address) {
  const libp2p = await foundation({ key }, {})
  const said = []
  await libp2p.handle(PROTOCOL, async ({ stream }) => {
    let rest = Buffer.alloc(0)
    try {
      for await (const part of stream.source) {
        const [whole, left] = frames(Buffer.concat([rest, part.subarray()]))
        said.push(...whole.map(fields))
        rest = left
      }
    } catch {
      // The node ended the stream; `isConnected` tells.
    }
  })
  const connection = await libp2p.dial(multiaddr(address))
  const stream = await connection.newStream(PROTOCOL)
  const out = outbox()
  // It ends with the connection.
  stream.sink(out).catch(() => {})
  out.push(frame.subscribe([ALIVE, MESSAGES]))

  const from = Buffer.from(libp2p.peerId.toMultihash().bytes)
  const self = {
    id: libp2p.peerId.toString(),
    protocol: stream.protocol,
    said,
    send: (bytes) => out.push(bytes),
    isConnected: () => connection.status === 'open',

    /** A payload as a signed message, with a number of its own. */
    message: (data, topic = MESSAGES) => {
      const seqno = crypto.getRandomValues(new Uint8Array(8))
      return signed({ from, data, seqno, topic, key: publicKeyToProtobuf(key.publicKey) }, key)
    },

    /** Control messages of one kind that came: their fields. */
    control: (kind) => said.flatMap((rpc) => rpc[3] ?? []).flatMap((control) => fields(control)[kind] ?? []).map(fields),

    /** Payloads that came, each as often as it came. */
    payloads: () => said.flatMap((rpc) => rpc[2] ?? []).map((message) => fields(message)[2][0]),

    /** Waits until the node wants something of a kind. */
    asked: (kind) => eventually(() => self.control(kind).length > 0),

    async stop() {
      out.end()
      await libp2p.stop()
    },
  }
  return self
}
