// Helia: released packages, unmodified, over TCP, Noise and Yamux on this
// machine alone: no gateways, no routing by others.
import './polyfill.js'

const { createHeliaLight } = await import('helia')
const { withBitswap } = await import('@helia/bitswap')
const { withLibp2pLight } = await import('@helia/libp2p')
const { unixfs } = await import('@helia/unixfs')
const { identify } = await import('@libp2p/identify')
const { kadDHT, passthroughMapper } = await import('@libp2p/kad-dht')
const { noise } = await import('@libp2p/noise')
const { ping } = await import('@libp2p/ping')
const { tcp } = await import('@libp2p/tcp')
const { yamux } = await import('@libp2p/yamux')
const { multiaddr } = await import('@multiformats/multiaddr')

/** The table that IPFS shares, of peers on this machine: a part of it, or a client. */
const table = (clientMode) => ({
  ping: ping(),
  dht: kadDHT({ protocol: '/ipfs/kad/1.0.0', clientMode, peerInfoMapper: passthroughMapper }),
})

/** A peer, connected to the nodes. */
export async function helia(...nodes) {
  return connected({}, nodes)
}

/** A peer of which the table is made. */
export async function router() {
  return connected(table(false), [])
}

/** A peer that uses the table through these routers, and to which nobody is led by it. */
export async function client(...routers) {
  return connected(table(true), routers)
}

async function connected(services, nodes) {
  const light = withLibp2pLight(createHeliaLight(), {
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify(), ...services },
  })
  const peer = withBitswap(light)
  await peer.start()
  for (const node of nodes) await peer.libp2p.dial(multiaddr(node.address))
  const address = peer.libp2p.getMultiaddrs()[0].toString()
  return { peer, address, libp2p: peer.libp2p, blockstore: peer.blockstore, files: unixfs(peer), stop: () => peer.stop() }
}

/** All bytes that a reader of Helia yields. */
export async function whole(source) {
  const parts = []
  for await (const part of source) parts.push(part)
  return Buffer.concat(parts)
}
