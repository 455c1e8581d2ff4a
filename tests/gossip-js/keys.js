// Identities of peers, and accounts that sign messages.
import { createPrivateKey } from 'node:crypto'

import { generateKeyPair, privateKeyFromRaw } from '@libp2p/crypto/keys'
import { secp256k1 } from '@noble/curves/secp256k1'
import { sha256 } from '@noble/hashes/sha2'
import { keccak_256 } from '@noble/hashes/sha3'

const hex = (bytes) => Buffer.from(bytes).toString('hex')

/** A fresh identity: 'Ed25519', 'RSA' (2,048 bits) or 'secp256k1'. */
export function identity(type) {
  return generateKeyPair(type, 2048)
}

/** The identity in a key file of upstream: PKCS#8 as base64. */
export function identityOf(pkcs8) {
  const key = createPrivateKey({ key: Buffer.from(pkcs8, 'base64'), format: 'der', type: 'pkcs8' })
  return privateKeyFromRaw(key.export({ format: 'der', type: 'pkcs1' }))
}

function checksummed(address) {
  const digest = hex(keccak_256(address))
  return '0x' + [...address].map((digit, place) => (parseInt(digest[place], 16) > 7 ? digit.toUpperCase() : digit)).join('')
}

/** An account on Ethereum that nobody else has. */
export function account() {
  const key = secp256k1.utils.randomPrivateKey()
  const point = secp256k1.getPublicKey(key, false)
  const address = checksummed(hex(keccak_256(point.subarray(1)).subarray(12)))

  /** The signature that a wallet makes of a text (EIP-191). */
  function sign(text) {
    const digest = keccak_256(Buffer.from(`\x19Ethereum Signed Message:\n${Buffer.byteLength(text)}${text}`))
    const signature = secp256k1.sign(digest, key)
    return '0x' + signature.toCompactHex() + (27 + signature.recovery).toString(16)
  }

  /** A message of this account, ready to be published. */
  function message(type, content) {
    const time = Date.now() / 1000
    const item_content = JSON.stringify({ address, time, ...content })
    const item_hash = hex(sha256(Buffer.from(item_content)))
    const signature = sign(`ETH\n${address}\n${type}\n${item_hash}`)
    return { chain: 'ETH', channel: 'TEST', item_content, item_hash, item_type: 'inline', sender: address, signature, time, type }
  }

  let number = 0
  /** A post like no other. */
  const post = (content = {}) => message('POST', { type: 'note', content: { number: number++, ...content } })
  return { address, message, post }
}

/** The same message with the signature of something else. */
export function spoilt(message) {
  const digit = message.signature[20] === '0' ? '1' : '0'
  return { ...message, signature: message.signature.slice(0, 20) + digit + message.signature.slice(21) }
}

/** As upstream's nodes write a message for gossip: keys sorted, nothing between. */
export function payload(message) {
  return Buffer.from(JSON.stringify(message, Object.keys(message).sort()))
}
