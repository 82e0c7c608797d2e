//! 64-bit Arm: vectors from slices and back, sums over their lanes, and the instructions whose
//! intrinsics are not stable yet.

use std::arch::aarch64::{
    float32x4_t, int8x16_t, int32x4_t, uint16x4_t, vaddvq_s32, vdupq_n_f32, vdupq_n_s32, vfmaq_f32,
    vgetq_lane_f32, vld1_u16, vld1q_f32, vld1q_s8, vpaddq_f32, vst1_u16, vst1q_f32,
};
use std::arch::asm;

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn zero_f32s() -> float32x4_t {
    vdupq_n_f32(0.0)
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn zero_i32s() -> int32x4_t {
    vdupq_n_s32(0)
}

/// # Safety
/// 16 values can be read there.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn load_i8s(values: *const i8) -> int8x16_t {
    // SAFETY: the caller's, and the instruction asks for no more alignment than the type has.
    unsafe { vld1q_s8(values) }
}

/// # Safety
/// 4 values can be read there.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn load_u16s(values: *const u16) -> uint16x4_t {
    // SAFETY: the caller's, and the instruction asks for no more alignment than the type has.
    unsafe { vld1_u16(values) }
}

/// # Safety
/// 4 values can be read there.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn load_f32s(values: *const f32) -> float32x4_t {
    // SAFETY: the caller's, and the instruction asks for no more alignment than the type has.
    unsafe { vld1q_f32(values) }
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn store_u16s(places: &mut [u16; 4], values: uint16x4_t) {
    // SAFETY: 8 bytes are there, and the instruction asks for no more alignment than u16 has.
    unsafe { vst1_u16(places.as_mut_ptr(), values) }
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn store_f32s(places: &mut [f32; 4], values: float32x4_t) {
    // SAFETY: 16 bytes are there, and the instruction asks for no more alignment than f32 has.
    unsafe { vst1q_f32(places.as_mut_ptr(), values) }
}

/// `a * b + sum`, rounded once.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn mul_add(a: float32x4_t, b: float32x4_t, sum: float32x4_t) -> float32x4_t {
    vfmaq_f32(sum, a, b)
}

/// The sum of four lanes, always in the same order.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn sum_f32s(sums: float32x4_t) -> f32 {
    let twos = vpaddq_f32(sums, sums);
    vgetq_lane_f32::<0>(vpaddq_f32(twos, twos))
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn sums_of_four(sums: [int32x4_t; 4]) -> [i32; 4] {
    let [a, b, c, d] = sums;
    [vaddvq_s32(a), vaddvq_s32(b), vaddvq_s32(c), vaddvq_s32(d)]
}

/// Adds four products to each lane.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(super) fn add_dots(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: arithmetic on three registers; the feature is on in this function.
    unsafe {
        asm!(
            "sdot {0:v}.4s, {1:v}.16b, {2:v}.16b",
            inout(vreg) sum, in(vreg) a, in(vreg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}

/// f16 to f32.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn widen(halves: uint16x4_t) -> float32x4_t {
    let values: float32x4_t;
    // SAFETY: a conversion from one register to another, part of NEON.
    unsafe {
        asm!(
            "fcvtl {0:v}.4s, {1:v}.4h", out(vreg) values, in(vreg) halves,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    values
}

/// f32 to f16, rounded to the nearest, ties to even: what the processor is set to.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn narrow(values: float32x4_t) -> uint16x4_t {
    let halves: uint16x4_t;
    // SAFETY: a conversion from one register to another, part of NEON.
    unsafe {
        asm!(
            "fcvtn {0:v}.4h, {1:v}.4s", out(vreg) halves, in(vreg) values,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    halves
}
