//! Streams along lines of the hierarchy: the order from which predictor and detector were learnt.

use cortica_testkit::Dataset;

/// Rows along a line at most, as many as a window holds and the next.
const LINE: usize = 9;

/// For each of these rows that has something above it among them: from the top down to it, or up from below it, in
/// turn.
pub(crate) fn lines(data: &Dataset, rows: &[usize]) -> Vec<Vec<usize>> {
    let mut inside = vec![false; data.len()];
    for &row in rows {
        inside[row] = true;
    }
    let (mut above, mut below) = (vec![None; data.len()], vec![None; data.len()]);
    let down = |kind: u32| {
        let name = data
            .edge_types
            .get(kind as usize)
            .map_or("", String::as_str);
        matches!(name, "hyponym" | "instance_hyponym" | "child")
    };
    let mut edges: Vec<[u32; 3]> = data.edges.clone();
    edges.sort_unstable();
    for [from, to, kind] in edges {
        let (from, to) = (from as usize, to as usize);
        if from != to && inside[from] && inside[to] && down(kind) {
            above[to].get_or_insert(from);
            below[from].get_or_insert(to);
        }
    }
    let follow = |from: usize, onwards: &[Option<usize>]| {
        let mut line = vec![from];
        while line.len() < LINE
            && let Some(next) = line.last().and_then(|&row| onwards[row])
            && !line.contains(&next)
        {
            line.push(next);
        }
        line
    };
    let line = |(at, &row): (usize, &usize)| {
        let mut line = follow(row, &above);
        if at % 2 == 0 {
            line.reverse();
        } else {
            let mut up = follow(row, &below);
            up.reverse();
            up.extend(line.into_iter().skip(1));
            line = up;
            line.dedup();
            line.truncate(LINE);
        }
        (line.len() > 2).then_some(line)
    };
    rows.iter().enumerate().filter_map(line).collect()
}
