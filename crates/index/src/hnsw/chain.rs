//! Puts near queries one after the other.

use cortica_simd::{CodeRows, Isa, encode_signs, hamming_rows, sign_words};

/// Items that the next one is chosen from: comparing with as many takes some fiftieth of a walk.
const WINDOW: usize = 1 << 10;

/// Each is followed by that with the most signs in common of the [`WINDOW`] that come first of those
/// left, so that an order in which near ones are not far from each other becomes a better one.
///
/// All vectors have the same length. `WINDOW` distances of signs an item; memory for the signs of as
/// many, beside the items.
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

/// Items and, in the same order, their signs.
struct Window<T> {
    isa: Isa,
    items: Vec<T>,
    /// Of signs.
    words: usize,
    signs: Vec<u64>,
    /// Of what was taken last.
    taken: Vec<u64>,
    distances: Vec<u32>,
}

impl<T> Window<T> {
    fn new(isa: Isa, dimension: usize, places: usize) -> Self {
        let words = sign_words(dimension);
        Self {
            isa,
            items: Vec::with_capacity(places),
            words,
            signs: vec![0; places * words],
            taken: vec![0; words],
            distances: vec![0; places],
        }
    }

    /// Where there is room, as there is at first and after each [`take`](Window::take).
    fn push(&mut self, item: T, vector: impl Fn(&T) -> &[f32]) {
        let signs = &mut self.signs[self.items.len() * self.words..][..self.words];
        encode_signs(vector(&item), signs);
        self.items.push(item);
    }

    fn take(&mut self, at: usize) -> Option<T> {
        let last = self.items.len().checked_sub(1)?;
        let words = self.words;
        let row = |at: usize| at * words..(at + 1) * words;
        self.taken.copy_from_slice(&self.signs[row(at)]);
        self.signs.copy_within(row(last), at * words);
        Some(self.items.swap_remove(at))
    }

    /// Which item is nearest to the one that was taken last.
    fn nearest(&mut self) -> usize {
        let distances = &mut self.distances[..self.items.len()];
        if let Ok(rows) = CodeRows::packed(&self.signs, self.words) {
            hamming_rows(self.isa, &self.taken, rows, distances);
        }
        let nearest = distances
            .iter()
            .enumerate()
            .min_by_key(|(_, distance)| **distance);
        nearest.map_or(0, |(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cortica_testkit::{Rng, clustered};

    const DIMENSION: usize = 128;

    fn chained(isa: Isa, vectors: &[f32]) -> Vec<usize> {
        let numbered = vectors.chunks_exact(DIMENSION).enumerate().collect();
        let chained = chain(isa, numbered, |(_, vector)| vector);
        chained.into_iter().map(|(number, _)| number).collect()
    }

    #[test]
    fn near_ones_follow_each_other_and_all_are_there_once() {
        let few = clustered(50, DIMENSION, 1);
        // Copies of fifty, each some way from the others.
        let numbers: Vec<usize> = (0..3 * WINDOW).map(|at| at * 17 % 50).collect();
        let vectors: Vec<f32> = numbers
            .iter()
            .flat_map(|&number| &few[number * DIMENSION..][..DIMENSION])
            .copied()
            .collect();
        for isa in Isa::available() {
            let mut order = chained(isa, &vectors);
            let changes = order.windows(2);
            let changes = changes.filter(|pair| numbers[pair[0]] != numbers[pair[1]]);
            let changes = changes.count();
            // What is in the window goes before what is not, and a twentieth of it is alike.
            assert!(changes < numbers.len() / 10, "{isa}: {changes}");
            order.sort_unstable();
            assert!(order.into_iter().eq(0..numbers.len()), "{isa}");
        }
    }

    #[test]
    fn lists_of_every_length_and_what_has_no_direction() {
        let mut random = Rng::new(3);
        for count in [0, 1, 2, WINDOW - 1, WINDOW, WINDOW + 1] {
            let vectors: Vec<f32> = (0..count * DIMENSION)
                .map(|at| {
                    if at < 2 * DIMENSION {
                        0.0
                    } else {
                        random.below(3) as f32 - 1.0
                    }
                })
                .collect();
            let mut order = chained(Isa::best(), &vectors);
            order.sort_unstable();
            assert!(order.into_iter().eq(0..count), "{count}");
        }
    }
}
