//! The k best of many scores.
//!
//! A score that is NaN is never selected. Scores that compare equal tie, 0 and -0 too. Everything
//! that ties with the k-th best is selected with it, so which rows come out does not depend on the
//! order in which they were scored.

use crate::isa::Isa;
use crate::native;
use std::cmp::Ordering;

/// A row and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The row's number.
    pub row: u32,
    /// More is better.
    pub score: f32,
}

/// Score descending, then row ascending.
fn best_first(a: Scored, b: Scored) -> Ordering {
    by_score(a, b).then(a.row.cmp(&b.row))
}

/// Score descending. There is no NaN here.
fn by_score(a: Scored, b: Scored) -> Ordering {
    b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal)
}

/// The definition of [`top_k`]: sort, cut, keep ties.
pub fn top_k_reference(scores: &[f32], k: usize) -> Vec<Scored> {
    let numbers = scores.iter().zip(0..).filter(|(score, _)| !score.is_nan());
    let mut found: Vec<Scored> = numbers.map(|(&score, row)| Scored { row, score }).collect();
    found.sort_unstable_by(|a, b| best_first(*a, *b));
    cut(&mut found, k);
    found
}

/// Keeps the best `k` of `found` and those that tie with the last of them, in order; drops NaN.
pub(crate) fn keep_best(found: &mut Vec<Scored>, k: usize) {
    retain(found, |scored| !scored.score.is_nan());
    if (1..found.len()).contains(&k) {
        // Only what stays has to be put in order.
        let by_score = |a: &Scored, b: &Scored| by_score(*a, *b);
        let (_, &mut kth, _) = found.select_nth_unstable_by(k - 1, by_score);
        retain(found, |other| other.score >= kth.score);
    }
    found.sort_unstable_by(|a, b| best_first(*a, *b));
    cut(found, k);
}

/// As [`Vec::retain`], without a branch that depends on the answer: which ones stay is anyone's
/// guess here.
fn retain(found: &mut Vec<Scored>, stays: impl Fn(Scored) -> bool) {
    let mut kept = 0;
    for at in 0..found.len() {
        let scored = found[at];
        found[kept] = scored;
        kept += usize::from(stays(scored));
    }
    found.truncate(kept);
}

/// Replaces scores; rows without one are dropped. `fetch` is told of each row `ahead` rows before
/// it is scored.
pub(crate) fn score_again(
    found: &mut Vec<Scored>,
    ahead: usize,
    mut fetch: impl FnMut(u32),
    mut score_of: impl FnMut(u32) -> Option<f32>,
) {
    let first = found.iter().take(ahead);
    first.for_each(|scored| fetch(scored.row));
    let mut kept = 0;
    for at in 0..found.len() {
        if let Some(next) = found.get(at + ahead) {
            fetch(next.row);
        }
        let row = found[at].row;
        if let Some(score) = score_of(row) {
            // Adding zero turns -0 into 0: what compares equal looks equal.
            let score = score + 0.0;
            found[kept] = Scored { row, score };
            kept += 1;
        }
    }
    found.truncate(kept);
}

/// Cuts what is in order to the first `k` and those that tie with the last of them.
fn cut(found: &mut Vec<Scored>, k: usize) {
    let kth = k.checked_sub(1).and_then(|last| found.get(last)).copied();
    match kth {
        Some(kth) => {
            let ties = found[k..].partition_point(|other| other.score >= kth.score);
            found.truncate(k + ties);
        }
        None if k == 0 => found.clear(),
        None => {}
    }
}

/// Puts the `k` best of `scores` into `found`, which is emptied before: score descending, then
/// row ascending, and everything that ties with the k-th. Row `i` is `scores[i]`; there may be up
/// to 2^32 of them. With fewer than `k` numbers, all of them; with `k` = 0, none.
///
/// Allocates only where `found` has no room. Cost: O(n) for k far below n in any order that is not
/// rising all the way, O(n + m log m) at worst, m being what is found.
pub fn top_k(isa: Isa, scores: &[f32], k: usize, found: &mut Vec<Scored>) {
    let mut top = TopK::with_buffer(k, std::mem::take(found));
    top.offer(isa, 0, scores);
    *found = top.into_sorted();
}

/// Appends to `found` every row whose score is at least `limit`, in order: row `first + i` is
/// `scores[i]`. NaN is not at least anything.
pub fn select_at_least(isa: Isa, scores: &[f32], limit: f32, first: u32, found: &mut Vec<Scored>) {
    native::select::Path::of(isa).at_least(scores, limit, first, found);
}

