// Nothing of the packages is left out: every public function, class and method ran in this process, or is named here
// with the reason why it cannot. It must be the last of the suite.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

import { PACKAGES, idle, surface } from './surface.js'

/** What does not run, and why. An entry that runs after all fails the test, so the list cannot grow old. */
const REASONS = {
  'superfluid.SuperfluidAccount.alephPerHourToFlowRate': 'private; reached only with a Superfluid contract on a chain',
  'superfluid.SuperfluidAccount.flowRateToAlephPerHour': 'private; reached only with a Superfluid contract on a chain',
  'superfluid.SuperfluidAccount.getFlow': 'private; reached only with a Superfluid contract on a chain',
}

/** Exported values that are no functions; a new one in a later release has to be looked at. */
const VALUES = [
  'avalanche.ChainType', 'core.Blockchain', 'core.DEFAULT_API_V2', 'core.DEFAULT_API_WS_V2', 'evm.ChainData',
  'evm.ChainMetadata', 'evm.RpcId', 'evm.erc20Abi', 'message.Encoding', 'message.HypervisorType',
  'message.InterfaceType', 'message.ItemType', 'message.MAXIMUM_DISK_SIZE', 'message.MachineType',
  'message.MessageCostType', 'message.MessageStatus', 'message.MessageType', 'message.PaymentType',
  'message.VolumePersistence', 'message.defaultExecutionEnvironment', 'message.defaultInstanceExecutionEnvironment',
  'message.defaultResources', 'message.defaultRootfsVolume', 'message.mockVolumeRef', 'tezos.STANDARD_DAPP_URL',
]

test('every public function, class and method of the packages ran', async () => {
  const { functions, values } = await surface()
  assert.ok(functions.size > 200, `${functions.size} functions found`)
  assert.deepEqual(idle(functions).sort(), Object.keys(REASONS).sort())
  assert.deepEqual(values, VALUES)
})

test('every package of the clients that is installed is looked at', () => {
  const { dependencies } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'))
  const named = Object.keys(dependencies).filter((name) => name.startsWith('@aleph-sdk/'))
  assert.deepEqual(named, PACKAGES.map((name) => `@aleph-sdk/${name}`))
})
