//! Which slots the calling thread has. The last one used lies where two loads find it.

use std::cell::{Cell, RefCell};

use crate::slot::{Slot, Slots};
use crate::sync::{Arc, Weak, downgrade, per_thread};

/// A number no two domains of a process share, so that a slot of a domain that is gone is never
/// taken for one of a domain that is there.
pub(crate) type DomainId = u64;

#[derive(Clone, Copy)]
struct Held {
    domain: DomainId,
    slot: *const Slot,
}

/// No slot: domains are numbered from 1.
const NOTHING: Held = Held {
    domain: 0,
    slot: std::ptr::null(),
};

per_thread! {
    static MINE: Mine = const { Mine { last: Cell::new(NOTHING), others: RefCell::new(Others { slots: Vec::new(), homes: Vec::new() }) } };
}

/// The thread's slots that no guard uses. All of them go back when the thread ends; guards that
/// live still longer, in thread-locals of others, give theirs back themselves.
struct Mine {
    last: Cell<Held>,
    others: RefCell<Others>,
}

struct Others {
    slots: Vec<Held>,
    /// Every domain this thread has a slot of.
    homes: Vec<(DomainId, Weak<Slots>)>,
}

/// A slot of this domain for the calling thread; it is in nobody else's hands until `put_back`.
#[inline]
pub(crate) fn take(domain: DomainId, slots: &Arc<Slots>) -> &Slot {
    let last = MINE.try_with(|mine| {
        let held = mine.last.get();
        if held.domain == domain {
            mine.last.set(NOTHING);
        }
        held
    });
    match last {
        // SAFETY: the id is that of the domain in hand, so its slots are alive; the slot is this
        // thread's, and the cell no longer has it.
        Ok(held) if held.domain == domain => unsafe { &*held.slot },
        _ => take_another(domain, slots),
    }
}

#[cold]
fn take_another(domain: DomainId, slots: &Arc<Slots>) -> &Slot {
    let held = MINE.try_with(|mine| {
        // No code of others runs while it is borrowed.
        let mut others = mine.others.borrow_mut();
        let found = others.slots.iter().position(|held| held.domain == domain);
        if found.is_none() {
            others.remember(domain, slots);
        }
        found.map(|at| others.slots.swap_remove(at).slot)
    });
    match held {
        // SAFETY: as in `take`.
        Ok(Some(slot)) => unsafe { &*slot },
        _ => slots.claim(),
    }
}

/// Keeps a slot for the next guard of this thread.
///
/// # Safety
///
/// `slot` came from `take` with the same domain, on this thread, and is not used again.
#[inline]
pub(crate) unsafe fn put_back(domain: DomainId, slots: &Arc<Slots>, slot: &Slot) {
    let kept = MINE.try_with(|mine| {
        let before = mine.last.replace(Held { domain, slot });
        if before.domain != NOTHING.domain {
            mine.put_aside(before);
        }
    });
    if kept.is_err() {
        // SAFETY: the caller's promise. The thread is ending.
        unsafe { slots.give_up(slot) };
    }
}

impl Mine {
    #[cold]
    fn put_aside(&self, held: Held) {
        self.others.borrow_mut().slots.push(held);
    }
}

impl Others {
    /// Makes sure that what is about to be claimed goes back when the thread ends, and forgets
    /// domains that are gone.
    fn remember(&mut self, domain: DomainId, slots: &Arc<Slots>) {
        self.homes.retain(|(_, home)| home.strong_count() > 0);
        let homes = &self.homes;
        let is_home = |id: DomainId| homes.iter().any(|(home, _)| *home == id);
        self.slots.retain(|held| is_home(held.domain));
        if !is_home(domain) {
            self.homes.push((domain, downgrade(slots)));
        }
    }
}

impl Drop for Mine {
    fn drop(&mut self) {
        let others = self.others.get_mut();
        for held in others.slots.drain(..).chain([self.last.get()]) {
            let home = others.homes.iter().find(|(home, _)| *home == held.domain);
            if let Some(slots) = home.and_then(|(_, slots)| slots.upgrade()) {
                // SAFETY: the domain is alive in `slots`, and so the slot; it was this thread's
                // and no guard has it. Destructors run from here cannot come by it either:
                // thread-locals are out of reach while they are dropped.
                unsafe { slots.give_up(&*held.slot) };
            }
        }
    }
}
