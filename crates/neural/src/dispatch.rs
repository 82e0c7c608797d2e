//! Runs a kernel, compiled for an instruction set.

use cortica_simd::{Extension, Isa};
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

/// Finds out what [`run_with_vnni`] asks for. The first look allocates, so it is not left to a call.
pub(crate) fn look(isa: Isa) {
    isa.has(Extension::Vnni);
}

/// As [`run`], and where AVX-512 has VNNI, compiled with it as well: the compiler then makes one
/// instruction of a product of pairs and the sum it is added to.
#[inline]
pub(crate) fn run_with_vnni<Op: WithSimd>(isa: Isa, op: Op) -> Op::Output {
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx512
        && isa.has(Extension::Vnni)
        && let (Some(v4), Some(more)) = (pulp::x86::V4::try_new(), vnni::V4Vnni::try_new())
    {
        return more.vectorize(vnni::With { v4, op });
    }
    run(isa, op)
}

#[cfg(target_arch = "x86_64")]
mod vnni {
    use pulp::x86::V4;
    use pulp::{NullaryFnOnce, WithSimd};

    pulp::simd_type!({
        /// What [`V4`] has, and VNNI.
        pub(super) struct V4Vnni {
            sse: f!("sse"),
            sse2: f!("sse2"),
            fxsr: f!("fxsr"),
            sse3: f!("sse3"),
            ssse3: f!("ssse3"),
            sse4_1: f!("sse4.1"),
            sse4_2: f!("sse4.2"),
            popcnt: f!("popcnt"),
            avx: f!("avx"),
            avx2: f!("avx2"),
            bmi1: f!("bmi1"),
            bmi2: f!("bmi2"),
            fma: f!("fma"),
            lzcnt: f!("lzcnt"),
            avx512f: f!("avx512f"),
            avx512bw: f!("avx512bw"),
            avx512cd: f!("avx512cd"),
            avx512dq: f!("avx512dq"),
            avx512vl: f!("avx512vl"),
            avx512vnni: f!("avx512vnni"),
        }
    });

    pub(super) struct With<Op> {
        pub(super) v4: V4,
        pub(super) op: Op,
    }

    impl<Op: WithSimd> NullaryFnOnce for With<Op> {
        type Output = Op::Output;

        #[inline(always)]
        fn call(self) -> Op::Output {
            self.op.with_simd(self.v4)
        }
    }
}
