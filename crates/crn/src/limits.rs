//! Every bound of the compute node, by name.

use std::time::Duration;

/// Largest request body of the node's own routes (compute.md §3.2).
pub const REQUEST_BODY_BYTES_MAX: usize = 1 << 20;

/// Longest time a client may take to send such a body, or the next piece of one
/// for a program.
pub const REQUEST_BODY_DEADLINE: Duration = Duration::from_secs(30);

/// Least that a client sends of a body to a program, on average, beyond a grace
/// of [`REQUEST_BODY_DEADLINE`]. The program's own slowness does not count.
pub const REQUEST_BYTES_PER_SECOND_MIN: u64 = 1024;

/// Largest body that travels with the head of its call or answer.
pub const BODY_WHOLE_BYTES_MAX: u64 = 64 << 10;

/// Longest request of a program to its node's own API, with its frame.
pub const GUEST_QUESTION_BYTES_MAX: usize = (1 << 20) + (128 << 10);

/// Connections of one machine to this API.
pub const GUEST_CONNECTIONS_MAX: usize = 16;

/// How long one of them lasts.
pub const GUEST_CONNECTION_DEADLINE: Duration = Duration::from_secs(60);

/// Values that a program keeps in the node's cache.
pub const CACHE_KEYS_MAX: usize = 4096;

/// Bytes of all these values.
pub const CACHE_BYTES_MAX: u64 = 64 << 20;

/// Bytes of a key of the cache, and of a pattern for keys.
pub const CACHE_KEY_BYTES_MAX: usize = 200;

/// How long such a value is kept.
pub const CACHE_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// Longest message of a WebSocket, either way.
pub const MESSAGE_BYTES_MAX: usize = beth_guest::frame::MAX_MESSAGE_BYTES;

/// Subprotocols of a WebSocket that a program is told of.
pub const SUBPROTOCOLS_MAX: usize = 32;

/// How often the client of a WebSocket is pinged.
pub const SOCKET_PING_PERIOD: Duration = Duration::from_secs(30);

/// Longest silence of such a client, pongs included.
pub const SOCKET_SILENCE_DEADLINE: Duration = Duration::from_secs(90);

/// Longest wait for one end of a WebSocket after the other has closed.
pub const SOCKET_CLOSE_DEADLINE: Duration = Duration::from_secs(5);

/// How long a client may take nothing of what waits for it until its connection
/// is ended.
pub const STALLED_DEADLINE: Duration = Duration::from_secs(120);

/// Longest silence in the middle of a program's answer.
pub const ANSWER_IDLE_DEADLINE: Duration = Duration::from_secs(300);

/// How often the two sides of a component's answer are looked at.
pub const ANSWER_WATCH_PERIOD: Duration = Duration::from_millis(250);

/// Least that a reader takes of a component's answer, on average, beyond a grace
/// of `wasm.reader_seconds_max`. The component's own slowness does not count.
pub const ANSWER_BYTES_PER_SECOND_MIN: u64 = 1024;

/// Bytes that a component may write at once to a body, of which two pieces wait.
pub const WASM_PIECE_BYTES_MAX: usize = 64 << 10;

/// Bytes that a component may hand to the host in one call of it.
pub const WASM_HOST_CALL_BYTES_MAX: usize = 4 << 20;

/// Largest answer of a program that comes in one piece.
pub const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Headers of such an answer.
pub const ANSWER_HEADERS_MAX: usize = 1000;

/// Bytes of all names and values of such headers.
pub const ANSWER_HEADER_BYTES_MAX: usize = 256 << 10;

/// Longest call of a microVM, whatever its message asks for.
pub const CALL_DEADLINE_MAX: Duration = Duration::from_secs(300);

/// How long a component may go on after its answer.
pub const AFTER_ANSWER_DEADLINE: Duration = Duration::from_secs(1);

/// Bytes kept of one sentence that a program wrote.
pub const ERROR_BYTES_MAX: usize = 500;

/// Bytes kept of the sentence that says why a program failed.
pub const FAULT_BYTES_MAX: usize = 2048;

/// Bytes kept of a program's traceback.
pub const TRACEBACK_BYTES_MAX: usize = 64 << 10;

/// Calls under way on the whole node, waiting ones included.
pub const CALLS_MAX: usize = 1024;

/// Calls under way of one program, waiting ones included.
pub const PROGRAM_CALLS_MAX: usize = CALLS_MAX / 4;

/// Machines that run at the same time.
pub const MACHINES_MAX: usize = 256;

/// Programs remembered; beyond it the ones at rest are forgotten, longest unused first.
pub const PROGRAMS_MAX: usize = 4096;

