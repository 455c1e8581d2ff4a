//! Machines on KVM where there is none: in a machine whose emulated processor
//! has AMD's virtualisation.
//!
//! ```text
//! this computer, no KVM needed
//!  └─ QEMU, emulating a processor with SVM: Debian's kernel, KVM, and as its
//!     only program this test
//!      └─ the microVM executor finds KVM usable ─▶ QEMU, accel=kvm ─▶ our guest
//!                                                                   └─ a call
//! ```
//!
//! The test is one program in three parts: [`outside`] packs itself, QEMU and the
//! guest's files into an initial filesystem and starts the outer machine,
//! [`inside`] is process 1 there, and the executor calls it for its self-test of
//! KVM. What it shows is that the paths for KVM work, not how fast.
//!
//! Firecracker runs there too where `BETH_FIRECRACKER` names a program,
//! `BETH_FIRECRACKER_KERNEL` a kernel and `BETH_FIRECRACKER_RUNTIME` a runtime
//! image; else the test says that it did not run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]
#![allow(missing_docs)]

mod inside;
mod outside;

use std::process::ExitCode;

/// Beginning of each line that is meant for whoever runs the test.
const MARK: &str = "nested: ";
/// The last of them, if all went well.
const DONE: &str = "done";

const NAME: &str = "the_executor_answers_from_a_machine_on_kvm";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "kvm-self-test") {
        let status = beth_crn::microvm::kvm_self_test_main();
        return ExitCode::from(u8::try_from(status).unwrap());
    }
    if std::process::id() == 1 {
        inside::run();
    }
    // As far as tests have to understand what runs tests.
    let has = |option: &str| words.iter().any(|word| word == option);
    if has("--list") {
        if !has("--ignored") {
            println!("{NAME}: test");
        }
        return ExitCode::SUCCESS;
    }
    let mut filters = words.iter().filter(|word| !word.starts_with('-'));
    let is_meant = filters.clone().count() == 0 || filters.any(|filter| NAME.contains(&**filter));
    if !is_meant || has("--ignored") {
        return ExitCode::SUCCESS;
    }
    match outside::run() {
        Ok(()) => {
            println!("test {NAME} ... ok");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("test {NAME} ... FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}
