//! System calls that no machine's process needs: those that make namespaces and
//! mounts, look into other processes, load code into the kernel, or have been
//! its weakest spots. QEMU's own filter comes on top.
//!
//! ```text
//! another architecture's call ─▶ killed
//! in the list ────────────────▶ "not permitted"
//! clone into a namespace ─────▶ "not permitted"
//! clone3 ─────────────────────▶ "no such call": libraries fall back to clone
//! ```

use libc::{BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W};

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
/// Above are the calls of x86's third interface.
const OTHER_INTERFACE: u32 = 0x4000_0000;
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;
const FIRST_ARGUMENT_AT: u32 = 16;
const NAMESPACES: libc::c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP;

const DENIED: [libc::c_long; 37] = [
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_io_uring_setup,
    libc::SYS_open_by_handle_at,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
];

/// The filter, for [`super::step::Step::Filter`]; none on other processors.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) fn program() -> Vec<libc::sock_filter> {
    let refuse = |errno: i32| ret(libc::SECCOMP_RET_ERRNO | errno as u32);
    let mut program = vec![
        load(ARCHITECTURE_AT),
        unless(BPF_JEQ, ARCHITECTURE),
        ret(libc::SECCOMP_RET_KILL_PROCESS),
        load(NUMBER_AT),
        when(BPF_JGE, OTHER_INTERFACE),
        refuse(libc::EPERM),
    ];
    for number in DENIED {
        program.extend([when(BPF_JEQ, number as u32), refuse(libc::EPERM)]);
    }
    program.extend([
        when(BPF_JEQ, libc::SYS_clone3 as u32),
        refuse(libc::ENOSYS),
        // Past the look at its argument, if it is another call.
        jump(BPF_JEQ, libc::SYS_clone as u32, 0, 3),
        load(FIRST_ARGUMENT_AT),
        when(BPF_JSET, NAMESPACES as u32),
        refuse(libc::EPERM),
        ret(libc::SECCOMP_RET_ALLOW),
    ]);
    program
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn program() -> Vec<libc::sock_filter> {
    vec![ret(libc::SECCOMP_RET_ALLOW)]
}

fn load(at: u32) -> libc::sock_filter {
    instruction(BPF_LD | BPF_W | BPF_ABS, at, 0, 0)
}

fn ret(value: u32) -> libc::sock_filter {
    instruction(BPF_RET | BPF_K, value, 0, 0)
}

/// The next instruction only if the condition holds.
fn when(condition: u32, value: u32) -> libc::sock_filter {
    jump(condition, value, 0, 1)
}

/// The next instruction only if it does not.
fn unless(condition: u32, value: u32) -> libc::sock_filter {
    jump(condition, value, 1, 0)
}

fn jump(condition: u32, value: u32, then: u8, or: u8) -> libc::sock_filter {
    instruction(BPF_JMP | condition | BPF_K, value, then, or)
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    }
}
