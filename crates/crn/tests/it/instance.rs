//! Instances: real QEMU, a real Debian, SSH.

mod fixture;
mod images;
mod life;
