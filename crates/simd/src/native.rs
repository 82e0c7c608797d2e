//! The instructions that pulp does not wrap: the only unsafe code of this crate.
//!
//! Each file holds the kernels of one format as a `Path`: a value that exists only where this
//! machine has been seen to run it, which is what every call into a function with target features
//! rests on. Below that, kernels read by pointer; what they may read is said by `by_streams`.
#![allow(
    unsafe_code,
    reason = "vendor intrinsics, called after their features were detected"
)]
#![cfg_attr(
    not(target_arch = "x86_64"),
    allow(
        dead_code,
        unused_imports,
        unused_macros,
        unused_mut,
        reason = "other processors have fewer kernels"
    )
)]

pub(crate) mod f16;
pub(crate) mod i8;
pub(crate) mod prefetch;
pub(crate) mod select;
pub(crate) mod sign;
pub(crate) mod sign_blocks;
pub(crate) mod sign_weights;

#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::code_rows::CodeRows;

/// Streams that the hardware is left to follow side by side: four rows far apart are scored
/// together, and each is read on where it ended.
const STREAMS: usize = 4;

/// Scores every row for which `out` has a place: four rows that lie far apart by `four`, what is
/// left over by `one`; memory is asked for `ahead`. Inlined, so that both run with the caller's target features.
///
/// Each pointer that is handed over is the start of a row: `rows.width()` units can be read there.
#[allow(
    clippy::needless_pass_by_value,
    reason = "a pointer and three numbers, copied wherever the units are"
)]
#[inline(always)]
fn by_streams<T, O: Copy>(
    rows: CodeRows<'_, T>,
    out: &mut [O],
    ahead: prefetch::Ahead,
    four: impl Fn([*const T; STREAMS]) -> [O; STREAMS],
    one: impl Fn(*const T) -> O,
) {
    let count = rows.len().min(out.len());
    let stride = rows.stride();
    // No rows may be lent with any stride.
    let row_bytes = stride.saturating_mul(size_of::<T>());
    let block = (prefetch::streamed_bytes() / row_bytes).max(STREAMS);
    // Row numbers stay below `count`, so no pointer leaves the slice.
    let start = |row: usize| rows.data().as_ptr().wrapping_add(row * stride);
    let mut from = 0;
    while from < count {
        let to = count.min(from + block);
        let quarter = (to - from) / STREAMS;
        let (first, rest) = out[from..to].split_at_mut(quarter);
        let (second, rest) = rest.split_at_mut(quarter);
        let (third, rest) = rest.split_at_mut(quarter);
        let (fourth, rest) = rest.split_at_mut(quarter);
        for at in 0..quarter {
            let row = from + at;
            let rows = [
                start(row),
                start(row + quarter),
                start(row + 2 * quarter),
                start(row + 3 * quarter),
            ];
            for row in rows {
                ahead.of(row, stride);
            }
            [first[at], second[at], third[at], fourth[at]] = four(rows);
        }
        for (at, place) in rest.iter_mut().enumerate() {
            *place = one(start(from + STREAMS * quarter + at));
        }
        from = to;
    }
}

/// `count` values, at most `N`, and zeros after them: a tail in the shape of a whole vector.
///
/// # Safety
/// So many values can be read there.
#[inline(always)]
unsafe fn padded<T: Copy + Default, const N: usize>(values: *const T, count: usize) -> [T; N] {
    let mut padded = [T::default(); N];
    // SAFETY: the caller's; and a slice checks that they fit.
    padded[..count].copy_from_slice(unsafe { std::slice::from_raw_parts(values, count) });
    padded
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Past the widest vector, past two of them, and the sizes people use.
    pub(crate) fn lengths() -> impl Iterator<Item = usize> {
        (0..=130).chain([384, 512, 768, 1_536])
    }

    /// Counts that leave nothing, one, and all but one for the last four.
    pub(crate) const COUNTS: [usize; 6] = [0, 1, 2, 63, 64, 65];

    /// Units that look random and are the same every time.
    pub(crate) fn bits(seed: u64) -> impl Iterator<Item = u64> {
        let step = |x: &u64| {
            Some(
                x.wrapping_mul(0x5851_f42d_4c95_7f2d)
                    .wrapping_add(0x1405_7b7e),
            )
        };
        std::iter::successors(Some(seed), step)
            .map(|x| x ^ x >> 29)
            .skip(1)
    }

    #[test]
    fn every_row_has_its_place_whatever_the_count() {
        // Rows wide enough that the larger counts take several blocks of streams.
        let width = prefetch::streamed_bytes() / 16;
        for count in [0, 1, 3, 4, 5, 15, 16, 17, 35] {
            let data: Vec<u8> = (0..count).flat_map(|row| vec![row as u8; width]).collect();
            for places in [count, count + 3, count / 2] {
                let mut out = vec![255; places];
                let rows = CodeRows::packed(&data, width).unwrap();
                // SAFETY: rows are not empty.
                let last = |row: *const u8| unsafe { *row.add(width - 1) };
                let four = |[a, b, c, d]: [_; 4]| [last(a), last(b), last(c), last(d)];
                by_streams(rows, &mut out, prefetch::of_codes(), four, last);
                let want: Vec<u8> = (0..places)
                    .map(|at| if at < count { at as u8 } else { 255 })
                    .collect();
                assert_eq!(out, want, "{count} rows, {places} places");
            }
        }
    }
}
