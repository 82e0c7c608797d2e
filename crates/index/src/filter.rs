//! Which rows a search may find.

use crate::vector_index::Row;
use std::fmt;

/// A set of rows, a bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowSet {
    words: Vec<u64>,
    len: usize,
}

impl RowSet {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a row; whether it was not there.
    pub fn insert(&mut self, row: Row) -> bool {
        let (word, bit) = place(row);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        let added = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.len += usize::from(added);
        added
    }

    /// Takes a row out; whether it was there.
    pub fn remove(&mut self, row: Row) -> bool {
        let (word, bit) = place(row);
        let removed = self.contains(row);
        if removed {
            self.words[word] &= !bit;
            self.len -= 1;
        }
        removed
    }

    /// Whether a row is in it. O(1).
    #[inline]
    pub fn contains(&self, row: Row) -> bool {
        let (word, bit) = place(row);
        self.words.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The rows, rising.
    pub fn iter(&self) -> impl Iterator<Item = Row> + '_ {
        let of_word = |(word, &bits): (usize, &u64)| {
            (0..u64::BITS)
                .filter(move |bit| bits >> bit & 1 == 1)
                .map(move |bit| Row::new(word as u32 * u64::BITS + bit))
        };
        self.words.iter().enumerate().flat_map(of_word)
    }
}

impl FromIterator<Row> for RowSet {
    fn from_iter<I: IntoIterator<Item = Row>>(rows: I) -> Self {
        let mut set = Self::new();
        for row in rows {
            set.insert(row);
        }
        set
    }
}

fn place(row: Row) -> (usize, u64) {
    let row = row.get();
    ((row / u64::BITS) as usize, 1 << (row % u64::BITS))
}

/// What a search leaves out.
#[derive(Clone, Copy, Default)]
pub enum Filter<'a> {
    /// Nothing.
    #[default]
    All,
    /// Rows that are not in the set.
    Rows(&'a RowSet),
    /// Rows for which it is false. It is asked of rows on the way, some of them more than once, and
    /// must not call the index, which is locked meanwhile.
    Predicate(&'a (dyn Fn(Row) -> bool + Sync)),
}

impl fmt::Debug for Filter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Filter::All => f.write_str("All"),
            Filter::Rows(rows) => write!(f, "Rows({} rows)", rows.len()),
            Filter::Predicate(_) => f.write_str("Predicate"),
        }
    }
}

impl Filter<'_> {
    /// Whether a row may be found.
    #[inline]
    pub(crate) fn lets(&self, row: u32) -> bool {
        match self {
            Filter::All => true,
            Filter::Rows(rows) => rows.contains(Row::new(row)),
            Filter::Predicate(predicate) => predicate(Row::new(row)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut set: RowSet = [5, 64, 5, 1_000].map(Row::new).into_iter().collect();
        assert_eq!(set.len(), 3);
        assert!(set.contains(Row::new(64)) && !set.contains(Row::new(63)));
        assert!(!set.contains(Row::new(u32::MAX)));
        assert!(set.remove(Row::new(64)) && !set.remove(Row::new(64)));
        assert!(!set.remove(Row::new(99_999)));
        assert_eq!(set.iter().map(Row::get).collect::<Vec<_>>(), [5, 1_000]);
        assert!(!set.is_empty() && RowSet::new().is_empty());
    }
}
