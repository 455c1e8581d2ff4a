// The suite: one process and one network for all of it, so that the calls of all tests are counted together.
import './surface.js'

import { after } from 'node:test'

import { stop } from './network.js'

after(stop)

await import('./posts.test.js')
await import('./aggregates.test.js')
await import('./messages.test.js')
await import('./watch.test.js')
await import('./delegation.test.js')
await import('./errors.test.js')
await import('./files.test.js')
await import('./programs.test.js')
await import('./accounts.test.js')
await import('./wallets.test.js')
await import('./values.test.js')
await import('./surface.test.js')
