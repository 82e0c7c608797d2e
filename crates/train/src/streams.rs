//! Real order: streams of concepts, and what does not belong into them.

use clap::ValueEnum;
use cortica_env::Seed;
use cortica_neural::{Code, WINDOW};
use cortica_testkit::{Dataset, Split};

use crate::graph::Graph;
use crate::groups::group_of;
use crate::lineage;

/// Codes seen before a place counts.
const SEEN_MIN: usize = 2;

/// Consecutive places of a stream that are drawn together: they share most of their windows.
const STRETCH: usize = 32;

/// Rows drawn as other ones where no relations say which are near.
const DRAWN: usize = 16;

/// An order in which concepts really follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// Along a line of the hierarchy, down from the top or up from the bottom. Whether the next is one of
    /// many below or the one above is told by what came before the previous.
    Lineage,
    /// Depth-first through the hierarchy.
    DepthFirst,
    /// Depth-first through what has parts, members and substances.
    Parts,
    /// From word to derived word, across parts of speech.
    Derivation,
    /// As the rows stand in the folder; for WordNet within one of the lexicographers' files.
    File,
}

impl Order {
    pub(crate) const ALL: [Order; 5] = [
        Order::Lineage,
        Order::DepthFirst,
        Order::Parts,
        Order::Derivation,
        Order::File,
    ];

    /// The name it has among metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Order::Lineage => "lineage",
            Order::DepthFirst => "depth_first",
            Order::Parts => "parts",
            Order::Derivation => "derivation",
            Order::File => "file",
        }
    }

    /// Whether a relation of this type leads on in this order.
    pub(crate) fn leads_on(self) -> fn(&str) -> bool {
        match self {
            Order::Lineage | Order::DepthFirst => {
                |kind| matches!(kind, "hyponym" | "instance_hyponym" | "child")
            }
            Order::Parts => |kind| kind.ends_with("_meronym"),
            Order::Derivation => |kind| kind == "derivation",
            Order::File => |_| false,
        }
    }
}

/// A place in a stream.
#[derive(Debug)]
pub(crate) struct Place {
    /// Up to [`WINDOW`] rows before it, oldest first.
    pub(crate) seen: Vec<u32>,
    /// The row that stands there.
    pub(crate) next: u32,
    /// Rows of the same part of speech and with as many relations, three relations from it and not
    /// among those seen.
    pub(crate) others: Vec<u32>,
    /// The stretch of its stream: places of one are not independent.
    pub(crate) stretch: u32,
}

impl Place {
    /// The codes before it.
    pub(crate) fn window(&self, codes: &[Code]) -> Vec<Code> {
        self.seen.iter().map(|&row| codes[row as usize]).collect()
    }

    /// All rows of the place: those before it and its own.
    pub(crate) fn rows(&self) -> impl Iterator<Item = u32> {
        self.seen.iter().copied().chain([self.next])
    }

    /// The place, with nothing but the last so many rows before it.
    pub(crate) fn with_last(&self, count: usize) -> Place {
        let skipped = self.seen.len().saturating_sub(count);
        Place {
            seen: self.seen[skipped..].to_vec(),
            others: self.others.clone(),
            ..*self
        }
    }

    /// The place, with all before the previous row in the opposite order.
    pub(crate) fn with_earlier_reversed(&self) -> Place {
        let mut place = self.with_last(WINDOW);
        if let Some((_, earlier)) = place.seen.split_last_mut() {
            earlier.reverse();
        }
        place
    }

    /// The last codes before it, and then this row's.
    pub(crate) fn window_with(&self, row: u32, codes: &[Code]) -> Vec<Code> {
        let skipped = (self.seen.len() + 1).saturating_sub(WINDOW);
        let rows = self.seen[skipped..].iter().chain([&row]);
        rows.map(|&row| codes[row as usize]).collect()
    }
}

/// All places of one side, of all streams of an order. Without any relations others are drawn from
/// all rows of the side.
pub(crate) fn places(
    graph: &Graph,
    data: &Dataset,
    sides: &[Split],
    side: Split,
    order: Order,
    seed: Seed,
) -> Vec<Place> {
    let rows: Vec<u32> = (0..data.len() as u32)
        .filter(|&row| sides[row as usize] == side)
        .collect();
    let mut rng = seed.derive("others").rng();
    let (mut places, mut stretch) = (Vec::new(), 0);
    let mut add = |seen: &[u32], next: u32, stretch: u32| {
        let mut others = if graph.is_empty() {
            let draw = |_| rows[rng.below(rows.len() as u64) as usize];
            (0..DRAWN).map(draw).collect()
        } else {
            graph.three_away(next as usize)
        };
        others.retain(|&row| {
            let alike = part(data, row) == part(data, next) && graph.as_related(row, next);
            alike && row != next && !seen.contains(&row)
        });
        if !others.is_empty() {
            let seen = seen.to_vec();
            places.push(Place {
                seen,
                next,
                others,
                stretch,
            });
        }
    };
    let along = graph.along(order.leads_on());
    let streams = match order {
        Order::File => in_file(data, sides, side),
        _ => depth_first(&along, &rows),
    };
    if order == Order::Lineage {
        let rows = streams.concat();
        for (at, lines) in lineage::lines(&along, &rows).iter().enumerate() {
            for line in lines.iter().flatten() {
                add(&line.seen, line.next, (at / STRETCH) as u32);
            }
        }
        return places;
    }
    for stream in &streams {
        for at in SEEN_MIN..stream.len() {
            let seen = &stream[at.saturating_sub(WINDOW)..at];
            add(seen, stream[at], stretch + (at / STRETCH) as u32);
        }
        stretch += stream.len().div_ceil(STRETCH) as u32;
    }
    places
}

