//! What the signal form asks of the kernel: a handler, signals, and time.

use std::time::{Duration, Instant};

use crate::signal;
pub(crate) use crate::witness::{Sighting, sight};

/// How long a reclaimer waits for an answer, once for each time that a thread turns out to be late.
const ANSWER_MAX: Duration = Duration::from_millis(10);

/// Looks at the answers before the processor is offered to others, and before it is slept.
const SPINS: u32 = 200;
const YIELDS: u32 = 1_000;
const NAP_NS: i64 = 100_000;

/// Why a domain whose readers are pinged by signal could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignalError {
    /// No handler may be installed for this signal, or it has a meaning of its own: it stops the
    /// process, reports a fault, or belongs to the C library. Choose `SIGURG`, `SIGUSR1`,
    /// `SIGUSR2` or a real-time signal.
    #[error("signal {number} cannot be used to ping; choose SIGURG, SIGUSR1 or SIGUSR2")]
    Unusable {
        /// What was asked for.
        number: i32,
    },
    /// Somebody in this process handles it, or has set it to be ignored. Choose another.
    #[error("signal {number} is in use in this process; choose another")]
    InUse {
        /// What was asked for.
        number: i32,
    },
    /// All domains of a process are pinged by one signal, and the first has chosen. Choose the
    /// same.
    #[error("this process pings by signal {chosen} already; choose it instead of {number}")]
    Chosen {
        /// What was asked for.
        number: i32,
        /// What is installed.
        chosen: i32,
    },
    /// The kernel refused to install the handler.
    #[error("the kernel refused a handler for signal {number}")]
    Refused {
        /// What was asked for.
        number: i32,
        /// Its reason.
        source: std::io::Error,
    },
}

/// Installs the handler, if it is not there. It stays as long as the process does: a signal may
/// be on its way at any time.
pub(crate) fn install(number: i32) -> Result<(), SignalError> {
    let mut pings = signal::pings();
    match pings.signal {
        Some(chosen) if chosen == number => return Ok(()),
        Some(chosen) => return Err(SignalError::Chosen { number, chosen }),
        None => {}
    }
    if !is_usable(number) {
        return Err(SignalError::Unusable { number });
    }
    let refused = |source| SignalError::Refused { number, source };
    // Looked at first, so that somebody else's handler does not go missing even for a moment.
    if !is_unused(&exchange(number, None).map_err(refused)?) {
        return Err(SignalError::InUse { number });
    }
    // SAFETY: all zeros are a valid `sigaction`: no flags, an empty mask, the default action.
    let mut ours: libc::sigaction = unsafe { std::mem::zeroed() };
    let handler: extern "C" fn(libc::c_int) = answer;
    ours.sa_sigaction = handler as libc::sighandler_t;
    // Interrupted calls go on where the kernel can do that; whoever has a stack for signals has
    // a reason for it.
    ours.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
    let before = exchange(number, Some(&ours)).map_err(refused)?;
    if !is_unused(&before) {
        // Somebody was faster since we looked; theirs goes back.
        exchange(number, Some(&before)).map_err(refused)?;
        return Err(SignalError::InUse { number });
    }
    pings.signal = Some(number);
    Ok(())
}

/// Faults are reported to the instruction that made them; `SIGKILL` and `SIGSTOP` take no handler;
/// the C library keeps those between the standard and the real-time ones.
fn is_usable(number: i32) -> bool {
    let own_meaning = [
        libc::SIGKILL,
        libc::SIGSTOP,
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGSYS,
        libc::SIGABRT,
    ];
    let standard = (1..32).contains(&number);
    let real_time = (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&number);
    (standard || real_time) && !own_meaning.contains(&number)
}

fn is_unused(action: &libc::sigaction) -> bool {
    action.sa_sigaction == libc::SIG_DFL
}

/// Gives the action there was, and sets another if there is one.
fn exchange(number: i32, new: Option<&libc::sigaction>) -> std::io::Result<libc::sigaction> {
    // SAFETY: as in `install`.
    let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
    let new = new.map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: both point to valid actions or to nothing; a handler that is set is either
    // `answer`, which may run at any moment, or was there before.
    if unsafe { libc::sigaction(number, new, &raw mut before) } == 0 {
        Ok(before)
    } else {
        Err(std::io::Error::last_os_error())
    }
}

extern "C" fn answer(_: libc::c_int) {
    signal::answer(tid()); // What it may do and what not is said there.
}

pub(crate) fn tid() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// Whether the calling thread does not let this signal through.
pub(crate) fn is_blocked(number: i32) -> bool {
    // SAFETY: all zeros are a valid set, which the call fills; it changes nothing.
    unsafe {
        let mut blocked: libc::sigset_t = std::mem::zeroed();
        let looked =
            libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut blocked) == 0;
        !looked || libc::sigismember(&raw const blocked, number) != 0
    }
}

/// Says whether there is such a thread.
pub(crate) fn send(signal: i32, tid: i32) -> bool {
    // SAFETY: sends a signal whose handler is `answer` to a thread of this process. Another
    // failure than "no such thread" is as good as no answer.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, signal) };
    sent == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

/// Waiting for answers, less eagerly each time; not for long.
pub(crate) struct Patience {
    start: Instant,
    looks: u32,
}

impl Patience {
    pub(crate) fn new(_: i32) -> Patience {
        Patience {
            start: Instant::now(),
            looks: 0,
        }
    }

    /// A moment later; false when it is over.
    pub(crate) fn wait(&mut self) -> bool {
        if self.looks < SPINS {
            std::hint::spin_loop();
        } else if self.start.elapsed() >= ANSWER_MAX {
            return false;
        } else if self.looks < SPINS + YIELDS {
            std::thread::yield_now();
        } else {
            nap();
        }
        self.looks += 1;
        true
    }
}

/// Sleeps for a moment, or until a signal comes. `std::thread::sleep` would sleep on after each
/// signal for what is left and the kernel's slack: for ever, under pings that follow one another.
fn nap() {
    let _ = rustix::thread::nanosleep(&rustix::thread::Timespec {
        tv_sec: 0,
        tv_nsec: NAP_NS,
    });
}
