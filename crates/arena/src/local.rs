//! Which racks the calling thread has. Those used lately lie where two loads find them.

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;

use crate::sync::per_thread;

/// A number no two pools of a process share, so that a rack of a pool that is gone is never taken
/// for one of a pool that is there.
pub(crate) type PoolId = u64;

#[derive(Clone, Copy)]
struct Known {
    pool: PoolId,
    rack: Option<NonNull<()>>,
}

/// Pools are numbered from 1.
const NOTHING: Known = Known {
    pool: 0,
    rack: None,
};

/// A thread with more pools than these looks for some of them in a list.
const RECENT: usize = 8;

per_thread! {
    // Apart from the other, because what has a destructor asks at each access whether it ran.
    static KNOWN: [Cell<Known>; RECENT] = const { [const { Cell::new(NOTHING) }; RECENT] };
    static MINE: Mine = const { Mine { memberships: RefCell::new(Vec::new()) } };
}

/// What a thread has to do when it ends.
pub(crate) trait Leave {
    /// Whether the pool is gone, and the rack with it.
    fn is_of_the_past(&self) -> bool;

    /// Gives the rack back, if the pool is still there.
    fn leave(&self);
}

/// All racks of the thread. They go back when it ends.
struct Mine {
    memberships: RefCell<Vec<(Known, Box<dyn Leave>)>>,
}

fn place(pool: PoolId) -> usize {
    pool as usize % RECENT
}

/// The thread's rack of a pool, if it was used lately.
#[inline]
pub(crate) fn find(pool: PoolId) -> Option<NonNull<()>> {
    let known = KNOWN.try_with(|known| known[place(pool)].get()).ok()?;
    if known.pool == pool { known.rack } else { None }
}

/// The thread's rack of a pool, or a new one, for which there must be none yet. `None` in a
/// thread that is ending: what it got now it could not give back. O(pools of the thread).
pub(crate) fn join(
    pool: PoolId,
    claim: impl FnOnce() -> (NonNull<()>, Box<dyn Leave>),
) -> Option<NonNull<()>> {
    let joined = MINE.try_with(|mine| {
        // No code of others runs while it is borrowed.
        let mut memberships = mine.memberships.borrow_mut();
        let found = memberships.iter().find(|(known, _)| known.pool == pool);
        let known = if let Some((known, _)) = found {
            *known
        } else {
            memberships.retain(|(_, membership)| !membership.is_of_the_past());
            let (rack, membership) = claim();
            let rack = Some(rack);
            memberships.push((Known { pool, rack }, membership));
            Known { pool, rack }
        };
        let _ = KNOWN.try_with(|all| all[place(pool)].set(known));
        known.rack
    });
    joined.ok().flatten()
}

impl Drop for Mine {
    fn drop(&mut self) {
        // First, because objects may be dropped below, and may come back here.
        let _ = KNOWN.try_with(|all| all.iter().for_each(|known| known.set(NOTHING)));
        for (_, membership) in self.memberships.get_mut().drain(..) {
            membership.leave();
        }
    }
}
