//! A set that many threads search and some change: what guards are for, hand over hand.

use std::cmp::Ordering::{Equal, Greater, Less};
use std::fmt;
use std::marker::PhantomData;
use std::mem::swap;
use std::ptr::null_mut;

use crate::strategy::{Protect, Reclaim};
use crate::sync::{Acquire, AtomicPtr, Relaxed, Release};

/// A sorted set as a linked list, without locks. Every operation is O(n) in the smaller keys; for
/// a few hundred keys, or as the buckets of a table.
///
/// A search protects each node before it looks at it, with two guards that pass each other on the
/// way; so it never holds back more than two nodes, however long the list.
///
/// ```
/// use cortica_reclaim::{PublishOnPing, SortedSet};
///
/// let ports = SortedSet::new(&PublishOnPing::new());
/// std::thread::scope(|threads| {
///     threads.spawn(|| ports.insert(80));
///     threads.spawn(|| ports.insert(443));
/// });
/// assert!(ports.contains(&80) && ports.contains(&443));
/// assert_eq!(ports.insert(80), Err(80)); // It is there already, so this one comes back.
/// assert!(ports.remove(&80) && !ports.remove(&80));
/// ```
///
/// After Michael, "High performance dynamic lock-free hash tables and list-based sets", SPAA 2002:
/// whoever removes a node first marks its link, so that nothing can be linked behind it any more,
/// and then takes it out; whoever comes by helps.
pub struct SortedSet<K: Ord + Send + Sync + 'static, R: Reclaim> {
    first: AtomicPtr<Node<K>>,
    domain: R,
    owns: PhantomData<K>,
}

struct Node<K> {
    key: K,
    /// The node behind this one; marked when this one was removed, and not changed from then on.
    next: AtomicPtr<Node<K>>,
}

/// Where a key is, or would be.
struct Place<K> {
    /// The link to `at`: the set's, or that of a node which the guard `behind` protects.
    link: *const AtomicPtr<Node<K>>,
    /// The first node whose key is not smaller, protected by the guard `ahead`; or none.
    at: *mut Node<K>,
    /// Whether that node's key is the one that was looked for.
    found: bool,
}

