//! What the kernel tells about another thread: whether it has passed a barrier.
//!
//! The scheduler runs a full barrier whenever a processor goes from one thread to another;
//! `membarrier` itself relies on that where a thread is not running. So a thread has passed one
//! if its count of switches has grown, or if it was asleep all along: it then has not run a
//! single instruction since it was switched out.

use crate::sync::OnceLock;

/// Where a thread was at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sighting {
    /// How often a processor was given to or taken from it.
    switches: u64,
    /// Whether it waited for something else than a processor.
    asleep: bool,
}

impl Sighting {
    /// Whether the thread has passed a barrier since `before`, or had passed one already and has
    /// not run since.
    pub(crate) fn is_past(&self, before: &Sighting) -> bool {
        // One look is not enough: a thread says that it sleeps a moment before it does.
        self.switches != before.switches || (self.asleep && before.asleep)
    }
}

/// Looks at a thread of this process; nothing if it has ended or cannot be looked at. Microseconds.
pub(crate) fn sight(tid: i32) -> Option<Sighting> {
    if !numbers_are_ours() {
        return None;
    }
    parse(&std::fs::read_to_string(format!("/proc/self/task/{tid}/status")).ok()?)
}

/// Whether `/proc` is there and counts threads as we do. That of another namespace does not, and
/// would show one thread for another.
fn numbers_are_ours() -> bool {
    static OURS: OnceLock<bool> = OnceLock::new();
    *OURS.get_or_init(|| {
        let tid = rustix::thread::gettid().as_raw_pid();
        let expected = format!("{}/task/{tid}", std::process::id());
        std::fs::read_link("/proc/thread-self").is_ok_and(|link| link.as_os_str() == &*expected)
    })
}

fn parse(status: &str) -> Option<Sighting> {
    let field = |name: &str| {
        let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
        rest.strip_prefix(':').map(str::trim)
    };
    let count = |name| field(name)?.parse::<u64>().ok();
    let state = field("State")?;
    Some(Sighting {
        switches: count("voluntary_ctxt_switches")? + count("nonvoluntary_ctxt_switches")?,
        asleep: state.starts_with(['S', 'D', 'T', 't', 'I']),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::{Duration, Instant};

    #[track_caller]
    fn check(before: (u64, bool), now: (u64, bool), want: bool) {
        let of = |(switches, asleep)| Sighting { switches, asleep };
        assert_eq!(of(now).is_past(&of(before)), want, "{before:?} {now:?}");
    }

    #[test]
    fn a_switch_or_a_long_sleep_is_a_barrier() {
        check((7, false), (8, false), true);
        check((7, true), (8, false), true);
        check((7, true), (7, true), true);
        check((7, false), (7, false), false);
        check((7, false), (7, true), false);
        check((7, true), (7, false), false);
    }

    #[test]
    fn status_is_read_as_the_kernel_writes_it() {
        let status = |state: &str| {
            format!(
                "Name:\tState:\nState:\t{state}\nThreads:\t4\nvoluntary_ctxt_switches:\t12\n\
                 nonvoluntary_ctxt_switches:\t30\n"
            )
        };
        let parsed = |state: &str| parse(&status(state)).map(|seen| (seen.switches, seen.asleep));
        assert_eq!(parsed("S (sleeping)"), Some((42, true)));
        assert_eq!(parsed("R (running)"), Some((42, false)));
        assert_eq!(parsed("? (new)"), Some((42, false)));
        assert_eq!(parse("State:\tS (sleeping)\n"), None);
        assert_eq!(parse(""), None);
    }

    /// The real thing: threads that sleep, and one that spins until it is seen to be switched.
    #[test]
    fn threads_are_seen() {
        let own = rustix::thread::gettid().as_raw_pid();
        let Some(seen) = sight(own) else {
            println!("skipped: no /proc of ours");
            return;
        };
        assert!(!seen.asleep, "it was us who looked");
        assert_eq!(sight(i32::MAX), None);

        let (tell, told) = channel();
        let (wake, woken) = channel::<()>();
        let sleeper = std::thread::spawn(move || {
            tell.send(rustix::thread::gettid().as_raw_pid()).unwrap();
            let _ = woken.recv();
        });
        let tid = told.recv().unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let (before, now) = (sight(tid).unwrap(), sight(tid).unwrap());
            if now.is_past(&before) && now.asleep {
                break;
            }
            assert!(Instant::now() < end, "{before:?} {now:?}");
        }
        drop(wake);
        sleeper.join().unwrap();
        assert_eq!(sight(tid), None);
    }
}
