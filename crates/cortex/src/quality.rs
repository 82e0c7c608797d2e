//! What a map is worth: whether what lies near on it is near in truth.

/// How far the neighbours on a map can be trusted (Venna & Kaski 2001), for each of the points `asked` about.
///
/// `likeness(i, out)` fills in how alike point i is to each point, more being nearer; `places` says where the points lie
/// on the map. For a point, the `k` nearest on the map that are not among its `k` nearest in truth each cost as many
/// ranks as they lie behind the k-th; 1 is no such, and the mean of points placed by chance is near 0.5. Of
/// points that lie equally far on the map, as many do on a lattice, each counts the same share. The mean over all
/// points is the trustworthiness of the map.
///
/// O(asked n k). 1 for all where `2 n - 3 k - 1` is not above 0: so few points say nothing.
///
/// ```
/// use cortica_cortex::trustworthiness;
///
/// let truth = [0.0_f32, 1.0, 2.0, 3.5, 5.0, 7.0, 9.0, 12.0];
/// let alike = |at: usize, out: &mut [f32]| {
///     for (out, value) in out.iter_mut().zip(truth) {
///         *out = -(value - truth[at]).abs();
///     }
/// };
/// let places = truth.map(|value| [value * 2.0, 0.0, 0.0]);
/// assert_eq!(trustworthiness(alike, &places, &[0, 3, 7], 2), [1.0; 3]);
/// ```
#[must_use]
pub fn trustworthiness(
    likeness: impl Fn(usize, &mut [f32]),
    places: &[[f32; 3]],
    asked: &[usize],
    k: usize,
) -> Vec<f64> {
    let n = places.len();
    let whole = 2.0 * n as f64 - 3.0 * k as f64 - 1.0;
    if k == 0 || whole <= 0.0 {
        return vec![1.0; asked.len()];
    }
    let mut alike = vec![0.0; n];
    let mut near: Vec<(f32, usize)> = Vec::with_capacity(n);
    let of = |&point: &usize| {
        likeness(point, &mut alike);
        near.clear();
        let others = (0..n).filter(|&other| other != point);
        near.extend(others.map(|other| (squared(places[point], places[other]), other)));
        let kth = near
            .select_nth_unstable_by(k - 1, |a, b| a.0.total_cmp(&b.0))
            .1
            .0;
        let nearer = near.iter().filter(|one| one.0 < kth).count();
        let as_near = near.iter().filter(|one| one.0 == kth).count();
        let share = (k - nearer) as f64 / as_near as f64;
        let costs = near
            .iter()
            .filter(|one| one.0 <= kth)
            .map(|&(distance, other)| {
                // Its rank: of those that are as alike, the ones with lower numbers come first.
                let this = alike[other];
                let before = |&at: &usize| {
                    at != point && (alike[at] > this || alike[at] == this && at < other)
                };
                let rank = 1 + (0..n).filter(before).count();
                let cost = rank.saturating_sub(k) as f64;
                if distance < kth { cost } else { share * cost }
            });
        1.0 - 2.0 / (k as f64 * whole) * costs.sum::<f64>()
    };
    asked.iter().map(of).collect()
}

/// For each pair of points, whether they lie within a distance of each other.
#[must_use]
pub fn within(places: &[[f32; 3]], pairs: &[(usize, usize)], distance: f32) -> Vec<bool> {
    let near = |&(a, b): &(usize, usize)| squared(places[a], places[b]) <= distance * distance;
    pairs.iter().map(near).collect()
}

fn squared(a: [f32; 3], b: [f32; 3]) -> f32 {
    (0..3).map(|axis| (a[axis] - b[axis]).powi(2)).sum()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use cortica_env::Seed;

    /// As the equation is written, without ties.
    fn reference(truth: &[[f32; 3]], places: &[[f32; 3]], k: usize) -> f64 {
        let n = truth.len();
        let order = |points: &[[f32; 3]], of: usize| -> Vec<usize> {
            let mut all: Vec<usize> = (0..n).filter(|&other| other != of).collect();
            all.sort_by(|&a, &b| {
                squared(points[of], points[a]).total_cmp(&squared(points[of], points[b]))
            });
            all
        };
        let mut cost = 0.0;
        for of in 0..n {
            let (truly, shown) = (order(truth, of), order(places, of));
            for other in &shown[..k] {
                let rank = 1 + truly.iter().position(|one| one == other).unwrap_or(0);
                cost += rank.saturating_sub(k) as f64;
            }
        }
        let (n, k) = (n as f64, k as f64);
        1.0 - 2.0 / (n * k * (2.0 * n - 3.0 * k - 1.0)) * cost
    }

    fn points(count: usize, seed: u64) -> Vec<[f32; 3]> {
        let mut rng = Seed(seed).rng();
        let mut point = || std::array::from_fn(|_| rng.unit() as f32);
        (0..count).map(|_| point()).collect()
    }

    fn measured(truth: &[[f32; 3]], places: &[[f32; 3]], k: usize) -> f64 {
        let alike = |of: usize, out: &mut [f32]| {
            for (out, &other) in out.iter_mut().zip(truth) {
                *out = -squared(truth[of], other);
            }
        };
        let all: Vec<usize> = (0..truth.len()).collect();
        trustworthiness(alike, places, &all, k).iter().sum::<f64>() / truth.len() as f64
    }

    #[test]
    fn it_is_what_the_equation_says() {
        let truth = points(200, 1);
        let mut places = truth.clone();
        for (place, noise) in places.iter_mut().zip(points(200, 2)) {
            (0..3).for_each(|axis| place[axis] += 0.3 * noise[axis]);
        }
        for k in [1, 5, 10, 40] {
            let (got, want) = (measured(&truth, &places, k), reference(&truth, &places, k));
            assert!((got - want).abs() < 1e-12, "{k}: {got} {want}");
            assert!((0.6..1.0).contains(&got), "{got}");
            assert_eq!(measured(&truth, &truth, k), 1.0);
        }
        let chance = measured(&truth, &points(200, 3), 10);
        assert!((chance - 0.5).abs() < 0.05, "{chance}");
        assert_eq!(
            measured(&truth[..5], &places[..5], 3),
            1.0,
            "too few to say"
        );
    }

    #[test]
    fn points_that_lie_equally_far_count_a_share() {
        // All at one place: the expectation over every order of them.
        let truth = points(60, 4);
        let same = vec![[1.0; 3]; 60];
        let (n, k) = (60.0, 5.0);
        let mean_cost = k * ((n - 1.0 - k) * (n - k) / 2.0) / (n - 1.0);
        let want = 1.0 - 2.0 / (k * (2.0 * n - 3.0 * k - 1.0)) * mean_cost;
        assert!((measured(&truth, &same, 5) - want).abs() < 1e-12);
    }

    #[test]
    fn pairs_within_a_distance() {
        let places = [[0.0; 3], [2.0, 0.0, 0.0], [0.0, 1.5, 1.5]];
        let pairs = [(0, 1), (0, 2), (1, 2)];
        assert_eq!(within(&places, &pairs, 2.0), [true, false, false]);
    }
}
