//! Real guests: kernel, init, Python, FastAPI, booted by QEMU.
//!
//! One machine is shared by the tests that do it no harm; the others boot their
//! own. All live on one runtime, because a machine belongs to the runtime that
//! started it.

mod clones;
mod failures;
pub mod fixture;
mod guest_api;
mod internet;

mod kinds;
mod life;
mod shared;
mod streams;
mod volumes;
mod whole;
