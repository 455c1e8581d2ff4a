// The other side: libp2p and gossipsub as JavaScript has them, set up as
// released nodes are. TCP, Noise, and Yamux or Mplex.
import './polyfill.js'

import { gossipsub } from '@chainsafe/libp2p-gossipsub'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { mplex } from '@libp2p/mplex'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

import { ALIVE, MESSAGES, eventually } from './node.js'
import { messageId } from './wire.js'

const MUXERS = { yamux, mplex }

const running = new Set()

/** Ends the peers that a failed test left behind: an open one keeps the process alive. */
export async function stopPeers() {
  await Promise.all([...running].map((libp2p) => libp2p.stop()))
  running.clear()
}

/** What every peer here has, whatever it speaks. */
export async function foundation({ key, muxer = 'yamux', port = 0 }, services) {
  const libp2p = await createLibp2p({
    privateKey: key,
    addresses: { listen: [`/ip4/127.0.0.1/tcp/${port}`] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [MUXERS[muxer]()],
    // All peers of the suite are one host.
    connectionManager: { inboundConnectionThreshold: 1_000, maxPeerAddrsToDial: 100 },
    services,
  })
  running.add(libp2p)
  return libp2p
}

/** A running peer. What it hears is in `heard`: {topic, data, id, from, by}. */
export async function peer(options) {
  const libp2p = await foundation(options, {
    identify: identify(),
    ping: ping(),
    gossip: gossipsub({
      globalSignaturePolicy: 'StrictSign',
      msgIdFn: ({ data }) => Buffer.from(messageId(data)),
      msgIdToStrFn: (id) => Buffer.from(id).toString('latin1'),
      fallbackToFloodsub: false,
      allowedTopics: [ALIVE, MESSAGES],
      floodPublish: true,
      emitSelf: false,
      allowPublishToZeroTopicPeers: true,
      seenTTL: 1_800_000,
      heartbeatInterval: 1_000,
      D: 6, Dlo: 5, Dhi: 12, Dout: 2, Dlazy: 6, Dscore: 4,
      gossipFactor: 0.25, mcacheLength: 5, mcacheGossip: 3,
    }),
  })
  const gossip = libp2p.services.gossip
  const heard = []
  gossip.addEventListener('gossipsub:message', ({ detail: { msg, msgId, propagationSource } }) => {
    heard.push({ topic: msg.topic, data: Buffer.from(msg.data), id: msgId, from: msg.from.toString(), by: propagationSource.toString() })
  })
  for (const topic of [ALIVE, MESSAGES]) gossip.subscribe(topic)
  const id = libp2p.peerId.toString()
  return {
    libp2p,
    gossip,
    heard,
    id,
    port: Number(libp2p.getMultiaddrs()[0].toOptions().port),
    address: libp2p.getMultiaddrs()[0].toString(),

    /** Publishes; its id is what the library says it is. */
    async publish(data, topic = MESSAGES) {
      await gossip.publish(topic, data)
      return messageId(data)
    },

    dial: (address) => libp2p.dial(multiaddr(address)),

    /** Waits until these peers follow the topics and are in the mesh of messages. */
    meets: (...ids) => eventually(() => ids.every((other) =>
      [ALIVE, MESSAGES].every((topic) => gossip.getSubscribers(topic).some((known) => known.toString() === other)) &&
      gossip.getMeshPeers(MESSAGES).includes(other))),

    /** Waits until a payload has come; how it came. */
    hears: (data, topic = MESSAGES) => eventually(() =>
      heard.find((one) => one.topic === topic && one.data.equals(data))),

    stop: () => libp2p.stop(),
  }
}
