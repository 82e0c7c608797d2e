//! The area under the curve: how often what is right scores above what is wrong.

use cortica_env::Seed;

use crate::bootstrap::interval;

/// The share of pairs of a right and a wrong one in which the right one scores higher; ties count
/// half. All pairs, not only those of one place: scores must be comparable between places.
pub(crate) fn auc(right: &[f32], wrong: &[f32]) -> f64 {
    let mut all: Vec<(f32, bool)> = right.iter().map(|&score| (score, true)).collect();
    all.extend(wrong.iter().map(|&score| (score, false)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut pairs) = (0.0, 0.0);
    for ties in all.chunk_by(|a, b| a.0 == b.0) {
        let rights = ties.iter().filter(|scored| scored.1).count() as f64;
        let wrongs = ties.len() as f64 - rights;
        pairs += rights * (below + wrongs / 2.0);
        below += wrongs;
    }
    pairs / (right.len() as f64 * wrong.len() as f64)
}

/// The interval by which our area is above theirs. Each side gives its scores of what is right and of
/// what is wrong, place by place; groups of places that depend on each other, given by their numbers, are drawn
/// whole and for both sides alike.
pub(crate) fn compare(
    ours: [&[f32]; 2],
    theirs: [&[f32]; 2],
    groups: &[Vec<usize>],
    seed: Seed,
) -> [f64; 3] {
    interval(groups.len(), seed, |drawn| {
        let area = |[right, wrong]: [&[f32]; 2]| {
            let pick = |scores: &[f32]| -> Vec<f32> {
                let places = drawn.iter().flat_map(|&at| &groups[at]);
                places.map(|&place| scores[place]).collect()
            };
            auc(&pick(right), &pick(wrong))
        };
        area(ours) - area(theirs)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(right: &[f32], wrong: &[f32], want: f64) {
        assert!((auc(right, wrong) - want).abs() < 1e-12);
    }

    #[test]
    fn areas() {
        check(&[2.0, 3.0], &[0.0, 1.0], 1.0);
        check(&[0.0, 1.0], &[2.0, 3.0], 0.0);
        check(&[1.0, 1.0], &[1.0], 0.5);
        check(&[1.0, 3.0], &[2.0, 2.0], 0.5);
        check(&[1.0, 2.0, 3.0], &[2.0], 0.5);
    }

    #[test]
    fn equal_scores_are_not_better() {
        let (right, wrong) = ([0.3, 0.6, 0.9, 0.2], [0.1, 0.5, 0.8, 0.4]);
        let groups = [vec![0], vec![1, 2, 3]];
        let interval = compare([&right, &wrong], [&right, &wrong], &groups, Seed(3));
        assert_eq!(interval, [0.0; 3]);
    }
}
