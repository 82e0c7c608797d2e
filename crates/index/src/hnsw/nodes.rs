//! The nodes of a graph and their links.

use crate::sync::{AtomicU8, AtomicU32, AtomicU64, Ordering, PIECE};

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    /// There is none.
    Free,
    /// It has no links yet, and nothing links to it.
    Pending,
    /// It is part of the graph.
    Linked,
    /// It is passed through, but not found: links to it are still there.
    Removed,
    /// It was removed before it was linked.
    Dropped,
}

impl State {
    fn of(byte: u8) -> State {
        match byte {
            1 => State::Pending,
            2 => State::Linked,
            3 => State::Removed,
            4 => State::Dropped,
            _ => State::Free,
        }
    }

    fn is_findable(self) -> bool {
        matches!(self, State::Pending | State::Linked)
    }
}

/// What is known of a node beside its links. Level and place change only while nobody walks.
#[derive(Debug)]
struct Head {
    state: AtomicU8,
    level: u8,
    /// Where its links above the base level begin: one list for each level.
    upper: u32,
}

/// Lists of links with room for a fixed number each. Growing moves none of them.
#[derive(Debug)]
struct Lists {
    width: usize,
    pieces: Vec<Box<[AtomicU32]>>,
}

impl Lists {
    fn new(width: usize) -> Self {
        Self {
            width,
            pieces: Vec::new(),
        }
    }

    fn reach(&mut self, lists: usize) {
        while self.pieces.len() * PIECE < lists {
            let slots = (0..PIECE * self.width).map(|_| AtomicU32::new(0));
            self.pieces.push(slots.collect());
        }
    }

    #[inline]
    fn get(&self, list: usize) -> &[AtomicU32] {
        let from = list % PIECE * self.width;
        let piece = self.pieces.get(list / PIECE);
        piece.map_or(&[], |piece| &piece[from..from + self.width])
    }
}

/// Nodes by row. Added and taken away by whoever has them alone; links are read and written
/// side by side: a list that is read while it is written may mix old links with new ones, all of
/// which lead to nodes that can be read.
#[derive(Debug)]
pub(crate) struct Nodes {
    heads: Vec<Head>,
    /// A bit for each row whose node may be found, so that walks, which ask for every candidate,
    /// have the answers in a near cache. Set when a node is added, taken away with its state.
    findable: Vec<AtomicU64>,
    base: Lists,
    upper: Lists,
    /// Lists of `upper` that were given out, and those that came back, by how many lie together.
    upper_used: usize,
    upper_free: Vec<Vec<u32>>,
}

impl Nodes {
    /// Nodes of up to `degree` links, twice as many on the base level.
    pub(crate) fn new(degree: usize) -> Self {
        Self {
            heads: Vec::new(),
            findable: Vec::new(),
            base: Lists::new(2 * degree),
            upper: Lists::new(degree),
            upper_used: 0,
            upper_free: Vec::new(),
        }
    }

    /// One more than the highest row.
    pub(crate) fn rows(&self) -> usize {
        self.heads.len()
    }

    /// A node without links, reaching up to `level`.
    pub(crate) fn add(&mut self, row: u32, level: usize) {
        let row = row as usize;
        while self.heads.len() <= row {
            self.heads.push(Head {
                state: AtomicU8::new(State::Free as u8),
                level: 0,
                upper: 0,
            });
        }
        let words = self.heads.len().div_ceil(u64::BITS as usize);
        self.findable.resize_with(words, AtomicU64::default);
        self.base.reach(row + 1);
        let upper = self.take_upper(level);
        self.heads[row] = Head {
            state: AtomicU8::new(State::Pending as u8),
            level: level as u8,
            upper,
        };
        self.set_findable(row as u32, true);
        for level in 0..=level {
            self.set_links(row as u32, level, &[]);
        }
    }

    fn take_upper(&mut self, levels: usize) -> u32 {
        if levels == 0 {
            return 0;
        }
        if let Some(place) = self.upper_free.get_mut(levels).and_then(Vec::pop) {
            return place;
        }
        let place = self.upper_used;
        self.upper_used += levels;
        self.upper.reach(self.upper_used);
        place as u32
    }

    /// Takes a node away, to which nothing links any more.
    pub(crate) fn free(&mut self, row: u32) {
        let Some(head) = self.heads.get_mut(row as usize) else {
            return;
        };
        head.state = AtomicU8::new(State::Free as u8);
        self.set_findable(row, false);
        let head = &self.heads[row as usize];
        let (levels, place) = (head.level as usize, head.upper);
        if levels > 0 {
            if self.upper_free.len() <= levels {
                self.upper_free.resize(levels + 1, Vec::new());
            }
            self.upper_free[levels].push(place);
        }
    }

