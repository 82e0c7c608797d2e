//! The best nodes a walk has seen, and which of them it has still to go on from.

use std::iter::zip;

/// A node and how near it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Near {
    pub(crate) key: f32,
    pub(crate) row: u32,
}

/// What is known of a node beside its key.
#[derive(Clone, Copy, Debug)]
struct Node {
    row: u32,
    /// Its links have not been followed.
    open: bool,
    /// It may be found; others are only passed through.
    eligible: bool,
    /// How many of the same vector are before it, among those that may be found. Only the first
    /// takes one of the beam's places.
    copy: u16,
}

impl Node {
    fn is_counted(self) -> bool {
        self.eligible && self.copy == 0
    }
}

/// Nodes by key, best first: the `width` best that may be found and differ, and all that are no
/// farther but may only be passed through or are copies: where all have dozens of copies, a beam of
/// those would hold few that differ, and end far from the nearest.
///
/// A flat list: inserting moves what lies behind, which for the usual widths costs less than a heap
/// does, and the next to go on from is found without looking. Keys lie by themselves, so that many
/// are compared at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Beam {
    width: usize,
    keys: Vec<f32>,
    nodes: Vec<Node>,
    /// Nodes that take a place, and those that may be found and take none.
    counted: usize,
    copies: usize,
    /// Copies of one vector whose links are followed.
    followed: u16,
    /// No node before it is open.
    next: usize,
    /// What is above it has a place.
    limit: f32,
}

/// So many keys are counted rather than searched: no step has to wait for the one before.
const COUNTED: usize = 128;

/// Copies that take no place, of all nodes together: more take places like others. It bounds what
/// a walk costs where all are copies.
const COPIES_MAX: usize = 8_192;

/// Nodes with the same key that are asked, from the last on, whether one is a copy of them. Where
/// many that differ are as near, as sign codes may say, it bounds what asking costs.
const ASKED: usize = 8;

/// Copies of one vector whose links are followed while linking: all are near the same, and some tens
/// of links tell what there is. The others are only found.
const FOLLOWED: u16 = 4;

impl Beam {
    /// Forgets everything; holds `width` nodes from now on, at least one.
    pub(crate) fn restart(&mut self, width: usize) {
        self.width = width.max(1);
        self.keys.clear();
        self.nodes.clear();
        self.counted = 0;
        self.copies = 0;
        self.followed = FOLLOWED;
        self.next = 0;
        self.limit = f32::NEG_INFINITY;
    }

    /// Nodes that it has memory for.
    pub(crate) fn room(&self) -> usize {
        self.nodes.capacity()
    }

    /// Holds these instead, which come best first and may be found; as many as there is place for.
    pub(crate) fn refill(&mut self, nears: &[Near]) {
        self.restart(self.width);
        let nears = nears.get(..self.width).unwrap_or(nears);
        self.keys.extend(nears.iter().map(|near| near.key));
        self.nodes.extend(nears.iter().map(|near| Node {
            row: near.row,
            open: false,
            eligible: true,
            copy: 0,
        }));
        self.counted = self.nodes.len();
        self.set_limit();
    }

    /// Follows the links of enough copies from now on for a search to find `k` of one vector.
    pub(crate) fn follow_for(&mut self, k: usize) {
        let enough = u16::try_from(k).unwrap_or(u16::MAX);
        self.followed = enough.max(FOLLOWED);
    }

    fn set_limit(&mut self) {
        if let (true, Some(&last)) = (self.counted >= self.width, self.keys.last()) {
            self.limit = last;
        }
    }

    /// What is above it has a place now.
    #[inline]
    pub(crate) fn limit(&self) -> f32 {
        self.limit
    }

    /// Whether a node with this key has a place. None is infinitely far.
    #[inline]
    pub(crate) fn takes(&self, key: f32) -> bool {
        key > self.limit
    }

    /// How many nodes are no farther than this key.
    #[inline]
    fn place_of(&self, key: f32) -> usize {
        let mut keys = &self.keys[..];
        let mut before = 0;
        while keys.len() > COUNTED {
            let (near, far) = keys.split_at(keys.len() / 2);
            if far.first().is_some_and(|&first| first >= key) {
                before += near.len();
                keys = far;
            } else {
                keys = near;
            }
        }
        let no_farther = keys.iter().map(|&other| u32::from(other >= key));
        before + no_farther.sum::<u32>() as usize
    }

    /// Takes a node if it has a place. Of equal keys the first stays. `same` tells of two rows
    /// whether their vectors are the same; it is asked of few.
    #[inline]
    pub(crate) fn offer(&mut self, near: Near, eligible: bool, same: impl Fn(u32, u32) -> bool) {
        if !self.takes(near.key) {
            return;
        }
        let at = self.place_of(near.key);
        let mut copy = 0;
        if eligible && at > 0 && self.keys[at - 1] == near.key {
            copy = self.copies_before(at, near, same);
            // As many as a search may want to find.
            if usize::from(copy) >= self.width {
                return;
            }
        }
        self.keys.insert(at, near.key);
        let node = Node {
            row: near.row,
            open: copy < self.followed,
            eligible,
            copy,
        };
        self.nodes.insert(at, node);
        self.next = self.next.min(at);
        self.copies += usize::from(copy > 0);
        self.counted += usize::from(node.is_counted());
        if self.counted >= self.width {
            self.cut();
            self.set_limit();
        }
    }

