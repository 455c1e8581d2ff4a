// What clients make of refusals: rejected messages, their reasons, other statuses, other ways to a node.
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'

import { AlephHttpClient } from '@aleph-sdk/client'
import { DEFAULT_API_V2, getSocketPath } from '@aleph-sdk/core'
import {
  BadSignatureError, BaseMessageClient, BroadcastError, DomainConfigurationError, FileTooLarge, ForgottenMessageError,
  InsufficientFundsError, InvalidMessageError, ItemType, MessageNotFoundError, PostMessageClient, QueryError, broadcast,
  buildMessage, prepareAlephMessage,
} from '@aleph-sdk/message'

import { eventually, folder, fresh, here } from './network.js'
import { wallet, writer } from './people.js'
import { publicly, relay, within } from './relay.js'

const account = wallet(4)
const author = writer(account)
const PUBLIC = new URL(DEFAULT_API_V2).hostname

test('a rejected message is an error, and its reason can be asked for', async () => {
  const channel = fresh('ERRORS')
  const foreign = wallet(5).address
  const cases = [
    [() => author.createPost({ postType: 'note', content: 1, channel, address: foreign, sync: true }), 2],
    [() => author.createAggregate({ key: 'k', content: {}, channel, address: foreign, sync: true }), 2],
    [() => author.forget({ hashes: [], channel, sync: true }), 500],
  ]
  for (const [act, code] of cases) {
    const { message } = await refused(act)
    assert.equal(message.sender, account.address)
    const error = await publicly(() => author.getMessageError(message.item_hash))
    assert.equal(error.error_code, code)
    if (code === 2) {
      const told = `Sender ${account.address} is not authorized to post on behalf of address ${foreign}`
      assert.deepEqual(error.details, { errors: [told] })
    }
  }
})

/** Runs what must be rejected; answers the error and the message, which the error carries in its request. */
async function refused(act) {
  let failure
  await assert.rejects(act, (error) => {
    failure = error
    return error instanceof InvalidMessageError && error instanceof BroadcastError
  })
  const told = JSON.parse(failure.errors[1])
  assert.equal(told.status, 422)
  return { failure, message: JSON.parse(told.config.data).message }
}

test('a wrong signature is rejected with code 1', async () => {
  const liar = wallet(6)
  const honest = wallet(7)
  liar.sign = (message) => honest.sign(message)
  const { message } = await refused(() => writer(liar).createPost({ postType: 'lie', content: 1, channel: fresh('ERRORS'), sync: true }))
  const error = await publicly(() => author.getMessageError(message.item_hash))
  assert.equal(error.error_code, 1)
})

test('no error for what is in force or waits; other errors for what is forgotten or unknown', async () => {
  const channel = fresh('ERRORS')
  const post = await author.createPost({ postType: 'fine', content: 1, channel, sync: true })
  const waits = await author.createPost({ postType: 'amend', ref: 'ef'.repeat(32), content: 1, channel, sync: true })
  await publicly(async () => {
    assert.equal(await author.getMessageError(post.item_hash), null)
    assert.equal(await author.messageClient.getError(waits.item_hash), null)
  })
  await author.forget({ hashes: [post.item_hash], channel, sync: true })
  await publicly(() => assert.rejects(author.getMessageError(post.item_hash), ForgottenMessageError))
})

test('client bug: the reason of a rejection is asked of the public node alone, whatever node the client was given', async () => {
  const hash = '12'.repeat(32)
  await publicly(async (asked) => {
    await assert.rejects(new AlephHttpClient(here).getMessageError(hash), (error) => {
      assert.equal(new URL(error.config.url).hostname, PUBLIC)
      assert.ok(!(error instanceof MessageNotFoundError), 'it means to say "not found", but its HTTP library throws first')
      return error.response.status === 404
    })
    assert.deepEqual(asked, [`/api/v0/messages/${hash}`])
  })
})

test('a message of a broken form is refused before it is published', async () => {
  const built = buildMessage(
    { account, channel: fresh('ERRORS'), timestamp: Date.now() / 1000, storageEngine: ItemType.inline, content: { address: account.address, time: 1, type: 'amend' } },
    'POST',
  )
  const message = await prepareAlephMessage({ message: built, apiServer: here })
  await assert.rejects(broadcast({ message, account, apiServer: here, sync: true }), (error) => {
    assert.ok(error instanceof InvalidMessageError)
    return JSON.parse(error.errors[1]).status === 422
  })
  await assert.rejects(author.getMessage(message.item_hash), MessageNotFoundError)
})

test('a node without the route of messages is asked by the old one', async () => {
  const old = await relay({ refused: { '/api/v0/messages': 404 } })
  const client = new PostMessageClient(old.url)
  const post = await client.send({ account, postType: 'old', content: 'way', channel: fresh('ERRORS') })
  assert.deepEqual(old.asked, ['/api/v0/messages', '/api/v0/ipfs/pubsub/pub'])
  const seen = await eventually(() => author.getPost({ hashes: [post.item_hash] }))
  assert.equal(seen.content, 'way')
  await old.stop()
  await assert.rejects(client.send({ account, postType: 'gone', content: 1 }), (error) => /^ECONN(REFUSED|RESET)$/.test(error.code))
  const broken = await relay({ refused: { '/api/v0/messages': 405, '/api/v0/ipfs/pubsub/pub': 422 } })
  await assert.rejects(new PostMessageClient(broken.url).send({ account, postType: 'x', content: 1 }), BroadcastError)
  await broken.stop()
})

test('a node behind a Unix socket', async () => {
  const file = path.join(folder, 'api.sock')
  const behind = await relay({ at: { path: file } })
  await within({ ALEPH_API_UNIX_SOCKET: file }, async () => {
    assert.equal(getSocketPath(), file)
    const client = new AlephHttpClient('http://nowhere.invalid')
    const post = await author.createPost({ postType: 'socket', content: 'by socket', channel: fresh('ERRORS'), sync: true })
    assert.equal((await client.getMessage(post.item_hash)).content.content, 'by socket')
    assert.ok(behind.asked.includes(`/api/v0/messages/${post.item_hash}`))
  })
  assert.equal(getSocketPath(), undefined)
  await behind.stop()
})

test('the classes of errors that callers tell apart', () => {
  for (const [name, One, base] of [
    ['BadSignatureError', BadSignatureError, Error], ['DomainConfigurationError', DomainConfigurationError, Error],
    ['FileTooLarge', FileTooLarge, Error], ['QueryError', QueryError, Error],
    ['MessageNotFoundError', MessageNotFoundError, QueryError],
    ['ForgottenMessageError', ForgottenMessageError, QueryError],
  ]) {
    const error = new One('why')
    assert.ok(error instanceof base)
    assert.deepEqual([error.name, error.message], [name, 'why'])
  }
  const poor = new InsufficientFundsError(3, 2)
  assert.deepEqual([poor.required_funds, poor.available_funds], [3, 2])
  assert.deepEqual(new BroadcastError(['a', 'b']).errors, ['a', 'b'])
  assert.deepEqual(new InvalidMessageError().errors, ['Unknown error'])
  assert.equal(new BaseMessageClient('http://x/').apiServer, 'http://x')
})
