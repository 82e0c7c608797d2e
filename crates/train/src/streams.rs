//! Real order: streams of concepts, and what does not belong into them.

use cortica_neural::{Code, WINDOW};
use cortica_testkit::{Dataset, Split};

use crate::graph::Graph;

/// Codes seen before a place counts.
const SEEN_MIN: usize = 2;

/// A place in a stream.
#[derive(Debug)]
pub(crate) struct Place {
    /// Up to [`WINDOW`] rows before it, oldest first.
    pub(crate) seen: Vec<u32>,
    /// The row that stands there.
    pub(crate) next: u32,
    /// Rows of the same part of speech, three relations from it and not among those seen.
    pub(crate) others: Vec<u32>,
}

impl Place {
    /// The codes before it.
    pub(crate) fn window(&self, codes: &[Code]) -> Vec<Code> {
        self.seen.iter().map(|&row| codes[row as usize]).collect()
    }

    /// The last codes before it, and then this row's.
    pub(crate) fn window_with(&self, row: u32, codes: &[Code]) -> Vec<Code> {
        let skipped = (self.seen.len() + 1).saturating_sub(WINDOW);
        let rows = self.seen[skipped..].iter().chain([&row]);
        rows.map(|&row| codes[row as usize]).collect()
    }
}

/// All places of one side, of streams that go depth-first through each hierarchy.
pub(crate) fn windows(graph: &Graph, data: &Dataset, side: Split) -> Vec<Place> {
    let mut visited = vec![false; data.len()];
    let mut places = Vec::new();
    for root in graph.roots(side) {
        let stream = depth_first(graph, root, &mut visited);
        for at in SEEN_MIN..stream.len() {
            let seen = &stream[at.saturating_sub(WINDOW)..at];
            let next = stream[at];
            let mut others = graph.three_away(next as usize);
            others.retain(|&row| part(data, row) == part(data, next) && !seen.contains(&row));
            if !others.is_empty() {
                places.push(Place {
                    seen: seen.to_vec(),
                    next,
                    others,
                });
            }
        }
    }
    places
}

fn depth_first(graph: &Graph, root: usize, visited: &mut [bool]) -> Vec<u32> {
    let mut stream = Vec::new();
    let mut waiting = vec![root as u32];
    while let Some(row) = waiting.pop() {
        if std::mem::replace(&mut visited[row as usize], true) {
            continue;
        }
        stream.push(row);
        waiting.extend(graph.below(row as usize).iter().rev());
    }
    stream
}

/// The part of speech: the first letter of the id. Satellite adjectives are adjectives.
fn part(data: &Dataset, row: u32) -> Option<u8> {
    let id = &data.items.get(row as usize)?.id;
    id.bytes()
        .next()
        .map(|part| if part == b's' { b'a' } else { part })
}