    #[inline]
    pub(crate) fn state(&self, row: u32) -> State {
        let head = self.heads.get(row as usize);
        head.map_or(State::Free, |head| {
            State::of(head.state.load(Ordering::Acquire))
        })
    }

    /// Whether the node is in a state in which it may be found.
    #[inline]
    pub(crate) fn is_findable(&self, row: u32) -> bool {
        let word = self.findable.get((row / u64::BITS) as usize);
        word.is_some_and(|word| word.load(Ordering::Acquire) >> (row % u64::BITS) & 1 != 0)
    }

    /// Whether the node is part of the graph, removed or not.
    pub(crate) fn is_linked(&self, row: u32) -> bool {
        matches!(self.state(row), State::Linked | State::Removed)
    }

    fn set_findable(&self, row: u32, findable: bool) {
        let Some(word) = self.findable.get((row / u64::BITS) as usize) else {
            return;
        };
        let bit = 1 << (row % u64::BITS);
        if findable {
            word.fetch_or(bit, Ordering::Release);
        } else {
            word.fetch_and(!bit, Ordering::Release);
        }
    }

    /// From one state to another, unless it is in a third. No node becomes findable by that.
    pub(crate) fn change(&self, row: u32, from: State, to: State) -> bool {
        let Some(head) = self.heads.get(row as usize) else {
            return false;
        };
        let changed =
            head.state
                .compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire);
        if changed.is_ok() && !to.is_findable() {
            self.set_findable(row, false);
        }
        changed.is_ok()
    }

    /// Takes a node out of what may be found; whether it was linked, so that links to it are to be
    /// led around it. A node that is not linked yet is dropped instead, by
    /// [`finish_linking`](Nodes::finish_linking) or whoever wants to link it.
    pub(crate) fn withdraw(&self, row: u32) -> bool {
        let was_linked = || self.change(row, State::Linked, State::Removed);
        // It may be linked between the first look and the second.
        was_linked() || (!self.change(row, State::Pending, State::Dropped) && was_linked())
    }

    /// The node has its links; whether it was withdrawn meanwhile, so that they are to be led around
    /// it.
    pub(crate) fn finish_linking(&self, row: u32) -> bool {
        !self.change(row, State::Pending, State::Linked)
            && self.change(row, State::Dropped, State::Removed)
    }

    /// The highest level on which the node has links.
    #[inline]
    pub(crate) fn level(&self, row: u32) -> usize {
        self.heads
            .get(row as usize)
            .map_or(0, |head| head.level.into())
    }

    fn slots(&self, row: u32, level: usize) -> &[AtomicU32] {
        if level == 0 {
            return self.base.get(row as usize);
        }
        match self.heads.get(row as usize) {
            Some(head) if level <= head.level.into() => {
                self.upper.get(head.upper as usize + level - 1)
            }
            _ => &[],
        }
    }

    /// Where the node links to on a level.
    #[inline]
    pub(crate) fn links(&self, row: u32, level: usize) -> impl Iterator<Item = u32> + '_ {
        // What a link leads to was written before the link.
        let links = self
            .slots(row, level)
            .iter()
            .map(|slot| slot.load(Ordering::Acquire));
        links.map_while(|link| link.checked_sub(1))
    }

    /// Asks for the links of a node before they are needed.
    #[inline]
    pub(crate) fn fetch(&self, row: u32, level: usize) {
        cortica_simd::prefetch_row(self.slots(row, level));
    }

    /// Replaces the links of a node; by one writer of the node at a time. What has no room is left
    /// out.
    pub(crate) fn set_links(&self, row: u32, level: usize, links: &[u32]) {
        let slots = self.slots(row, level);
        // From the end: what lies behind the old one may be left over from a longer list, and is
        // not to be read as a link once that one is written over.
        if let Some(end) = slots.get(links.len()) {
            end.store(0, Ordering::Release);
        }
        for (slot, link) in slots.iter().zip(links).rev() {
            slot.store(link + 1, Ordering::Release);
        }
    }

    /// Adds a link where there is room; by one writer of the node at a time. True also where the
    /// link was there.
    pub(crate) fn add_link(&self, row: u32, level: usize, link: u32) -> bool {
        let slots = self.slots(row, level);
        for (at, slot) in slots.iter().enumerate() {
            match slot.load(Ordering::Relaxed) {
                0 => {
                    // The end first: what lies behind may be left over from a longer list.
                    if let Some(end) = slots.get(at + 1) {
                        end.store(0, Ordering::Release);
                    }
                    slot.store(link + 1, Ordering::Release);
                    return true;
                }
                there if there == link + 1 => return true,
                _ => {}
            }
        }
        false
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        let lists = |lists: &Lists| lists.pieces.len() * PIECE * lists.width * size_of::<u32>();
        let heads = self.heads.capacity() * size_of::<Head>();
        let findable = self.findable.capacity() * size_of::<AtomicU64>();
        heads + findable + lists(&self.base) + lists(&self.upper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(nodes: &Nodes, row: u32, level: usize) -> Vec<u32> {
        nodes.links(row, level).collect()
    }

    #[test]
    fn links_are_kept_by_node_and_level() {
        let mut nodes = Nodes::new(2);
        nodes.add(0, 0);
        nodes.add(5_000, 2);
        nodes.add(1, 1);
        nodes.set_links(5_000, 0, &[0, 1, 7, 8, 9]);
        nodes.set_links(5_000, 2, &[3]);
        nodes.set_links(1, 1, &[4]);
        assert_eq!(
            links(&nodes, 5_000, 0),
            [0, 1, 7, 8],
            "as many as there is room for"
        );
        assert_eq!(
            (links(&nodes, 5_000, 1), links(&nodes, 5_000, 2)),
            (vec![], vec![3])
        );
        assert_eq!(links(&nodes, 1, 1), [4]);
        assert_eq!(links(&nodes, 0, 1), [0; 0], "it does not reach that high");
        assert_eq!(links(&nodes, 77, 0), [0; 0], "there is no such node");
    }

    #[test]
    fn shorter_lists_end_and_grow_again() {
        let mut nodes = Nodes::new(2);
        nodes.add(0, 0);
        nodes.set_links(0, 0, &[1, 2, 3, 4]);
        nodes.set_links(0, 0, &[5]);
        assert_eq!(links(&nodes, 0, 0), [5]);
        assert!(nodes.add_link(0, 0, 6) && nodes.add_link(0, 0, 6));
        assert_eq!(
            links(&nodes, 0, 0),
            [5, 6],
            "what was left over is not there"
        );
        assert!(nodes.add_link(0, 0, 7) && nodes.add_link(0, 0, 8) && !nodes.add_link(0, 0, 9));
    }

    #[test]
    fn a_list_that_grows_never_shows_what_was_left_over() {
        let mut nodes = Nodes::new(2);
        nodes.add(0, 0);
        nodes.set_links(0, 0, &[1, 2, 3, 4]);
        nodes.set_links(0, 0, &[5]);
        nodes.set_links(0, 0, &[6, 7, 8]);
        assert_eq!(links(&nodes, 0, 0), [6, 7, 8]);
    }

    #[test]
    fn states_change_only_from_what_they_were() {
        let mut nodes = Nodes::new(2);
        assert_eq!(nodes.state(3), State::Free);
        nodes.add(3, 1);
        assert!(!nodes.change(3, State::Linked, State::Removed));
        assert!(nodes.change(3, State::Pending, State::Linked));
        assert!(nodes.change(3, State::Linked, State::Removed));
        nodes.free(3);
        assert_eq!((nodes.state(3), nodes.state(2)), (State::Free, State::Free));
    }

    #[test]
    fn a_node_may_be_found_from_when_it_is_added_until_it_is_removed() {
        let mut nodes = Nodes::new(2);
        let findable = |nodes: &Nodes| -> Vec<u32> {
            (0..200).filter(|&row| nodes.is_findable(row)).collect()
        };
        for row in [0, 64, 130] {
            nodes.add(row, 0);
        }
        assert_eq!(findable(&nodes), [0, 64, 130]);
        assert!(nodes.change(64, State::Pending, State::Linked));
        assert_eq!(findable(&nodes), [0, 64, 130]);
        assert!(nodes.change(64, State::Linked, State::Removed));
        assert!(nodes.change(0, State::Pending, State::Dropped));
        assert!(
            !nodes.change(130, State::Linked, State::Removed),
            "it is not"
        );
        assert_eq!(findable(&nodes), [130]);
        nodes.free(64);
        nodes.free(130);
        nodes.add(64, 0);
        assert_eq!(findable(&nodes), [64]);
    }

    #[test]
    fn lists_of_freed_nodes_are_used_again() {
        let mut nodes = Nodes::new(2);
        for row in 0..3 {
            nodes.add(row, 2);
        }
        nodes.set_links(1, 2, &[0]);
        nodes.free(1);
        nodes.add(9, 2);
        assert_eq!(nodes.upper_used, 6);
        assert_eq!(links(&nodes, 9, 2), [0; 0]);
    }
}
