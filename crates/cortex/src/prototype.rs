//! What a column has learned, read and written whole.

use crate::sync::{Acquire, AtomicU64, CODE_VALUES, Relaxed, Release, fence, spin};
use cortica_simd::{f16_from_f32, f32_from_f16};
use std::array;

/// Values of a code, and so of a prototype.
pub const CODE_DIMENSION: usize = CODE_VALUES;

pub(crate) const PROTOTYPE_WORDS: usize = CODE_DIMENSION / 4;
pub(crate) const EXEMPLAR_WORDS: usize = CODE_DIMENSION / 8;

/// A code of a concept: [`CODE_DIMENSION`] finite values, of any length but 0.
pub type Code = [f32; CODE_DIMENSION];

/// A code holds a value that is no number, or nothing but zeros.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// A value that is not finite.
    #[error("value {at} of the code is {value}; every value must be finite")]
    NotFinite {
        /// Its place.
        at: usize,
        /// What is there.
        value: f32,
    },
    /// A code of zeros has no direction.
    #[error("the code has no direction: all its values are 0")]
    NoDirection,
}

/// The code at length 1.
pub fn normalised(code: &Code) -> Result<Code, CodeError> {
    if let Some(at) = code.iter().position(|value| !value.is_finite()) {
        let value = code[at];
        return Err(CodeError::NotFinite { at, value });
    }
    // In f64: squares of f32 neither overflow nor vanish there.
    let squares: f64 = code.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
    let norm = squares.sqrt();
    if norm == 0.0 {
        return Err(CodeError::NoDirection);
    }
    Ok(code.map(|value| (f64::from(value) / norm) as f32))
}

/// Prototype and exemplar of a column, under one version: even while they are whole, odd while
/// somebody writes. Readers wait for nobody: they read again.
///
/// A seqlock (Lameter 2005) over atomic words, so that a torn reading is found out and is no
/// undefined behaviour meanwhile (Boehm, "Can seqlocks get along with programming language memory
/// models?", MSPC 2012).
#[derive(Debug)]
pub(crate) struct Versioned {
    version: AtomicU64,
    /// How often the prototype was moved: chance depends on it, so that who takes a move back and replays the
    /// others draws what they drew.
    learnings: AtomicU64,
    /// [`CODE_DIMENSION`] f16.
    prototype: [AtomicU64; PROTOTYPE_WORDS],
    /// As many i8, in units of its own: only its direction counts. All 0 where there is none. Behind them the
    /// square of its length.
    exemplar: [AtomicU64; EXEMPLAR_WORDS + 1],
}