impl<K: Ord + Send + Sync + 'static, R: Reclaim> SortedSet<K, R> {
    /// An empty set; what is removed from it is retired in `domain`.
    pub fn new(domain: &R) -> SortedSet<K, R> {
        SortedSet {
            first: AtomicPtr::new(null_mut()),
            domain: domain.clone(),
            owns: PhantomData,
        }
    }

    /// Whether the key is in the set.
    pub fn contains(&self, key: &K) -> bool {
        let (mut ahead, mut behind) = (self.domain.guard(), self.domain.guard());
        self.seek(key, &mut ahead, &mut behind).found
    }

    /// Puts the key into the set. One that is there already is handed back.
    ///
    /// # Errors
    ///
    /// The key, if an equal one is there.
    pub fn insert(&self, key: K) -> Result<(), K> {
        let (mut ahead, mut behind) = (self.domain.guard(), self.domain.guard());
        let mut node = Box::new(Node {
            key,
            next: AtomicPtr::new(null_mut()),
        });
        loop {
            let place = self.seek(&node.key, &mut ahead, &mut behind);
            if place.found {
                return Err(node.key);
            }
            node.next.store(place.at, Relaxed); // Published by the exchange below.
            let new = Box::into_raw(node);
            // SAFETY: `behind` protects the node that the link is part of.
            let link = unsafe { &*place.link };
            // Release: who finds the node finds it whole. Fails if the link is marked, too.
            if link
                .compare_exchange(place.at, new, Release, Relaxed)
                .is_ok()
            {
                return Ok(());
            }
            // SAFETY: from the box above, and in nobody else's hands.
            node = unsafe { Box::from_raw(new) };
        }
    }

    /// Takes the key out of the set; says whether this call did.
    pub fn remove(&self, key: &K) -> bool {
        let (mut ahead, mut behind) = (self.domain.guard(), self.domain.guard());
        loop {
            let place = self.seek(key, &mut ahead, &mut behind);
            if !place.found {
                return false;
            }
            // SAFETY: `ahead` protects it, and it was in the set.
            let node = unsafe { &*place.at };
            let next = node.next.load(Acquire);
            // The mark decides who removed it. Relaxed: it publishes nothing, and whoever has seen
            // it, or comes after one who has, will not see the link unmarked again.
            let marks = !is_marked(next)
                && node
                    .next
                    .compare_exchange(next, marked(next), Relaxed, Relaxed)
                    .is_ok();
            if !marks {
                continue; // Another was faster, or linked something behind it.
            }
            // SAFETY: `behind` protects the node that the link is part of, `ahead` this one.
            let out = unsafe { take_out(place.link, place.at, next, &mut ahead) };
            if !out {
                // The link has changed; whoever finds the node next takes it out, at last we.
                self.seek(key, &mut ahead, &mut behind);
            }
            return true;
        }
    }

    /// Finds the place of a key, and takes out the marked nodes before it.
    fn seek<'g, G: Protect>(
        &self,
        key: &K,
        mut ahead: &'g mut G,
        mut behind: &'g mut G,
    ) -> Place<K> {
        'again: loop {
            let mut link: *const AtomicPtr<Node<K>> = &raw const self.first;
            let mut expected = self.first.load(Relaxed); // Looked at once more before it is used.
            loop {
                // SAFETY: the set's own link, or that of a node that `behind` protects.
                let at = ahead.protect_expected(unsafe { &*link }, expected);
                if at != expected && is_marked(at) {
                    // The node behind us was removed; what its link says need not be in the set.
                    continue 'again;
                }
                // SAFETY: `ahead` protects it: an unmarked link was in the list when it was
                // looked at, and so was what it points to; it is retired after it was taken out.
                let Some(node) = (unsafe { at.as_ref() }) else {
                    return Place {
                        link,
                        at,
                        found: false,
                    };
                };
                // Acquire: what is behind it is loaded through this or after it.
                let next = node.next.load(Acquire);
                if is_marked(next) {
                    // SAFETY: as above.
                    if !unsafe { take_out(link, at, unmarked(next), ahead) } {
                        continue 'again;
                    }
                    expected = unmarked(next);
                    continue;
                }
                match node.key.cmp(key) {
                    Less => {
                        link = &raw const node.next;
                        expected = next;
                        swap(&mut ahead, &mut behind);
                    }
                    found @ (Equal | Greater) => {
                        return Place {
                            link,
                            at,
                            found: found == Equal,
                        };
                    }
                }
            }
        }
    }
}

/// Makes `link` pass by the marked node `at`; whoever succeeds retires the node.
///
/// # Safety
///
/// `link` is the set's or part of a protected node, and `at` is protected; both were in the set.
unsafe fn take_out<K: Send, G: Protect>(
    link: *const AtomicPtr<Node<K>>,
    at: *mut Node<K>,
    next: *mut Node<K>,
    guard: &mut G,
) -> bool {
    // SAFETY: the caller's promise.
    let link = unsafe { &*link };
    // Release: whoever finds the next node here comes after the marks that we have seen, and so
    // does who takes that one out; a search that validates later finds its own link marked.
    let out = link.compare_exchange(at, next, Release, Relaxed).is_ok();
    if out {
        // SAFETY: nodes come from boxes. It was linked from one place, which is ours no more, and
        // the exchange succeeds for one thread.
        unsafe { guard.retire(at) };
    }
    out
}

/// The lowest bit of a pointer to a node is free: nodes are aligned to words.
const MARK: usize = 1;

fn is_marked<K>(link: *mut Node<K>) -> bool {
    link.addr() & MARK != 0
}

fn marked<K>(link: *mut Node<K>) -> *mut Node<K> {
    link.map_addr(|address| address | MARK)
}

fn unmarked<K>(link: *mut Node<K>) -> *mut Node<K> {
    link.map_addr(|address| address & !MARK)
}

impl<K: Ord + Send + Sync + 'static, R: Reclaim> Drop for SortedSet<K, R> {
    fn drop(&mut self) {
        // Relaxed: whoever made `&mut self` out of shares of it ordered everything before.
        let mut next = self.first.load(Relaxed);
        while !next.is_null() {
            // SAFETY: in the list, so not retired; nobody else has the set. A marked link points
            // behind its node like any other.
            let node = unsafe { Box::from_raw(next) };
            next = unmarked(node.next.load(Relaxed));
        }
    }
}

impl<K: Ord + Send + Sync + 'static, R: Reclaim> fmt::Debug for SortedSet<K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SortedSet").finish_non_exhaustive()
    }
}
