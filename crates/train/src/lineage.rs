//! Lines of the hierarchy, gone through downwards and upwards.

use cortica_neural::WINDOW;

/// Up to [`WINDOW`] rows along a line of the hierarchy, and the row that comes next on it.
#[derive(Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) seen: Vec<u32>,
    pub(crate) next: u32,
}

/// What lies above and below each row. Of several rows that lead to one the first counts, so that
/// each row lies on one line to the top.
struct Hierarchy<'a> {
    below: &'a [Vec<u32>],
    above: Vec<Option<u32>>,
}

impl Hierarchy<'_> {
    fn of(below: &[Vec<u32>]) -> Hierarchy<'_> {
        let mut above = vec![None; below.len()];
        for (row, rows) in (0..).zip(below) {
            for &lower in rows {
                above[lower as usize].get_or_insert(row);
            }
        }
        Hierarchy { below, above }
    }

    fn upwards(&self, row: u32) -> Option<u32> {
        self.above[row as usize]
    }

    /// The first row below whose own line leads through this one.
    fn downwards(&self, row: u32) -> Option<u32> {
        let below = self.below[row as usize].iter().copied();
        below
            .into_iter()
            .find(|&lower| self.upwards(lower) == Some(row))
    }
}

/// Rows from this one on, itself first; an end to those that lead back into themselves.
fn follow(row: u32, onwards: impl Fn(u32) -> Option<u32>) -> Vec<u32> {
    let mut line = vec![row];
    while line.len() < WINDOW
        && let Some(next) = line.last().and_then(|&row| onwards(row))
        && !line.contains(&next)
    {
        line.push(next);
    }
    line
}

/// The top of each row's line: itself where nothing leads to it. Rows that lead back into themselves have
/// one of themselves for all.
pub(crate) fn tops(below: &[Vec<u32>]) -> Vec<u32> {
    let hierarchy = Hierarchy::of(below);
    let mut tops: Vec<Option<u32>> = vec![None; below.len()];
    for row in 0..below.len() as u32 {
        let (mut at, mut path) = (row, Vec::new());
        // Rows on this path say `row` until its top is known: meeting one of them closes a circle.
        let top = loop {
            match tops[at as usize] {
                Some(met) if met == row => break at,
                Some(known) => break known,
                None => {}
            }
            tops[at as usize] = Some(row);
            path.push(at);
            match hierarchy.upwards(at) {
                Some(upper) => at = upper,
                None => break at,
            }
        };
        for row in path {
            tops[row as usize] = Some(top);
        }
    }
    tops.into_iter()
        .zip(0..)
        .map(|(top, row)| top.unwrap_or(row))
        .collect()
}

/// For each of these rows, in their order, up to two lines: down to it from the top, and up through it
/// from a lowest row to what lies two above it. Two rows at least come before the next, so that a
/// window tells in which direction it goes.
pub(crate) fn lines(below: &[Vec<u32>], rows: &[u32]) -> Vec<[Option<Line>; 2]> {
    let hierarchy = Hierarchy::of(below);
    let both = |&row: &u32| {
        let parent = hierarchy.upwards(row);
        let line = |mut seen: Vec<u32>, next: u32| {
            seen.reverse();
            (seen.len() > 1 && !seen.contains(&next)).then_some(Line { seen, next })
        };
        let down = parent.and_then(|parent| {
            let seen = follow(parent, |row| hierarchy.upwards(row));
            line(seen, row)
        });
        let up = parent.and_then(|parent| {
            let mut seen = vec![parent];
            seen.extend(follow(row, |row| hierarchy.downwards(row)));
            seen.truncate(WINDOW);
            line(seen, hierarchy.upwards(parent)?)
        });
        [down, up]
    };
    rows.iter().map(both).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seen: &[u32], next: u32) -> Line {
        let seen = seen.to_vec();
        Line { seen, next }
    }

    #[test]
    fn down_to_a_row_and_up_through_it() {
        // 0 over 1 and 4, 1 over 2, 2 over 3; 4 over 3 too, but 2 came first.
        let below = [vec![1, 4], vec![2], vec![3], vec![], vec![3]];
        let lines = lines(&below, &[0, 1, 2, 3, 4]);
        let [top, middle, lower, lowest, aside] = &lines[..] else {
            panic!("{lines:?}");
        };
        assert_eq!(top, &[None, None]);
        assert_eq!(middle, &[None, None]); // One row before it, and one after.
        assert_eq!(lower, &[Some(line(&[0, 1], 2)), Some(line(&[3, 2, 1], 0))]);
        assert_eq!(lowest, &[Some(line(&[0, 1, 2], 3)), Some(line(&[3, 2], 1))]);
        assert_eq!(aside, &[None, None]);
    }

    #[test]
    fn tops_of_lines() {
        // 0 over 1 over 2, 3 over 4, and 5, 6 and 7 in a circle with 8 below it.
        let below = [
            vec![1],
            vec![2],
            vec![],
            vec![4],
            vec![],
            vec![6],
            vec![7, 8],
            vec![5],
            vec![],
        ];
        let tops = tops(&below);
        assert_eq!(tops[..5], [0, 0, 0, 3, 3]);
        assert!(
            tops[5..].iter().all(|&top| top == tops[5] && top >= 5),
            "{tops:?}"
        );
        // A row that is reached from below before it is looked at itself.
        assert_eq!(super::tops(&[vec![], vec![0], vec![1]]), [2, 2, 2]);
    }

    #[test]
    fn what_leads_in_a_circle_ends() {
        let below = [vec![1], vec![2], vec![0]];
        let lines = lines(&below, &[0]);
        // Down to 0 there would be 1 and 2, and before them 0 once more.
        assert_eq!(lines, [[None, None]]);
    }

    #[test]
    fn the_last_of_a_long_line() {
        let below: Vec<Vec<u32>> = (1..=20).map(|row| vec![row]).chain([vec![]]).collect();
        let [[down, up]] = &lines(&below, &[10])[..] else {
            panic!("not one");
        };
        assert_eq!(down, &Some(line(&[2, 3, 4, 5, 6, 7, 8, 9], 10)));
        assert_eq!(up, &Some(line(&[16, 15, 14, 13, 12, 11, 10, 9], 8)));
    }
}
