//! Places that depend on each other, however far apart they stand.

use std::collections::BTreeMap;

use crate::streams::Place;

/// Numbers of places, so that those of two clusters have no row in common, before the place or in it: along lines,
/// whole trees. Stretches are parts of them, so intervals that draw stretches take for independent what is not.
pub(crate) fn clusters(places: &[Place]) -> Vec<Vec<usize>> {
    let rows = places.iter().flat_map(Place::rows);
    let mut leaders: Vec<u32> = (0..=rows.max().unwrap_or(0)).collect();
    for place in places {
        let first = leader(&mut leaders, place.next);
        for row in place.rows() {
            let other = leader(&mut leaders, row);
            leaders[other as usize] = first;
        }
    }
    let mut clusters: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (at, place) in places.iter().enumerate() {
        let cluster = leader(&mut leaders, place.next);
        clusters.entry(cluster).or_default().push(at);
    }
    clusters.into_values().collect()
}

/// Who leads a row's cluster; on the way to it the way is made shorter.
fn leader(leaders: &mut [u32], mut row: u32) -> u32 {
    while leaders[row as usize] != row {
        let next = leaders[row as usize];
        leaders[row as usize] = leaders[next as usize];
        row = next;
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(seen: &[u32], next: u32) -> Place {
        Place {
            seen: seen.to_vec(),
            next,
            others: Vec::new(),
            stretch: 0,
        }
    }

    #[test]
    fn places_that_share_a_row_are_together() {
        let places = [
            place(&[0, 1], 2),
            place(&[3, 4], 5),
            place(&[6, 7], 8),
            place(&[2, 9], 10),
            // Brings the second and the fourth together, and with it the first.
            place(&[10, 11], 4),
        ];
        let mut found = clusters(&places);
        found.sort();
        assert_eq!(found, [vec![0, 1, 3, 4], vec![2]]);
        assert!(clusters(&[]).is_empty());
    }
}
