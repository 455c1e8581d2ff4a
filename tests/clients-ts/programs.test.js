// Programs and instances: create in every form, with every payment, and what they would cost.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { before, test } from 'node:test'

import { newAccount } from '@aleph-sdk/ethereum'
import {
  Encoding, HypervisorType, InstanceMessageClient, InvalidMessageError, ItemType, MessageCostType, PaymentType,
  ProgramMessageClient, StoreMessageClient, VolumePersistence, defaultInstanceExecutionEnvironment, defaultResources,
  defaultRootfsVolume, mockVolumeRef,
} from '@aleph-sdk/message'

import { eventually, fresh, here } from './network.js'
import { reader, wallet, writer } from './people.js'
import { publicly } from './relay.js'

const account = wallet(8)
const author = writer(account)
const guest = reader()
const CREDIT = { chain: 'ETH', type: PaymentType.credit }
const HOLD = { chain: 'ETH', type: PaymentType.hold }
const STREAM = { chain: 'AVAX', type: PaymentType.superfluid, receiver: wallet(9).address }
const channel = fresh('MACHINES')
let image

before(async () => {
  image = (await author.createStore({ fileObject: new Blob(['image of ' + channel]), channel, sync: true })).item_hash
})

const code = () => new Blob([randomBytes(64)])

async function common(message) {
  const seen = await eventually(() => guest.getMessage(message.item_hash))
  assert.equal(seen.signature, message.signature)
  assert.deepEqual(JSON.parse(seen.item_content), JSON.parse(message.item_content))
  return seen.content
}

test('a program of an uploaded file, with everything that can be said', async () => {
  const program = await author.createProgram({
    channel, file: code(), storageEngine: ItemType.storage, entrypoint: 'main:app', encoding: Encoding.zip,
    isPersistent: false, subscriptions: [{ sender: account.address }], memory: 256, vcpus: 2, runtime: image,
    volumes: [
      { mount: '/immutable', ref: image, use_latest: true },
      { mount: '/scratch', ephemeral: true, size_mib: 5 },
      { mount: '/data', persistence: VolumePersistence.host, name: 'data', size_mib: 10 },
    ],
    metadata: { name: 'all' }, variables: { LEVEL: 'debug' }, payment: CREDIT, sync: true,
  })
  const content = await common(program)
  assert.equal(content.type, 'vm-function')
  assert.deepEqual(content.code.entrypoint, 'main:app')
  assert.deepEqual(content.on, { http: true, message: [{ sender: account.address }], persistent: false })
  assert.deepEqual(content.resources.memory, 256)
  assert.deepEqual(content.volumes.map((volume) => volume.mount), ['/immutable', '/scratch', '/data'])
  assert.equal(content.payment.type, 'credit')
  const stored = await author.getMessage(content.code.ref)
  assert.equal(stored.type, 'STORE')
})

test('a program of a known file: published, spawned, and of one that nobody knows', async () => {
  const owner = { account, channel, programRef: image, entrypoint: 'run', encoding: Encoding.plain, runtime: image, payment: CREDIT }
  const client = new ProgramMessageClient(here)
  assert.equal((await common(await client.publish(owner))).code.ref, image)
  assert.equal((await common(await client.spawn(owner))).code.encoding, 'plain')
  await assert.rejects(client.publish({ ...owner, programRef: mockVolumeRef }), /does not exist/)
  await assert.rejects(client.publish({ ...owner, programRef: undefined }), /specify a file/)
  await assert.rejects(client.publish({ ...owner, file: code() }), /same time/)
  const borrowed = await writer(wallet(9)).createProgram({ ...owner, account: wallet(9) })
  assert.equal((await common(borrowed)).address, wallet(9).address)
})

test('a program whose file goes to ipfs, as the client does by itself', async () => {
  const program = await author.createProgram({ channel, file: code(), entrypoint: 'main:app', runtime: image, payment: CREDIT })
  const stored = await author.getMessage((await common(program)).code.ref)
  assert.equal(stored.content.item_type, 'ipfs')
})

test('payments of programs: held tokens by default, credits, persistent ones', async () => {
  const base = { channel, programRef: image, entrypoint: 'run', runtime: image }
  const held = await author.createProgram(base)
  assert.deepEqual((await common(held)).payment, { chain: 'ETH', receiver: null, type: 'hold' })
  assert.equal((await author.programClient.getCost(held.item_hash)).payment_type, 'hold')
  const paid = await author.createProgram({ ...base, payment: CREDIT, isPersistent: true })
  assert.equal((await common(paid)).on.persistent, true)
  const persistent = await author.programClient.getCost(paid.item_hash)
  assert.equal(persistent.payment_type, 'credit')
  assert.ok(persistent.detail.some((line) => line.name === 'program_persistent'))
})

test('an instance, with everything that can be said', async () => {
  const instance = await author.createInstance({
    channel, payment: CREDIT, authorized_keys: ['ssh-ed25519 AAAA'], metadata: { name: 'machine' }, variables: { A: 'b' },
    resources: { vcpus: 2, memory: 2048, seconds: 20 }, rootfs: { parent: { ref: image }, size_mib: 30_000 },
    requirements: { cpu: { architecture: 'x86_64', vendor: 'AuthenticAMD' }, node: { node_hash: mockVolumeRef } },
    environment: { hypervisor: HypervisorType.qemu, internet: false },
    volumes: [{ mount: '/data', persistence: VolumePersistence.host, name: 'data', size_mib: 100 }], sync: true,
  })
  const content = await common(instance)
  assert.deepEqual(content.rootfs.parent, { ref: image, use_latest: true })
  assert.equal(content.rootfs.size_mib, 30_000)
  assert.equal(content.requirements.node.node_hash, mockVolumeRef)
  assert.equal(content.environment.internet, false)
  assert.deepEqual(content.authorized_keys, ['ssh-ed25519 AAAA'])
  assert.equal(content.volumes[0].size_mib, 100)
})

