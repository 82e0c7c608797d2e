//! Which slots the calling thread has. Those it used last lie where a few loads find them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::slot::{Slot, Slots};
use crate::sync::{Arc, Counter, Relaxed, Token, TokenWatch, Weak, downgrade, per_thread};

/// A number no two domains of a process share, so that a slot of a domain that is gone is never
/// taken for one of a domain that is there. What was made apart has a number of its own.
pub(crate) type DomainId = u64;

/// What guards are taken from: a domain, or what was made apart of one.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    id: DomainId,
    slots: Arc<Slots>,
    /// As long as there is one, somebody may take a guard by this number.
    token: Token<()>,
}

impl Source {
    pub(crate) fn new(slots: Arc<Slots>) -> Source {
        static NEXT: Counter = Counter::new(1);
        Source {
            id: NEXT.fetch_add(1, Relaxed),
            slots,
            token: Token::new(()),
        }
    }

    pub(crate) fn apart(&self) -> Source {
        Source::new(Arc::clone(&self.slots))
    }

    #[inline]
    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }
}

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
            others: RefCell::new(Others {
                homes: HashMap::with_hasher(BuildHasherDefault::new()),
                sweep_at: 0,
            }),
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
    /// One for every number this thread has a slot by.
    homes: HashMap<DomainId, Home, BuildHasherDefault<Spread>>,
    /// How many homes there are when those that are gone are looked for: twice as many as the last
    /// look left, so that a home costs O(1) looks in its life, and half of them are in use.
    sweep_at: usize,
}

/// What belongs to one number.
struct Home {
    source: TokenWatch<()>,
    slots: Weak<Slots>,
    /// Slots without a guard that are not at hand.
    idle: Vec<*const Slot>,
}

/// Numbers are given out one after another: a multiplication is enough to tell them apart.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
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
pub(crate) fn is_parked(source: &Source, pointer: *const ()) -> bool {
    let domain = source.id;
    let is_here = |parked: &[Cell<Parked>; REMEMBERED]| {
        let parked = parked[place_of(domain)].get();
        parked.pointer == pointer && parked.domain == domain
    };
    PARKED.try_with(is_here).unwrap_or(false)
}

/// Called when a guard gets a slot with a reservation, which it may change.
#[inline]
pub(crate) fn unpark(source: &Source) {
    let domain = source.id;
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
pub(crate) fn take(source: &Source) -> &Slot {
    if let Some(mine) = hot()
        && let Some(place) = mine.find(|place| place.domain.get() == source.id)
    {
        place.domain.set(NONE);
        // SAFETY: the id is that of the domain in hand, so its slots are alive; the slot is this
        // thread's, and its place no longer has it.
        return unsafe { &*place.slot.get() };
    }
    take_another(source)
}

#[cold]
fn take_another(source: &Source) -> &Slot {
    let found = with_mine(|mine| {
        // No code of others runs while it is borrowed.
        let mut others = mine.others.borrow_mut();
        if let Some(home) = others.homes.get_mut(&source.id) {
            return (home.idle.pop(), Vec::new());
        }
        let left = mine.sweep(&mut others);
        others.homes.insert(source.id, Home::of(source));
        (None, left)
    });
    match found {
        // SAFETY: as in `take`.
        Some((Some(slot), _)) => unsafe { &*slot },
        Some((None, left)) => {
            left.into_iter().for_each(Home::give_up); // One of them may be what is claimed next.
            source.slots.claim()
        }
        None => source.slots.claim(),
    }
}

/// Keeps a slot for the next guard of this thread, with what is reserved in it; false if the thread
/// is ending and the slot has gone back.
///
/// # Safety
///
/// `slot` came from `take` with the same domain, on this thread, and is not used again.
#[inline]
pub(crate) unsafe fn put_back(source: &Source, slot: &Slot) -> bool {
    let domain = source.id;
    if let Some(mine) = hot()
        && let Some(place) = mine.find(|place| std::ptr::eq(place.slot.get(), slot))
    {
        place.domain.set(domain);
        return true;
    }
    let is_kept = with_mine(|mine| mine.make_known(Held { domain, slot })).is_some();
    if !is_kept {
        // SAFETY: the caller's promise. The thread is ending.
        unsafe { source.slots.give_up(slot) };
    }
    is_kept
}

/// As [`put_back`], and remembers what is reserved.
///
/// # Safety
///
/// As for `put_back`; and `pointer` is what stands in the slot.
#[inline]
pub(crate) unsafe fn park(source: &Source, slot: &Slot, pointer: *const ()) {
    let domain = source.id;
    // SAFETY: the caller's promise.
    let is_kept = unsafe { put_back(source, slot) };
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
            self.others.borrow_mut().keep(before);
        }
    }

    /// Finds the numbers that nobody takes guards by any more. They make room at hand and, when
    /// there are as many of them as of others, leave for good: their slots are to be given up.
    fn sweep(&self, others: &mut Others) -> Vec<Home> {
        let idle_at_hand = |id: DomainId, home: &mut Home| {
            for place in &self.at_hand {
                if place.domain.get() == id {
                    home.idle.push(place.slot.get());
                    place.put(NOTHING);
                }
            }
        };
        for id in self.at_hand.each_ref().map(|place| place.domain.get()) {
            if let Some(home) = others.homes.get_mut(&id)
                && home.is_gone()
            {
                idle_at_hand(id, home);
            }
        }
        if others.homes.len() < others.sweep_at {
            return Vec::new();
        }
        let gone = others.homes.extract_if(|_, home| home.is_gone());
        let mut gone: Vec<_> = gone.collect();
        // Again, for those of which another thread dropped the last handle just now.
        for (id, home) in &mut gone {
            idle_at_hand(*id, home);
        }
        others.sweep_at = 2 * others.homes.len();
        gone.into_iter().map(|(_, home)| home).collect()
    }
}

impl Others {
    /// What is kept here was taken by a number that has a home.
    fn keep(&mut self, held: Held) {
        if let Some(home) = self.homes.get_mut(&held.domain) {
            home.idle.push(held.slot);
        }
    }
}

impl Home {
    fn of(source: &Source) -> Home {
        Home {
            source: Token::downgrade(&source.token),
            slots: downgrade(&source.slots),
            idle: Vec::new(),
        }
    }

    /// Whether nobody can take guards by this number any more, so that none of its slots is in use.
    fn is_gone(&self) -> bool {
        self.source.strong_count() == 0
    }

    /// Gives the slots back, if the domain is still there. May run destructors of others.
    fn give_up(self) {
        let Some(slots) = self.slots.upgrade() else {
            return;
        };
        for slot in self.idle {
            // SAFETY: the domain is alive in `slots`, and so the slot; it was this thread's, no
            // guard has it, and it has been taken out of all places where one is looked for.
            unsafe { slots.give_up(&*slot) };
        }
    }
}

impl Drop for Mine {
    fn drop(&mut self) {
        let _ = HOT.try_with(|hot| hot.set(std::ptr::null()));
        let _ = PARKED.try_with(|parked| parked.iter().for_each(|parked| parked.set(NOT_PARKED)));
        let others = self.others.get_mut();
        for held in self.at_hand.iter().map(Place::get) {
            others.keep(held);
        }
        // In the order of their numbers: models have to do the same in each run.
        let mut homes: Vec<_> = others.homes.drain().collect();
        homes.sort_unstable_by_key(|(id, _)| *id);
        // Destructors run from here cannot come by a slot again: thread-locals are out of reach
        // while they are dropped.
        for (_, home) in homes {
            home.give_up();
        }
    }
}
