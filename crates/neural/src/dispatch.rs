//! Runs a kernel, compiled for an instruction set.

use cortica_simd::Isa;
use pulp::{Scalar, Simd, WithSimd};

/// Falls back to portable code where the machine lacks what is asked for.
#[inline]
pub(crate) fn run<Op: WithSimd>(isa: Isa, op: Op) -> Op::Output {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => {
            if let Some(simd) = pulp::x86::V3::try_new() {
                return Simd::vectorize(simd, op);
            }
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => {
            if let Some(simd) = pulp::x86::V4::try_new() {
                return Simd::vectorize(simd, op);
            }
        }
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => {
            if let Some(simd) = pulp::aarch64::Neon::try_new() {
                return Simd::vectorize(simd, op);
            }
        }
        #[cfg(target_arch = "wasm32")]
        Isa::WasmSimd128 => {
            if let Some(simd) = pulp::wasm::Simd128::try_new() {
                return Simd::vectorize(simd, op);
            }
        }
        _ => {}
    }
    Scalar.vectorize(op)
}
