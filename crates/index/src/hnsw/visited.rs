//! Which nodes a walk has been to.

/// A bit for each row: small enough to stay in the first-level cache for a hundred thousand rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Visited {
    words: Vec<u64>,
    /// Words that are not 0.
    touched: Vec<u32>,
}

impl Visited {
    /// Forgets every visit; there are `rows` rows from now on.
    pub(crate) fn restart(&mut self, rows: usize) {
        for word in self.touched.drain(..) {
            self.words[word as usize] = 0;
        }
        let words = rows.div_ceil(u64::BITS as usize);
        if self.words.len() < words {
            self.words.resize(words, 0);
        }
    }

    /// Notes a visit; whether it is the first. A row beyond those that there are was visited.
    #[inline]
    pub(crate) fn first(&mut self, row: u32) -> bool {
        let (word, bit) = (row / u64::BITS, 1 << (row % u64::BITS));
        let Some(bits) = self.words.get_mut(word as usize) else {
            return false;
        };
        let first = *bits & bit == 0;
        if *bits == 0 {
            self.touched.push(word);
        }
        *bits |= bit;
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visit_is_the_first_once_until_it_is_forgotten() {
        let mut visited = Visited::default();
        for _ in 0..3 {
            visited.restart(130);
            for row in [0, 63, 64, 129] {
                assert!(visited.first(row) && !visited.first(row), "{row}");
            }
        }
        assert!(!visited.first(192), "there is no such row");
    }
}
