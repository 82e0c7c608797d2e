//! Who wins.

use cortica_env::Seed;

/// One that takes part, and what it is judged by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contender {
    /// The greatest wins. Silence does not: what is not above 0, or no number, has no part in it.
    pub activity: f32,
    /// Among equal activities the earliest wins, milliseconds; infinite for one that never spikes, and what is not
    /// a number counts as that.
    pub spike_ms: f32,
    /// Among equal spikes the lowest wins: a column's number.
    pub id: u32,
}

/// Selects winners, and keeps its memory for the next time.
///
/// ```
/// use cortica_cortex::{Contender, Winners};
///
/// let contender = |activity, spike_ms, id| Contender { activity, spike_ms, id };
/// let field = [contender(0.2, 9.0, 0), contender(0.7, 5.0, 1), contender(0.7, 3.0, 2)];
/// let mut winners = Winners::default();
/// assert_eq!(winners.select(&field, 2), [2, 1], "places in the field, the best first");
/// assert_eq!(winners.select(&[contender(0.0, 1.0, 0)], 2), [0; 0], "silence does not win");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Winners {
    keys: Vec<Key>,
    places: Vec<u32>,
}

/// The better of two contenders has the greater rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    rank: u128,
    place: u32,
}

/// With so few winners, most contenders are passed over by one comparison.
const FEW: usize = 8;

impl Winners {
    /// Memory for fields of this size: nothing is allocated until one is larger.
    #[must_use]
    pub fn with_capacity(contenders: usize) -> Winners {
        Winners {
            keys: Vec::with_capacity(contenders),
            places: Vec::with_capacity(contenders),
        }
    }

    /// The `k` best contenders, or all that are not silent: their places, the best first. By activity, then
    /// the earliest spike, then the lowest id; of one that is there twice, the first place. O(n + k log k).
    pub fn select(&mut self, field: &[Contender], k: usize) -> &[u32] {
        let ranked = field
            .iter()
            .enumerate()
            .filter(|(_, one)| one.activity > 0.0);
        self.select_ranked(
            ranked.map(|(place, one)| (place, rank(one.activity, *one))),
            k,
        )
    }

    /// `k` winners drawn by chance without replacement, each with a chance in proportion to
    /// `exp(activity / temperature)` among those that are left (softmax; drawn by adding Gumbel noise and
    /// taking the greatest: Gumbel 1954; Kool, van Hoof & Welling 2019). The same seed draws the same. Silence
    /// is never drawn. A temperature that is not above 0 selects the best. O(n + k log k).
    pub fn sample(
        &mut self,
        field: &[Contender],
        k: usize,
        temperature: f32,
        seed: Seed,
    ) -> &[u32] {
        if temperature.is_nan() || temperature <= 0.0 {
            return self.select(field, k);
        }
        let mut chance = seed.rng();
        let drawn = field.iter().enumerate().filter_map(move |(place, one)| {
            // One number each, silent or not: who is silent does not change what others draw.
            let unit = chance.unit().max(f64::MIN_POSITIVE);
            let noise = -(-unit.ln()).ln();
            // The same order, in the scale in which f32 neither overflows nor drowns the activities.
            let (activity, temperature) = (f64::from(one.activity), f64::from(temperature));
            let score = if temperature < 1.0 {
                activity + temperature * noise
            } else {
                activity / temperature + noise
            };
            (one.activity > 0.0).then(|| (place, rank(score as f32, *one)))
        });
        self.select_ranked(drawn, k)
    }

    /// As [`select`](Winners::select), of ranks that are known.
    pub(crate) fn select_ranked(
        &mut self,
        ranked: impl Iterator<Item = (usize, u128)>,
        k: usize,
    ) -> &[u32] {
        self.keys.clear();
        self.places.clear();
        // Of equal ranks the first place has the greater key.
        let keys = ranked.map(|(place, rank)| Key {
            rank,
            place: !(place as u32),
        });
        if k == 0 {
            return &self.places;
        }
        if k <= FEW {
            for key in keys {
                if self.keys.len() == k && self.keys[k - 1] > key {
                    continue;
                }
                self.keys.truncate(k - 1);
                let at = self.keys.iter().position(|better| *better < key);
                self.keys.insert(at.unwrap_or(self.keys.len()), key);
            }
        } else {
            self.keys.extend(keys);
            if k < self.keys.len() {
                self.keys.select_nth_unstable_by(k - 1, |a, b| b.cmp(a));
                self.keys.truncate(k);
            }
            self.keys.sort_unstable_by(|a, b| b.cmp(a));
        }
        self.places.extend(self.keys.iter().map(|key| !key.place));
        &self.places
    }
}

/// Score, then the earliest spike, then the lowest id, as one number.
fn rank(score: f32, one: Contender) -> u128 {
    let spike = if one.spike_ms.is_nan() {
        f32::INFINITY
    } else {
        one.spike_ms
    };
    join(ordered(score), !ordered(spike), !one.id)
}

pub(crate) fn join(first: u32, second: u32, third: u32) -> u128 {
    u128::from(first) << 64 | u128::from(second) << 32 | u128::from(third)
}

/// Bits that rise with the value; both zeros are one.
pub(crate) fn ordered(value: f32) -> u32 {
    let bits = (value + 0.0).to_bits();
    if bits >> 31 == 0 {
        bits | 1 << 31
    } else {
        !bits
    }
}
