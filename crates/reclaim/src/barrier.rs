//! The barrier between "I protect this" and "is it still there?", and its other half.
//!
//! A reader stores a reservation and then loads again; a reclaimer has taken an object out and
//! then loads reservations. Both may miss the other unless store and load are kept in order on
//! both sides. Either both sides run a full fence, or the reclaimer makes every reader pass one,
//! and readers pay nothing.

/// How readers and reclaimers of a domain see each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Readers keep only the compiler in order; reclaimers ping them by
    /// `membarrier(PRIVATE_EXPEDITED)`. Linux 4.14 and later.
    Membarrier,
    /// Readers keep only the compiler in order while they answer; reclaimers ping them by a
    /// signal. Linux, with the feature `signal`, and only if asked for.
    Signal,
    /// Both run a sequentially consistent fence. Everywhere.
    Fenced,
}

impl Form {
    /// The fastest that works here and installs nothing. The first call registers the process
    /// with the kernel.
    #[must_use]
    pub fn best() -> Form {
        if kernel::registered() {
            Form::Membarrier
        } else {
            Form::Fenced
        }
    }
}

#[cfg(all(target_os = "linux", not(loom)))]
pub(crate) mod kernel {
    use crate::sync::OnceLock;
    use rustix::thread::{MembarrierCommand, membarrier, membarrier_query};

    /// Whether the kernel has the barrier. The first call asks for it.
    pub(crate) fn registered() -> bool {
        static REGISTERED: OnceLock<bool> = OnceLock::new();
        let register = MembarrierCommand::RegisterPrivateExpedited;
        *REGISTERED.get_or_init(|| {
            let known = membarrier_query();
            known.contains_command(register)
                && known.contains_command(MembarrierCommand::PrivateExpedited)
                && membarrier(register).is_ok()
        })
    }

    /// Makes every thread of the process pass a full barrier. If it fails, nothing may be freed.
    #[must_use]
    pub(crate) fn ping() -> bool {
        membarrier(MembarrierCommand::PrivateExpedited).is_ok()
    }
}

#[cfg(any(not(target_os = "linux"), loom))]
pub(crate) mod kernel {
    pub(crate) fn registered() -> bool {
        false
    }

    pub(crate) fn ping() -> bool {
        false
    }
}
