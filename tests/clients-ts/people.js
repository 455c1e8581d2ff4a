// Who acts in the tests: funded accounts of the network, as the released
// clients make them, each bound to one node.
import { AlephHttpClient, AuthenticatedAlephHttpClient } from '@aleph-sdk/client'
import { importAccountFromPrivateKey } from '@aleph-sdk/ethereum'
import { BaseMessageClient } from '@aleph-sdk/message'

import { funded, here, sockets, there } from './network.js'

/** The funded account of this number (0 to 9). */
export function wallet(number) {
  return importAccountFromPrivateKey(funded[number].private_key)
}

/** A client at the first node that signs as this account. */
export function writer(account) {
  return listening(new AuthenticatedAlephHttpClient(account, here), here, sockets[0])
}

/** A client at the second node that only reads. */
export function reader() {
  return listening(new AlephHttpClient(there), there, sockets[1])
}

/** The released client always watches the public node (watch.js proves it); this is its own field for another one. */
function listening(client, api, socket) {
  client.messageClient = new BaseMessageClient(api, socket)
  return client
}

/** The hashes of messages, sorted. */
export function hashes(messages) {
  return messages.map((message) => message.item_hash).sort()
}
