//! Instances: real QEMU, a real Debian, SSH.

mod copies;
mod fixture;
mod full;
mod hidden;
mod images;
mod jailed;
mod killed;
mod life;
mod moves;
mod ports;
