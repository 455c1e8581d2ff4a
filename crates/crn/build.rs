//! Builds the init of microVMs, which the node carries: static, for x86-64.
//!
//! It is another program for another place, so it is built by a Cargo of its own
//! with its own flags, in this crate's output folder. It needs nothing that this
//! build has not fetched already.

#![allow(clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const TARGET: &str = "x86_64-unknown-linux-gnu";
const PT_INTERP: u32 = 3;

fn main() {
    println!("cargo:rerun-if-changed=../guest/src");
    println!("cargo:rerun-if-changed=../guest/Cargo.toml");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR"));
    let image = out.join("beth-init");
    if env::var("CARGO_CFG_TARGET_ARCH").as_deref() != Ok("x86_64") {
        fs::write(&image, []).expect("the output folder is writable");
        return;
    }
    let built = build(&out);
    let bytes = fs::read(&built).unwrap_or_else(|error| panic!("{}: {error}", built.display()));
    assert!(
        is_static(&bytes),
        "beth-init is not static: is the C library's static part (libc6-dev) installed?"
    );
    fs::write(&image, bytes).expect("the output folder is writable");
}

fn build(out: &Path) -> PathBuf {
    let target_folder = out.join("guest");
    let mut cargo = Command::new(env::var_os("CARGO").expect("Cargo sets CARGO"));
    cargo.args([
        "build",
        "--release",
        "--locked",
        "--offline",
        "--package",
        "beth-guest",
        "--bin",
        "beth-init",
    ]);
    cargo
        .args([
            "--manifest-path",
            "../guest/Cargo.toml",
            "--target",
            TARGET,
            "--target-dir",
        ])
        .arg(&target_folder);
    for name in [
        "RUSTFLAGS",
        "CARGO_BUILD_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "CARGO_TARGET_DIR",
        "__CARGO_DEFAULT_LIB_METADATA",
    ] {
        cargo.env_remove(name);
    }
    cargo
        .env("RUSTC_WRAPPER", "")
        .env("RUSTC_WORKSPACE_WRAPPER", "");
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static");
    let profile = [
        ("OPT_LEVEL", "s"),
        ("PANIC", "abort"),
        ("STRIP", "true"),
        ("LTO", "true"),
        ("CODEGEN_UNITS", "1"),
    ];
    for (name, value) in profile {
        cargo.env(format!("CARGO_PROFILE_RELEASE_{name}"), value);
    }
    let status = cargo.status().expect("Cargo runs");
    assert!(status.success(), "building beth-init failed: see above");
    target_folder.join(TARGET).join("release/beth-init")
}

/// True when no program header asks for a dynamic loader.
fn is_static(elf: &[u8]) -> bool {
    let word = |at: usize, len: usize| -> usize {
        elf[at..at + len]
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | *byte as usize)
    };
    let (table, size, count) = (word(32, 8), word(54, 2), word(56, 2));
    (0..count).all(|index| word(table + index * size, 4) != PT_INTERP as usize)
}
