//! Named limits of the core node.

use std::time::Duration;

/// Messages that may wait for a verifier before sources are slowed down.
pub const INTAKE_QUEUE: usize = 2_048;
/// Verified messages that may wait for the writer.
pub const WRITER_QUEUE: usize = 4_096;
/// Room for messages between the entrance and the commit, in KiB: bounds the
/// memory of a backlog whatever the messages are.
pub const IN_FLIGHT_KIB: usize = 96 * 1024;
/// Room for contents that are files, between reading and commit, in KiB of
/// parsed JSON.
pub const BODIES_KIB: usize = 96 * 1024;
/// Longest pause between two looks at whose turn it is.
pub const ROOM_LOOK: Duration = Duration::from_millis(20);
/// Announced peers of IPFS that are called for one content.
pub const PROVIDERS_ASKED_MAX: usize = 8;
/// From the start to the first round over the pinned contents of IPFS.
pub const PROVIDE_FIRST: Duration = Duration::from_secs(30);
/// Between two rounds: peers forget after a day.
pub const PROVIDE_PERIOD: Duration = Duration::from_secs(22 * 3_600);
/// After a round of which nobody noted anything.
pub const PROVIDE_AGAIN: Duration = Duration::from_secs(300);
/// Contents that are read and told of together.
pub const PROVIDE_PAGE: usize = 500;
/// Contents of which IPFS is told at once.
pub const PROVIDE_AT_ONCE: usize = 4;
/// In a stream of gossip, messages that come within this time go on together.
pub const GATHER: Duration = Duration::from_millis(10);
/// So many go on without waiting for more.
pub const GATHERED: usize = 64;
/// Messages that a verifier takes at once.
pub const VERIFY_CHUNK: usize = 16;
/// Longest body of a message whose content is a file, in bytes. Upstream reads
/// up to 100 MiB; nothing that people say comes near, and a parsed body takes
/// many times its length in memory.
pub const CONTENT_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Longest item hash under which a malformed message is remembered, in bytes.
pub const ITEM_HASH_BYTES_MAX: usize = 128;
/// Documents rewritten at once (`add_json`): each may take much memory.
pub const REWRITES_MAX: usize = 1;
/// Pause after a round of retries in which nothing could be written.
pub const FAILED_ROUND_PAUSE: Duration = Duration::from_secs(1);
/// Longest time one fetch from other nodes may take.
pub const FETCH_DEADLINE: Duration = Duration::from_secs(300);
/// Messages committed in one transaction.
pub const BATCH_MAX: usize = 4_000;
/// Events that whoever waits for an outcome may lag behind.
pub const EVENTS_QUEUE: usize = 4_096;
/// Waiting messages tried at once.
pub const TRIES_MAX: usize = 256;
/// Longest time between two looks at what is due while messages are tried.
pub const RETRY_LOOK: Duration = Duration::from_secs(1);
/// Files and contents fetched from other nodes at once.
pub const FETCHES_MAX: usize = 16;
/// Longest silence of another node while a file is fetched.
pub const FETCH_READ_TIMEOUT: Duration = Duration::from_secs(15);
/// Blocks of one content that are asked of peers at once.
pub const BLOCKS_ASKED_MAX: usize = 64;
/// Blocks that came, written at once.
pub const BLOCKS_ARRIVED_MAX: usize = 16;
/// How long peers may take to send a block.
pub const BLOCK_PATIENCE: Duration = Duration::from_secs(15);
/// Core nodes that are asked for an archive of one content.
pub const CAR_SOURCES_MAX: usize = 8;
/// Contents that the gateway fetches at once.
pub const GATEWAY_FETCHES_MAX: usize = 4;
/// Longest time a client of the gateway waits for a content that is fetched.
pub const GATEWAY_FETCH_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest time the IPFS daemon may take to answer.
pub const KUBO_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time it may take to fetch what it pins.
pub const KUBO_PIN_TIMEOUT: Duration = Duration::from_secs(120);
/// Pause between two rounds of connecting it to peers.
pub const KUBO_CONNECT_PERIOD: Duration = Duration::from_secs(60);
/// Longest connection attempt to another node.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest time a `sync` submission waits for its outcome.
pub const SYNC_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time a publication on gossip may take.
pub const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between two looks at what other nodes have.
pub const CATCH_UP_PERIOD: Duration = Duration::from_secs(60);
/// Longest time between the start of a node and its first such look.
pub const CATCH_UP_FIRST: Duration = Duration::from_secs(3);
/// Time in which a connected node of this program is expected to be visited;
/// its pages are read after that.
pub const CATCH_UP_PATIENCE: Duration = Duration::from_secs(600);
/// Pages without news after which no further one is read of a node that is met
/// for the first time, once all pages of another were seen.
pub const CATCH_UP_QUIET_PAGES: usize = 10;
/// Nodes of which it is remembered whether all of their pages were seen.
pub const CATCH_UP_KNOWN_MAX: usize = 1_024;
/// Nodes that were learnt of and are asked in one round.
pub const CATCH_UP_PEERS: usize = 3;
/// Longest page, in bytes.
pub const CATCH_UP_PAGE_BYTES_MAX: usize = 48 << 20;
/// Longest time that a page may take.
pub const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest time that all pages of a node may take; what is missing is looked
/// for again later.
pub const CATCH_UP_LOOK: Duration = Duration::from_secs(900);
/// Messages per page of that look.
pub const CATCH_UP_PAGE: usize = 200;
/// Pages per look.
pub const CATCH_UP_PAGES_MAX: usize = 500;
/// Longest time a graceful end may take before connections are cut.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);
/// Addresses looked at in one transaction of background work.
pub const JOB_ADDRESSES: usize = 64;
/// Files or messages looked at in one transaction of background work.
pub const JOB_ROWS: usize = 1_000;
/// Files touched more recently than this are not deleted: a message that names
/// them may be on its way.
pub const FILE_IDLE_MIN: Duration = Duration::from_secs(3_600);
/// Longest explanation in a header of an answer.
pub const HEADER_TEXT_CHARS_MAX: usize = 1_000;
/// Messages looked at in one transaction of a recalculation of costs.
pub const RECALCULATED_AT_ONCE: usize = 2_000;
/// Messages without a bill that a recalculation names.
pub const RECALCULATION_ERRORS_MAX: usize = 100;
/// Seconds by which the clock of an operator may be ahead.
pub const TOKEN_AHEAD_SECONDS_MAX: i64 = 30;
/// Measurements of a node in one answer, the first in the order asked for: more
/// than a year of them, one every ten minutes.
pub const MEASUREMENTS_MAX: usize = 65_536;
/// Largest JSON body of a request, in bytes (core-api.md §1.9).
pub const JSON_BODY_BYTES_MAX: u64 = 1_048_576;
/// Parts of a file that one request may ask for.
pub const RANGES_MAX: usize = 32;
/// Archives checked at once: each takes up to 100 MB of memory.
pub const ARCHIVE_CHECKS_MAX: usize = 2;
/// Bytes of an upload gathered before they are written.
pub const UPLOAD_PIECE_BYTES: usize = 256 * 1024;
/// Bytes of a refused body that are read and thrown away before the answer.
pub const LINGER_BYTES_MAX: usize = 128 << 20;
/// The same for whoever asks too often, and for a body that nobody began to
/// read: what a client has sent before it looks for an answer.
pub const LINGER_UNREAD_BYTES_MAX: usize = 2 << 20;
/// Longest time that takes.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(10);
/// Files that arrive at once.
pub const UPLOADS_MAX: usize = 256;
/// Bytes that they may take together before it is known whose they are.
pub const INCOMING_BYTES_MAX: u64 = 16 << 30;
/// Bytes of one of them between two looks at the room on the disk.
pub const DISK_LOOK_BYTES: u64 = 64 << 20;
/// Longest silence in the middle of a request body.
pub const BODY_SILENCE_MAX: Duration = Duration::from_secs(30);
/// New messages that may wait to be handed to streams.
pub const STREAM_EVENTS_QUEUE: usize = 16_384;
/// Their memory, estimated.
pub const STREAM_EVENTS_BYTES: usize = 96 << 20;
/// Frames that one client of a stream may be behind.
pub const STREAM_QUEUE: usize = 4_096;
/// Bytes of frames that one client may be behind, but for the last frame.
pub const STREAM_QUEUE_BYTES: usize = 16 << 20;
/// Bytes of all frames that somebody has yet to read; above it, whoever is more
/// than [`STREAM_QUEUE_CROWDED`] frames behind is cut off.
pub const STREAM_FRAMES_BYTES: usize = 256 << 20;
/// See [`STREAM_FRAMES_BYTES`].
pub const STREAM_QUEUE_CROWDED: usize = 64;
/// Frames written to a socket at once.
pub const STREAM_BATCH: usize = 64;
/// Bytes after which such a batch takes no further frame.
pub const STREAM_BATCH_BYTES: usize = 64 << 10;
/// Buffer of a WebSocket in each direction, in bytes; a longer frame makes it
/// grow for as long as it takes to write it.
pub const STREAM_BUFFER_BYTES: usize = 4 << 10;
/// Longest time a batch of frames may take to be written to a client.
pub const STREAM_SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for the other side to close a WebSocket too.
pub const STREAM_FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);
/// Largest frame read from a client of a stream, in bytes.
pub const STREAM_FRAME_BYTES_MAX: usize = 65_536;
/// Pause between two looks whether the node's figures have changed.
pub const STATUS_PERIOD: Duration = Duration::from_secs(10);
/// Age at which figures shown to streams are counted again.
pub const STATUS_AGE_MAX: Duration = Duration::from_secs(1);
/// Pause before a message that busy peers did not take is published again.
pub const PUBLISH_PAUSE: Duration = Duration::from_millis(50);
/// Messages remembered because no other node took them.
pub const UNPUBLISHED_MAX: usize = 4_096;
/// Their bytes.
pub const UNPUBLISHED_BYTES: usize = 32 << 20;
/// Lines of a batch of an import.
pub const IMPORT_BATCH_LINES: usize = 500;
/// Bytes of the lines of such a batch, but for the last line.
pub const IMPORT_BATCH_BYTES: usize = 2 << 20;
/// Batches that are read ahead.
pub const IMPORT_BATCHES_READ: usize = 4;
/// Batches whose messages are in the pipeline at once.
pub const IMPORT_BATCHES_SUBMITTED: usize = 6;
/// Longest line of a dump, in bytes.
pub const IMPORT_LINE_BYTES_MAX: usize = 4 << 20;
/// Lines that are no messages and are shown.
pub const IMPORT_EXAMPLES_MAX: usize = 10;
/// Waiting messages whose end an import reports.
pub const IMPORT_LATE_MAX: usize = 200_000;
/// Pause between two checkpoints of an import.
pub const IMPORT_CHECKPOINT_PERIOD: Duration = Duration::from_millis(250);
/// Messages asked from another node at once; nodes give no more to a cursor.
pub const IMPORT_PAGE: usize = 200;
/// Longest answer of another node, in bytes.
pub const IMPORT_PAGE_BYTES_MAX: usize = 128 << 20;
/// Longest time such an answer may take.
pub const IMPORT_PAGE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a page is asked for.
pub const IMPORT_ATTEMPTS_MAX: u32 = 8;
/// First pause before it is asked for again; doubled each time.
pub const IMPORT_PAUSE: Duration = Duration::from_millis(250);
/// Longest such pause.
pub const IMPORT_PAUSE_MAX: Duration = Duration::from_secs(30);
/// Pause between two looks at what still waits at the end of an import.
pub const IMPORT_SETTLE_PERIOD: Duration = Duration::from_millis(200);
/// How often the first page is asked for.
pub const IMPORT_FIRST_ATTEMPTS_MAX: u32 = 3;
/// Messages that an export reads at once.
pub const EXPORT_PAGE: u64 = 1_000;
/// Rows of a list that are read at once.
pub const PIECE_ROWS_MAX: u64 = 1_000;
/// Bytes of a list after which it is sent; one row may exceed them.
pub const PIECE_BYTES_MAX: usize = 256 * 1024;
/// Oldest sample of gauges that is shown.
pub const SAMPLE_AGE_MAX: Duration = Duration::from_secs(1);
/// Pause between two looks at how much the reference node has.
pub const REFERENCE_PERIOD: Duration = Duration::from_secs(120);
/// Longest time the reference node may take to answer.
pub const REFERENCE_TIMEOUT: Duration = Duration::from_secs(10);
/// Clients remembered for limits of rates, twice: those of now and of before.
pub const RATE_CLIENTS_MAX: usize = 32_768;
/// Requests that take longer are logged, unless configured otherwise.
pub const SLOW_REQUEST: Duration = Duration::from_secs(2);
/// Room on the disk below which a node is not ready, unless configured
/// otherwise.
pub const DISK_FREE_BYTES_MIN: u64 = 512 << 20;
/// Longest id of a request that is taken from a client.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// Shortest answer that is compressed.
pub const COMPRESSED_BYTES_MIN: u64 = 1_024;
/// Frames of some KiB that are compressed before others have their turn.
pub const COMPRESSED_FRAMES_TURN: usize = 8;
/// Longest time a part of the node may take to say that it is well.
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(5);
/// Oldest answer of such a check that is shown again.
pub const CHECK_AGE_MAX: Duration = Duration::from_secs(1);
/// Longest sender whose messages are counted by his name.
pub const ADDRESS_BYTES_MAX: usize = 128;

