//! Which files are worth rewriting.

use crate::log::HEADER;
use crate::segment::Segment;
use std::ops::Range;

/// Below this many files none is rewritten only to have fewer.
const FILES_FEW: usize = 32;

/// How many small neighbours it takes to make one file of them.
const MERGE_MIN: usize = 4;

/// How much a compaction should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Only what frees much for little: files more than a quarter of which is dead, or the worst
    /// ones when all the dead together are more than a fifth of what is live; and runs of small
    /// files.
    Worthwhile,
    /// All that is dead, the newest records included.
    Everything,
}

/// What decides about a plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation {
    /// The size of a file.
    pub(crate) file_bytes: u64,
    /// Live bytes of the whole log.
    pub(crate) live: u64,
    /// Whether space is so short that the smallest step is the best one.
    pub(crate) tight: bool,
    /// Bytes that are kept back for compacting.
    pub(crate) room: u64,
}

/// The next files to rewrite because it is worth it.
pub(crate) fn worthwhile(sealed: &[Segment], situation: Situation) -> Option<Range<usize>> {
    let all: u64 = sealed.iter().map(waste).sum();
    let much = all > situation.live / 5;
    let worst = (0..sealed.len()).max_by(|&a, &b| {
        // Compared crosswise: shares without division.
        let (a, b) = (&sealed[a], &sealed[b]);
        let left = u128::from(waste(a)) * u128::from(b.file_bytes);
        left.cmp(&(u128::from(waste(b)) * u128::from(a.file_bytes)))
    });
    if let Some(at) = worst
        && waste(&sealed[at]) > HEADER
        && (much || waste(&sealed[at]) > sealed[at].file_bytes / 4)
    {
        if situation.tight {
            return easiest(sealed);
        }
        let with = |segment: &Segment| {
            waste(segment) > segment.file_bytes / 8 || segment.live < situation.file_bytes / 4
        };
        return Some(widen(sealed, at, situation, with));
    }
    if sealed.len() > FILES_FEW {
        return run_of_small(sealed, situation);
    }
    None
}

/// The next files to rewrite until nothing dead is left that was dead at `known_to`. Where space is
/// short, until there is nothing left that frees some, and few small files.
pub(crate) fn everything(
    sealed: &[Segment],
    known_to: u64,
    situation: Situation,
) -> Option<Range<usize>> {
    let needs = |segment: &Segment| segment.dead() > 0 || segment.known_to < known_to;
    let first = sealed.iter().position(needs)?;
    if situation.tight {
        let nothing_to_free = sealed.iter().all(|segment| waste(segment) == 0);
        if let Some(easy) = easiest(sealed) {
            return Some(easy);
        } else if nothing_to_free {
            return run_of_small(sealed, situation);
        }
    }
    let with = |segment: &Segment| needs(segment) || segment.live < situation.file_bytes / 4;
    Some(widen(sealed, first, situation, with))
}

/// Bytes of a file that do not hold what is live.
pub(crate) fn waste(segment: &Segment) -> u64 {
    segment.file_bytes.saturating_sub(HEADER + segment.live)
}

/// The file that takes the least space to rewrite, of those that give some back. It is rewritten
/// from its end, in as many steps as there is room for, so nobody else may be reading it.
fn easiest(sealed: &[Segment]) -> Option<Range<usize>> {
    let wasting = (0..sealed.len()).filter(|&at| waste(&sealed[at]) > 0 && !sealed[at].is_pinned());
    let at = wasting.min_by_key(|&at| sealed[at].live)?;
    Some(at..at + 1)
}

/// A file and its neighbours that go along, as long as they fit into one.
fn widen(
    sealed: &[Segment],
    at: usize,
    situation: Situation,
    with: impl Fn(&Segment) -> bool,
) -> Range<usize> {
    let mut range = at..at + 1;
    let mut live = sealed[at].live;
    let fits = |live: u64| HEADER + live <= situation.file_bytes;
    while let Some(next) = sealed.get(range.end)
        && with(next)
        && fits(live + next.live)
    {
        live += next.live;
        range.end += 1;
    }
    while let Some(before) = range.start.checked_sub(1)
        && with(&sealed[before])
        && fits(live + sealed[before].live)
    {
        live += sealed[before].live;
        range.start = before;
    }
    range
}

/// The first run of neighbours that fit into one file and are enough to be worth it.
fn run_of_small(sealed: &[Segment], situation: Situation) -> Option<Range<usize>> {
    let file_bytes = if situation.tight {
        situation.file_bytes.min(situation.room / 2)
    } else {
        situation.file_bytes
    };
    let situation = Situation {
        file_bytes,
        ..situation
    };
    (0..sealed.len()).find_map(|at| {
        let run = widen(&sealed[at..], 0, situation, |_| true);
        (run.len() >= MERGE_MIN).then_some(at..at + run.end)
    })
}
