//! Putting threads, and with them their memory, where one wants them.

use std::marker::PhantomData;

/// The smallest page there is; larger ones are touched more often than they need.
pub(crate) const PAGE: usize = 4_096;

/// Writes something into each page of `values`, which stay as they are: pages that no thread
/// touched before come to lie in the memory next to the calling thread's processor. O(pages).
pub fn first_touch<T: Copy>(values: &mut [T]) {
    let step = (PAGE / size_of::<T>().max(1)).max(1);
    let last = values.len().saturating_sub(1);
    for at in (0..values.len()).step_by(step).chain([last]) {
        if let Some(value) = values.get_mut(at) {
            let value: *mut T = value;
            // SAFETY: a reference to a `Copy` value, read and written back. Volatile: this could
            // be left out otherwise.
            unsafe { value.write_volatile(value.read_volatile()) };
        }
    }
}

/// Why a thread could not be put somewhere.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// This system has no way to say where a thread runs; leave it where it is.
    #[error("threads cannot be pinned on this system")]
    Unsupported,
    /// At least one processor is needed, and numbers the system can take.
    #[error("no processor to pin to: got {got:?}, expected at least one below {limit}")]
    Cpus {
        /// The processors asked for.
        got: Vec<u32>,
        /// Numbers must be smaller.
        limit: u32,
    },
    /// The system refused: none of the processors is there, is switched on, and is allowed to
    /// this process.
    #[error("the system did not pin the thread")]
    Refused(#[source] std::io::Error),
}

/// A thread that runs on some processors only; dropping this lets it run where it could before.
#[derive(Debug)]
#[must_use = "the thread is let go when it is dropped"]
pub struct Pinned {
    #[cfg(target_os = "linux")]
    before: rustix::thread::CpuSet,
    /// It is the thread's own business.
    stays: PhantomData<*mut ()>,
}

#[cfg(target_os = "linux")]
impl Pinned {
    /// Keeps the calling thread on these processors. Of those that are not there or not allowed
    /// the system takes no notice, unless all are.
    pub fn to(cpus: &[u32]) -> Result<Pinned, PinError> {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
        let limit = CpuSet::MAX_CPU as u32;
        if cpus.is_empty() || cpus.iter().any(|&cpu| cpu >= limit) {
            return Err(PinError::Cpus {
                got: cpus.to_vec(),
                limit,
            });
        }
        let mut set = CpuSet::new();
        for &cpu in cpus {
            set.set(cpu as usize);
        }
        let refused = |error: rustix::io::Errno| PinError::Refused(error.into());
        let before = sched_getaffinity(None).map_err(refused)?;
        sched_setaffinity(None, &set).map_err(refused)?;
        Ok(Pinned {
            before,
            stays: PhantomData,
        })
    }
}

#[cfg(not(target_os = "linux"))]
impl Pinned {
    /// There is no such thing here: [`PinError::Unsupported`].
    pub fn to(_cpus: &[u32]) -> Result<Pinned, PinError> {
        Err(PinError::Unsupported)
    }
}

#[cfg(target_os = "linux")]
impl Drop for Pinned {
    fn drop(&mut self) {
        // It was allowed to run there; if that has changed, it stays where it is.
        let _ = rustix::thread::sched_setaffinity(None, &self.before);
    }
}

/// The processor that runs the calling thread now; it may be another one at once, unless the
/// thread is pinned. `None` where the system does not say.
#[must_use]
pub fn current_cpu() -> Option<u32> {
    #[cfg(target_os = "linux")]
    return Some(rustix::thread::sched_getcpu() as u32);
    #[cfg(not(target_os = "linux"))]
    None
}
