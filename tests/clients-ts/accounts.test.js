// Accounts of every chain that sign without a browser or a device: each is made in every way its package offers,
// and what it signs is in force at both nodes.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'

import * as avalanche from '@aleph-sdk/avalanche'
import * as base from '@aleph-sdk/base'
import { Blockchain } from '@aleph-sdk/core'
import * as cosmos from '@aleph-sdk/cosmos'
import * as ethereum from '@aleph-sdk/ethereum'
import { verifyEthereum } from '@aleph-sdk/evm'
import { SignedMessage } from '@aleph-sdk/message'
import * as nuls2 from '@aleph-sdk/nuls2'
import * as solana from '@aleph-sdk/solana'
import * as substrate from '@aleph-sdk/substrate'
import * as tezos from '@aleph-sdk/tezos'
import { b58cencode, prefix } from '@taquito/utils'

import { eventually, fresh } from './network.js'
import { reader, writer } from './people.js'

const WORDS = 'test test test test test test test test test test test junk'
const KEY = '11'.repeat(32)
const INVALID = { name: 'InvalidMessageError' }

const post = (account) => writer(account).createPost({
  postType: 'signed', content: { by: account.address }, channel: fresh('ACCOUNTS'), sync: true,
})

/** What the account signs must be in force at the other node, under its chain and address. */
async function accepted(account, chain) {
  const message = await post(account)
  const seen = await eventually(() => reader().getMessage(message.item_hash))
  assert.equal(seen.sender, account.address)
  assert.equal(seen.chain, chain)
  assert.deepEqual(seen.content.content, { by: account.address })
  return new SignedMessage(message)
}

test('Ethereum', async () => {
  const made = ethereum.newAccount()
  for (const account of [made.account, ethereum.importAccountFromPrivateKey(KEY), ethereum.importAccountFromMnemonic(WORDS)]) {
    const signed = await accepted(account, Blockchain.ETH)
    assert.ok(verifyEthereum(signed, signed.signature, account.address))
    assert.ok(!verifyEthereum(Buffer.from('else'), signed.signature, account.address))
    assert.equal(account.getChain(), Blockchain.ETH)
  }
  assert.equal(ethereum.importAccountFromMnemonic(made.mnemonic).address, made.account.address)
  assert.equal(ethereum.importAccountFromPrivateKey(KEY).address, '0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A')
})

test('Base signs as Ethereum', async () => {
  const made = base.newAccount()
  for (const account of [made.account, base.importAccountFromPrivateKey(KEY), base.importAccountFromMnemonic(WORDS)]) {
    await accepted(account, Blockchain.ETH)
    assert.equal(account.getChain(), Blockchain.BASE)
  }
  assert.equal(base.importAccountFromMnemonic(made.mnemonic).address, made.account.address)
})

test('Avalanche: accounts of the C-chain that are imported sign as Ethereum', async () => {
  for (const account of [await avalanche.importAccountFromPrivateKey(KEY), await avalanche.importAccountFromMnemonic(WORDS)]) {
    await accepted(account, Blockchain.ETH)
    assert.equal(account.getChain(), Blockchain.AVAX)
    assert.match(account.address, /^0x/)
  }
})

test('client bug: new accounts of the C-chain, and accounts of the X-chain, sign the Avalanche way under the name of Ethereum', async () => {
  const made = await avalanche.newAccount()
  assert.match(made.account.address, /^0x/)
  const key = await avalanche.getKeyPair(made.privateKey)
  assert.equal(avalanche.getEVMAddress(key), made.account.address)
  const x = await avalanche.importAccountFromPrivateKey(KEY, avalanche.ChainType.X_CHAIN)
  for (const account of [made.account, x]) {
    const message = new SignedMessage({ chain: 'ETH', sender: account.address, type: 'POST', item_hash: '00'.repeat(32), item_content: '{}', item_type: 'inline' })
    const signature = await account.sign(message)
    assert.ok(await avalanche.verifyAvalanche(message, signature, account.keyPair.getPublicKey().toString('hex')))
    assert.ok(!verifyEthereum(message, signature, account.address))
    await assert.rejects(post(account), INVALID)
  }
  assert.match(x.address, /^X-/)
  assert.equal(avalanche.digestMessage(Buffer.from('text')).length, 32)
  await avalanche.importAccountFromMnemonic(WORDS, undefined, avalanche.ChainType.C_CHAIN)
})

