//! Which slots the calling thread has. Those it used last lie where a few loads find them.

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

/// Stands for no domain: they are numbered from 1.
const NONE: DomainId = 0;

const NOTHING: Held = Held {
    domain: NONE,
    slot: std::ptr::null(),
};

/// A reservation that stands though no guard has its slot.
#[derive(Clone, Copy)]
struct Parked {
    domain: DomainId,
    pointer: *const (),
}

const NOT_PARKED: Parked = Parked {
    domain: NONE,
    pointer: std::ptr::null(),
};

/// Parked reservations that are remembered, each in the place that its domain's number gives it.
const REMEMBERED: usize = 4;

/// Slots at hand: two guards of each of two domains, or one of each of four.
const AT_HAND: usize = 4;

/// What is known of one slot. It stays known while a guard has it, so that giving it back is a
/// comparison and one store, and the next guard does not wait for that store to find the slot.
struct Place {
    /// The slot's domain if it can be taken, or else `NONE`.
    domain: Cell<DomainId>,
    slot: Cell<*const Slot>,
}

per_thread! {
    /// `MINE` while it can be used, or null: having no destructor, this can be looked at without
    /// asking whether it is there, which would take as long as all the rest.
    static HOT: Cell<*const Mine> = const { Cell::new(std::ptr::null()) };

    /// What is in here stands in a slot of this thread's that no guard has. Apart from `MINE`, and
    /// known by value, because looking at it is all that an operation on a parked object does.
    static PARKED: [Cell<Parked>; REMEMBERED] =
        const { [const { Cell::new(NOT_PARKED) }; REMEMBERED] };

    static MINE: Mine = const {
        Mine {
            at_hand: [const { Place::new() }; AT_HAND],
            others: RefCell::new(Others { slots: Vec::new(), homes: Vec::new() }),
        }
    };
}

/// The thread's slots that no guard uses. All of them go back when the thread ends; guards that
/// live still longer, in thread-locals of others, give theirs back themselves.
struct Mine {
    at_hand: [Place; AT_HAND],
    others: RefCell<Others>,
}

struct Others {
    slots: Vec<Held>,
    /// Every domain this thread has a slot of.
    homes: Vec<(DomainId, Weak<Slots>)>,
}

/// The thread's own, if it has come by any slot and is not ending.
#[inline]
fn hot<'m>() -> Option<&'m Mine> {
    let mine = HOT.try_with(Cell::get).unwrap_or(std::ptr::null());
    // SAFETY: the thread's `MINE`, which stays where it is until its destructor has taken it out
    // of here. The callers keep it no longer than that: they run no code of others meanwhile.
    unsafe { mine.as_ref() }
}

/// As [`hot`], but for the first time, too.
fn with_mine<R>(look: impl FnOnce(&Mine) -> R) -> Option<R> {
    let with_it = |mine: &Mine| {
        let _ = HOT.try_with(|hot| hot.set(mine));
        look(mine)
    };
    MINE.try_with(with_it).ok()
}

/// Whether a reservation of `pointer`, parked by this thread, is known to stand.
#[inline]
pub(crate) fn is_parked(domain: DomainId, pointer: *const ()) -> bool {
    let is_here = |parked: &[Cell<Parked>; REMEMBERED]| {
        let parked = parked[place_of(domain)].get();
        parked.pointer == pointer && parked.domain == domain
    };
    PARKED.try_with(is_here).unwrap_or(false)
}

/// Called when a guard gets a slot with a reservation, which it may change.
#[inline]
pub(crate) fn unpark(domain: DomainId) {
    let forget = |parked: &[Cell<Parked>; REMEMBERED]| {
        let parked = &parked[place_of(domain)];
        if parked.get().domain == domain {
            parked.set(NOT_PARKED);
        }
    };
    let _ = PARKED.try_with(forget); // An error: there is nothing to forget any more.
}

#[inline]
fn place_of(domain: DomainId) -> usize {
    domain as usize % REMEMBERED
}

/// A slot of this domain for the calling thread; it is in nobody else's hands until `put_back`.
#[inline]
pub(crate) fn take(domain: DomainId, slots: &Arc<Slots>) -> &Slot {
    if let Some(mine) = hot()
        && let Some(place) = mine.find(|place| place.domain.get() == domain)
    {
        place.domain.set(NONE);
        // SAFETY: the id is that of the domain in hand, so its slots are alive; the slot is this
        // thread's, and its place no longer has it.
        return unsafe { &*place.slot.get() };
    }
    take_another(domain, slots)
}

