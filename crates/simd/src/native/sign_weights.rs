//! Weighted Hamming distances of sign codes.

use crate::extension::Extension;
use crate::isa::Isa;
use crate::sign_weights::SignWeights;

/// Takes a query's signs, their planes, and the signs of a row.
type Counts = unsafe fn(&[u64], &[[u64; 4]], &[u64]) -> [u64; 4];

/// A way to count weighted bits that this machine has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    /// For the messages of tests.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the messages of tests"))]
    pub(crate) name: &'static str,
    counts: Counts,
}

const PORTABLE: Path = Path {
    name: "portable",
    counts: portable,
};

impl Path {
    /// The fastest that `isa` allows.
    pub(crate) fn of(isa: Isa) -> Path {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if isa.has(Extension::Vpopcntdq) => vpopcntdq::PATH,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 | Isa::Avx512 if isa.is_available() => popcnt::PATH,
            _ => PORTABLE,
        }
    }

    /// Every one this machine has.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Path> {
        Isa::ALL.into_iter().map(Path::of).collect()
    }

    /// The weights of the places in which the signs differ, added up.
    #[inline]
    pub(crate) fn distance(self, query: &SignWeights, row: &[u64]) -> u32 {
        // SAFETY: `of` gives out a path only where this machine has been seen to have the features
        // that its function is compiled for.
        let [ones, twos, fours, all] = unsafe { (self.counts)(query.signs(), query.planes(), row) };
        (2 * (ones + 2 * twos + 4 * fours) + all) as u32
    }
}

/// For each plane the number of its bits in places where the signs differ.
#[inline(always)]
fn portable(signs: &[u64], planes: &[[u64; 4]], row: &[u64]) -> [u64; 4] {
    let mut counts = [0; 4];
    for ((signs, planes), row) in signs.iter().zip(planes).zip(row) {
        let differ = signs ^ row;
        for (count, plane) in counts.iter_mut().zip(planes) {
            *count += u64::from((differ & plane).count_ones());
        }
    }
    counts
}

#[cfg(target_arch = "x86_64")]
mod popcnt {
    pub(super) const PATH: super::Path = super::Path {
        name: "popcnt",
        counts,
    };

    /// Every processor with AVX2 can count the bits of a word.
    #[target_feature(enable = "popcnt")]
    fn counts(signs: &[u64], planes: &[[u64; 4]], row: &[u64]) -> [u64; 4] {
        super::portable(signs, planes, row)
    }
}

#[cfg(target_arch = "x86_64")]
mod vpopcntdq {
    use crate::native::x86::load_256;
    use std::arch::x86_64::{
        _mm256_add_epi64, _mm256_and_si256, _mm256_popcnt_epi64, _mm256_set1_epi64x,
        _mm256_setzero_si256, _mm256_storeu_si256,
    };

    pub(super) const PATH: super::Path = super::Path {
        name: "vpopcntdq",
        counts,
    };

    /// The four planes of a word side by side.
    #[target_feature(enable = "avx512f,avx512vl,avx512vpopcntdq")]
    fn counts(signs: &[u64], planes: &[[u64; 4]], row: &[u64]) -> [u64; 4] {
        let mut sums = [_mm256_setzero_si256(); 2];
        for (at, ((signs, planes), row)) in signs.iter().zip(planes).zip(row).enumerate() {
            let differ = _mm256_set1_epi64x((signs ^ row).cast_signed());
            // SAFETY: four words are there.
            let planes = unsafe { load_256(planes.as_ptr()) };
            let counts = _mm256_popcnt_epi64(_mm256_and_si256(differ, planes));
            sums[at % 2] = _mm256_add_epi64(sums[at % 2], counts);
        }
        let mut counts = [0; 4];
        let sum = _mm256_add_epi64(sums[0], sums[1]);
        // SAFETY: 32 bytes are there, and the instruction asks for no alignment.
        unsafe { _mm256_storeu_si256(counts.as_mut_ptr().cast(), sum) };
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::tests::{bits, lengths};
    use crate::sign_codes::sign_words;
    use crate::sign_weights::weighted_hamming_reference;

    #[test]
    fn every_path_agrees_with_the_definition_at_every_length() {
        let mut weights = SignWeights::default();
        for dimension in lengths() {
            let value = |bits: u64| (bits % 2_001) as f32 / 1_000.0 - 1.0;
            let query: Vec<f32> = bits(1).map(value).take(dimension).collect();
            weights.encode(&query);
            for seed in 2..6 {
                let mut row: Vec<u64> = bits(seed).take(sign_words(dimension)).collect();
                if let Some(last) = row.last_mut() {
                    *last &= u64::MAX >> ((64 - dimension % 64) % 64);
                }
                let want = weighted_hamming_reference(&query, &row);
                for path in Path::all() {
                    let got = path.distance(&weights, &row);
                    assert_eq!(got, want, "{} of {dimension}", path.name);
                }
            }
        }
    }

    #[test]
    fn every_place_counts_with_its_own_weight() {
        let query: Vec<f32> = (0..130).map(|at| 0.1 * (at % 40) as f32 + 0.01).collect();
        let mut weights = SignWeights::default();
        weights.encode(&query);
        for at in 0..query.len() {
            // All but one sign are the query's.
            let mut row = [u64::MAX, u64::MAX, 3];
            row[at / 64] ^= 1 << (at % 64);
            let want = weighted_hamming_reference(&query, &row);
            assert!((1..=15).contains(&want) && want % 2 == 1);
            for path in Path::all() {
                assert_eq!(path.distance(&weights, &row), want, "{} {at}", path.name);
            }
        }
    }
}
