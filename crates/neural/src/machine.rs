//! The instructions by which sums of i8 weights and i16 inputs grow.

use crate::product::PANEL;

/// Bytes of a panel for one pair of inputs.
pub(crate) const PAIR: usize = 2 * PANEL;

/// The weights of a panel for one pair of inputs, both of each output side by side.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))] // A load of it never crosses a line of the cache.
pub(crate) struct Pair(pub(crate) [i8; PAIR]);

/// A [`Pair`] as i16.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct WidePair(pub(crate) [i16; PAIR]);

/// What a panel's sums are kept in, `V` registers, and how they grow.
pub(crate) trait Machine<const V: usize>: Copy {
    type Register: Copy;

    fn zero(self) -> Self::Register;

    /// The weights of one pair of inputs as i16.
    fn widen(self, weights: &Pair) -> [Self::Register; V];

    /// The same from weights that are i16 already.
    fn load(self, weights: &WidePair) -> [Self::Register; V];

    fn store(self, weights: [Self::Register; V]) -> WidePair;

    /// A pair of inputs beside each pair of weights.
    fn everywhere(self, pair: [i16; 2]) -> Self::Register;

    /// Adds both products of each pair to its sum.
    fn add_products(
        self,
        weights: Self::Register,
        inputs: Self::Register,
        sums: Self::Register,
    ) -> Self::Register;

    fn floats(self, sums: [Self::Register; V]) -> [f32; PANEL];
}

/// Arrays that the compiler vectorises as it can.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Machine<1> for Portable {
    type Register = [i32; PAIR];

    #[inline(always)]
    fn zero(self) -> [i32; PAIR] {
        [0; PAIR]
    }

    #[inline(always)]
    fn widen(self, weights: &Pair) -> [[i32; PAIR]; 1] {
        [weights.0.map(i32::from)]
    }

    #[inline(always)]
    fn load(self, weights: &WidePair) -> [[i32; PAIR]; 1] {
        [weights.0.map(i32::from)]
    }

    #[inline(always)]
    fn store(self, [weights]: [[i32; PAIR]; 1]) -> WidePair {
        WidePair(weights.map(|weight| weight as i16))
    }

    #[inline(always)]
    fn everywhere(self, [first, second]: [i16; 2]) -> [i32; PAIR] {
        let mut pairs = [i32::from(first); PAIR];
        for pair in pairs.chunks_exact_mut(2) {
            pair[1] = i32::from(second);
        }
        pairs
    }

    #[inline(always)]
    fn add_products(
        self,
        weights: [i32; PAIR],
        inputs: [i32; PAIR],
        mut sums: [i32; PAIR],
    ) -> [i32; PAIR] {
        for (sum, (weight, input)) in sums.iter_mut().zip(weights.iter().zip(inputs)) {
            *sum += weight * input;
        }
        sums
    }

    #[inline(always)]
    fn floats(self, [sums]: [[i32; PAIR]; 1]) -> [f32; PANEL] {
        let mut floats = [0.0; PANEL];
        for (float, pair) in floats.iter_mut().zip(sums.chunks_exact(2)) {
            *float = (pair[0] + pair[1]) as f32;
        }
        floats
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Machine, PANEL, Pair, WidePair};
    use core::arch::x86_64::{__m128i, __m256i, __m512i};
    use pulp::bytemuck::cast;
    use pulp::x86::{V3, V4};

    impl Machine<2> for V3 {
        type Register = __m256i;

        #[inline(always)]
        fn zero(self) -> __m256i {
            self.avx._mm256_setzero_si256()
        }

        #[inline(always)]
        fn widen(self, weights: &Pair) -> [__m256i; 2] {
            let [low, high]: [__m128i; 2] = cast(weights.0);
            let low = self.avx2._mm256_cvtepi8_epi16(low);
            [low, self.avx2._mm256_cvtepi8_epi16(high)]
        }

        #[inline(always)]
        fn load(self, weights: &WidePair) -> [__m256i; 2] {
            cast(weights.0)
        }

        #[inline(always)]
        fn store(self, weights: [__m256i; 2]) -> WidePair {
            WidePair(cast(weights))
        }

        #[inline(always)]
        fn everywhere(self, pair: [i16; 2]) -> __m256i {
            self.avx._mm256_set1_epi32(cast(pair))
        }

        #[inline(always)]
        fn add_products(self, weights: __m256i, inputs: __m256i, sums: __m256i) -> __m256i {
            let products = self.avx2._mm256_madd_epi16(weights, inputs);
            self.avx2._mm256_add_epi32(sums, products)
        }

        #[inline(always)]
        fn floats(self, [low, high]: [__m256i; 2]) -> [f32; PANEL] {
            let low = self.avx._mm256_cvtepi32_ps(low);
            cast([low, self.avx._mm256_cvtepi32_ps(high)])
        }
    }

    impl Machine<1> for V4 {
        type Register = __m512i;

        #[inline(always)]
        fn zero(self) -> __m512i {
            self.avx512f._mm512_setzero_si512()
        }

        #[inline(always)]
        fn widen(self, weights: &Pair) -> [__m512i; 1] {
            [self.avx512bw._mm512_cvtepi8_epi16(cast(weights.0))]
        }

        #[inline(always)]
        fn load(self, weights: &WidePair) -> [__m512i; 1] {
            [cast(weights.0)]
        }

        #[inline(always)]
        fn store(self, [weights]: [__m512i; 1]) -> WidePair {
            WidePair(cast(weights))
        }

        #[inline(always)]
        fn everywhere(self, pair: [i16; 2]) -> __m512i {
            self.avx512f._mm512_set1_epi32(cast(pair))
        }

        #[inline(always)]
        fn add_products(self, weights: __m512i, inputs: __m512i, sums: __m512i) -> __m512i {
            let products = self.avx512bw._mm512_madd_epi16(weights, inputs);
            self.avx512f._mm512_add_epi32(sums, products)
        }

        #[inline(always)]
        fn floats(self, [sums]: [__m512i; 1]) -> [f32; PANEL] {
            cast(self.avx512f._mm512_cvtepi32_ps(sums))
        }
    }
}
