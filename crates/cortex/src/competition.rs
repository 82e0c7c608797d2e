//! A competition: drives in, inhibition, winners out.

use crate::block::Block;
use crate::grid::{ColumnId, Grid, GridError};
use crate::inhibition::{Field, Inhibition, InhibitionError, InhibitionParams, Settled};
use crate::winners::{Winners, join, ordered};
use cortica_simd::Isa;

/// Why a competition did not take place.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CompeteError {
    /// A column that is none.
    #[error(transparent)]
    Grid(#[from] GridError),
    /// Each candidate needs a drive.
    #[error("{columns} candidates with {drives} drives; each needs one")]
    Drives {
        /// Candidates.
        columns: usize,
        /// Drives.
        drives: usize,
    },
    /// A drive must be in \[0, 1\].
    #[error("the drive of candidate {at} is {got}; it must be in 0..=1")]
    Drive {
        /// Its place.
        at: usize,
        /// What was given.
        got: f32,
    },
    /// A column cannot compete with itself.
    #[error("{column} is there twice")]
    Twice {
        /// Which.
        column: ColumnId,
    },
    /// `k` must be 1 at least.
    #[error("k is 0; ask for one winner at least")]
    NoWinners,
    /// Candidates lie too far apart to compete.
    #[error(
        "the box around the candidates has {places} places; {} are the most",
        Competition::PLACES_MAX
    )]
    TooWide {
        /// Places of the box around them.
        places: usize,
    },
}

/// A winner of a competition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Winner {
    /// The column.
    pub column: ColumnId,
    /// Its place among the candidates.
    pub at: usize,
    /// Its activity, in \[0, 1\].
    pub activity: f32,
}

/// What a competition brought.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a> {
    /// The best first; fewer than were asked for where the others were silent.
    pub winners: &'a [Winner],
    /// Activities of the candidates, in \[0, 1\], in their order.
    pub activities: &'a [f32],
    /// How many candidates end below their drive.
    pub inhibited: usize,
    /// How it ended.
    pub settled: Settled,
}

/// Lets columns compete. Belongs to one worker; keeps its memory, so that nothing is allocated once it has seen
/// fields as large.
///
/// The winner is the candidate with the strongest drive wherever that is ahead of all others by more than
/// [`InhibitionParams::contrast`]: it fires from the first step on and nobody within reach of it does, so it alone
/// has the whole excitation of a centre, and no other gains more in any step.
///
/// ```
/// use cortica_cortex::{Competition, Grid, InhibitionParams};
/// use cortica_simd::Isa;
///
/// let grid = Grid::new(10, 10, 10)?;
/// let columns: Vec<_> = grid.columns().collect();
/// let drives: Vec<f32> = (0..1_000).map(|at| (at * 7 % 1_000) as f32 / 1_000.0).collect();
/// let mut competition = Competition::new(InhibitionParams::default(), Isa::best())?;
/// let outcome = competition.run(&grid, &columns, &drives, 1)?;
/// assert_eq!(outcome.winners[0].at, 857); // 857 * 7 = 5,999.
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Competition {
    inhibition: Inhibition,
    isa: Isa,
    field: Field,
    /// Where each candidate lies in the field.
    places: Vec<usize>,
    activities: Vec<f32>,
    selected: Winners,
    winners: Vec<Winner>,
}

/// What an activity is in: the largest drive and the largest excitation together come to 1.
struct Unit {
    whole: f32,
}

impl Competition {
    /// Places of the largest box that is competed in: gaps counted, 8 values of 4 bytes each.
    pub const PLACES_MAX: usize = 1 << 24;

    /// A competition by these parameters.
    pub fn new(params: InhibitionParams, isa: Isa) -> Result<Competition, InhibitionError> {
        Ok(Competition {
            inhibition: Inhibition::new(params)?,
            isa,
            field: Field::default(),
            places: Vec::new(),
            activities: Vec::new(),
            selected: Winners::default(),
            winners: Vec::new(),
        })
    }

