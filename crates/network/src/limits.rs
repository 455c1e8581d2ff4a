//! Every bound of this crate, named.

use std::time::Duration;

/// The largest gossip frame, length prefix included (network.md §2.3).
pub const FRAME_BYTES: usize = 262_144;

/// The largest payload that fits a frame whatever the topic and the usual
/// signer; APIs refuse larger messages before accepting them (network.md §3.3).
pub const PAYLOAD_BYTES: usize = FRAME_BYTES - 1_024;

/// The reader measures its whole buffer, which may hold the beginning of the
/// following frame (one read of 8 KiB), against the frame limit.
pub(crate) const READ_AHEAD_BYTES: usize = 16_384;

/// Messages in one frame. Upstream ignores what exceeds 100; we can only
/// accept it or drop the stream, so we accept.
pub(crate) const MESSAGES_PER_FRAME: usize = 5_000;

/// Messages waiting for one slow peer before further ones are not sent to it.
pub(crate) const PEER_QUEUE_MESSAGES: usize = 5_000;

/// How long a message waits for a slow peer; it never gets there later than that.
pub(crate) const PEER_QUEUE: Duration = Duration::from_secs(30);

/// Received messages waiting for the node above; then reading stops.
pub(crate) const RECEIVED_MESSAGES: usize = 256;

/// Requests of handles waiting for the node task.
pub(crate) const COMMANDS: usize = 64;

/// Connections of one peer. Upstream nodes re-dial connected peers every
/// minute and leave two or three of them (network.md §2.1).
pub(crate) const CONNECTIONS_PER_PEER: u32 = 8;

/// Connections made to us, all peers together.
pub(crate) const INCOMING_CONNECTIONS: u32 = 1_024;

/// Connections made to us which have not yet proved an identity.
pub(crate) const PENDING_INCOMING_CONNECTIONS: u32 = 128;

/// An identity file; an RSA key of 4096 bits takes 2.4 KB.
pub(crate) const IDENTITY_FILE_BYTES: u64 = 16_384;

/// To connect, prove identities and agree on a multiplexer.
pub(crate) const DIAL: Duration = Duration::from_secs(10);

/// For the first listening address to appear.
pub(crate) const LISTEN: Duration = Duration::from_secs(10);

/// For the node task to take and answer a publication (network.md §3.3).
pub(crate) const PUBLISH: Duration = Duration::from_secs(10);

/// For the node task and its connections to end.
pub(crate) const STOP: Duration = Duration::from_secs(5);

/// A connection outside of every mesh is closed after this long without use.
pub(crate) const IDLE: Duration = Duration::from_secs(120);

/// The first pause before a bootstrap peer is called again; doubles.
pub(crate) const REDIAL_FIRST: Duration = Duration::from_secs(1);

/// The longest pause before a peer is called again.
pub(crate) const REDIAL_LONGEST: Duration = Duration::from_secs(60);

/// Failed calls in a row after which an unreachable bootstrap peer is reported;
/// peers that start together miss each other a few times.
pub(crate) const REDIAL_PATIENCE: u32 = 4;

/// Between two reconciliations with a neighbour that had nothing new.
pub(crate) const SYNC_PERIOD: Duration = Duration::from_secs(30);

/// The same with one that had, and the first pause after a failure.
pub(crate) const SYNC_AGAIN: Duration = Duration::from_secs(2);

/// For the next frame of a reconciliation, and for one to be written.
pub(crate) const SYNC_WAIT: Duration = Duration::from_secs(30);

/// The largest frame of a reconciliation.
pub(crate) const SYNC_FRAME_BYTES: usize = 8 << 20;

/// Bytes of messages that are sent together, unless one has more.
pub(crate) const SYNC_BATCH_BYTES: usize = 256 << 10;

/// Batches that were taken and are not judged yet.
pub(crate) const SYNC_BATCHES_JUDGED: usize = 4;

/// For which one of two neighbours lets the other visit first.
pub(crate) const SYNC_POLITENESS: Duration = Duration::from_secs(1);

/// Silence of a peer after which another is visited beside it.
pub(crate) const SYNC_STALL: Duration = Duration::from_secs(2);

/// Visits that are paid at once, because others stall.
pub(crate) const SYNC_VISITS: usize = 8;

/// Questions about sets in one visit.
pub(crate) const SYNC_QUESTIONS: usize = 64;

/// Visits that are received at once, and of one peer.
pub(crate) const SYNC_VISITORS: usize = 16;
pub(crate) const SYNC_VISITS_OF_PEER: usize = 2;

/// Half of the points for faults are forgotten in this time.
pub(crate) const FAULT_HALF_LIFE: Duration = Duration::from_secs(600);

/// How long a peer that misbehaved is refused, the first time; doubles.
pub(crate) const BLOCK_FIRST: Duration = Duration::from_secs(600);

/// The longest time for which a peer is refused.
pub(crate) const BLOCK_LONGEST: Duration = Duration::from_secs(86_400);

/// How long it is remembered that a peer was blocked.
pub(crate) const BLOCK_MEMORY: Duration = Duration::from_secs(2 * 86_400);

