//! The search for a column: candidates, scores, competition, claim.

use crate::engine::AllocationEngine;
use crate::settled::Open;
use crate::worker::Worker;
use cortica_cortex::{AllocateError, Code, ColumnId, ConceptRequest, Reservation, Score, Timings};

/// Winners that are tried in turn, where other threads claim them first.
const WINNERS: usize = 8;

/// A column that was won.
pub(crate) struct Placed<'a> {
    pub(crate) reservation: Reservation<'a>,
    pub(crate) column: ColumnId,
    pub(crate) activation: f32,
    pub(crate) score: Score,
    pub(crate) candidates: usize,
    pub(crate) inhibited: usize,
    /// Last: the column is free again, or holds its concept, when others look.
    _claimed: Open<'a>,
}

/// What is known of a concept once networks have seen it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) code: Code,
    pub(crate) predicted: Option<Code>,
    pub(crate) exception: bool,
}

impl Seen {
    /// Outside of any stream nothing is expected, and nothing is an exception.
    pub(crate) fn alone(code: &Code) -> Seen {
        Seen {
            code: *code,
            predicted: None,
            exception: false,
        }
    }
}

impl AllocationEngine {
    /// Finds a column and claims it; `None` where none is free. The radius doubles until one is found or the grid is
    /// covered.
    pub(crate) fn place<'a>(
        &'a self,
        worker: &mut Worker,
        request: &ConceptRequest<'_>,
        seen: &Seen,
        timings: &mut Timings,
    ) -> Result<Option<Placed<'a>>, AllocateError> {
        let cortex = &*self.cortex;
        let place = self.placement.place(request.hint, &seen.code);
        let place = place.map_err(|refused| AllocateError::Networks(refused.to_string()))?;
        if self.is_full() {
            return Ok(None);
        }
        let wider = if seen.exception { 2.0 } else { 1.0 };
        // Farther than from corner to corner there is nothing.
        let mut radius = (request.search_radius * wider).min(self.diameter);
        loop {
            let start = self.micros();
            worker.near.clear();
            cortex.free_within(place, radius, &mut worker.near)?;
            if worker.near.is_empty() {
                if radius >= self.diameter {
                    return Ok(None);
                }
                radius *= 2.0;
                continue;
            }
            if worker.near.len() > self.options.candidates_max {
                let nearest = self.options.candidates_max;
                let key = |&(column, distance): &(ColumnId, u64)| (distance, column);
                worker.near.select_nth_unstable_by_key(nearest - 1, key);
                worker.near.truncate(nearest);
                worker.near.sort_unstable_by_key(|&(column, _)| column);
            }
            worker.candidates.clear();
            let columns = worker.near.iter().map(|&(column, _)| column);
            worker.candidates.extend(columns);
            if let Some(placed) = self.compete(worker, seen, radius, start, timings)? {
                return Ok(Some(placed));
            }
        }
    }

    /// Lets the candidates compete and claims the best that can be had; `None` where other threads took them all.
    fn compete<'a>(
        &'a self,
        worker: &mut Worker,
        seen: &Seen,
        radius: f32,
        start: u64,
        timings: &mut Timings,
    ) -> Result<Option<Placed<'a>>, AllocateError> {
        let cortex = &*self.cortex;
        let candidates = &worker.candidates;
        let scored = worker
            .scorer
            .score(cortex, candidates, &seen.code, seen.predicted.as_ref());
        let scores = scored.map_err(|refused| AllocateError::Networks(refused.to_string()))?;
        let nearness = self.options.proximity / radius;
        worker.drives.clear();
        let drives = scores
            .iter()
            .zip(&worker.near)
            .map(|(score, &(_, square))| {
                let nearness = self.options.proximity - nearness * (square as f32).sqrt();
                (score.total + nearness.max(0.0)).min(1.0)
            });
        worker.drives.extend(drives);
        let scored_at = self.micros();
        timings.score_us += scored_at.saturating_sub(start);
        let outcome = worker
            .competition
            .run(cortex.grid(), candidates, &worker.drives, WINNERS);
        let outcome = outcome.map_err(|refused| AllocateError::Networks(refused.to_string()))?;
        timings.compete_us += self.micros().saturating_sub(scored_at);
        // Where nothing drives any column, the nearest wins.
        let silent = outcome.winners.is_empty().then(|| {
            let near = worker.near.iter().enumerate();
            let nearest = near.min_by_key(|(_, (column, distance))| (*distance, *column));
            nearest.map_or(0, |(at, _)| at)
        });
        let winners = outcome
            .winners
            .iter()
            .map(|winner| (winner.at, winner.activity));
        let claimed = self.claimed.open();
        for (at, activity) in winners.chain(silent.map(|at| (at, 0.0))) {
            let column = candidates[at];
            let mut claims =
                cortex.activate(&[column], &worker.drives[at..=at], &mut worker.claims);
            if claims.is_empty() || claims.compete(&[activity]).is_err() {
                continue;
            }
            if let Some(reservation) = claims.win(0, activity) {
                return Ok(Some(Placed {
                    reservation,
                    column,
                    activation: activity,
                    score: scores[at],
                    candidates: candidates.len(),
                    inhibited: outcome.inhibited,
                    _claimed: claimed,
                }));
            }
        }
        Ok(None)
    }
}