#[cold]
fn take_another(domain: DomainId, slots: &Arc<Slots>) -> &Slot {
    let held = with_mine(|mine| {
        // No code of others runs while it is borrowed.
        let mut others = mine.others.borrow_mut();
        let found = others.slots.iter().position(|held| held.domain == domain);
        if found.is_none() {
            others.remember(domain, slots);
            mine.forget_those_gone(&others);
        }
        found.map(|at| others.slots.swap_remove(at).slot)
    });
    match held {
        // SAFETY: as in `take`.
        Some(Some(slot)) => unsafe { &*slot },
        _ => slots.claim(),
    }
}

/// Keeps a slot for the next guard of this thread, with what is reserved in it; false if the thread
/// is ending and the slot has gone back.
///
/// # Safety
///
/// `slot` came from `take` with the same domain, on this thread, and is not used again.
#[inline]
pub(crate) unsafe fn put_back(domain: DomainId, slots: &Arc<Slots>, slot: &Slot) -> bool {
    if let Some(mine) = hot()
        && let Some(place) = mine.find(|place| std::ptr::eq(place.slot.get(), slot))
    {
        place.domain.set(domain);
        return true;
    }
    let is_kept = with_mine(|mine| mine.make_known(Held { domain, slot })).is_some();
    if !is_kept {
        // SAFETY: the caller's promise. The thread is ending.
        unsafe { slots.give_up(slot) };
    }
    is_kept
}

/// As [`put_back`], and remembers what is reserved.
///
/// # Safety
///
/// As for `put_back`; and `pointer` is what stands in the slot.
#[inline]
pub(crate) unsafe fn park(domain: DomainId, slots: &Arc<Slots>, slot: &Slot, pointer: *const ()) {
    // SAFETY: the caller's promise.
    let is_kept = unsafe { put_back(domain, slots, slot) };
    if is_kept && !pointer.is_null() {
        let remember = |parked: &[Cell<Parked>; REMEMBERED]| {
            parked[place_of(domain)].set(Parked { domain, pointer });
        };
        let _ = PARKED.try_with(remember); // An error: then it is not remembered.
    }
}

impl Place {
    const fn new() -> Place {
        Place {
            domain: Cell::new(NONE),
            slot: Cell::new(std::ptr::null()),
        }
    }

    fn get(&self) -> Held {
        Held {
            domain: self.domain.get(),
            slot: self.slot.get(),
        }
    }

    fn put(&self, held: Held) {
        self.domain.set(held.domain);
        self.slot.set(held.slot);
    }
}

impl Mine {
    /// The first place is the one that nearly everybody is looking for.
    #[inline]
    fn find(&self, is_wanted: impl Fn(&Place) -> bool) -> Option<&Place> {
        let [first, others @ ..] = &self.at_hand;
        if is_wanted(first) {
            return Some(first);
        }
        others.iter().find(|place| is_wanted(place))
    }

    /// Finds a place for a slot that has none. Where more are in use than there are places, the
    /// last place is for the latest.
    #[cold]
    fn make_known(&self, latest: Held) {
        let unused = self.find(|place| place.slot.get().is_null());
        let place = unused.unwrap_or(&self.at_hand[AT_HAND - 1]);
        let before = place.get();
        place.put(latest);
        // A slot that a guard has is told of again when it comes back.
        if before.domain != NONE {
            self.others.borrow_mut().slots.push(before);
        }
    }

    fn forget_those_gone(&self, others: &Others) {
        for place in &self.at_hand {
            let domain = place.domain.get();
            if domain != NONE && !is_home(&others.homes, domain) {
                place.put(NOTHING);
            }
        }
    }
}

impl Others {
    /// Makes sure that what is about to be claimed goes back when the thread ends, and forgets
    /// domains that are gone.
    fn remember(&mut self, domain: DomainId, slots: &Arc<Slots>) {
        self.homes.retain(|(_, home)| home.strong_count() > 0);
        let homes = &self.homes;
        self.slots.retain(|held| is_home(homes, held.domain));
        if !is_home(homes, domain) {
            self.homes.push((domain, downgrade(slots)));
        }
    }
}

fn is_home(homes: &[(DomainId, Weak<Slots>)], id: DomainId) -> bool {
    homes.iter().any(|(home, _)| *home == id)
}

impl Drop for Mine {
    fn drop(&mut self) {
        let _ = HOT.try_with(|hot| hot.set(std::ptr::null()));
        let _ = PARKED.try_with(|parked| parked.iter().for_each(|parked| parked.set(NOT_PARKED)));
        let others = self.others.get_mut();
        let at_hand = self.at_hand.iter().map(Place::get);
        for held in others.slots.drain(..).chain(at_hand) {
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