/// Peers whose faults are remembered.
pub(crate) const STANDING_PEERS: usize = 4_096;

/// What is kept of the name of a peer's software, and of one of its protocols.
pub(crate) const AGENT_CHARS: usize = 128;

/// Protocols of one peer that are kept.
pub(crate) const PROTOCOLS_OF_PEER: usize = 64;

/// Between two pings over one connection.
pub(crate) const PING_PERIOD: Duration = Duration::from_secs(60);

/// Streams of one connection on which pings are answered at once.
pub(crate) const PINGS_OF_CONNECTION: usize = 8;

/// For a ping to come back.
pub(crate) const PING: Duration = Duration::from_secs(20);

/// Between two questions who a peer is, over one connection.
pub(crate) const IDENTIFY_PERIOD: Duration = Duration::from_secs(3_600);

/// Between two reviews of the conduct of the connected peers.
pub(crate) const REVIEW_PERIOD: Duration = Duration::from_secs(1);

/// Messages that wait for a verdict before they are passed on.
pub(crate) const UNJUDGED: usize = 8_192;

/// Verdicts on their way.
pub(crate) const RULINGS: usize = 8_192;

/// How long a message waits for a verdict: less than gossip remembers it.
pub(crate) const VERDICT: Duration = Duration::from_secs(3);

/// Wrong messages that a peer may bring at once which does not check them, and
/// how fast that fills up again: 20 signatures are a fifth of a percent of a core.
pub(crate) const WRONG_MESSAGES: f64 = 200.0;
pub(crate) const WRONG_MESSAGES_PER_SECOND: f64 = 20.0;

/// A QUIC connection without any packet ends after this time; idle ones say so
/// often enough.
pub(crate) const QUIC_IDLE: Duration = Duration::from_secs(40);
pub(crate) const QUIC_KEEP_ALIVE: Duration = Duration::from_secs(12);

/// Wrong messages of one visit that a peer is blamed for: enough to cut it off.
pub(crate) const WRONG_BLAMED: u64 = 10;

/// Streams in one connection of Mplex.
pub(crate) const STREAMS_PER_CONNECTION: usize = 256;

/// Streams in one connection of Yamux, chosen for what it leaves to windows.
///
/// The library gives a connection 1 GiB of them: 256 KiB for each possible
/// stream, and what remains to streams that prove fast. It refuses frames of
/// more than 1 MiB, and other implementations send frames as large as the window
/// lets them. So 768 KiB remain: no window, hence no frame, exceeds 1 MiB. How
/// many streams a peer really has open is bounded by each protocol.
pub(crate) const YAMUX_STREAMS: usize = (1 << 30) / (256 << 10) - 3;

/// Frames of Mplex that wait in one stream.
pub(crate) const MPLEX_FRAMES: usize = 32;

/// A walk through the table of IPFS: how long, and until whoever asked gives up.
pub(crate) const WALK: Duration = Duration::from_secs(60);
pub(crate) const WALK_PATIENCE: Duration = Duration::from_secs(70);

/// Walks at once, and providers that are called for one content.
pub(crate) const WALKS: usize = 32;
pub(crate) const PROVIDERS_CALLED: usize = 8;

/// Between two searches for peers near us, and for one to end.
pub(crate) const DISCOVERY_PERIOD: Duration = Duration::from_secs(600);
pub(crate) const DISCOVERY_QUERY: Duration = Duration::from_secs(20);

/// Addresses of one peer that are remembered.
pub(crate) const ADDRESSES_OF_PEER: usize = 8;

/// Peers that are called again beside the configured ones.
pub(crate) const REDIAL_PEERS: usize = 512;

/// With so many peers connected, none is called that was not configured.
pub(crate) const PEERS_CALLED: usize = 128;

/// How long a peer that nobody speaks of any more is called again.
pub(crate) const REDIAL_MEMORY: Duration = Duration::from_secs(3_600);

/// Peers to which we relay, and connections between them.
pub(crate) const RESERVATIONS: usize = 32;
pub(crate) const CIRCUITS: usize = 16;

/// How long a relayed connection lasts, and how much goes over it.
pub(crate) const CIRCUIT: Duration = Duration::from_secs(600);
pub(crate) const CIRCUIT_BYTES: u64 = 8 << 20;

/// When nobody has reached us in this time after the start, a neighbour is
/// asked to relay.
pub(crate) const REACH: Duration = Duration::from_secs(60);

/// Peers to be connected with, by default.
pub const PEERS_WANTED: usize = 8;

/// For a byte of a content to come or go while one is owed.
pub(crate) const CONTENT_SILENCE: Duration = Duration::from_secs(15);

/// For a neighbour to say whether it has a content.
pub(crate) const CONTENT_HAVE: Duration = Duration::from_secs(3);

/// Neighbours that are asked so at once, and how often one is asked in a
/// download: who was gone or busy may be back.
pub(crate) const CONTENT_ASKED_AT_ONCE: usize = 16;
pub(crate) const CONTENT_ATTEMPTS: u32 = 3;

