//! The microVM executor: QEMU.
