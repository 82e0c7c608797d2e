//! Whether the calling thread lets the signal of `PublishOnPing` through.

pub(crate) fn set_blocked(blocked: bool) {
    let how = if blocked {
        libc::SIG_BLOCK
    } else {
        libc::SIG_UNBLOCK
    };
    // SAFETY: a set of signals is made from nothing, and says what this thread lets through.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGURG);
        let done = libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut());
        assert_eq!(done, 0);
    }
}