    /// How many nodes before a place are the same vector as one that is to go there.
    #[cold]
    fn copies_before(&self, place: usize, near: Near, same: impl Fn(u32, u32) -> bool) -> u16 {
        if self.copies >= COPIES_MAX {
            return 0;
        }
        let alike = zip(&self.keys[..place], &self.nodes[..place]).rev();
        let mut alike = alike.take_while(|(key, _)| **key == near.key);
        let eligible = alike
            .by_ref()
            .map(|(_, node)| node)
            .filter(|node| node.eligible);
        let original = eligible.take(ASKED).find(|node| same(node.row, near.row));
        original.map_or(0, |node| node.copy.saturating_add(1))
    }

    /// Drops what lies behind the `width`-th node that takes a place, and its copies.
    fn cut(&mut self) {
        while let Some(last) = self.nodes.last() {
            let surplus = self.counted > self.width;
            if !surplus && last.eligible {
                break;
            }
            self.counted -= usize::from(last.is_counted());
            self.copies -= usize::from(last.copy > 0);
            self.nodes.pop();
        }
        self.keys.truncate(self.nodes.len());
    }

    /// The best node whose links were not followed yet, and whether it may be found; it is taken
    /// for followed.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<(u32, bool)> {
        let open = self
            .nodes
            .get(self.next..)?
            .iter()
            .position(|node| node.open)?;
        self.next += open;
        let node = &mut self.nodes[self.next];
        node.open = false;
        Some((node.row, node.eligible))
    }

    /// The node that [`next`](Beam::next) would give, as far as is known now.
    #[inline]
    pub(crate) fn peek(&self) -> Option<u32> {
        let rest = self.nodes.get(self.next..)?;
        rest.iter().find(|node| node.open).map(|node| node.row)
    }

    /// What may be found, best first.
    pub(crate) fn found(&self) -> impl Iterator<Item = Near> + Clone + '_ {
        let nodes = zip(&self.keys, &self.nodes).filter(|(_, node)| node.eligible);
        nodes.map(|(&key, node)| Near { key, row: node.row })
    }

    /// The best of all, whether it may be found or not.
    pub(crate) fn best(&self) -> Option<Near> {
        let (key, node) = self.keys.first().zip(self.nodes.first())?;
        Some(Near {
            key: *key,
            row: node.row,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beam(width: usize, offers: &[(f32, bool)]) -> Beam {
        let mut beam = Beam::default();
        beam.restart(width);
        for (row, &(key, eligible)) in (0..).zip(offers) {
            beam.offer(Near { key, row }, eligible, |_, _| false);
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
        beam.offer(Near { key: 3.0, row: 7 }, false, |_, _| false);
        assert_eq!(
            [beam.next(), beam.next(), beam.next()],
            [Some((7, false)), Some((0, true)), None]
        );
        assert_eq!(beam.peek(), None);
    }

    /// Rows that are the same tens are copies.
    #[test]
    fn copies_take_no_place_and_those_that_are_as_near_do() {
        let offered = |width: usize, offers: &[(f32, u32)]| {
            let mut beam = Beam::default();
            beam.restart(width);
            for &(key, row) in offers {
                beam.offer(Near { key, row }, true, |a, b| a / 10 == b / 10);
            }
            beam
        };
        let offers = [
            (2.0, 10),
            (3.0, 20),
            (3.0, 21),
            (3.0, 30),
            (3.0, 22),
            (3.0, 23),
        ];
        let beam = offered(3, &offers);
        assert_eq!(
            rows(&beam),
            [20, 21, 30, 22, 10],
            "three of each, three that differ"
        );
        assert!(beam.takes(2.1) && !beam.takes(2.0));

        let beam = offered(2, &offers);
        assert_eq!(rows(&beam), [20, 21, 30], "what is full takes none");

        let many: Vec<_> = (0..8).map(|row| (1.0, row)).collect();
        let mut beam = offered(9, &many);
        assert_eq!(rows(&beam).len(), 8);
        assert_eq!(
            std::iter::from_fn(|| beam.next()).count(),
            usize::from(FOLLOWED)
        );
    }

    #[test]
    fn what_may_not_be_found_is_no_original() {
        let mut beam = Beam::default();
        beam.restart(2);
        for (row, eligible) in [(0, true), (1, false), (2, false), (3, true), (4, false)] {
            beam.offer(Near { key: 1.0, row }, eligible, |_, _| true);
        }
        assert_eq!(rows(&beam), [0, 3]);
        assert_eq!((beam.counted, beam.copies, beam.nodes.len()), (1, 1, 5));
    }
}