/// From each row that nothing leads to, and then from those that are still left, all that can be
/// reached; each row once.
fn depth_first(next: &[Vec<u32>], rows: &[u32]) -> Vec<Vec<u32>> {
    let mut led_to = vec![false; next.len()];
    for &row in next.iter().flatten() {
        led_to[row as usize] = true;
    }
    let (roots, left): (Vec<u32>, Vec<u32>) = rows.iter().partition(|&&row| !led_to[row as usize]);
    let mut visited = vec![false; next.len()];
    let mut streams = Vec::new();
    for root in roots.into_iter().chain(left) {
        let mut stream = Vec::new();
        let mut waiting = vec![root];
        while let Some(row) = waiting.pop() {
            if !std::mem::replace(&mut visited[row as usize], true) {
                stream.push(row);
                waiting.extend(next[row as usize].iter().rev());
            }
        }
        streams.push(stream);
    }
    streams
}

/// Rows of one side as they stand, broken where the other side or another lexicographer's file begins.
fn in_file(data: &Dataset, sides: &[Split], side: Split) -> Vec<Vec<u32>> {
    let all: Vec<u32> = (0..data.len() as u32).collect();
    let kind = |row: u32| (sides[row as usize], group(data, row));
    let runs = all.chunk_by(|&a, &b| kind(a) == kind(b));
    runs.filter(|run| sides[run[0] as usize] == side)
        .map(<[u32]>::to_vec)
        .collect()
}

fn group(data: &Dataset, row: u32) -> Option<(u8, usize)> {
    group_of(&data.items.get(row as usize)?.id)
}

fn part(data: &Dataset, row: u32) -> Option<u8> {
    group(data, row).map(|(part, _)| part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::tests::chain;
    use cortica_testkit::Item;

    fn places_of(data: &Dataset, sides: &[Split], order: Order) -> Vec<Place> {
        let graph = Graph::new(data, sides);
        places(&graph, data, sides, Split::Train, order, Seed(1))
    }

    #[test]
    fn streams_stay_on_their_side() {
        let (mut data, sides) = chain();
        // 2 has nothing three away; of 3 and 4 what is three away was seen before.
        assert!(places_of(&data, &sides, Order::DepthFirst).is_empty());
        data.edges.clear(); // Others are drawn instead.
        let places = places_of(&data, &sides, Order::File);
        let seen: Vec<(&[u32], u32)> = places.iter().map(|p| (&p.seen[..], p.next)).collect();
        assert!(seen.contains(&(&[0, 1], 2)), "{seen:?}");
        for place in &places {
            assert!(place.next < 5 && !place.others.contains(&5));
            assert!(place.others.iter().all(|row| !place.seen.contains(row)));
        }
    }

    #[test]
    fn streams_end_with_a_lexicographers_file() {
        let mut data = chain().0;
        let ids = [
            "n00034400",
            "n00034478",
            "n00034479",
            "n00040000",
            "v00040000",
            "v00040001",
        ];
        let item = |id: &str| Item {
            id: id.to_owned(),
            text: String::new(),
            split: Split::Train,
        };
        data.items = ids.map(item).to_vec();
        let streams = in_file(&data, &[Split::Train; 6], Split::Train);
        assert_eq!(streams, [[0, 1], [2, 3], [4, 5]]);
    }

    #[test]
    fn each_row_comes_once() {
        let next = [vec![1, 2], vec![3], vec![3], vec![], vec![5], vec![4]];
        let streams = depth_first(&next, &[0, 1, 2, 3, 4, 5]);
        let streams: Vec<_> = streams.into_iter().filter(|s| s.len() > 1).collect();
        assert_eq!(streams, [vec![0, 1, 3, 2], vec![4, 5]]);
    }

    #[test]
    fn each_order_takes_its_relations() {
        let takes = |order: Order, kind| order.leads_on()(kind);
        assert!(takes(Order::DepthFirst, "instance_hyponym"));
        assert!(!takes(Order::DepthFirst, "hypernym"));
        assert!(takes(Order::Parts, "member_meronym") && !takes(Order::Parts, "part_holonym"));
        assert!(takes(Order::Derivation, "derivation"));
    }
}
