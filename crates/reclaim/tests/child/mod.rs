//! Tests that need a process of their own: for what is process-wide, and for sandboxes, which
//! cannot be left again.

use std::process::Command;

const NAME: &str = "CORTICA_RECLAIM_CHILD";

/// Whether this is the process for the test called `name`. If not, runs it in one.
pub(crate) fn is_alone(name: &str) -> bool {
    if std::env::var(NAME).is_ok_and(|of| of == name) {
        return true;
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(NAME, name)
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    false
}

/// From now on the kernel refuses membarrier to this thread and to those it starts. Says whether
/// the kernel lets itself be told so.
pub(crate) fn refuse_membarrier() -> bool {
    const fn step(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
        let code = code as u16;
        libc::sock_filter { code, jt, jf, k }
    }
    let mut steps = [
        // The number of the system call is the first word of what a filter sees.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            libc::SYS_membarrier as u32,
        ),
        step(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::EPERM as u32,
        ),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: steps.len() as u16,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: the program outlives the calls, which copy it; all it does is refuse one call.
    let told = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            ) == 0
    };
    if !told {
        println!("skipped: no sandbox here");
    }
    told
}
