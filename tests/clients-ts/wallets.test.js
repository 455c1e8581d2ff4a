// Wallets of browsers, played by objects with their interfaces: what the account classes make of them, and that the
// network accepts what is signed through them.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'

import * as avalanche from '@aleph-sdk/avalanche'
import * as base from '@aleph-sdk/base'
import * as ethereum from '@aleph-sdk/ethereum'
import {
  ChainData, EthereumMockProvider, ExternalSignerWallet, JsonRPCWallet, RpcId, createEphemeralEth, decToHex, hexToDec,
} from '@aleph-sdk/evm'
import * as solana from '@aleph-sdk/solana'
import * as superfluid from '@aleph-sdk/superfluid'
import * as tezos from '@aleph-sdk/tezos'
import { Keypair } from '@solana/web3.js'
import { BeaconWallet } from '@taquito/beacon-wallet'
import { InMemorySigner } from '@taquito/signer'
import { b58cencode, prefix } from '@taquito/utils'
import { Wallet, providers, utils } from 'ethers'
import nacl from 'tweetnacl'

import { eventually, fresh, funded } from './network.js'
import { reader, writer } from './people.js'

const { address, private_key } = funded[9]
const browser = (networkVersion) => new EthereumMockProvider({ address, privateKey: private_key.slice(2), networkVersion })

async function accepted(account) {
  const sent = await writer(account).createPost({ postType: 'wallet', content: 1, channel: fresh('WALLETS'), sync: true })
  assert.equal((await eventually(() => reader().getMessage(sent.item_hash))).sender, account.address)
}

test('wallets of EVM chains', async () => {
  for (const [from, rpc, network] of [
    [ethereum, RpcId.ETH, 1], [avalanche, RpcId.AVAX, 43114], [base, RpcId.BASE, 8453],
  ]) {
    const account = await from.getAccountFromProvider(browser(network))
    assert.equal(account.address, address)
    assert.equal(await account.getChainId(), network)
    assert.equal(account.selectedRpcId, rpc)
    assert.ok(account.wallet.isMetamask())
    assert.ok(await account.wallet.isConnected())
    await account.changeNetwork(rpc)
    await account.askPubKey()
    assert.equal(account.publicKey, await browser(network).request({ method: 'eth_getEncryptionPublicKey' }))
    await assert.rejects(account.getRpcId(), /not found in preset chains/)
    await accepted(account)
  }
})

test('keys without a wallet know their chain and their address of it', async () => {
  for (const [account, rpc] of [
    [ethereum.importAccountFromPrivateKey(private_key), RpcId.ETH], [base.importAccountFromPrivateKey(private_key), RpcId.BASE],
    [await avalanche.importAccountFromPrivateKey(private_key), RpcId.AVAX],
  ]) {
    assert.equal(decToHex(await account.getChainId()), ChainData[rpc].chainId)
    assert.equal(account.getRpcUrl(), ChainData[rpc].rpcUrls[0])
    assert.equal(await account.getRpcId(), rpc)
    const known = account.publicKey
    account.publicKey = undefined
    await account.askPubKey()
    assert.equal(account.publicKey, known)
  }
})

test('a wallet that does not know a network is told of it', async () => {
  const asked = []
  let known = false
  const request = async ({ method, params }) => {
    asked.push(method)
    if (method === 'eth_chainId') return '0x1'
    if (method === 'eth_accounts') return [address]
    if (method === 'wallet_addEthereumChain') known = Boolean(params[0].chainName)
    if (method === 'wallet_switchEthereumChain' && !known) throw Object.assign(new Error('unknown'), { code: 4902 })
    return null
  }
  const wallet = new JsonRPCWallet(new providers.Web3Provider({ request }))
  await wallet.connect()
  assert.equal(wallet.address, address)
  assert.equal(await wallet.getCurrentChainId(), 1)
  await wallet.changeNetwork(RpcId.POLYGON)
  assert.deepEqual(asked.slice(-3), ['wallet_switchEthereumChain', 'wallet_addEthereumChain', 'wallet_switchEthereumChain'])
})

