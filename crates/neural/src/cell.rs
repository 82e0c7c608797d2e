//! One step of a long short-term memory.

use crate::dispatch::run;
use cortica_simd::{Isa, sigmoid, tanh};
use pulp::{Simd, WithSimd};

/// From the sums of all gates (`i`, `f`, `o`, `g`) to the next `cell` and `hidden` state; `sums` is
/// used up. |cell| grows by at most 1 a step.
pub(crate) fn advance(isa: Isa, sums: &mut [f32], cell: &mut [f32], hidden: &mut [f32]) {
    let width = cell.len();
    sigmoid(isa, &mut sums[..3 * width]);
    tanh(isa, &mut sums[3 * width..]);
    let (i, rest) = sums.split_at(width);
    let (f, rest) = rest.split_at(width);
    let (o, g) = rest.split_at(width);
    run(isa, Update { i, f, g, cell });
    hidden.copy_from_slice(cell);
    tanh(isa, hidden);
    run(isa, Shown { o, hidden });
}

struct Update<'a> {
    i: &'a [f32],
    f: &'a [f32],
    g: &'a [f32],
    cell: &'a mut [f32],
}

impl WithSimd for Update<'_> {
    type Output = ();

    // Plain code: inlined where the wide instructions are on, the compiler uses them.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let gates = self.i.iter().zip(self.f).zip(self.g);
        for (cell, ((i, f), g)) in self.cell.iter_mut().zip(gates) {
            *cell = f * *cell + i * g;
        }
    }
}

struct Shown<'a> {
    o: &'a [f32],
    hidden: &'a mut [f32],
}

impl WithSimd for Shown<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for (hidden, o) in self.hidden.iter_mut().zip(self.o) {
            *hidden *= o;
        }
    }
}
