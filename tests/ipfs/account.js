// An account that signs messages.
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { keccak_256 } from '@noble/hashes/sha3.js'

const hex = (bytes) => Buffer.from(bytes).toString('hex')

function checksummed(address) {
  const digest = hex(keccak_256(Buffer.from(address)))
  return '0x' + [...address].map((digit, place) => (parseInt(digest[place], 16) > 7 ? digit.toUpperCase() : digit)).join('')
}

/** An account on Ethereum that nobody else has. */
export function account() {
  const key = secp256k1.utils.randomSecretKey()
  const point = secp256k1.getPublicKey(key, false)
  const address = checksummed(hex(keccak_256(point.subarray(1)).subarray(12)))

  /** The signature that a wallet makes of a text (EIP-191). */
  function sign(text) {
    const digest = keccak_256(Buffer.from(`\x19Ethereum Signed Message:\n${Buffer.byteLength(text)}${text}`))
    const [recovery, ...signature] = secp256k1.sign(digest, key, { prehash: false, format: 'recovered' })
    return '0x' + hex(signature) + (27 + recovery).toString(16)
  }

  /** A STORE message for a content of IPFS. */
  function store(cid) {
    const time = Date.now() / 1000
    const item_content = JSON.stringify({ address, time, item_type: 'ipfs', item_hash: cid.toString() })
    const item_hash = hex(sha256(Buffer.from(item_content)))
    const signature = sign(`ETH\n${address}\nSTORE\n${item_hash}`)
    return { chain: 'ETH', channel: 'TEST', item_content, item_hash, item_type: 'inline', sender: address, signature, time, type: 'STORE' }
  }

  return { address, store }
}
