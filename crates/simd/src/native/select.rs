//! Picking the scores that reach a limit.

use crate::isa::Isa;
use crate::top_k::Scored;

/// A way to pick that this machine has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    /// For the messages of tests.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the messages of tests"))]
    pub(crate) name: &'static str,
    at_least: unsafe fn(&[f32], f32, u32, &mut Vec<Scored>),
}

const PORTABLE: Path = Path {
    name: "portable",
    at_least: portable,
};

/// Scores that are looked at together; most often none of them is picked.
const BLOCK: usize = 64;

impl Path {
    /// The fastest that `isa` allows.
    pub(crate) fn of(isa: Isa) -> Path {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if isa.is_available() => avx512::PATH,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 if isa.is_available() => avx2::PATH,
            _ => PORTABLE,
        }
    }

    /// Every one this machine has.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Path> {
        Isa::ALL.into_iter().map(Path::of).collect()
    }

    /// Appends row `first + i` for every `scores[i] >= limit`.
    pub(crate) fn at_least(self, scores: &[f32], limit: f32, first: u32, found: &mut Vec<Scored>) {
        // SAFETY: `of` gives out a path only where this machine has been seen to have the features
        // that its function is compiled for.
        unsafe { (self.at_least)(scores, limit, first, found) }
    }
}

#[inline(always)]
fn portable(scores: &[f32], limit: f32, first: u32, found: &mut Vec<Scored>) {
    for (number, block) in scores.chunks(BLOCK).enumerate() {
        // Without a branch for each score the compiler compares many at once.
        let any = block
            .iter()
            .fold(0, |any, &score| any | u32::from(score >= limit));
        if any != 0 {
            for (at, &score) in block.iter().enumerate() {
                if score >= limit {
                    let row = first.wrapping_add((number * BLOCK + at) as u32);
                    found.push(Scored { row, score });
                }
            }
        }
    }
}

/// Appends the scores of a block whose bits are set. `first` is the row of the first of them.
#[inline(always)]
fn append(block: &[f32; BLOCK], mut reached: u64, first: u32, found: &mut Vec<Scored>) {
    while reached != 0 {
        let at = reached.trailing_zeros();
        let score = block[at as usize];
        let row = first.wrapping_add(at);
        found.push(Scored { row, score });
        reached &= reached - 1;
    }
}

/// One module per instruction set. `reaches` compares a block with the limit: a bit for each score
/// that reaches it. Most often there is none.
macro_rules! kernel {
    ($module:ident, $features:literal, $($item:item)*) => {
        mod $module {
            use super::{BLOCK, Scored, append, portable};
            $($item)*

            pub(super) const PATH: super::Path = super::Path {
                name: stringify!($module),
                at_least,
            };

            #[target_feature(enable = $features)]
            fn at_least(scores: &[f32], limit: f32, first: u32, found: &mut Vec<Scored>) {
                let (blocks, tail) = scores.as_chunks::<BLOCK>();
                let mut row = first;
                for block in blocks {
                    append(block, reaches(block, limit), row, found);
                    row = row.wrapping_add(BLOCK as u32);
                }
                portable(tail, limit, row, found);
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
kernel! {
    avx2, "avx2",

    use crate::native::x86::load_f32s_256;
    use std::arch::x86_64::{_CMP_GE_OQ, _mm256_cmp_ps, _mm256_movemask_ps, _mm256_set1_ps};

    #[inline]
    #[target_feature(enable = "avx2")]
    fn reaches(block: &[f32; BLOCK], limit: f32) -> u64 {
        let limits = _mm256_set1_ps(limit);
        let mut reached = 0;
        for (at, vector) in block.as_chunks::<8>().0.iter().enumerate() {
            // SAFETY: a vector is 8 values.
            let values = unsafe { load_f32s_256(vector.as_ptr()) };
            let mask = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(values, limits));
            reached |= u64::from(mask as u8) << (8 * at);
        }
        reached
    }
}

#[cfg(target_arch = "x86_64")]
kernel! {
    avx512, "avx512f",

    use crate::native::x86::load_f32s_512;
    use std::arch::x86_64::{_CMP_GE_OQ, _mm512_cmp_ps_mask, _mm512_set1_ps};

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn reaches(block: &[f32; BLOCK], limit: f32) -> u64 {
        let limits = _mm512_set1_ps(limit);
        let mut reached = 0;
        for (at, vector) in block.as_chunks::<16>().0.iter().enumerate() {
            // SAFETY: a vector is 16 values.
            let values = unsafe { load_f32s_512(vector.as_ptr()) };
            let mask = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(values, limits);
            reached |= u64::from(mask) << (16 * at);
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::tests::bits;

    #[test]
    fn every_path_picks_the_same_rows() {
        let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 0.5];
        let limits = [f32::NEG_INFINITY, -0.5, 0.0, 0.5, f32::INFINITY, f32::NAN];
        for path in Path::all() {
            for count in (0..=130).chain([1_000]) {
                let mut scores: Vec<f32> = bits(count as u64)
                    .map(|bits| (bits % 64) as f32 / 32.0 - 1.0)
                    .take(count)
                    .collect();
                for (at, score) in scores.iter_mut().enumerate().filter(|(at, _)| at % 7 == 3) {
                    *score = special[at % special.len()];
                }
                for limit in limits {
                    let mut found = vec![Scored { row: 5, score: 1.0 }];
                    path.at_least(&scores, limit, 1_000, &mut found);
                    assert_eq!(found.remove(0), Scored { row: 5, score: 1.0 }, "appended");
                    let numbers = (1_000..).zip(&scores).filter(|&(_, &score)| score >= limit);
                    let want: Vec<Scored> =
                        numbers.map(|(row, &score)| Scored { row, score }).collect();
                    assert_eq!(found, want, "{} of {count}, limit {limit}", path.name);
                }
            }
        }
    }
}
