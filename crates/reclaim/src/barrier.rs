//! The fence between "I protect this" and "is it still there?", and its other half.
//!
//! A reader stores a reservation and then loads again; a reclaimer has taken an object out and
//! then loads reservations. Both may miss the other unless store and load are kept in order on
//! both sides. Either both sides run a full fence, or the reclaimer makes the kernel run one on
//! every processor that is running a thread of this process, and readers pay nothing.

use crate::sync::{SeqCst, fence};

/// How readers and reclaimers of a domain see each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Readers keep only the compiler in order; reclaimers ping them by
    /// `membarrier(PRIVATE_EXPEDITED)`. Linux 4.14 and later.
    Membarrier,
    /// Both run a sequentially consistent fence. Everywhere.
    Fenced,
}

impl Form {
    /// The fastest that works here. The first call registers the process with the kernel.
    #[must_use]
    pub fn best() -> Form {
        if kernel::registered() {
            Form::Membarrier
        } else {
            Form::Fenced
        }
    }

    /// Between the reader's store and its load.
    #[inline]
    pub(crate) fn reader(self) {
        match self {
            #[cfg(not(loom))]
            Form::Membarrier => crate::sync::compiler_fence(SeqCst),
            // Under loom there is only the fenced form: it has no model of membarrier.
            _ => fence(SeqCst),
        }
    }

    /// Between taking objects out and loading reservations. If it fails, nothing may be freed.
    #[must_use]
    pub(crate) fn reclaimer(self) -> bool {
        match self {
            Form::Membarrier => kernel::ping(),
            Form::Fenced => {
                fence(SeqCst);
                true
            }
        }
    }
}

#[cfg(all(target_os = "linux", not(loom)))]
mod kernel {
    use crate::sync::OnceLock;
    use rustix::thread::{MembarrierCommand, membarrier, membarrier_query};

    pub(super) fn registered() -> bool {
        static REGISTERED: OnceLock<bool> = OnceLock::new();
        let register = MembarrierCommand::RegisterPrivateExpedited;
        *REGISTERED.get_or_init(|| {
            let known = membarrier_query();
            known.contains_command(register)
                && known.contains_command(MembarrierCommand::PrivateExpedited)
                && membarrier(register).is_ok()
        })
    }

    pub(super) fn ping() -> bool {
        membarrier(MembarrierCommand::PrivateExpedited).is_ok()
    }
}

#[cfg(any(not(target_os = "linux"), loom))]
mod kernel {
    pub(super) fn registered() -> bool {
        false
    }

    pub(super) fn ping() -> bool {
        false
    }
}