/// Programs prepared at the same time for one allocation.
pub const PREPARATIONS_MAX: usize = 4;

/// Longest preparation: fetching, compiling, making images.
pub const PREPARE_DEADLINE: Duration = Duration::from_secs(300);

/// How much longer than an executor's own limit a start may take.
pub const START_MARGIN: Duration = Duration::from_secs(15);

/// Longest wait for calls and operations under way when a machine or the node
/// ends.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// Longest wait for connections when the node ends and calls have ended.
pub const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

/// How often idle machines are looked for.
pub const IDLE_CHECK_PERIOD: Duration = Duration::from_millis(500);

/// Longest wait for a connection to the core node.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Longest silence of the core node.
pub const READ_DEADLINE: Duration = Duration::from_secs(30);

/// Longest wait for a small answer of the core node.
pub const QUERY_DEADLINE: Duration = Duration::from_secs(15);

/// Largest small answer of the core node (a message, a file reference).
pub const QUERY_BYTES_MAX: usize = 4 << 20;

/// Longest download of one file.
pub const DOWNLOAD_DEADLINE: Duration = Duration::from_secs(240);

/// Largest component: a Python interpreter with its libraries has 30 MB.
pub const COMPONENT_BYTES_MAX: u64 = 64 << 20;

/// Components remembered because they were compiled, or nearly, in vain.
pub const HOPELESS_COMPONENTS_MAX: usize = 1024;

/// Largest code or data archive.
pub const CODE_BYTES_MAX: u64 = 256 << 20;

/// Largest root filesystem or volume image.
pub const IMAGE_BYTES_MAX: u64 = 8 << 30;

/// Largest content of a message that is not inline.
pub const CONTENT_BYTES_MAX: u64 = 4 << 20;

/// Longest compilation of a component.
pub const COMPILE_DEADLINE: Duration = Duration::from_secs(120);

/// Components that are mapped and linked at the same time.
pub const WASM_RESIDENT_MAX: usize = 2048;

/// Machines that take no memory while idle and run at the same time.
pub const LIGHT_MACHINES_MAX: usize = 2048;

/// Bytes of a memory or table that stay in place between two calls.
pub const WASM_MEMORY_KEPT_BYTES: usize = 128 << 10;

/// Percent of the memory that is free at the start which Wasm calls may take.
pub const WASM_MEMORY_PERCENT: u64 = 50;

/// Table elements of one call of a component.
pub const TABLE_ELEMENTS_MAX: usize = 200_000;

/// Host objects (headers, bodies, streams) that one call may hold.
pub const WASM_RESOURCES_MAX: usize = 1024;

/// Queries to the core node that components wait for at the same time.
pub const WASM_QUERIES_MAX: usize = 16;

/// Such queries of one call, all in all.
pub const WASM_CALL_QUERIES_MAX: u32 = 256;

/// Keys in one answer of `wasi:keyvalue`.
pub const WASM_KEYS_MAX: usize = 1000;

/// Largest file that a component may read.
pub const WASM_BLOB_BYTES_MAX: u64 = 64 << 20;

/// Most bytes of a file that a component may read at once.
pub const WASM_BLOB_AT_ONCE_BYTES_MAX: u64 = 16 << 20;

/// Bytes of all files kept because components read them.
pub const WASM_FILES_BYTES_MAX: u64 = 1 << 30;

/// Outgoing requests of all components at the same time.
pub const WASM_REQUESTS_MAX: usize = 256;

/// Outgoing requests of one call at the same time.
pub const WASM_CALL_REQUESTS_MAX: usize = 16;

/// Unused connections kept for outgoing requests, for each host.
pub const WASM_IDLE_CONNECTIONS_MAX: usize = 4;

/// Longest wait for the head of the answer to an outgoing request.
pub const WASM_FIRST_BYTE_DEADLINE: Duration = Duration::from_secs(60);

/// Lines kept of what a program printed.
pub const LOG_LINES_MAX: usize = 1000;

/// Bytes of one such line; longer ones are cut in pieces.
pub const LOG_LINE_BYTES_MAX: usize = 4096;

/// Replay keys of signed allocations kept in memory.
pub const REPLAY_KEYS_MAX: usize = 10_000;

/// Names in one allocation.
pub const ALLOCATION_NAMES_MAX: usize = 10_000;

/// Longest wait for a microVM that was asked to end.
pub const MACHINE_HALT_DEADLINE: Duration = Duration::from_secs(4);

/// Longest wait for a process that was killed, and for its last words.
pub const MACHINE_KILL_DEADLINE: Duration = Duration::from_secs(1);

/// Drives of one microVM.
pub const DRIVES_MAX: usize = 20;

