//! Asking for memory before it is needed.

/// Starts to fetch the cache line of `values[at]`, which may lie beyond the end: rows are often
/// lent a part at a time, and the next part is what follows. Nothing happens where the address is
/// not there, and on processors other than x86-64.
#[inline(always)]
pub(crate) fn prefetch(values: &[f32], at: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let address = values.as_ptr().wrapping_add(at);
        // SAFETY: a prefetch is a hint: it reads nothing that could be seen and faults nowhere,
        // whatever the address. Every x86-64 has the instruction.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, at);
}
