//! Puts near queries one after the other.

use cortica_simd::{CodeRows, Isa, dot_rows_i8, encode_i8};
use std::iter::zip;

/// Items that the next one is chosen from: comparing with as many takes some fiftieth of a walk.
const WINDOW: usize = 128;

/// Each is followed by the nearest, by the cosine of i8 codes, of the [`WINDOW`] that come first of
/// those left, so that an order in which near ones are not far from each other becomes a better one.
///
/// All vectors have the same length. `WINDOW` dot products of codes an item; memory for the codes of
/// as many, beside the items.
pub(super) fn chain<T>(isa: Isa, items: Vec<T>, vector: impl Fn(&T) -> &[f32]) -> Vec<T> {
    let Some(first) = items.first() else {
        return items;
    };
    let mut window = Window::new(isa, vector(first).len(), items.len().min(WINDOW));
    let mut chained = Vec::with_capacity(items.len());
    let mut coming = items.into_iter();
    for item in coming.by_ref().take(WINDOW) {
        window.push(item, &vector);
    }
    let mut next = 0;
    while let Some(item) = window.take(next) {
        chained.push(item);
        if let Some(item) = coming.next() {
            window.push(item, &vector);
        }
        next = window.nearest();
    }
    chained
}

/// Items and, in the same order, what tells how near they are.
struct Window<T> {
    isa: Isa,
    dimension: usize,
    items: Vec<T>,
    codes: Vec<i8>,
    /// Times a dot product of codes: the cosine, but for a factor that all have.
    scales: Vec<f32>,
    /// Of what was taken last.
    taken: Vec<i8>,
    dots: Vec<i32>,
}

impl<T> Window<T> {
    fn new(isa: Isa, dimension: usize, places: usize) -> Self {
        Self {
            isa,
            dimension,
            items: Vec::with_capacity(places),
            codes: vec![0; places * dimension],
            scales: Vec::with_capacity(places),
            taken: vec![0; dimension],
            dots: vec![0; places],
        }
    }

    /// Where there is room, as there is at first and after each [`take`](Window::take).
    fn push(&mut self, item: T, vector: impl Fn(&T) -> &[f32]) {
        let codes = &mut self.codes[self.items.len() * self.dimension..][..self.dimension];
        let scale = encode_i8(self.isa, vector(&item), codes);
        self.scales
            .push(scale.scale / scale.norm.max(f32::MIN_POSITIVE));
        self.items.push(item);
    }

    fn take(&mut self, at: usize) -> Option<T> {
        let last = self.items.len().checked_sub(1)?;
        let dimension = self.dimension;
        let row = |at: usize| at * dimension..(at + 1) * dimension;
        self.taken.copy_from_slice(&self.codes[row(at)]);
        self.codes.copy_within(row(last), at * dimension);
        self.scales.swap_remove(at);
        Some(self.items.swap_remove(at))
    }

    /// Which item is nearest to the one that was taken last.
    fn nearest(&mut self) -> usize {
        let rows = CodeRows::packed(&self.codes, self.dimension);
        if let Ok(rows) = rows {
            dot_rows_i8(
                self.isa,
                &self.taken,
                rows,
                &mut self.dots[..self.items.len()],
            );
        }
        let cosines = zip(&self.dots, &self.scales).map(|(&dot, scale)| dot as f32 * scale);
        let best = cosines.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        best.map_or(0, |(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cortica_testkit::Rng;

    fn chained(isa: Isa, vectors: &[[f32; 3]]) -> Vec<usize> {
        let numbered = vectors.iter().enumerate().collect();
        let chained = chain(isa, numbered, |(_, vector)| vector.as_slice());
        chained.into_iter().map(|(number, _)| number).collect()
    }

    #[test]
    fn all_are_there_once_and_near_ones_follow_each_other() {
        // Around a circle of forty places, to and fro.
        let vectors: Vec<[f32; 3]> = (0..1_000)
            .map(|number| (number * 17 % 40) as f32 / 40.0 * std::f32::consts::TAU)
            .map(|angle| [angle.cos(), angle.sin(), 0.1])
            .collect();
        let far = |order: &[usize]| -> f32 {
            let pairs = order.windows(2);
            let apart = |pair: &[usize]| {
                let [a, b] = [vectors[pair[0]], vectors[pair[1]]];
                zip(a, b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
            };
            pairs.map(apart).sum()
        };
        for isa in Isa::available() {
            let mut order = chained(isa, &vectors);
            let given: Vec<usize> = (0..vectors.len()).collect();
            let (before, after) = (far(&given), far(&order));
            assert!(after < before / 4.0, "{isa}: {before}, then {after}");
            order.sort_unstable();
            assert_eq!(order, given);
        }
    }

    #[test]
    fn lists_of_every_length_and_what_has_no_direction() {
        let mut random = Rng::new(3);
        for count in [0, 1, 2, WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW] {
            let vectors: Vec<[f32; 3]> = (0..count)
                .map(|_| [(); 3].map(|()| random.below(3) as f32 - 1.0))
                .collect();
            let mut order = chained(Isa::best(), &vectors);
            order.sort_unstable();
            assert!(order.into_iter().eq(0..count), "{count}");
        }
    }
}
