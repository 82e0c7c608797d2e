//! A bit for each column.

use crate::sync::{Counter, Relaxed};

/// Bits that say where to look: who finds one looks at the column itself, so they order nothing.
#[derive(Debug)]
pub(crate) struct Bits {
    words: Vec<Counter>,
}

const WORD: usize = u64::BITS as usize;

impl Bits {
    /// So many, all clear.
    pub(crate) fn new(len: usize) -> Bits {
        let words = (0..len.div_ceil(WORD)).map(|_| Counter::new(0));
        Bits {
            words: words.collect(),
        }
    }

    pub(crate) fn set(&self, at: usize) {
        self.words[at / WORD].fetch_or(1 << (at % WORD), Relaxed);
    }

    pub(crate) fn clear(&self, at: usize) {
        self.words[at / WORD].fetch_and(!(1 << (at % WORD)), Relaxed);
    }

    /// Those of a range that are set, in their order.
    pub(crate) fn each_set(&self, first: usize, len: usize, found: impl FnMut(usize)) {
        self.each(first, len, 0, found);
    }

    /// Those of a range that are clear, in their order.
    pub(crate) fn each_clear(&self, first: usize, len: usize, found: impl FnMut(usize)) {
        self.each(first, len, u64::MAX, found);
    }

    fn each(&self, first: usize, len: usize, flip: u64, mut found: impl FnMut(usize)) {
        let end = first + len;
        let mut at = first;
        while at < end {
            let word = at / WORD;
            let upto = end.min((word + 1) * WORD);
            let within = u64::MAX >> (WORD - (upto - at)) << (at % WORD);
            let mut bits = (self.words[word].load(Relaxed) ^ flip) & within;
            while bits != 0 {
                found(word * WORD + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
            at = upto;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_a_plain_list() {
        let mut chance = cortica_env::Seed(8).rng();
        let bits = Bits::new(300);
        let mut plain = [false; 300];
        for _ in 0..2_000 {
            let at = chance.below(300) as usize;
            plain[at] = chance.below(2) == 0;
            if plain[at] {
                bits.set(at);
            } else {
                bits.clear(at);
            }
            let first = chance.below(300) as usize;
            let len = chance.below(301 - first as u64) as usize;
            let (mut set, mut clear) = (Vec::new(), Vec::new());
            bits.each_set(first, len, |at| set.push(at));
            bits.each_clear(first, len, |at| clear.push(at));
            let (want, rest): (Vec<_>, _) = (first..first + len).partition(|&at| plain[at]);
            assert_eq!((set, clear), (want, rest));
        }
    }
}
