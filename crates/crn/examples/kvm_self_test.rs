//! The KVM self-test as a program of its own, for tests and for the curious:
//! `cargo run --release -p beth-crn --example kvm_self_test`.

fn main() {
    std::process::exit(beth_crn::microvm::kvm_self_test_main());
}
