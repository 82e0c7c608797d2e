//! Keeps the candidates that may be among the k best.

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
    kept: Vec<(f32, u32)>,
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
    pub(crate) fn offer(&mut self, first_row: usize, keys: &[f32], limit_of: impl Fn(f32) -> f32) {
        for (at, &key) in keys.iter().enumerate() {
            if key >= self.limit {
                self.kept.push((key, (first_row + at) as u32));
            }
        }
        if self.kept.len() >= self.prune_at {
            self.prune(limit_of);
        }
    }

    /// The rows that may be among the k best, in no order. It is empty when all were taken, and can
    /// be used again, after [`begin`](Self::begin).
    pub(crate) fn finish(
        &mut self,
        limit_of: impl Fn(f32) -> f32,
    ) -> impl Iterator<Item = u32> + '_ {
        self.prune(limit_of);
        self.kept.drain(..).map(|(_, row)| row)
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
            let by_key = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0);
            let (_, &mut (kth, _), _) = self.kept.select_nth_unstable_by(self.k - 1, by_key);
            self.limit = self.limit.max(limit_of(kth));
            let limit = self.limit;
            self.kept.retain(|&(key, _)| key >= limit);
        }
        self.prune_at = prune_at(self.k, self.kept.len());
    }
}

/// Twice what is held, so that pruning costs O(1) a candidate even when nothing can be forgotten.
fn prune_at(k: usize, held: usize) -> usize {
    (2 * held).max(k + k / 2 + 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(k: usize, slack: f32, blocks: &[&[f32]]) -> Vec<u32> {
        let mut collector = Collector::new(k);
        let mut first = 0;
        for block in blocks {
            collector.offer(first, block, |kth| kth - slack);
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