impl Versioned {
    pub(crate) fn new() -> Versioned {
        Versioned {
            version: AtomicU64::new(0),
            learnings: AtomicU64::new(0),
            prototype: array::from_fn(|_| AtomicU64::new(0)),
            exemplar: array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// How often it was written.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Acquire) / 2
    }

    /// The prototype, of one version.
    pub(crate) fn prototype(&self) -> [u16; CODE_DIMENSION] {
        unpack_u16(&self.read(&self.prototype))
    }

    /// The exemplar, of one version; zeros where there is none.
    pub(crate) fn exemplar(&self) -> [i8; CODE_DIMENSION] {
        unpack_i8(&self.read(&self.exemplar))
    }

    /// The words of the prototype, of one version.
    pub(crate) fn prototype_words(&self) -> [u64; PROTOTYPE_WORDS] {
        self.read(&self.prototype)
    }

    /// The words of the exemplar, of one version, and behind them the square of its length.
    pub(crate) fn exemplar_words(&self) -> [u64; EXEMPLAR_WORDS + 1] {
        self.read(&self.exemplar)
    }

    fn read<const N: usize>(&self, words: &[AtomicU64; N]) -> [u64; N] {
        loop {
            // Acquire pairs with the Release that ended the writing of this version.
            let before = self.version.load(Acquire);
            if before.is_multiple_of(2) {
                let read = array::from_fn(|at| words[at].load(Relaxed));
                // Pairs with the fence of a writer: who read a word of a later version finds that
                // version, or one after it, below.
                fence(Acquire);
                if self.version.load(Relaxed) == before {
                    return read;
                }
            }
            spin();
        }
    }

    /// Writes under a version of its own: one writer at a time, the others wait for the few words.
    fn write<R>(&self, change: impl FnOnce(&Versioned, u64) -> R) -> R {
        let mut version = self.version.load(Relaxed);
        loop {
            if version.is_multiple_of(2) {
                // Acquire: what the last writer left is what this one starts from.
                let taken = self
                    .version
                    .compare_exchange(version, version + 1, Acquire, Relaxed);
                match taken {
                    Ok(_) => break,
                    Err(now) => version = now,
                }
            } else {
                spin();
                version = self.version.load(Relaxed);
            }
        }
        // The odd version comes before the words: see `read`.
        fence(Release);
        let done = Finish(self, version + 2);
        let result = change(self, version / 2);
        drop(done);
        result
    }

    /// Moves the prototype towards a code by a share of the way: `p += rate (code - p)`
    /// (Kohonen 1982). Rounded to f16 up or down by chance, with the chance that makes the mean
    /// right, so that small rates are not lost in rounding; `salt` and the number of moves give the chance, so
    /// the same history gives the same bits. What was there before.
    pub(crate) fn learn(&self, code: &Code, rate: f32, salt: u64) -> ([u16; CODE_DIMENSION], u64) {
        self.write(|of, _| {
            let learnings = of.learnings.load(Relaxed);
            let mut dither = cortica_env::Seed(salt ^ learnings.rotate_left(32)).rng();
            let old = unpack_u16(&array::from_fn(|at| of.prototype[at].load(Relaxed)));
            let mut bits = 0;
            let new = array::from_fn(|at| {
                // Four chances of 16 bits from one number.
                if at % 4 == 0 {
                    bits = dither.next_u64();
                }
                let chance = (bits >> (16 * (at % 4)) & 0xffff) as f32 / 65_536.0;
                let value = f32_from_f16(old[at]);
                dithered(value + rate * (code[at] - value), chance)
            });
            store(&of.prototype, pack_u16(&new));
            of.learnings.store(learnings + 1, Relaxed);
            (old, learnings)
        })
    }

    /// Prototype and number of moves, of one version.
    pub(crate) fn learned(&self) -> ([u16; CODE_DIMENSION], u64) {
        self.write(|of, _| {
            let words = array::from_fn(|at| of.prototype[at].load(Relaxed));
            (unpack_u16(&words), of.learnings.load(Relaxed))
        })
    }

    /// Puts back what was there.
    pub(crate) fn restore(&self, prototype: &[u16; CODE_DIMENSION], learnings: u64) {
        self.write(|of, _| {
            store(&of.prototype, pack_u16(prototype));
            of.learnings.store(learnings, Relaxed);
        });
    }

    /// Puts a prototype there as it is.
    pub(crate) fn set_prototype(&self, prototype: &[u16; CODE_DIMENSION]) {
        self.write(|of, _| store(&of.prototype, pack_u16(prototype)));
    }

    /// Puts an exemplar there.
    pub(crate) fn set_exemplar(&self, exemplar: &[i8; CODE_DIMENSION]) {
        self.write(|of, _| store(&of.exemplar, pack_i8(exemplar)));
    }

    /// Takes the exemplar away if `gone` says so, which is asked while nobody else writes.
    pub(crate) fn clear_exemplar_if(&self, gone: impl FnOnce() -> bool) -> bool {
        self.write(|of, _| {
            let gone = gone();
            if gone {
                store(&of.exemplar, [0; EXEMPLAR_WORDS + 1]);
            }
            gone
        })
    }
}

/// Ends a writing, also where it panics: readers would wait forever.
struct Finish<'a>(&'a Versioned, u64);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        // Release: who sees the even version sees its words.
        self.0.version.store(self.1, Release);
    }
}

fn store<const N: usize>(to: &[AtomicU64; N], words: [u64; N]) {
    for (to, word) in to.iter().zip(words) {
        to.store(word, Relaxed);
    }
}