/// Messages that are read at once for a neighbour.
pub const LIBRARY_PAGE: usize = 256;

/// Connections to the database for what neighbours ask.
pub const LIBRARY_READERS: usize = 2;
/// Peers of which it is remembered when they reconciled with this node.
pub const RECONCILED_MAX: usize = 1_024;
/// Time after which that says nothing any more: some periods of visits.
pub const RECONCILED_RECENTLY: Duration = Duration::from_secs(150);

/// Names that the list of a directory shows.
pub const LISTED_MAX: usize = 5_000;

/// Blocks that are read for neighbours at once.
pub const BLOCK_READS_MAX: usize = 8;
/// Redirections that a request to another node follows.
pub const REDIRECTIONS_MAX: usize = 5;
/// Time between the start of a node and its first alive messages.
pub const ALIVE_FIRST: Duration = Duration::from_secs(2);
/// Pause between two alive messages.
pub const ALIVE_PERIOD: Duration = Duration::from_secs(120);
/// Pause between two looks whether there is somebody to hear them.
pub const ALIVE_LOOK: Duration = Duration::from_secs(2);
/// Alive messages that may wait to be read; more are dropped.
pub const ALIVE_QUEUE: usize = 256;
/// Alive messages of nodes that are not registered, kept until the registry is
/// read again.
pub const ALIVE_WAITING_MAX: usize = 256;
/// Those of one node: one of each kind.
pub const ALIVE_WAITING_OF_ONE_MAX: usize = 3;
/// Seconds of quiet that an alive message of a node costs it.
pub const ALIVE_WORD_SECONDS: f64 = 10.0;
/// Seconds of quiet that it can save up.
pub const ALIVE_WORDS_BURST: u64 = 90;
/// Time in which a node that repeats itself is not written down again.
pub const ALIVE_KEPT_AGE: Duration = Duration::from_secs(60);
/// Age at which a registry that was not there is looked for again.
pub const REGISTRY_ABSENT_AGE_MAX: Duration = Duration::from_secs(10);
/// Age at which the public address is asked for again.
pub const PUBLIC_ADDRESS_AGE_MAX: Duration = Duration::from_secs(1_800);
/// Longest time that takes.
pub const PUBLIC_ADDRESS_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of such an answer that are read.
pub const PUBLIC_ADDRESS_BYTES_MAX: usize = 64;
/// Nodes probed over HTTP at once.
pub const PROBES_MAX: usize = 32;
/// IPFS nodes that are likely to have contents of the network.
pub const IPFS_PEERS_MAX: usize = 32;
/// Longest time that a probe takes.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest answer to a probe, in bytes.
pub const PROBE_BYTES_MAX: usize = 65_536;
/// Time in which news about nodes is gathered before they are called.
pub const MEETING_PAUSE: Duration = Duration::from_millis(250);

