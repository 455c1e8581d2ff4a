//! Every bound of the compute node, by name.

use std::time::Duration;

/// Largest request body of any route, programs included (compute.md §3.2).
pub const REQUEST_BODY_BYTES_MAX: usize = 1 << 20;

/// Longest time a client may take to send its body.
pub const REQUEST_BODY_DEADLINE: Duration = Duration::from_secs(30);

/// Largest answer of a program.
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

/// Longest wait for calls under way when the node ends.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

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

/// Components remembered because they took too long to compile.
pub const SLOW_COMPONENTS_MAX: usize = 1024;

/// Largest code or data archive.
pub const CODE_BYTES_MAX: u64 = 256 << 20;

/// Largest root filesystem or volume image.
pub const IMAGE_BYTES_MAX: u64 = 8 << 30;

/// Largest content of a message that is not inline.
pub const CONTENT_BYTES_MAX: u64 = 4 << 20;

/// Longest compilation of a component.
pub const COMPILE_DEADLINE: Duration = Duration::from_secs(120);

/// Table elements of one call of a component.
pub const TABLE_ELEMENTS_MAX: usize = 200_000;

/// Host objects (headers, bodies, streams) that one call may hold.
pub const WASM_RESOURCES_MAX: usize = 1024;

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

/// Ports of one guest that lead to it; of more, the lowest count.
pub const GUEST_PORTS_MAX: usize = 128;

/// Name servers that guests are told.
pub const NAME_SERVERS_MAX: usize = 4;

/// Longest run of a program that changes the host's network.
pub const HOST_COMMAND_DEADLINE: Duration = Duration::from_secs(15);
