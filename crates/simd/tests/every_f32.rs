//! Exponential, sigmoid and tangent of every f32 from 2^-30 to where they no longer change. What is
//! smaller or larger is tried at distances in `exponentials.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_simd::{EXP_ERROR, Isa, SIGMOID_ERROR, TANH_ERROR, exp, sigmoid, tanh};
use std::iter::zip;
use std::ops::RangeInclusive;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// Values that follow one another are taken so many at a time.
const BLOCK: usize = 1 << 12;

/// 2^-24, the unit of the errors below: half the distance from 1 to the next f32.
const UNIT: f64 = 1.0 / (1 << 24) as f64;

/// The distance of the smallest numbers f32 has.
const LAST_DIGIT: f64 = f32::from_bits(1) as f64;

type Kernel = fn(Isa, &mut [f32]);

/// What is seen of one function: its kernel, for which sizes and signs of x, the largest error
/// there is in units of 2^-24 of the value, and the error that is promised.
struct Function {
    name: &'static str,
    kernel: Kernel,
    sizes: RangeInclusive<f32>,
    signs: &'static [f32],
    worst: f64,
    promised: f32,
}

const EXP: Function = Function {
    name: "exp",
    kernel: exp,
    sizes: 9.313_226e-10..=110.0,
    signs: &[1.0, -1.0],
    worst: 1.5,
    promised: EXP_ERROR,
};

const SIGMOID: Function = Function {
    name: "sigmoid",
    kernel: sigmoid,
    sizes: 9.313_226e-10..=90.0,
    signs: &[1.0, -1.0],
    worst: 3.0,
    promised: SIGMOID_ERROR,
};

const TANH: Function = Function {
    name: "tanh",
    kernel: tanh,
    sizes: 9.313_226e-10..=20.0,
    signs: &[1.0], // The sign is put back bit by bit, as `exponentials.rs` sees.
    worst: 2.5,
    promised: TANH_ERROR,
};

/// From e^x and x.
fn exact_tanh(e: f64, x: f64) -> f64 {
    if x.abs() < 1e-3 {
        let square = x * x;
        return x * (1.0 - square / 3.0 + square * square * (2.0 / 15.0)); // To 17/315 of x^6.
    }
    let square = e * e;
    (square - 1.0) / (square + 1.0)
}

/// e^x of values that follow one another at equal distances: each is the one before times the same
/// factor, started anew often enough to be right to 2^-44. Twenty times as fast as asking for each.
fn exponentials(values: &[f32], out: &mut [f64]) {
    let Some((first, next)) = values.first().zip(values.get(1)) else {
        return;
    };
    let factor = (f64::from(*next) - f64::from(*first)).exp();
    let factors = [1.0, factor, factor * factor, factor * factor * factor];
    for (values, out) in zip(values.chunks(256), out.chunks_mut(256)) {
        let mut e = f64::from(values[0]).exp();
        for out in out.chunks_mut(4) {
            for (out, factor) in zip(out, factors) {
                *out = e * factor;
            }
            e *= factors[2] * factors[2];
        }
    }
}

/// What one thread keeps from block to block.
struct Block {
    values: Vec<f32>,
    exact: Vec<f64>,
    got: Vec<f32>,
}

impl Block {
    fn new() -> Block {
        Block {
            values: vec![0.0; BLOCK],
            exact: vec![0.0; BLOCK],
            got: vec![0.0; BLOCK],
        }
    }

    /// The values from `bits` on and what is exact for them.
    fn fill(&mut self, exact: impl Fn(f64, f64) -> f64, sign: f32, bits: u32) {
        for (value, bits) in zip(&mut self.values, bits..) {
            *value = sign * f32::from_bits(bits);
        }
        exponentials(&self.values, &mut self.exact);
        for (exact_value, &x) in zip(&mut self.exact, &self.values) {
            *exact_value = exact(*exact_value, f64::from(x));
        }
    }

    /// The largest error among the values, relative and in units of 2^-24. Where f32 has fewer
    /// digits than usual, or none left, what is not near enough counts as infinitely far off.
    fn worst(&mut self, function: &Function, isa: Isa) -> f64 {
        self.got.copy_from_slice(&self.values);
        (function.kernel)(isa, &mut self.got);
        let mut worst = 0.0_f64;
        for (&want, &got) in zip(&self.exact, &self.got) {
            let got = f64::from(got);
            let miss = if got.is_nan() {
                f64::INFINITY
            } else {
                (got - want).abs()
            };
            let error = if want < f64::from(f32::MIN_POSITIVE) {
                if miss <= LAST_DIGIT {
                    0.0
                } else {
                    f64::INFINITY
                }
            } else if want < f64::from(f32::MAX) * (1.0 - 1e-7) {
                miss / want
            } else if got >= f64::from(f32::MAX) {
                0.0 // One of them may have rounded down to the largest number.
            } else {
                f64::INFINITY
            };
            worst = worst.max(error);
        }
        worst / UNIT
    }
}

/// Every f32 of the sizes, every instruction set, on two threads.
fn check(function: &Function, exact: impl Fn(f64, f64) -> f64 + Copy + Send + Sync) {
    if std::env::var_os("CORTICA_ISA").is_some() {
        // This takes seconds and forces each set itself, so it is for runs in which none is forced.
        println!("not run again with one instruction set forced");
        return;
    }
    // A binade is a whole number of blocks, so values within one are at equal distances.
    let block_of = |size: f32| size.to_bits() as usize / BLOCK;
    let (first, last) = (
        block_of(*function.sizes.start()),
        block_of(*function.sizes.end()),
    );
    let isas: Vec<Isa> = Isa::available().collect();
    let next = AtomicUsize::new(first);
    let sweep = || {
        let (mut block, mut worst) = (Block::new(), vec![0.0_f64; isas.len()]);
        loop {
            let number = next.fetch_add(1, Relaxed);
            if number > last {
                return worst;
            }
            for &sign in function.signs {
                block.fill(exact, sign, (number * BLOCK) as u32);
                for (worst, &isa) in zip(&mut worst, &isas) {
                    *worst = worst.max(block.worst(function, isa));
                }
            }
        }
    };
    let found = std::thread::scope(|threads| {
        let other = threads.spawn(sweep);
        [sweep(), other.join().unwrap()]
    });
    for (at, isa) in isas.iter().enumerate() {
        let worst = found[0][at].max(found[1][at]);
        println!("{isa} {}: {worst:.3} * 2^-24", function.name);
        assert!(worst <= function.worst, "{isa} {}: {worst}", function.name);
        // The figure is the function's own and not far above it.
        assert!(
            worst > 0.8 * function.worst,
            "{isa} {}: {worst}",
            function.name
        );
    }
    assert!(
        function.worst * UNIT <= f64::from(function.promised),
        "{} promises less",
        function.name
    );
}

#[test]
fn exponentials_of_every_f32() {
    check(&EXP, |e, _| e);
}

#[test]
fn sigmoids_of_every_f32() {
    check(&SIGMOID, |e, _| e / (1.0 + e));
}

#[test]
fn tangents_of_every_f32() {
    check(&TANH, exact_tanh);
}