/// Processors of one microVM; who asks for more gets this many.
pub const VCPUS_MAX: u64 = 32;

/// Percent of the memory that is free at the start which machines may take.
pub const MACHINE_MEMORY_PERCENT: u64 = 80;

/// Least memory of a microVM, in MiB.
pub const MEMORY_MIB_MIN: u64 = 64;

/// What the guest's kernel takes, in MiB: added to what the program asks for.
pub const MEMORY_MIB_EXTRA: u64 = 64;

/// Longest wait for QEMU's monitor.
pub const INSTANCE_MONITOR_DEADLINE: Duration = Duration::from_secs(10);

/// Answers and events of one monitor that wait to be read.
pub const INSTANCE_MONITOR_LINES_MAX: usize = 256;

/// Longest line of a monitor or of a guest's agent.
pub const INSTANCE_MONITOR_LINE_BYTES_MAX: u64 = 1 << 20;

/// Longest wait for the agent inside a guest.
pub const GUEST_AGENT_DEADLINE: Duration = Duration::from_secs(30);

/// Longest wait for a guest that was asked to shut down.
pub const INSTANCE_SHUTDOWN_DEADLINE: Duration = Duration::from_secs(50);

/// Longest wait for a QEMU that was asked to end.
pub const INSTANCE_QUIT_DEADLINE: Duration = Duration::from_secs(10);

/// Longest wait for a QEMU that was killed.
pub const INSTANCE_KILL_DEADLINE: Duration = Duration::from_secs(5);

/// Longest wait until a new QEMU listens.
pub const INSTANCE_LAUNCH_DEADLINE: Duration = Duration::from_secs(20);

/// How often it is looked whether it does.
pub const INSTANCE_LAUNCH_PERIOD: Duration = Duration::from_millis(20);

/// Pause before an instance whose QEMU died is started again; it doubles.
pub const INSTANCE_RESTART_PAUSE_MIN: Duration = Duration::from_secs(1);

/// Longest such pause.
pub const INSTANCE_RESTART_PAUSE_MAX: Duration = Duration::from_secs(300);

/// An instance that ran this long is healthy again.
pub const INSTANCE_HEALTHY_AFTER: Duration = Duration::from_secs(600);

/// Commands that wait for one instance.
pub const INSTANCE_COMMANDS_MAX: usize = 8;

/// Instances of one node, stopped ones included.
pub const INSTANCES_MAX: usize = 4096;

/// Lowest number of an instance.
pub const INSTANCE_NUMBER_FIRST: u32 = 4;

/// Lines that wait for one who follows a console.
pub const CONSOLE_LINES_MAX: usize = 1024;

/// Size at which a console's file is put aside; two are kept.
pub const CONSOLE_FILE_BYTES_MAX: u64 = 1 << 20;

/// Longest run of `qemu-img` or `mkfs.ext4`.
pub const IMAGE_TOOL_DEADLINE: Duration = Duration::from_secs(3600);

/// Longest name of a volume.
pub const VOLUME_NAME_BYTES_MAX: usize = 100;

/// First port of the node that may lead to a guest (compute.md §23).
pub const FORWARD_PORT_FIRST: u16 = 24_000;

/// Last such port.
pub const FORWARD_PORT_LAST: u16 = 65_534;

/// Backups and exports that copy disks at the same time.
pub const DISK_COPIES_MAX: usize = 2;

/// How long a backup is kept.
pub const BACKUP_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Longest wait for QEMU to do what its monitor was told.
pub const MONITOR_DEADLINE: Duration = Duration::from_secs(10);

/// Longest line of QEMU's monitor.
pub const MONITOR_LINE_BYTES_MAX: usize = 64 << 10;

/// Longest wait for a QEMU that was told to end.
pub const QUIT_DEADLINE: Duration = Duration::from_secs(5);

/// Random bytes that a clone is given before anything else.
pub const WAKE_SEED_BYTES: usize = 64;

/// Machines that are frozen into templates at the same time.
pub const FREEZES_MAX: usize = 2;

/// Clones that may become ready at the same time, on however few processors.
pub const WAKES_MIN: usize = 2;

/// How long a clone may keep others waiting until it is ready.
pub const WAKE_TURN: Duration = Duration::from_secs(1);

/// How long a program that could not be frozen is booted without a new attempt.
pub const FREEZE_RETRY: Duration = Duration::from_secs(300);

/// How long a machine waits for who still writes its volumes.
pub const VOLUME_LOCK_DEADLINE: Duration = Duration::from_secs(10);

/// How often it looks.
pub const VOLUME_LOCK_PERIOD: Duration = Duration::from_millis(50);

