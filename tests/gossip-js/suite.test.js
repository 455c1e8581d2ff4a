// Gossip with an implementation of libp2p that shares no code with ours: npm
// `libp2p` with gossipsub. One file, so that one process runs one test at a time.
import './wire.test.js'
import './identities.test.js'
import './wrong.test.js'
import './alive.test.js'
import './between.test.js'
