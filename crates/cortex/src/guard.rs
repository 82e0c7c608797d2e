//! Columns that one thread has claimed, and gives back however it leaves.

use crate::column::ConceptId;
use crate::cortex::Cortex;
use crate::grid::ColumnId;
use crate::membrane::Step;
use crate::prototype::{Code, CodeError};
use crate::state::{ChangeError, Snapshot, State};
use crate::undo::Committed;
use cortica_env::Timestamp;

/// A column as its holder last left it.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    pub(crate) column: ColumnId,
    pub(crate) seen: Snapshot,
}

impl Claim {
    /// Which column.
    #[must_use]
    pub fn column(&self) -> ColumnId {
        self.column
    }
}

/// Candidates, each claimed by this guard alone. Those that are not won are available again when it is
/// dropped: at the end of a scope, on an error, and while a panic passes.
#[derive(Debug)]
#[must_use = "columns are given back at once"]
pub struct Claims<'a, 'b> {
    cortex: &'a Cortex,
    /// Lent, so that a worker that claims again and again allocates once.
    claims: &'b mut Vec<Claim>,
}

impl<'a, 'b> Claims<'a, 'b> {
    pub(crate) fn new(cortex: &'a Cortex, claims: &'b mut Vec<Claim>) -> Claims<'a, 'b> {
        claims.clear();
        Claims { cortex, claims }
    }

    pub(crate) fn push(&mut self, claim: Claim) {
        self.claims.push(claim);
    }

    /// What is claimed, in the order in which it was asked for.
    #[must_use]
    pub fn claims(&self) -> &[Claim] {
        self.claims
    }

    /// The columns, in that order.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = ColumnId> {
        self.claims.iter().map(Claim::column)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.claims.len()
    }

    /// Whether none could be claimed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    /// Takes all into the competition, each with its level; a level that is missing is 0.
    pub fn compete(&mut self, levels: &[f32]) -> Result<(), ChangeError> {
        for (at, claim) in self.claims.iter_mut().enumerate() {
            let level = levels.get(at).copied().unwrap_or(0.0);
            claim.seen = self.cortex.change(claim, State::Competing, level)?;
        }
        Ok(())
    }

    /// Steps a column's membrane to this moment under a drive that has lasted since the last step,
    /// with the threshold that it has so long after its last spike. A drive that is not finite counts as 0. None
    /// for a claim that is not there.
    pub fn integrate(&mut self, at: usize, drive: f32) -> Option<Step> {
        let claim = self.claims.get(at)?;
        Some(self.cortex.integrate(claim.column, drive))
    }

    /// Keeps one of those that compete, at this level, and gives the others back. `None` where there is
    /// no such claim or it does not compete.
    #[must_use]
    pub fn win(self, at: usize, level: f32) -> Option<Reservation<'a>> {
        let claim = self.claims.get_mut(at)?;
        let seen = self.cortex.change(claim, State::Allocated, level).ok()?;
        let column = claim.column;
        self.claims.swap_remove(at); // What is left is given back in any order.
        Some(Reservation {
            cortex: self.cortex,
            claim: Some(Claim { column, seen }),
            shown: None,
        })
    }
}

impl Drop for Claims<'_, '_> {
    fn drop(&mut self) {
        for claim in self.claims.drain(..) {
            self.cortex.give_back(&claim);
        }
    }
}

/// A column that won, kept until its concept is committed; given back when this is dropped before.
#[derive(Debug)]
#[must_use = "the column is given back at once"]
pub struct Reservation<'a> {
    cortex: &'a Cortex,
    claim: Option<Claim>,
    /// Since when the exemplar is there, if it is.
    shown: Option<Timestamp>,
}

impl Reservation<'_> {
    /// The column; `None` never, while there is a reservation.
    #[must_use]
    pub fn column(&self) -> Option<ColumnId> {
        self.claim.map(|claim| claim.column)
    }

    /// Lets scores of other columns count this one's concept before it is committed.
    pub fn show(&mut self, code: &Code) -> Result<(), CommitError> {
        let claim = self.claim.ok_or(CommitError::Gone)?;
        self.shown = Some(self.cortex.show(&claim, code)?);
        Ok(())
    }

    /// As [`commit`](Reservation::commit), with the code that was [shown](Reservation::show), as of that moment: no
    /// clock is asked, so that nothing can panic between what depends on this and what this depends on. Gives what takes
    /// it [back](Cortex::uncommit).
    pub fn commit_shown(mut self, concept: ConceptId) -> Result<Committed, CommitError> {
        let (claim, shown) = self.claim.zip(self.shown).ok_or(CommitError::Gone)?;
        let committed = self.cortex.commit_at(&claim, concept, None, shown)?;
        self.claim = None;
        Ok(committed)
    }

    /// Gives the column its concept, with the code by which others find it near. It fires, and rests.
    /// Nothing is committed where the code is refused: the column is given back.
    pub fn commit(mut self, concept: ConceptId, code: &Code) -> Result<ColumnId, CommitError> {
        let claim = self.claim.ok_or(CommitError::Gone)?;
        self.cortex.commit(&claim, concept, code)?;
        self.claim = None;
        Ok(claim.column)
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            if self.shown.is_some() {
                self.cortex.hide(&claim);
            }
            self.cortex.give_back(&claim);
        }
    }
}

/// Why a concept was not committed. The column was given back.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The code has no direction.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// The column is not reserved any more.
    #[error("the reservation is gone: it was committed or given back")]
    Gone,
}
