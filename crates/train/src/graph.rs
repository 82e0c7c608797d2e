//! The relations of a folder, within each side of the split.

use cortica_testkit::{Dataset, Split, split_of};

/// Relations that never lead from one side of the split to the other, so that nothing held out is
/// seen in training, nor the other way round.
#[derive(Debug)]
pub(crate) struct Graph {
    /// Rows directly related, by any type.
    related: Vec<Vec<u32>>,
    /// Rows one step below in the hierarchy, in order.
    below: Vec<Vec<u32>>,
    /// Whether a row is below another.
    has_above: Vec<bool>,
    sides: Vec<Split>,
}

impl Graph {
    pub(crate) fn new(data: &Dataset) -> Graph {
        let count = data.len();
        let side = |row: usize| match data.items.get(row) {
            Some(item) => item.split,
            None => split_of(&row.to_string()),
        };
        let sides: Vec<Split> = (0..count).map(side).collect();
        let mut related = vec![Vec::new(); count];
        let mut below = vec![Vec::new(); count];
        let mut has_above = vec![false; count];
        for &[from, to, kind] in &data.edges {
            let (source, target) = (from as usize, to as usize);
            if sides[source] != sides[target] || from == to {
                continue;
            }
            related[source].push(to);
            related[target].push(from);
            let kind = data
                .edge_types
                .get(kind as usize)
                .map_or("", String::as_str);
            if matches!(kind, "hyponym" | "instance_hyponym" | "child") {
                below[source].push(to);
                has_above[target] = true;
            }
        }
        for rows in related.iter_mut().chain(&mut below) {
            rows.sort_unstable();
            rows.dedup();
        }
        Graph {
            related,
            below,
            has_above,
            sides,
        }
    }

    pub(crate) fn below(&self, row: usize) -> &[u32] {
        &self.below[row]
    }

    /// Rows of this side that nothing is above of.
    pub(crate) fn roots(&self, side: Split) -> impl Iterator<Item = usize> {
        let rows = 0..self.sides.len();
        rows.filter(move |&row| self.sides[row] == side && !self.has_above[row])
    }

    /// Rows exactly three relations away, in order.
    pub(crate) fn three_away(&self, row: usize) -> Vec<u32> {
        let mut seen = vec![row as u32];
        let mut edge = vec![row as u32];
        for _ in 0..3 {
            let next = edge.iter().flat_map(|&row| &self.related[row as usize]);
            let mut next: Vec<u32> = next.copied().collect();
            next.sort_unstable();
            next.dedup();
            next.retain(|row| seen.binary_search(row).is_err());
            seen.extend(&next);
            seen.sort_unstable();
            edge = next;
        }
        edge
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cortica_testkit::Item;

    /// Rows 0 to 5 in a chain downwards, the last of them on the other side.
    fn chain() -> Dataset {
        let item = |row: usize| Item {
            id: format!("n{row:08}"),
            text: String::new(),
            split: if row == 5 { Split::Test } else { Split::Train },
        };
        Dataset {
            dimension: 1,
            rows: vec![0.0; 6],
            queries: Vec::new(),
            items: (0..6).map(item).collect(),
            query_infos: Vec::new(),
            truth: Vec::new(),
            edges: (0..5).map(|row| [row, row + 1, 0]).collect(),
            edge_types: vec!["hyponym".to_owned()],
        }
    }

    #[test]
    fn nothing_crosses_the_split() {
        let graph = Graph::new(&chain());
        assert_eq!(graph.below(0), [1]);
        assert_eq!(graph.below(4), [0_u32; 0]);
        assert_eq!(graph.roots(Split::Train).collect::<Vec<_>>(), [0]);
        assert_eq!(graph.roots(Split::Test).collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn three_relations_away_in_either_direction() {
        let graph = Graph::new(&chain());
        assert_eq!(graph.three_away(0), [3]);
        assert_eq!(graph.three_away(4), [1]);
        assert_eq!(graph.three_away(2), [0_u32; 0]); // 5 is held out.
    }

    #[test]
    fn streams_go_down_and_stay_on_their_side() {
        let data = chain();
        let graph = Graph::new(&data);
        let places = crate::streams::windows(&graph, &data, Split::Train);
        // 2 has nothing three away; of 3 and 4 what is three away was seen before.
        assert!(places.is_empty());
        let mut data = chain();
        data.edges.extend([[0, 3, 0], [1, 4, 0]]);
        let places = crate::streams::windows(&Graph::new(&data), &data, Split::Train);
        assert!(
            places
                .iter()
                .all(|place| place.next < 5 && !place.seen.contains(&place.next))
        );
    }
}