/// The f16 below or above, by chance in \[0, 1).
fn dithered(value: f32, chance: f32) -> u16 {
    // The step of f16 at this size: 2^-10 of its power of two, 2^-24 at least.
    let exponent = ((value.to_bits() >> 23) & 0xff).max(113) as i32 - 127;
    let step = f32::from_bits(((exponent - 10 + 127) as u32) << 23);
    f16_from_f32((value / step + chance).floor() * step)
}

fn pack_u16(values: &[u16; CODE_DIMENSION]) -> [u64; PROTOTYPE_WORDS] {
    array::from_fn(|word| {
        (0..4).fold(0, |bits, at| {
            bits | u64::from(values[4 * word + at]) << (16 * at)
        })
    })
}

fn unpack_u16(words: &[u64; PROTOTYPE_WORDS]) -> [u16; CODE_DIMENSION] {
    array::from_fn(|at| (words[at / 4] >> (16 * (at % 4))) as u16)
}

fn pack_i8(values: &[i8; CODE_DIMENSION]) -> [u64; EXEMPLAR_WORDS + 1] {
    array::from_fn(|word| {
        let Some(values) = values.get(8 * word..8 * word + 8) else {
            let squares = values.iter().map(|&value| i32::from(value).pow(2));
            return squares.sum::<i32>() as u64;
        };
        let bytes: [u8; 8] = array::from_fn(|at| values[at] as u8);
        u64::from_le_bytes(bytes)
    })
}

fn unpack_i8(words: &[u64; EXEMPLAR_WORDS + 1]) -> [i8; CODE_DIMENSION] {
    array::from_fn(|at| (words[at / 8] >> (8 * (at % 8))) as i8)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn packing_loses_nothing() {
        let halves = array::from_fn(|at| (at as u16).wrapping_mul(40_503));
        assert_eq!(unpack_u16(&pack_u16(&halves)), halves);
        let bytes = array::from_fn(|at| (at as i8).wrapping_mul(77));
        assert_eq!(unpack_i8(&pack_i8(&bytes)), bytes);
    }

    #[test]
    fn chance_rounds_to_a_neighbour_and_is_right_on_average() {
        for value in [0.1_f32, -0.1, 1.0, 3e-5, -7e-6, 0.0, 0.999_9, -0.033] {
            let draws = 4_096;
            let mean: f64 = (0..draws)
                .map(|draw| {
                    let rounded = f32_from_f16(dithered(value, draw as f32 / draws as f32));
                    let step = (value.abs() * 2.0_f32.powi(-10)).max(2.0_f32.powi(-24));
                    assert!((rounded - value).abs() <= step, "{value}: {rounded}");
                    f64::from(rounded)
                })
                .sum::<f64>()
                / f64::from(draws);
            let off = (mean - f64::from(value)).abs();
            assert!(
                off <= f64::from(value.abs()) * 1e-6 + 1e-10,
                "{value}: {mean}"
            );
        }
    }

    #[test]
    fn a_prototype_comes_to_where_it_is_drawn_at_any_rate() {
        let code = normalised(&array::from_fn(|at| ((at * 37 % 64) as f32) - 31.5)).unwrap();
        for rate in [0.5, 0.1, 0.01, 0.002] {
            let column = Versioned::new();
            for _ in 0..(10.0 / rate) as usize {
                column.learn(&code, rate, 9);
            }
            let got = column.prototype().map(f32_from_f16);
            let dot: f32 = got.iter().zip(&code).map(|(a, b)| a * b).sum();
            let norm = got.iter().map(|a| a * a).sum::<f32>().sqrt();
            assert!(
                dot / norm > 0.999_9 && (norm - 1.0).abs() < 1e-2,
                "{rate}: {dot} {norm}"
            );
            assert_eq!(column.version(), (10.0 / rate) as u64);
        }
    }

    #[test]
    fn codes_without_direction_are_refused() {
        let mut code = [0.0; CODE_DIMENSION];
        assert_eq!(normalised(&code), Err(CodeError::NoDirection));
        code[3] = f32::NAN;
        assert!(matches!(
            normalised(&code),
            Err(CodeError::NotFinite { at: 3, .. })
        ));
        code[3] = 1e-38;
        assert_eq!(normalised(&code).unwrap()[3], 1.0);
    }
}