test('an instance of what the client says by itself', async () => {
  const instance = await author.createInstance({ channel, rootfs: { parent: { ref: image } } })
  const content = await common(instance)
  assert.deepEqual(content.resources, { ...content.resources, ...defaultResources })
  assert.equal(content.rootfs.size_mib, defaultResources.memory * 10)
  assert.equal(content.rootfs.persistence, defaultRootfsVolume.persistence)
  assert.equal(content.environment.hypervisor, defaultInstanceExecutionEnvironment.hypervisor)
  assert.equal(content.payment.type, 'credit')
})

test('payments that instances may not use any more, and accounts that cannot pay', async () => {
  const rootfs = { parent: { ref: image } }
  await rejected(author.createInstance({ channel, rootfs, payment: HOLD }), 202)
  await rejected(author.createInstance({ channel, rootfs, payment: STREAM }), 202)
  await rejected(author.createProgram({ channel, programRef: image, entrypoint: 'run', runtime: image, isPersistent: true }), 202)
  const poor = writer(newAccount().account)
  const credit = await rejected(poor.createInstance({ channel, rootfs }), 6)
  assert.deepEqual(Object.keys(credit.errors[0]).sort(), ['account_credits', 'min_runtime_days', 'required_credits'])
  const hold = await rejected(poor.createProgram({ channel, programRef: image, entrypoint: 'run', runtime: image }), 5)
  assert.equal(Number(hold.errors[0].account_balance), 0)
  assert.ok(Number(hold.errors[0].required_balance) > 0)
})

/** The message must be rejected, with this code; answers the details. */
async function rejected(sending, code) {
  let hash
  await assert.rejects(sending, (error) => {
    assert.ok(error instanceof InvalidMessageError, String(error))
    hash = JSON.parse(JSON.parse(error.errors[1]).config.data).message.item_hash
    return true
  })
  const error = await publicly(() => author.getMessageError(hash))
  assert.equal(error.error_code, code)
  return error.details
}

test('what is stored and run has a price', async () => {
  const stored = await author.createStore({ fileObject: new Blob(['priced ' + channel]), payment: CREDIT, channel, sync: true })
  const price = await author.storeClient.getCost(stored.item_hash)
  assert.equal(price.payment_type, 'credit')
  assert.match(price.cost, /^\d+\.\d{18}$/)
  assert.deepEqual(price.detail.map((line) => line.type), [MessageCostType.STORAGE])
  const instance = await author.createInstance({ channel, rootfs: { parent: { ref: image } } })
  const cost = await author.instanceClient.getCost(instance.item_hash)
  assert.deepEqual(cost.detail.map((line) => line.type).sort(), [
    MessageCostType.EXECUTION, MessageCostType.EXECUTION_VOLUME_DISCOUNT, MessageCostType.EXECUTION_INSTANCE_VOLUME_ROOTFS,
  ].sort())
  await assert.rejects(author.storeClient.getCost(mockVolumeRef), (error) => error.response.status === 404)
  await assert.rejects(author.storeClient.getCost('abc'), (error) => error.response.status === 400)
})

test('prices are known before anything is sent', async () => {
  const file = await new StoreMessageClient(here).getEstimatedCost({ account, channel, fileObject: new Blob(['x'.repeat(3_000_000)]), payment: CREDIT })
  assert.equal(file.payment_type, 'credit')
  assert.equal(file.detail[0].size_mib, 3)
  const said = await author.storeClient.getEstimatedCost({ account, channel, fileObject: new Blob(['x']), estimated_size_mib: 100, payment: HOLD })
  assert.equal(said.cost, '33.333333300000000000')
  const instance = {
    account, channel, payment: CREDIT, resources: { vcpus: 2, memory: 4096 }, rootfs: { parent: { ref: image } },
    volumes: [{ mount: '/d', persistence: VolumePersistence.host, name: 'd', size_mib: 2048 }],
  }
  const machine = await new InstanceMessageClient(here).getEstimatedCost(instance)
  assert.equal(machine.cost, '8.018881715374228523')
  assert.deepEqual(machine.detail.map((line) => line.name), [
    'instance', 'EXECUTION_INSTANCE_VOLUME_ROOTFS', '#0:/d', 'EXECUTION_VOLUME_DISCOUNT',
  ])
  const program = { account, channel, entrypoint: 'run', file: code(), estimated_size_mib: 10, runtime: image, payment: HOLD }
  const estimated = await author.programClient.getEstimatedCost(program)
  assert.ok(estimated.detail.some((line) => line.type === MessageCostType.EXECUTION_PROGRAM_VOLUME_CODE))
  const sized = await author.programClient.getEstimatedCost({ ...program, estimated_size_mib: undefined, programRef: undefined })
  assert.equal(sized.detail.find((line) => line.type === MessageCostType.EXECUTION_PROGRAM_VOLUME_CODE).size_mib, 1)
  const computable = await author.programClient.getCostComputableMessage(program)
  assert.deepEqual(Object.keys(computable).sort(), ['item_content', 'item_hash', 'item_type', 'type'])
  assert.equal(JSON.parse(computable.item_content).code.ref, mockVolumeRef)
})