    /// Lets candidates compete, each with a drive in \[0, 1\], for `k` places. Among equal activities the one
    /// that spikes first wins, which is the stronger drive, then the lowest number. O(steps places), places
    /// being those of the box around the candidates.
    pub fn run(
        &mut self,
        grid: &Grid,
        columns: &[ColumnId],
        drives: &[f32],
        k: usize,
    ) -> Result<Outcome<'_>, CompeteError> {
        if k == 0 {
            return Err(CompeteError::NoWinners);
        }
        let settled = self.inhibit(grid, columns, drives)?;
        let inhibited = self.finish(drives, settled);
        self.select(columns, drives, k);
        Ok(Outcome {
            winners: &self.winners,
            activities: &self.activities,
            inhibited,
            settled,
        })
    }

    /// The first part of [`run`](Competition::run): checks, and the dynamics.
    pub fn inhibit(
        &mut self,
        grid: &Grid,
        columns: &[ColumnId],
        drives: &[f32],
    ) -> Result<Settled, CompeteError> {
        if columns.len() != drives.len() {
            let (columns, drives) = (columns.len(), drives.len());
            return Err(CompeteError::Drives { columns, drives });
        }
        if let Some(at) = drives.iter().position(|drive| !(0.0..=1.0).contains(drive)) {
            return Err(CompeteError::Drive {
                at,
                got: drives[at],
            });
        }
        if columns.is_empty() {
            self.places.clear();
            return Ok(Settled::After(0));
        }
        let block = Block::around(grid, columns, self.inhibition.reach())?;
        let places = block.len();
        if places > Competition::PLACES_MAX {
            return Err(CompeteError::TooWide { places });
        }
        self.field.clear(places);
        self.places.clear();
        for (&column, &drive) in columns.iter().zip(drives) {
            let at = block.margin() + block.at(grid.place(column)?);
            if self.field.mask[at] != 0.0 {
                return Err(CompeteError::Twice { column });
            }
            self.field.mask[at] = 1.0;
            self.field.drive[at] = drive;
            self.places.push(at);
        }
        Ok(self.inhibition.run(self.isa, &block, &mut self.field))
    }

    /// Reads the activities off the field; how many are below their drives.
    fn finish(&mut self, drives: &[f32], settled: Settled) -> usize {
        let unit = match settled {
            Settled::After(_) => Unit {
                whole: 1.0 + self.inhibition.excitation(),
            },
            Settled::Normalised => Unit { whole: 1.0 },
        };
        let (u, mut inhibited) = (&self.field.u, 0);
        self.activities.clear();
        self.activities
            .extend(self.places.iter().zip(drives).map(|(&at, &drive)| {
                inhibited += usize::from(u[at] < drive);
                (u[at].max(0.0) / unit.whole).min(1.0)
            }));
        inhibited
    }

    fn select(&mut self, columns: &[ColumnId], drives: &[f32], k: usize) {
        let activities = &self.activities;
        let ranked = activities
            .iter()
            .enumerate()
            .filter(|(_, activity)| **activity > 0.0);
        let ranked = ranked.map(|(at, &activity)| {
            // One threshold for all, so the first to spike is the strongest.
            let key = join(ordered(activity), ordered(drives[at]), !columns[at].get());
            (at, key)
        });
        let selected = self.selected.select_ranked(ranked, k);
        self.winners.clear();
        self.winners.extend(selected.iter().map(|&at| Winner {
            column: columns[at as usize],
            at: at as usize,
            activity: activities[at as usize],
        }));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use cortica_testkit::Rng;

    /// What [`Outcome`] shows is cut to \[0, 1\]; the field itself is bounded, too.
    #[test]
    fn the_field_is_bounded_before_it_is_cut() {
        let params = InhibitionParams::default();
        let sigma = f64::from(params.sigma_surround);
        let line: f64 = (-3..=3)
            .map(|d: i32| (-f64::from(d * d) / (2.0 * sigma * sigma)).exp())
            .sum();
        let most = f64::from(params.surround) * line.powi(3);
        let mut rng = Rng::new(12);
        let mut competition = Competition::new(params, Isa::best()).unwrap();
        let grid = Grid::new(7, 6, 5).unwrap();
        let columns: Vec<_> = grid.columns().collect();
        let (mut excited, mut inhibited) = (false, false);
        for round in 0..200 {
            let spread = [1.0, 1e-3, 2e-3, 0.0][round % 4];
            let drives: Vec<f32> = columns
                .iter()
                .map(|_| (0.5 + spread * (rng.unit() - 0.5)).clamp(0.0, 1.0))
                .collect();
            let settled = competition.inhibit(&grid, &columns, &drives).unwrap();
            assert!(matches!(settled, Settled::After(_)), "{round}");
            for (&at, &drive) in competition.places.iter().zip(&drives) {
                let (u, drive) = (f64::from(competition.field.u[at]), f64::from(drive));
                assert!(u <= drive + 0.25 + 1e-5, "{u} {drive}");
                assert!(u >= drive - most - 1e-5, "{u} {drive}");
                excited |= u > drive + 0.24;
                inhibited |= u < drive - 0.1;
            }
        }
        assert!(excited && inhibited);
    }
}