/// Core nodes that are asked over HTTP for one content at once.
pub const HTTP_SOURCES_AT_ONCE: usize = 3;

/// When fewer bytes than those came in this time, one more node is asked.
pub const HTTP_SLOW: Duration = Duration::from_secs(2);
/// See [`HTTP_SLOW`].
pub const HTTP_SLOW_BYTES: u64 = 64 * 1024;

/// How long a node that gave wrong bytes is not asked over HTTP.
pub const HTTP_LIAR_BAN: Duration = Duration::from_secs(3_600);

/// What may stand before the content in an answer of the older route.
pub const ENCODED_HEAD_BYTES_MAX: usize = 4_096;

/// What came of a content is deleted when nobody has gone on for so long.
pub const PARTIAL_IDLE: Duration = Duration::from_secs(7 * 86_400);
/// Contents whose names a repair reads at once.
pub const REPAIR_PAGE: usize = 256;
/// Messages in force that a repair looks at in one read.
pub const REPAIR_MESSAGES: usize = 20_000;
/// Contents that a repair fetches at once.
pub const REPAIR_FETCHES_MAX: usize = 4;
/// Faults that a repair tells one by one.
pub const REPAIR_FAULTS_SHOWN: usize = 1_000;
/// Bytes that a repair reads in a second.
pub const REPAIR_BYTES_PER_SECOND: u64 = 400_000_000;
/// Longest time that a repair reads the state at once.
pub const REPAIR_READ_MAX: Duration = Duration::from_secs(3_600);
/// Pause between two looks whether a repair that waits for the disk is cancelled.
pub const REPAIR_PAUSE_MAX: Duration = Duration::from_millis(100);
/// Pause between two signs of life of a repair.
pub const REPAIR_PROGRESS_PERIOD: Duration = Duration::from_millis(250);
/// Contents between two notes where the slow reading of all of them is.
pub const SCRUB_PAGE: usize = 32;
/// Bytes that it reads in a second, at least and at most.
pub const SCRUB_BYTES_PER_SECOND_MIN: u64 = 64 * 1024;
/// See [`SCRUB_BYTES_PER_SECOND_MIN`].
pub const SCRUB_BYTES_PER_SECOND_MAX: u64 = 32 << 20;
/// Pause before it looks whether there is something to do again.
pub const SCRUB_PAUSE: Duration = Duration::from_secs(60);
/// Peers whose last visit is remembered.
pub const VISITS_MAX: usize = 1_024;
/// Longest path of a Unix socket, in bytes.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Longest line that a node says over its control socket, in bytes.
pub const CONTROL_LINE_BYTES_MAX: usize = 4 << 20;
/// Longest time that it may say nothing there.
pub const CONTROL_SILENCE: Duration = Duration::from_secs(60);
