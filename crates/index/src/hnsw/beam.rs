//! The best nodes a walk has seen, and which of them it has still to go on from.

/// A node and how near it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Near {
    pub(crate) key: f32,
    pub(crate) row: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    near: Near,
    /// Its links have not been followed.
    open: bool,
    /// It may be found; others are only passed through.
    eligible: bool,
}

/// Nodes by key, best first: the `width` best that may be found, and all that are no farther but
/// may only be passed through.
///
/// A flat list: inserting moves what lies behind, which for the usual widths costs less than a heap
/// does, and the next to go on from is found without looking.
#[derive(Clone, Debug, Default)]
pub(crate) struct Beam {
    width: usize,
    entries: Vec<Entry>,
    eligible: usize,
    /// No entry before it is open.
    next: usize,
    /// What is above it has a place.
    limit: f32,
}

impl Beam {
    /// Forgets everything; holds `width` nodes from now on, at least one.
    pub(crate) fn restart(&mut self, width: usize) {
        self.width = width.max(1);
        self.entries.clear();
        self.eligible = 0;
        self.next = 0;
        self.limit = f32::NEG_INFINITY;
    }

    /// Holds these instead, which come best first and may be found; as many as there is place for.
    pub(crate) fn refill(&mut self, nears: &[Near]) {
        self.restart(self.width);
        let entries = nears.iter().take(self.width).map(|&near| Entry {
            near,
            open: false,
            eligible: true,
        });
        self.entries.extend(entries);
        self.eligible = self.entries.len();
        self.set_limit();
    }

    fn set_limit(&mut self) {
        if let (true, Some(last)) = (self.eligible >= self.width, self.entries.last()) {
            self.limit = last.near.key;
        }
    }

    /// Whether a node with this key has a place. None is infinitely far.
    #[inline]
    pub(crate) fn takes(&self, key: f32) -> bool {
        key > self.limit
    }

    /// Takes a node if it has a place. Of equal keys the first stays.
    #[inline]
    pub(crate) fn offer(&mut self, near: Near, eligible: bool) {
        if !self.takes(near.key) {
            return;
        }
        let at = self
            .entries
            .partition_point(|entry| entry.near.key >= near.key);
        let entry = Entry {
            near,
            open: true,
            eligible,
        };
        self.entries.insert(at, entry);
        self.next = self.next.min(at);
        self.eligible += usize::from(eligible);
        if self.eligible >= self.width {
            self.cut();
            self.set_limit();
        }
    }

    /// Drops what lies behind the `width`-th node that may be found.
    fn cut(&mut self) {
        while let Some(last) = self.entries.last() {
            let surplus = self.eligible > self.width;
            if !surplus && last.eligible {
                break;
            }
            self.eligible -= usize::from(last.eligible);
            self.entries.pop();
        }
    }

    /// The best node whose links were not followed yet, and whether it may be found; it is taken
    /// for followed.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<(u32, bool)> {
        let open = self
            .entries
            .get(self.next..)?
            .iter()
            .position(|entry| entry.open)?;
        self.next += open;
        let entry = &mut self.entries[self.next];
        entry.open = false;
        Some((entry.near.row, entry.eligible))
    }

    /// The node that [`next`](Beam::next) would give, as far as is known now.
    #[inline]
    pub(crate) fn peek(&self) -> Option<u32> {
        let rest = self.entries.get(self.next..)?;
        rest.iter()
            .find(|entry| entry.open)
            .map(|entry| entry.near.row)
    }

    /// What may be found, best first.
    pub(crate) fn found(&self) -> impl Iterator<Item = Near> + Clone + '_ {
        let eligible = self.entries.iter().filter(|entry| entry.eligible);
        eligible.map(|entry| entry.near)
    }

    /// The best of all, whether it may be found or not.
    pub(crate) fn best(&self) -> Option<Near> {
        self.entries.first().map(|entry| entry.near)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beam(width: usize, offers: &[(f32, bool)]) -> Beam {
        let mut beam = Beam::default();
        beam.restart(width);
        for (row, &(key, eligible)) in (0..).zip(offers) {
            beam.offer(Near { key, row }, eligible);
        }
        beam
    }

    fn rows(beam: &Beam) -> Vec<u32> {
        beam.found().map(|near| near.row).collect()
    }

    #[test]
    fn the_best_stay_in_order_and_ties_keep_the_first() {
        let beam = beam(
            3,
            &[
                (1.0, true),
                (3.0, true),
                (2.0, true),
                (1.0, true),
                (5.0, true),
            ],
        );
        assert_eq!(rows(&beam), [4, 1, 2]);
        assert!(!beam.takes(2.0) && beam.takes(2.1) && !beam.takes(f32::NAN));
    }

    #[test]
    fn what_may_not_be_found_takes_no_place() {
        let beam = beam(
            2,
            &[
                (9.0, false),
                (1.0, true),
                (8.0, false),
                (2.0, true),
                (3.0, true),
            ],
        );
        assert_eq!(rows(&beam), [4, 3]);
        assert_eq!(beam.best().map(|near| near.row), Some(0));
        assert!(
            !beam.takes(2.0),
            "nothing behind the last that may be found"
        );
    }

    #[test]
    fn nodes_are_followed_once_best_first_also_when_better_ones_come_later() {
        let mut beam = beam(4, &[(1.0, true), (2.0, true)]);
        assert_eq!((beam.peek(), beam.next()), (Some(1), Some((1, true))));
        beam.offer(Near { key: 3.0, row: 7 }, false);
        assert_eq!(
            [beam.next(), beam.next(), beam.next()],
            [Some((7, false)), Some((0, true)), None]
        );
        assert_eq!(beam.peek(), None);
    }
}
