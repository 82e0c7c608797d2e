//! x86-64: vectors from memory and back, and sums over their lanes.

#[allow(
    clippy::wildcard_imports,
    reason = "intrinsics are named after what they do"
)]
use std::arch::x86_64::*;

/// How many bits are set in each number of four bits.
pub(super) const HALF_BYTES: [u8; 16] = [0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4];

/// # Safety
/// 16 bytes can be read there.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn load_128<T>(values: *const T) -> __m128i {
    // SAFETY: the caller's, and the instruction asks for no alignment.
    unsafe { _mm_loadu_si128(values.cast()) }
}

/// # Safety
/// 32 bytes can be read there.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn load_256<T>(values: *const T) -> __m256i {
    // SAFETY: the caller's, and the instruction asks for no alignment.
    unsafe { _mm256_loadu_si256(values.cast()) }
}

/// # Safety
/// 64 bytes can be read there.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn load_512<T>(values: *const T) -> __m512i {
    // SAFETY: the caller's, and the instruction asks for no alignment.
    unsafe { _mm512_loadu_si512(values.cast()) }
}

/// `count` values, fewer than fill the vector, and zeros after them.
///
/// # Safety
/// So many values can be read there.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn load_512_part<T>(values: *const T, count: usize) -> __m512i {
    let mask = (1 << (count * size_of::<T>())) - 1;
    // SAFETY: bytes whose bit in the mask is zero are not touched; the others are the caller's.
    unsafe { _mm512_maskz_loadu_epi8(mask, values.cast()) }
}

/// # Safety
/// 8 values can be read there.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn load_f32s_256(values: *const f32) -> __m256 {
    // SAFETY: the caller's, and the instruction asks for no alignment.
    unsafe { _mm256_loadu_ps(values) }
}

/// # Safety
/// 16 values can be read there.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn load_f32s_512(values: *const f32) -> __m512 {
    // SAFETY: the caller's, and the instruction asks for no alignment.
    unsafe { _mm512_loadu_ps(values) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store_128(places: &mut [u16; 8], values: __m128i) {
    // SAFETY: 16 bytes are there, and the instruction asks for no alignment.
    unsafe { _mm_storeu_si128(places.as_mut_ptr().cast(), values) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store_256(places: &mut [u16; 16], values: __m256i) {
    // SAFETY: 32 bytes are there, and the instruction asks for no alignment.
    unsafe { _mm256_storeu_si256(places.as_mut_ptr().cast(), values) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store_f32s_256(places: &mut [f32; 8], values: __m256) {
    // SAFETY: 32 bytes are there, and the instruction asks for no alignment.
    unsafe { _mm256_storeu_ps(places.as_mut_ptr(), values) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store_f32s_512(places: &mut [f32; 16], values: __m512) {
    // SAFETY: 64 bytes are there, and the instruction asks for no alignment.
    unsafe { _mm512_storeu_ps(places.as_mut_ptr(), values) }
}

/// The sums of the sixteen i32 lanes of each of four vectors: fewer steps than one by one.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn sums_of_four_512(sums: [__m512i; 4]) -> [i32; 4] {
    let [a, b, c, d] = sums;
    let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    let all = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    fold_256(_mm256_add_epi32(
        _mm512_castsi512_si256(all),
        _mm512_extracti64x4_epi64::<1>(all),
    ))
}

/// As [`sums_of_four_512`], of eight lanes each.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn sums_of_four_256(sums: [__m256i; 4]) -> [i32; 4] {
    let [a, b, c, d] = sums;
    let ab = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    let cd = _mm256_add_epi32(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    fold_256(_mm256_add_epi32(
        _mm256_unpacklo_epi64(ab, cd),
        _mm256_unpackhi_epi64(ab, cd),
    ))
}

#[inline]
#[target_feature(enable = "avx2")]
fn fold_256(sums: __m256i) -> [i32; 4] {
    let folded = _mm_add_epi32(
        _mm256_castsi256_si128(sums),
        _mm256_extracti128_si256::<1>(sums),
    );
    [
        _mm_cvtsi128_si32(folded),
        _mm_extract_epi32::<1>(folded),
        _mm_extract_epi32::<2>(folded),
        _mm_extract_epi32::<3>(folded),
    ]
}

/// The sum of eight f32 lanes, always in the same order.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn sum_f32s_256(sums: __m256) -> f32 {
    let fours = _mm_add_ps(
        _mm256_castps256_ps128(sums),
        _mm256_extractf128_ps::<1>(sums),
    );
    let twos = _mm_add_ps(fours, _mm_movehl_ps(fours, fours));
    _mm_cvtss_f32(_mm_add_ss(twos, _mm_shuffle_ps::<1>(twos, twos)))
}

/// The sum of sixteen f32 lanes, always in the same order.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn sum_f32s_512(sums: __m512) -> f32 {
    let upper = _mm512_extractf64x4_pd::<1>(_mm512_castps_pd(sums));
    sum_f32s_256(_mm256_add_ps(
        _mm512_castps512_ps256(sums),
        _mm256_castpd_ps(upper),
    ))
}
