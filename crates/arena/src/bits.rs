//! A bit for each row of a segment.

use std::ops::Range;

use crate::sync::{Acquire, AtomicU64, Release};

const WIDTH: usize = 64;

/// Bits that threads set and clear while others look at them.
pub(crate) struct Bits {
    words: Box<[AtomicU64]>,
    len: usize,
}

impl Bits {
    /// `len` bits, none of them set.
    pub(crate) fn new(len: usize) -> Bits {
        let words = (0..len.div_ceil(WIDTH)).map(|_| AtomicU64::new(0));
        Bits {
            words: words.collect(),
            len,
        }
    }

    /// Whoever sees the bit set sees what this thread did before.
    pub(crate) fn set(&self, at: usize) {
        // Release pairs with the Acquire in `word`, and in `clear`.
        self.words[at / WIDTH].fetch_or(1 << (at % WIDTH), Release);
    }

    /// Whether the bit was set; if so, what was done before that is seen.
    pub(crate) fn clear(&self, at: usize) -> bool {
        let bit = 1 << (at % WIDTH);
        // Acquire: the row may be written again, and must not be while it is being written still.
        self.words[at / WIDTH].fetch_and(!bit, Acquire) & bit != 0
    }

    /// Whether the bit is set; if so, what was done before that is seen.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> bool {
        at < self.len && self.word(at / WIDTH) >> (at % WIDTH) & 1 != 0
    }

    /// The next bits that are all set, from `from` on; each was seen set at some moment of the
    /// call. O(words passed over).
    pub(crate) fn next_run(&self, from: usize) -> Option<Range<usize>> {
        let start = self.next(from, 0)?;
        // Behind it: by now it may be cleared again, and was seen set all the same.
        let end = self.next(start + 1, u64::MAX).unwrap_or(self.len);
        Some(start..end)
    }

    /// The first bit from `from` on that differs from the bits of `all`.
    fn next(&self, from: usize, all: u64) -> Option<usize> {
        let mut at = from;
        while at < self.len {
            let differing = (self.word(at / WIDTH) ^ all) >> (at % WIDTH);
            if differing != 0 {
                let found = at + differing.trailing_zeros() as usize;
                return Some(found).filter(|&found| found < self.len);
            }
            at = (at / WIDTH + 1) * WIDTH;
        }
        None
    }

    #[inline]
    fn word(&self, at: usize) -> u64 {
        self.words[at].load(Acquire)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn runs(bits: &Bits) -> Vec<Range<usize>> {
        let mut from = 0;
        std::iter::from_fn(|| {
            let run = bits.next_run(from)?;
            from = run.end;
            Some(run)
        })
        .collect()
    }

    fn check(len: usize, set: impl Fn(usize) -> bool) {
        let bits = Bits::new(len);
        (0..len).filter(|&at| set(at)).for_each(|at| bits.set(at));
        let found: Vec<usize> = runs(&bits).into_iter().flatten().collect();
        let want: Vec<usize> = (0..len).filter(|&at| set(at)).collect();
        assert_eq!(found, want);
        assert!(runs(&bits).iter().all(|run| !run.is_empty()));
        assert!(runs(&bits).windows(2).all(|two| two[0].end < two[1].start));
        for at in 0..len + 70 {
            assert_eq!(bits.get(at), at < len && set(at));
        }
    }

    #[test]
    fn runs_are_the_longest_there_are() {
        for len in [0, 1, 63, 64, 65, 128, 200] {
            check(len, |_| false);
            check(len, |_| true);
            check(len, |at| at % 3 != 1);
            check(len, |at| !(60..70).contains(&at));
            check(len, |at| at + 1 == len);
            check(len, |at| at / 64 == 1);
        }
    }

    #[test]
    fn clearing_says_whether_there_was_anything_to_clear() {
        let bits = Bits::new(100);
        bits.set(70);
        assert!(!bits.clear(6));
        assert!(bits.clear(70));
        assert!(!bits.clear(70));
    }
}
