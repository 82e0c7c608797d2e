//! What rows are made of.

use cortica_simd::{CodeRows, Rows};

/// A value that rows can hold: `f32`, and the units of smaller formats, `u16` (f16), `i8`, `u8`
/// and `u64` (words of signs). Nobody else can implement it.
pub trait Element: Copy + Send + Sync + private::Plain + 'static {
    /// The form in which `cortica-simd` takes rows of them.
    type Rows<'a>: Copy;

    /// Rows of `dimension` values, `stride` apart; `None` unless `data` holds whole ones.
    fn rows(data: &[Self], dimension: usize, stride: usize) -> Option<Self::Rows<'_>>;
}

mod private {
    /// # Safety
    ///
    /// Every bit pattern is a value, zeros included, and there is no padding in it; its alignment
    /// is at most a cache line's, and its size divides one.
    pub unsafe trait Plain {}
}

// SAFETY: a primitive number of 4 bytes.
unsafe impl private::Plain for f32 {}

impl Element for f32 {
    type Rows<'a> = Rows<'a>;

    fn rows(data: &[f32], dimension: usize, stride: usize) -> Option<Rows<'_>> {
        Rows::new(data, dimension, stride).ok()
    }
}

macro_rules! codes {
    ($($unit:ty)*) => {$(
        // SAFETY: a primitive number of 1 to 8 bytes.
        unsafe impl private::Plain for $unit {}

        impl Element for $unit {
            type Rows<'a> = CodeRows<'a, $unit>;

            fn rows(data: &[$unit], dimension: usize, stride: usize) -> Option<CodeRows<'_, $unit>> {
                CodeRows::new(data, dimension, stride).ok()
            }
        }
    )*};
}

codes!(u8 i8 u16 u64);
