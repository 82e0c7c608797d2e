//! Keeps the candidates that may be among the k best.

use cortica_simd::{Isa, Scored, select_at_least};

/// Keys looked at before there is a limit: all of them pass, so no more than give a useful one.
const FIRST: usize = 64;

/// Collects keys block by block and forgets those that cannot matter any more.
///
/// A key is what a selecting kernel computed: near the score that counts, not equal to it. So a
/// candidate stays while its key is above a *limit*, which the caller derives from the k-th best
/// key such that nothing below it can reach or tie with the k-th best score.
#[derive(Debug)]
pub(crate) struct Collector {
    k: usize,
    limit: f32,
    prune_at: usize,
    kept: Vec<Scored>,
}

impl Collector {
    pub(crate) fn new(k: usize) -> Self {
        Self {
            k,
            limit: f32::NEG_INFINITY,
            prune_at: prune_at(k, 0),
            kept: Vec::new(),
        }
    }

    /// Offers the keys of consecutive rows. `limit_of` maps the k-th best key to the limit.
    pub(crate) fn offer(
        &mut self,
        isa: Isa,
        first_row: usize,
        keys: &[f32],
        limit_of: impl Fn(f32) -> f32,
    ) {
        let without_limit = if self.limit == f32::NEG_INFINITY {
            FIRST.min(keys.len())
        } else {
            0
        };
        let (some, others) = keys.split_at(without_limit);
        for (from, keys) in [(0, some), (without_limit, others)] {
            let first = (first_row + from) as u32;
            select_at_least(isa, keys, self.limit, first, &mut self.kept);
            if self.kept.len() >= self.prune_at {
                self.prune(&limit_of);
            }
        }
    }

    /// The rows that may be among the k best, in no order. It is empty when all were taken, and can
    /// be used again, after [`begin`](Self::begin).
    pub(crate) fn finish(
        &mut self,
        limit_of: impl Fn(f32) -> f32,
    ) -> impl Iterator<Item = u32> + '_ {
        self.prune(limit_of);
        self.kept.drain(..).map(|kept| kept.row)
    }

    /// Gives memory back beyond that of so many candidates.
    pub(crate) fn shrink_to(&mut self, candidates: usize) {
        self.kept.shrink_to(candidates);
    }

    /// Forgets all, and looks for the `k` best from now on. Keeps its memory.
    pub(crate) fn begin(&mut self, k: usize) {
        self.k = k;
        self.limit = f32::NEG_INFINITY;
        self.prune_at = prune_at(k, 0);
        self.kept.clear();
    }

    fn prune(&mut self, limit_of: impl Fn(f32) -> f32) {
        if self.kept.len() > self.k {
            let by_key = |a: &Scored, b: &Scored| b.score.total_cmp(&a.score);
            let (_, &mut kth, _) = self.kept.select_nth_unstable_by(self.k - 1, by_key);
            self.limit = self.limit.max(limit_of(kth.score));
            let limit = self.limit;
            self.kept.retain(|kept| kept.score >= limit);
        }
        self.prune_at = prune_at(self.k, self.kept.len());
    }
}

/// Twice what is held, so that pruning costs O(1) a candidate even when nothing can be forgotten;
/// for a small k no more than what is looked at without a limit.
fn prune_at(k: usize, held: usize) -> usize {
    (2 * held).max(k + k / 2 + FIRST / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(k: usize, slack: f32, blocks: &[&[f32]]) -> Vec<u32> {
        let mut collector = Collector::new(k);
        let mut first = 0;
        for block in blocks {
            collector.offer(Isa::best(), first, block, |kth| kth - slack);
            first += block.len();
        }
        let mut rows: Vec<_> = collector.finish(|kth| kth - slack).collect();
        rows.sort_unstable();
        assert_eq!(collector.finish(|kth| kth).count(), 0);
        rows
    }

    #[test]
    fn keeps_the_best_and_what_is_within_the_limit() {
        assert_eq!(rows(2, 0.0, &[&[0.1, 0.9, 0.5]]), [1, 2]);
        assert_eq!(
            rows(2, 0.0, &[&[0.5, 0.9], &[0.5, 0.4]]),
            [0, 1, 2],
            "ties at the k-th stay"
        );
        assert_eq!(rows(1, 0.2, &[&[0.5, 0.6, 0.1]]), [0, 1]);
        assert_eq!(rows(9, 0.0, &[&[0.5, 0.6]]), [0, 1], "fewer than k: all");
        assert_eq!(rows(1, 0.0, &[]), [0_u32; 0]);
    }

    #[test]
    fn equals_sorting_on_long_input() {
        let keys: Vec<f32> = (0..20_000_u32)
            .map(|at| (at * 7_919 % 10_007) as f32)
            .collect();
        for k in [1, 10, 100, 5_000] {
            let mut sorted = keys.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let want: Vec<_> = (0..20_000_u32)
                .filter(|&at| keys[at as usize] >= sorted[k - 1])
                .collect();
            let blocks: Vec<_> = keys.chunks(256).collect();
            assert_eq!(rows(k, 0.0, &blocks), want);
        }
    }
}