test('the balance of a token is asked of the chain', async () => {
  const request = async ({ method, params }) => {
    if (method === 'eth_chainId') return '0x1'
    if (method === 'eth_accounts') return [address]
    if (method === 'eth_call' && params[0].data.endsWith(address.slice(2).toLowerCase())) return utils.hexZeroPad('0x1bc16d674ec80000', 32)
    throw new Error(`unexpected ${method}`)
  }
  const account = await ethereum.getAccountFromProvider({ request })
  assert.equal(String(await account.getALEPHBalance()), '2')
})

test('a signer from outside', async () => {
  const key = new Wallet(private_key)
  const chain = new providers.Web3Provider(browser(1))
  const wallet = new ExternalSignerWallet(address, chain, (text) => key.signMessage(text))
  await wallet.connect()
  assert.equal(await wallet.getCurrentChainId(), 1)
  assert.equal(wallet.isMetamask(), false)
  await assert.rejects(wallet.getPublicKey(), /not supported/)
  const account = new ethereum.ETHAccount(wallet, address)
  assert.equal(await account.getChainId(), 1)
  await accepted(account)
})

test('the wallet for tests that the package offers', async () => {
  const mock = browser(5)
  assert.deepEqual([mock.getAddress(), mock.getNetworkVersion(), mock.chainId, mock.selectedAddress], [address, 5, '0x5', address])
  assert.equal(mock.getPrivateKey(), private_key.slice(2))
  assert.equal(await mock.getSigner().getAddress(), address)
  await assert.rejects(async () => { throw await mock.request({ method: 'eth_nothing' }).catch((why) => new Error(why)) }, /not implemented/)
  const made = await createEphemeralEth()
  assert.equal(ethereum.importAccountFromMnemonic(made.mnemonic).address, made.address)
  assert.equal(hexToDec(mock.chainId), 5)
})

test('wallets of Solana, with both forms of signatures', async () => {
  for (const form of [(signature) => signature, (signature, publicKey) => ({ signature, publicKey: publicKey.toBase58() })]) {
    const pair = Keypair.generate()
    const wallet = {
      connected: false, publicKey: pair.publicKey, connect: async () => { wallet.connected = true },
      signMessage: async (text) => form(nacl.sign.detached(text, pair.secretKey), pair.publicKey),
    }
    const account = await solana.getAccountFromProvider(wallet)
    assert.equal(wallet.connected, true)
    assert.equal(account.isKeypair, false)
    await accepted(account)
  }
})

test('wallets of Tezos', async () => {
  const key = new InMemorySigner(b58cencode(randomBytes(32), prefix.spsk))
  const client = {
    getActiveAccount: async () => ({ publicKey: await key.publicKey() }),
    requestSignPayload: async ({ payload }) => ({ signature: (await key.sign(payload)).prefixSig }),
  }
  const wallet = Object.create(BeaconWallet.prototype, { client: { value: client } })
  const account = await tezos.ImportAccountFromBeaconWallet(wallet)
  assert.equal(account.address, await key.publicKeyHash())
  await accepted(account)
})

test('Superfluid: it signs as the account inside; streams themselves are contracts of a chain, which no node has part in', async () => {
  const inside = await avalanche.importAccountFromPrivateKey(private_key)
  const account = new superfluid.SuperfluidAccount(inside)
  assert.equal(account.getChain(), 'AVAX')
  await account.askPubKey()
  await accepted(account)
  assert.deepEqual(['AVAX', 'BASE', 'ETH', undefined].map(superfluid.isBlockchainSupported), [true, true, false, false])
  const known = [inside, base.newAccount().account, ethereum.newAccount().account, undefined]
  assert.deepEqual(known.map(superfluid.isAccountSupported), [true, true, false, false])
  const uninitialised = /not initialized/
  await assert.rejects(account.getALEPHBalance(), uninitialised)
  await assert.rejects(account.getALEPHFlow(address), uninitialised)
  await assert.rejects(account.increaseALEPHFlow(address, 1), uninitialised)
  await assert.rejects(account.decreaseALEPHFlow(address, 1), uninitialised)
  const unsupported = await ethereum.getAccountFromProvider(browser(1))
  await assert.rejects(superfluid.createFromEVMAccount(unsupported), /eth_call|not supported/)
  await assert.rejects(superfluid.getAccountFromProvider(browser(137), RpcId.POLYGON), /Unsupported Chain/)
})
