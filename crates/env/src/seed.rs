//! Chance that can be replayed.

/// Where a run's randomness starts. The same seed gives the same numbers on every machine and in
/// every release, which is why the generator is written here (SplitMix64: Steele, Lea & Flood,
/// "Fast splittable pseudorandom number generators", OOPSLA 2014) and not borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seed(pub u64);

impl Seed {
    /// A seed for one named purpose, independent of the seeds for other names.
    #[must_use]
    pub fn derive(self, name: &str) -> Seed {
        // FNV-1a over the name, then one round of the generator.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Seed(Rng(self.0 ^ hash).next_u64())
    }

    /// A generator that starts here.
    #[must_use]
    pub fn rng(self) -> Rng {
        Rng(self.0)
    }
}

/// A SplitMix64 generator: fast and well spread, not for secrets.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`; 0 when `bound` is 0. Bias is below `bound / 2^64`.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_never_changes() {
        // First outputs of the published generator for seed 1234567.
        let mut rng = Seed(1_234_567).rng();
        assert_eq!(rng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn names_give_independent_seeds() {
        assert_ne!(Seed(1).derive("a"), Seed(1).derive("b"));
        assert_ne!(Seed(1).derive("a"), Seed(2).derive("a"));
        assert_eq!(Seed(1).derive("a"), Seed(1).derive("a"));
    }

    #[test]
    fn bounded_numbers_stay_in_bounds() {
        let mut rng = Seed(7).rng();
        assert_eq!(rng.below(0), 0);
        assert!((0..10_000).all(|_| rng.below(3) < 3));
        assert!((0..10_000).all(|_| (0.0..1.0).contains(&rng.unit())));
        let mut seen = [false; 3];
        (0..100).for_each(|_| seen[rng.below(3) as usize] = true);
        assert_eq!(seen, [true; 3]);
    }
}
