//! Instances: real QEMU, a real Debian, SSH.

mod copies;
mod fixture;
mod images;
mod jailed;
mod life;
mod moves;
