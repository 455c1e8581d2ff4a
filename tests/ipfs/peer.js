// Helia: released packages, unmodified, over TCP, Noise and Yamux on this
// machine alone: no gateways, no routing by others.
import './polyfill.js'

const { createHeliaLight } = await import('helia')
const { withBitswap } = await import('@helia/bitswap')
const { withLibp2pLight } = await import('@helia/libp2p')
const { unixfs } = await import('@helia/unixfs')
const { identify } = await import('@libp2p/identify')
const { noise } = await import('@libp2p/noise')
const { tcp } = await import('@libp2p/tcp')
const { yamux } = await import('@libp2p/yamux')
const { multiaddr } = await import('@multiformats/multiaddr')

/** A peer, connected to the nodes. */
export async function helia(...nodes) {
  const light = withLibp2pLight(createHeliaLight(), {
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify() },
  })
  const peer = withBitswap(light)
  await peer.start()
  for (const node of nodes) await peer.libp2p.dial(multiaddr(node.address))
  return { peer, libp2p: peer.libp2p, blockstore: peer.blockstore, files: unixfs(peer), stop: () => peer.stop() }
}

/** All bytes that a reader of Helia yields. */
export async function whole(source) {
  const parts = []
  for await (const part of source) parts.push(part)
  return Buffer.concat(parts)
}