/// The k best of scores that arrive block by block.
#[derive(Clone, Debug, Default)]
pub struct TopK {
    k: usize,
    /// At most the k-th best score so far: what lies below it cannot be among the k best.
    limit: f32,
    prune_at: usize,
    block: usize,
    /// In the order in which they were offered.
    kept: Vec<Scored>,
    /// What is kept, as scores alone: to find the k-th best without disturbing the order.
    scores: Vec<f32>,
}

/// Scores looked at between two looks at what is kept: few at first, since everything passes until
/// there is a limit, then more.
const BLOCK_MIN: usize = 1 << 6;
const BLOCK_MAX: usize = 1 << 12;

impl TopK {
    /// Nothing yet, and room for the best `k`.
    pub fn new(k: usize) -> Self {
        Self::with_buffer(k, Vec::new())
    }

    fn with_buffer(k: usize, kept: Vec<Scored>) -> Self {
        let mut top = Self {
            k,
            kept,
            ..Self::default()
        };
        top.clear();
        top
    }

    /// Forgets what was offered; keeps the memory.
    pub fn clear(&mut self) {
        self.kept.clear();
        self.limit = f32::NEG_INFINITY;
        self.prune_at = prune_at(self.k, 0);
        self.block = BLOCK_MIN;
    }

    /// A score that the k-th best so far reaches; minus infinity while there are fewer than `k`.
    /// It lags behind the k-th best, by at most a block of scores.
    pub fn limit(&self) -> f32 {
        self.limit
    }

    /// Offers the scores of consecutive rows, of which `first` is the first.
    pub fn offer(&mut self, isa: Isa, first: u32, scores: &[f32]) {
        if self.k == 0 {
            return;
        }
        let path = native::select::Path::of(isa);
        let mut from = 0;
        while from < scores.len() {
            let to = scores.len().min(from + self.block);
            let first = first.wrapping_add(from as u32);
            path.at_least(&scores[from..to], self.limit, first, &mut self.kept);
            if self.kept.len() >= self.prune_at {
                self.prune();
            }
            from = to;
            self.block = (2 * self.block).min(BLOCK_MAX);
        }
    }

    /// The best `k` and what ties with the last of them, in the order in which they were offered.
    pub fn best(&mut self) -> &[Scored] {
        self.prune();
        &self.kept
    }

    /// The best `k` and what ties with the last of them: score descending, then row ascending.
    pub fn sorted(&mut self) -> &[Scored] {
        self.prune();
        self.kept.sort_unstable_by(|a, b| best_first(*a, *b));
        &self.kept
    }

    /// As [`best`](Self::best), by row.
    pub(crate) fn best_by_row(&mut self) -> &[Scored] {
        self.prune();
        if !self.kept.is_sorted_by_key(|scored| scored.row) {
            self.kept.sort_unstable_by_key(|scored| scored.row);
        }
        &self.kept
    }

    /// Gives what is kept other scores, none of them NaN, and keeps the best `keep`, `k` at most,
    /// and what ties with the last of those, by row. More must not be offered.
    pub(crate) fn narrow(
        &mut self,
        keep: usize,
        fetch: impl FnMut(u32),
        score_of: impl FnMut(u32) -> Option<f32>,
    ) {
        /// What is scored is small and not far away.
        const AHEAD: usize = 4;
        self.best_by_row();
        score_again(&mut self.kept, AHEAD, fetch, score_of);
        self.keep(keep.min(self.k));
    }

    fn into_sorted(mut self) -> Vec<Scored> {
        self.sorted();
        self.kept
    }

    /// How many are looked for.
    pub fn k(&self) -> usize {
        self.k
    }

    pub(crate) fn prune(&mut self) {
        self.keep(self.k);
        self.prune_at = prune_at(self.k, self.kept.len());
    }

    /// Forgets what is neither among the best `k` nor ties with the last of them.
    fn keep(&mut self, k: usize) {
        if k > 0 && self.kept.len() >= k {
            self.scores.clear();
            self.scores.extend(self.kept.iter().map(|kept| kept.score));
            // There is no NaN here, and whether 0 or -0 comes first makes no difference.
            let descending = |a: &f32, b: &f32| b.total_cmp(a);
            let (_, &mut kth, _) = self.scores.select_nth_unstable_by(k - 1, descending);
            self.limit = kth;
            retain(&mut self.kept, |other| other.score >= kth);
        }
    }
}

/// Twice what is held, so that pruning costs O(1) a score even where nothing can be forgotten.
fn prune_at(k: usize, held: usize) -> usize {
    let kept = held.saturating_mul(2);
    kept.max(k.saturating_add(k / 2).saturating_add(64))
}