test('Solana', async () => {
  const made = solana.newAccount()
  const again = solana.importAccountFromPrivateKey(made.privateKey)
  assert.equal(again.address, made.account.address)
  for (const account of [made.account, again]) {
    const signed = await accepted(account, Blockchain.SOL)
    assert.ok(solana.verifySolana(signed, signed.signature))
    assert.ok(!solana.verifySolana(Buffer.from('else'), signed.signature))
    assert.equal(account.isKeypair, true)
  }
})

test('Cosmos', async () => {
  const made = await cosmos.newAccount()
  const key = 'a key is thirty-two characters: '
  for (const account of [
    made.account, await cosmos.importAccountFromMnemonic(made.mnemonic), await cosmos.newAccount(24).then((one) => one.account),
    await cosmos.importAccountFromPrivateKey(key), await cosmos.importAccountFromPrivateKey(key, 'osmo'),
  ]) {
    const signed = await accepted(account, Blockchain.CSDK)
    const verified = await cosmos.verifyCosmos(signed, signed.signature)
    assert.equal(verified, false, 'client bug: it checks the text, but the signature is of the document around it')
  }
  await assert.rejects(cosmos.importAccountFromPrivateKey(KEY), 'client bug: a key in hexadecimal is taken as text')
})

test('NULS2', async () => {
  const made = await nuls2.newAccount()
  const account = await nuls2.importAccountFromPrivateKey(KEY)
  assert.equal(account.address, 'NULSd6HgjPhStxjH1tBJppNWsa7ZQMJTr9zu7')
  const test = await nuls2.importAccountFromPrivateKey(KEY, { chain_id: 2, prefix: 'tNULS' })
  assert.match(test.address, /^tNULSe/)
  for (const one of [made.account, account, test, await nuls2.importAccountFromMnemonic(made.mnemonic)]) {
    await accepted(one, Blockchain.NULS2)
    await one.askPubKey()
  }
})

test('NULS2 accounts encrypt and decrypt', async () => {
  const [alice, bob] = [(await nuls2.newAccount()).account, (await nuls2.newAccount()).account]
  const secret = Buffer.from('for you alone')
  for (const sealed of [await alice.encrypt(secret, bob), await alice.encrypt(secret, bob.publicKey), await bob.encrypt(secret)]) {
    assert.ok(!sealed.includes(secret))
    assert.deepEqual(await bob.decrypt(sealed), secret)
    await assert.rejects(alice.decrypt(sealed))
  }
  const sealed = await alice.encrypt(secret, bob)
  const sent = await writer(alice).createPost({ postType: 'sealed', content: { body: sealed.toString('hex') }, channel: fresh('ACCOUNTS'), sync: true })
  const seen = await eventually(() => reader().getMessage(sent.item_hash))
  assert.deepEqual(await bob.decrypt(Buffer.from(seen.content.content.body, 'hex')), secret)
})

test('Substrate', async () => {
  const made = await substrate.newAccount()
  for (const account of [
    made.account, await substrate.importAccountFromMnemonic(made.mnemonic), await substrate.importAccountFromPrivateKey(`0x${KEY}`),
  ]) {
    const signed = await accepted(account, Blockchain.DOT)
    assert.equal(JSON.parse(signed.signature).curve, 'sr25519')
  }
  await assert.rejects(substrate.getAccountFromProvider(), 'it needs an extension of a browser')
})

test('Tezos, whose times are seconds taken for milliseconds', async () => {
  const made = await tezos.newAccount()
  const [secp, p256] = ['spsk', 'p2sk'].map((kind) => b58cencode(randomBytes(32), prefix[kind]))
  for (const account of [
    made.signerAccount, await tezos.importAccountFromPrivateKey(b58cencode(made.privateKey, prefix.edsk)),
    await tezos.importAccountFromPrivateKey(secp), await tezos.importAccountFromPrivateKey(p256),
  ]) {
    const signed = await accepted(account, Blockchain.TEZOS)
    assert.ok(tezos.verifyTezos(signed, signed.signature))
    assert.equal(JSON.parse(signed.signature).dAppUrl, tezos.STANDARD_DAPP_URL)
    assert.equal(await account.GetPublicKey(), JSON.parse(signed.signature).publicKey)
  }
  await assert.rejects(
    tezos.ImportAccountFromFundraiserInfo('a@example.org', 'password', WORDS),
    'client bug: it gives the hash of the key where the key is wanted',
  )
})