/// How long a machine waits for the network card of its program.
pub const LINK_TURN_DEADLINE: Duration = Duration::from_secs(10);

/// Room that a template must leave on its disk, in bytes.
pub const TEMPLATE_FREE_BYTES_MIN: u64 = 256 << 20;

/// How long an owner's delegations are believed.
pub const DELEGATIONS_AGE_MAX: Duration = Duration::from_secs(120);

/// Owners whose delegations are kept.
pub const DELEGATIONS_MAX: usize = 4096;

/// How long the first answer to an operation is given to whoever sends it again.
pub const OPERATION_MEMORY: Duration = Duration::from_secs(240);

/// How long a message that was read is kept in memory.
pub const CONTENT_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Messages kept in memory.
pub const CONTENTS_MAX: usize = 2 * PROGRAMS_MAX;

/// How often a machine that is to end is looked at for calls under way.
pub const CALLS_CHECK_PERIOD: Duration = Duration::from_millis(20);

/// Logs that are followed at the same time.
pub const LOG_STREAMS_MAX: usize = 64;

/// How often a followed log is looked at.
pub const LOG_LOOK_PERIOD: Duration = Duration::from_millis(250);

/// How long the network's settings are believed.
pub const SETTINGS_AGE_MAX: Duration = Duration::from_secs(60);

/// How long a price is believed.
pub const PRICE_AGE_MAX: Duration = Duration::from_secs(300);

/// How long a balance or a status is believed.
pub const BALANCE_AGE_MAX: Duration = Duration::from_secs(30);

/// Prices, balances and statuses kept.
pub const FACTS_MAX: usize = 4096;

/// Rounds in a row that must find a message gone before its workload ends.
pub const GONE_ROUNDS: u32 = 3;

/// How long cards are kept for somebody.
pub const RESERVATION: Duration = Duration::from_secs(60);

/// How often a message that is not there yet is asked for.
pub const MESSAGE_LOOK_PERIOD: Duration = Duration::from_millis(500);

/// How often the registration of this node is looked for.
pub const DISCOVERY_PERIOD: Duration = Duration::from_secs(300);

/// Longest wait for one answer of the diagnostic program, its start included.
pub const DIAGNOSIS_DEADLINE: Duration = Duration::from_secs(60);

/// How often programs that run uncalled are looked at.
pub const REVIVE_PERIOD: Duration = Duration::from_secs(5);

/// Pauses before the message stream is opened again: the first, and the longest.
pub const RECONNECT_PAUSE_MIN: Duration = Duration::from_millis(100);

/// See [`RECONNECT_PAUSE_MIN`].
pub const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(8);

/// Silence of the message stream after which it is asked for a sign of life.
pub const STREAM_SILENCE_MAX: Duration = Duration::from_secs(30);

/// Programs that are told of messages at the same time.
pub const TRIGGERED_CALLS_MAX: usize = 64;

/// How long it is remembered that a program was told of a message.
pub const TOLD_AGE_MAX: Duration = Duration::from_secs(3600);

/// Such pairs remembered.
pub const TOLD_MAX: usize = 10_000;

/// Machines that move at the same time, in or out.
pub const MIGRATIONS_MAX: usize = 1;

/// How long copies of a machine that leaves are kept.
pub const EXPORT_LIFE: Duration = Duration::from_secs(1800);

/// Disks of a machine that arrives.
pub const MOVED_DISKS_MAX: usize = 64;

/// Most that is read of what a component says to an event.
pub const EVENT_ANSWER_BYTES_MAX: u64 = 64 << 10;
/// Ports of one guest that lead to it; of more, the lowest count.
pub const GUEST_PORTS_MAX: usize = 128;

/// Name servers that guests are told.
pub const NAME_SERVERS_MAX: usize = 4;

/// Longest run of a program that changes the host's network.
pub const HOST_COMMAND_DEADLINE: Duration = Duration::from_secs(15);

/// Longest wait for the service of domain names, and for one answer of the proxy.
pub const NAMES_DEADLINE: Duration = Duration::from_secs(20);
/// Longest answer of either, in bytes.
pub const NAMES_BYTES_MAX: usize = 4 << 20;
/// Most domain names that lead to guests of one node.
pub const NAMES_MAX: usize = 10_000;

/// How often a guest that stands still on a full disk is let go on.
pub const INSTANCE_ROOM_PERIOD: Duration = Duration::from_secs(10);

/// How long a QEMU that does not answer has to end by itself.
pub const INSTANCE_LAST_WORDS_DEADLINE: Duration = Duration::from_millis(500);
/// How often a QEMU whose ports were taken meanwhile gets others.
pub const INSTANCE_PORT_TRIES: usize = 3;
