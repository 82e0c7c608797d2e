//! The relations of a folder, within each side of the split.

use cortica_testkit::{Dataset, Split};

/// A way to go through relations: from each row, which lead on.
pub(crate) type Ways = fn(&str) -> bool;

/// Relations that never lead from one side of the split to the other, so that nothing held out is
/// seen in training, nor the other way round.
#[derive(Debug)]
pub(crate) struct Graph {
    /// Rows directly related, by any type.
    related: Vec<Vec<u32>>,
    /// All relations within a side: from, to, and the number of the type.
    edges: Vec<[u32; 3]>,
    kinds: Vec<String>,
}

impl Graph {
    pub(crate) fn new(data: &Dataset, sides: &[Split]) -> Graph {
        let within = |edge: &[u32; 3]| {
            edge[0] != edge[1] && sides[edge[0] as usize] == sides[edge[1] as usize]
        };
        let mut edges: Vec<[u32; 3]> = data.edges.iter().copied().filter(within).collect();
        edges.sort_unstable();
        let mut related = vec![Vec::new(); data.len()];
        for &[from, to, _] in &edges {
            related[from as usize].push(to);
            related[to as usize].push(from);
        }
        for rows in &mut related {
            rows.sort_unstable();
            rows.dedup();
        }
        Graph {
            related,
            edges,
            kinds: data.edge_types.clone(),
        }
    }

    /// Whether nothing is related to anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.edges.is_empty()
    }

    /// Whether a row has as many relations as another, or nearly: a quarter more or fewer at most.
    /// Rows drawn by way of their relations have more of them than others, so without this the number
    /// alone would tell them apart.
    pub(crate) fn as_related(&self, row: u32, other: u32) -> bool {
        let [row, other] = [row, other].map(|row| self.related[row as usize].len());
        4 * row.abs_diff(other) <= row.min(other)
    }

    /// Rows to which relations of some types lead, for each row, in order.
    pub(crate) fn along(&self, ways: Ways) -> Vec<Vec<u32>> {
        let mut next = vec![Vec::new(); self.related.len()];
        for &[from, to, kind] in &self.edges {
            let kind = self.kinds.get(kind as usize).map_or("", String::as_str);
            if ways(kind) {
                next[from as usize].push(to);
            }
        }
        for rows in &mut next {
            rows.dedup();
        }
        next
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
pub(crate) mod tests {
    use super::*;

    /// Rows 0 to 5 in a chain downwards, the last of them on the other side.
    pub(crate) fn chain() -> (Dataset, Vec<Split>) {
        let data = Dataset {
            dimension: 1,
            rows: vec![0.0; 6],
            queries: Vec::new(),
            items: Vec::new(),
            query_infos: Vec::new(),
            truth: Vec::new(),
            edges: (0..5).map(|row| [row, row + 1, 0]).collect(),
            edge_types: vec!["hyponym".to_owned()],
        };
        let mut sides = vec![Split::Train; 6];
        sides[5] = Split::Test;
        (data, sides)
    }

    #[test]
    fn nothing_crosses_the_split() {
        let (data, sides) = chain();
        let graph = Graph::new(&data, &sides);
        let below = graph.along(|kind| kind == "hyponym");
        assert_eq!(below, [vec![1], vec![2], vec![3], vec![4], vec![], vec![]]);
        assert!(graph.along(|_| false).iter().all(Vec::is_empty));
    }

    #[test]
    fn rows_with_as_many_relations() {
        let (data, sides) = chain();
        let graph = Graph::new(&data, &sides);
        // 0 and 4 have one, the others two; what leads to 5 leads to the other side.
        assert!(graph.as_related(0, 4) && graph.as_related(1, 3));
        assert!(!graph.as_related(0, 1) && !graph.as_related(1, 0));
    }

    #[test]
    fn three_relations_away_in_either_direction() {
        let (data, sides) = chain();
        let graph = Graph::new(&data, &sides);
        assert_eq!(graph.three_away(0), [3]);
        assert_eq!(graph.three_away(4), [1]);
        assert_eq!(graph.three_away(2), [0_u32; 0]); // 5 is held out.
    }
}