/// For the next question of a neighbour that fetches.
pub(crate) const CONTENT_GUEST_PATIENCE: Duration = Duration::from_secs(60);

/// Contents that are given away at once, and to one peer.
pub(crate) const CONTENT_GUESTS: usize = 64;
pub(crate) const CONTENT_GUESTS_OF_PEER: usize = 24;

/// Chunks of each that are read ahead.
pub(crate) const CONTENT_CHUNKS_READ: usize = 2;

/// Chunks of a download that are on the way, or wait until they can be checked:
/// 16 MiB.
pub(crate) const CONTENT_WINDOW: u64 = 64;

/// The same of all downloads together, beside one of each: 64 MiB.
pub(crate) const CONTENT_WINDOW_ALL: usize = 256;

/// Sources of a download.
pub(crate) const CONTENT_SOURCES: usize = 8;

/// Chunks of a source that are on the way or unchecked; of a new one it is one,
/// and with each that is right one more.
pub(crate) const CONTENT_TRUST: usize = 32;

/// When its chunks take longer, it is asked for fewer at once.
pub(crate) const CONTENT_QUEUE: Duration = Duration::from_millis(500);

/// A source that has nothing to do fetches what another one is late with: four
/// times what its own chunks take, within these.
pub(crate) const CONTENT_OVERTAKE: (Duration, Duration) =
    (Duration::from_millis(50), Duration::from_secs(1));

/// Between two looks at that.
pub(crate) const CONTENT_TICK: Duration = Duration::from_millis(25);

/// A download in which no chunk is right for so long ends.
pub(crate) const CONTENT_STALL: Duration = Duration::from_secs(60);

/// How long a neighbour that lied is not asked for contents.
pub(crate) const CONTENT_BAN: Duration = Duration::from_secs(3_600);

/// The same for one that does not speak the protocol.
pub(crate) const CONTENT_MUTE: Duration = Duration::from_secs(60);

/// A block of an exchange, as all peers of IPFS agree.
pub(crate) const EXCHANGE_BLOCK_BYTES: usize = 2 << 20;

/// The largest message of an exchange that is read.
pub(crate) const EXCHANGE_FRAME_BYTES: usize = (4 << 20) + (64 << 10);

/// Blocks are put into one message up to here, unless one has more.
pub(crate) const EXCHANGE_BATCH_BYTES: usize = 1 << 20;

/// The bytes of a CID; those in use have 34 and 36.
pub(crate) const EXCHANGE_CID_BYTES: usize = 128;

/// Entries, blocks or presences in one message; further ones are not read.
pub(crate) const EXCHANGE_ITEMS: usize = 4_096;

/// Wants that are remembered of a peer.
pub(crate) const EXCHANGE_WANTS_OF_PEER: usize = 1_024;

/// Wants of a peer that are looked up for one message.
pub(crate) const EXCHANGE_LOOKUPS: usize = 128;

/// Messages being made or written at once, all peers together. With the bytes
/// of a batch this bounds what serving takes.
pub(crate) const EXCHANGE_TURNS: usize = 32;

/// Messages being read at once which are longer than a wantlist is.
pub(crate) const EXCHANGE_LARGE_READS: usize = 32;

/// From here a message is large.
pub(crate) const EXCHANGE_LARGE_BYTES: usize = 64 << 10;

/// Streams that are read, of one peer and together. Some peers open one for
/// every message.
pub(crate) const EXCHANGE_STREAMS_OF_PEER: usize = 32;
pub(crate) const EXCHANGE_STREAMS: usize = 1_024;

/// Between two messages on a stream that a peer opened.
pub(crate) const EXCHANGE_SILENCE: Duration = Duration::from_secs(120);

/// For a message to be read or written.
pub(crate) const EXCHANGE_WAIT: Duration = Duration::from_secs(30);

/// Our own stream is closed after this long without a message; some peers
/// drop one after ten seconds, and what crosses with that is lost.
pub(crate) const EXCHANGE_REUSE: Duration = Duration::from_secs(2);

/// Wants of a fetch that are outside at once.
pub(crate) const FETCH_WINDOW: usize = 64;

/// Bytes of blocks that a fetch awaits or has ready for its reader.
pub(crate) const FETCH_BYTES: usize = 16 << 20;

/// Fetches at once.
pub(crate) const FETCHES: usize = 256;

/// Peers that one fetch asks who has a block.
pub(crate) const FETCH_PEERS: usize = 64;

/// For a peer to answer a want, or to say something else of the same fetch.
/// Some peers do not send the same block twice within five seconds.
pub(crate) const FETCH_ANSWER: Duration = Duration::from_secs(6);

/// Times that a silent peer is asked for the same block.
pub(crate) const FETCH_TRIES: u32 = 3;

/// Blocks that were asked for lately: whoever sends one is no liar.
pub(crate) const FETCH_REMEMBERED: usize = 16_384;

/// A peer that lied is not asked for this long.
pub(crate) const FETCH_DISTRUST: Duration = Duration::from_secs(600);
