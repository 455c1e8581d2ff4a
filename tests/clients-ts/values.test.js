// What the packages offer besides clients and accounts: messages as objects, small functions, constants.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { Account, BaseProviderWallet, ECIESAccount } from '@aleph-sdk/account'
import * as core from '@aleph-sdk/core'
import * as evm from '@aleph-sdk/evm'
import * as message from '@aleph-sdk/message'

import { eventually, fresh, here } from './network.js'
import { wallet, writer } from './people.js'

test('an account of one’s own is one of the classes of accounts', async () => {
  class Own extends ECIESAccount {
    constructor() {
      super(wallet(2).address, 'ab')
    }
    getChain = () => 'ETH'
    sign = (one) => wallet(2).sign(one)
  }
  const own = new Own()
  assert.ok(own instanceof Account)
  assert.equal(own.publicKey, 'ab')
  assert.ok(new (class extends BaseProviderWallet {})() instanceof BaseProviderWallet)
  const sent = await writer(own).createPost({ postType: 'own', content: 1, channel: fresh('VALUES'), sync: true })
  assert.equal(sent.sender, wallet(2).address)
})

test('a message step by step: built, hashed, signed, published', async () => {
  const account = wallet(2)
  const timestamp = Date.now() / 1000
  const channel = fresh('VALUES')
  const content = { address: account.address, time: timestamp, type: 'steps', content: { a: 1 } }
  const built = message.buildMessage({ account, channel, timestamp, storageEngine: 'inline', content }, 'POST')
  assert.ok(built instanceof message.BuiltMessage && built.isOfType('POST') && !built.isOfType('STORE'))
  const hashed = await message.prepareAlephMessage({ message: built, apiServer: here })
  assert.ok(hashed instanceof message.HashedMessage)
  assert.deepEqual(Object.keys(hashed.getEstimatedCostRequestSchema()), ['item_type', 'item_hash', 'item_content', 'type'])
  const lines = ['ETH', account.address, 'POST', hashed.item_hash]
  assert.equal(hashed.getVerificationBuffer().toString(), lines.join('\n'))
  const waited = await message.broadcast({ message: hashed, account, apiServer: here, sync: true })
  assert.equal(waited.status, message.MessageStatus.processed)
  assert.deepEqual(waited.response, { publication_status: { status: 'success', failed: [] }, message_status: 'processed' })
  const again = await message.broadcast({ message: hashed, account, apiServer: here })
  assert.equal(again.status, message.MessageStatus.pending)
  assert.equal(again.response.message_status, 'pending')
  const signed = waited.message
  assert.deepEqual(Object.keys(signed.getBroadcastable()).sort(), [
    'chain', 'channel', 'item_content', 'item_hash', 'item_type', 'sender', 'signature', 'time', 'type',
  ])
  const found = await eventually(() => new message.BaseMessageClient(here).get({ hash: hashed.item_hash }))
  const published = new message.PublishedMessage(found)
  assert.deepEqual([published.confirmed, published.confirmations], [false, []])
  assert.throws(() => new message.HashedMessage({ ...hashed, item_content: undefined }), /must have content/)
})

test('small functions', async () => {
  assert.deepEqual([undefined, '', 'a', [], ['a', 'b']].map(message.toQueryParam), [undefined, undefined, 'a', undefined, 'a,b'])
  assert.equal(core.stripTrailingSlash('http://a//'), 'http://a')
  assert.equal(core.isNode(), true)
  const before = Date.now()
  await core.delay(5)
  assert.ok(Date.now() >= before + 4)
  assert.equal(core.gigabyteToMebibyte(2048), message.MAXIMUM_DISK_SIZE)
  assert.equal(evm.decToHex(evm.hexToDec('0x1f')), '0x1f')
  assert.equal(String(evm.weiToAleph(evm.alephToWei(1.5))), '1.5')
  assert.equal(evm.findChainDataByChainId(43114).chainName, 'Avalanche Mainnet')
  assert.match(evm.findChainMetadataByChainId(8453).superTokenAddress, /^0x/)
  assert.equal(evm.findChainDataByChainId(5), undefined)
})

test('the words of the protocol', () => {
  assert.deepEqual(Object.values(core.Blockchain), ['ETH', 'AVAX', 'BASE', 'SOL', 'TEZOS', 'DOT', 'NULS', 'NULS2', 'CSDK'])
  const words = {
    Encoding: ['plain', 'zip', 'squashfs'],
    HypervisorType: ['qemu', 'firecracker'],
    InterfaceType: ['asgi', 'binary'],
    ItemType: ['inline', 'storage', 'ipfs'],
    MachineType: ['vm-function', 'vm-instance'],
    MessageStatus: ['pending', 'processed', 'rejected', 'forgotten'],
    MessageType: ['POST', 'AGGREGATE', 'STORE', 'PROGRAM', 'FORGET', 'INSTANCE'],
    PaymentType: ['hold', 'superfluid', 'credit'],
    VolumePersistence: ['host', 'store'],
  }
  for (const [name, values] of Object.entries(words)) assert.deepEqual(Object.values(message[name]), values, name)
  assert.equal(Object.values(message.MessageCostType).length, 9)
})
