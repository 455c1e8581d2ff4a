//! Does KVM really run guest code here? `/dev/kvm` alone proves nothing: nested
//! or paravirtual KVM may interpret ring 0 a thousand times too slowly, or fail at
//! the first unusual instruction.
//!
//! A guest of forty bytes counts to twenty million in ring 0, executes
//! `lock cmpxchg16b` and writes one letter to a port; a watchdog interrupts it.
//! Real hardware needs a few milliseconds. Call it in a process of its own: a
//! wedged ioctl cannot be cancelled.
//!
//! Unsafe code: the mapping of guest memory, and signals.
#![allow(unsafe_code)]

use std::time::{Duration, Instant};

use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES, kvm_segment, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};

/// Usable; anything else is not.
pub(super) const USABLE: i32 = 0;
/// `/dev/kvm` cannot be opened.
pub(super) const ABSENT: i32 = 10;
/// Creating the machine failed.
pub(super) const REFUSED: i32 = 11;
/// The guest counted too slowly.
pub(super) const TOO_SLOW: i32 = 12;
/// The guest did not get through its code.
pub(super) const BROKEN: i32 = 13;

/// What the test prints first when KVM is usable: an exit status of 0 alone may
/// come from a program that knows nothing of the test.
pub(super) const USABLE_LINE: &str = "beth: kvm runs guest code";

const ITERATIONS: u64 = 20_000_000;
const BUDGET: Duration = Duration::from_millis(150);
const KICK_PERIOD: Duration = Duration::from_millis(10);
const MEMORY_BYTES: usize = 2 << 20;
const CODE: usize = 0x1000;
const STACK: u64 = 0x8000;
const PORT: u16 = 0x3f8;
const KVM_API: i32 = 12;

/// Body of the hidden verb `kvm-self-test`: prints one line, returns the exit
/// status. Takes at most about 200 ms, unless the kernel is stuck.
#[allow(clippy::print_stdout)]
pub fn kvm_self_test_main() -> i32 {
    let (code, line) = match Kvm::new() {
        Err(error) => (ABSENT, format!("/dev/kvm cannot be opened: {error}")),
        Ok(kvm) if kvm.get_api_version() != KVM_API => {
            (REFUSED, "an unknown version of KVM".to_owned())
        }
        Ok(kvm) => run(&kvm)
            .unwrap_or_else(|error| (REFUSED, format!("creating a machine failed: {error}"))),
    };
    println!("{line}");
    code
}

fn run(kvm: &Kvm) -> Result<(i32, String), kvm_ioctls::Error> {
    let vm = kvm.create_vm()?;
    vm.set_tss_address(0xfffb_d000)?;
    vm.create_irq_chip()?;
    load(&vm)?;
    let mut vcpu = vm.create_vcpu(0)?;
    set_up(&vcpu, &kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)?)?;
    start_watchdog();
    let began = Instant::now();
    Ok(match vcpu.run() {
        Ok(VcpuExit::IoOut(PORT, b"K")) => {
            (USABLE, format!("{USABLE_LINE} in {:?}", began.elapsed()))
        }
        Ok(exit) => (BROKEN, format!("the guest stopped with {exit:?}")),
        Err(error) if [libc::EINTR, libc::EAGAIN].contains(&error.errno()) => {
            let done = ITERATIONS - vcpu.get_regs()?.rcx.min(ITERATIONS);
            let speed = done as f64 / began.elapsed().as_secs_f64() / 1e6;
            (
                TOO_SLOW,
                format!("the guest ran {speed:.2} million loops a second; hardware does over 1000"),
            )
        }
        Err(error) => (BROKEN, format!("running the guest failed: {error}")),
    })
}

/// Page tables for one identity-mapped page of 2 MiB, and the code.
fn load(vm: &VmFd) -> Result<(), kvm_ioctls::Error> {
    let (protection, flags) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
    );
    // SAFETY: a fresh anonymous mapping; nothing else knows it.
    let memory =
        unsafe { libc::mmap(std::ptr::null_mut(), MEMORY_BYTES, protection, flags, -1, 0) };
    if memory == libc::MAP_FAILED {
        return Err(kvm_ioctls::Error::last());
    }
    // SAFETY: the mapping is that long, is never unmapped (the process ends
    // soon), and no other reference to it exists while the guest is not running.
    let bytes = unsafe { std::slice::from_raw_parts_mut(memory.cast::<u8>(), MEMORY_BYTES) };
    for (at, entry) in [(0x2000, 0x3007u64), (0x3000, 0x4007), (0x4000, 0x87)] {
        bytes[at..at + 8].copy_from_slice(&entry.to_le_bytes());
    }
    let mut code = vec![0x48, 0xb9]; // mov rcx, ITERATIONS
    code.extend(ITERATIONS.to_le_bytes());
    code.extend([0x48, 0xff, 0xc9, 0x75, 0xfb]); // 1: dec rcx; jnz 1b
    code.extend([0xf0, 0x48, 0x0f, 0xc7, 0x0c, 0x25, 0x00, 0x90, 0x00, 0x00]); // lock cmpxchg16b [0x9000]
    code.extend([0x66, 0xba, 0xf8, 0x03, 0xb0, b'K', 0xee, 0xf4]); // mov dx, PORT; mov al, 'K'; out dx, al; hlt
    bytes[CODE..CODE + code.len()].copy_from_slice(&code);
    let region = kvm_userspace_memory_region {
        memory_size: MEMORY_BYTES as u64,
        userspace_addr: memory as u64,
        ..Default::default()
    };
    // SAFETY: the region is mapped as said, for the rest of the process.
    unsafe { vm.set_user_memory_region(region) }
}

/// 64-bit mode, ring 0, at the code.
fn set_up(vcpu: &VcpuFd, cpuid: &CpuId) -> Result<(), kvm_ioctls::Error> {
    vcpu.set_cpuid2(cpuid)?;
    let mut special = vcpu.get_sregs()?;
    (special.cr0, special.cr3, special.cr4, special.efer) = (0x8005_0033, 0x2000, 1 << 5, 0x500);
    let flat = kvm_segment {
        limit: u32::MAX,
        present: 1,
        s: 1,
        g: 1,
        ..Default::default()
    };
    special.cs = kvm_segment {
        selector: 8,
        type_: 11,
        l: 1,
        ..flat
    };
    let data = kvm_segment {
        selector: 16,
        type_: 3,
        db: 1,
        ..flat
    };
    (special.ds, special.es, special.fs, special.gs, special.ss) = (data, data, data, data, data);
    vcpu.set_sregs(&special)?;
    let mut general = vcpu.get_regs()?;
    (general.rip, general.rsp, general.rflags) = (CODE as u64, STACK, 2);
    (general.rax, general.rbx, general.rdx) = (0, 0, 0);
    vcpu.set_regs(&general)
}

/// Interrupts this thread, and so the guest, once the budget is spent.
fn start_watchdog() {
    extern "C" fn nothing(_: libc::c_int) {}
    let handler: extern "C" fn(libc::c_int) = nothing;
    // SAFETY: `sigaction` is plain data for which zero is valid, and the handler
    // does nothing. The thread named below outlives the watchdog: it is the
    // caller's, which ends with the process.
    let this = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut());
        libc::pthread_self()
    };
    std::thread::spawn(move || {
        std::thread::sleep(BUDGET);
        loop {
            // SAFETY: as above.
            unsafe { libc::pthread_kill(this, libc::SIGUSR1) };
            std::thread::sleep(KICK_PERIOD);
        }
    });
}
