//! What a cortex has done so far.

use crate::state::State;
use crate::sync::{Counter, Relaxed};

/// Counts of changes since the cortex was made or they were reset, and what is held now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CortexStats {
    /// Columns of the grid.
    pub columns: u64,
    /// Columns that hold a concept now.
    pub held: u64,
    /// Columns that became candidates.
    pub activated: u64,
    /// Columns that entered a competition.
    pub competed: u64,
    /// Columns that won one.
    pub allocated: u64,
    /// Columns that fired: their concept was committed.
    pub fired: u64,
    /// Columns that were available again after their rest.
    pub recovered: u64,
    /// Candidates and competitors that were given back.
    pub returned: u64,
    /// Winners that were given back without a concept.
    pub rolled_back: u64,
    /// Concepts that were let go of.
    pub released: u64,
    /// Prototypes that were moved.
    pub learned: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    held: Counter,
    activated: Counter,
    competed: Counter,
    allocated: Counter,
    fired: Counter,
    recovered: Counter,
    returned: Counter,
    rolled_back: Counter,
    released: Counter,
    learned: Counter,
}

impl Counters {
    /// A change that took place.
    pub(crate) fn changed(&self, from: State, to: State) {
        use State::{Activated, Allocated, Available, Competing, Refractory};
        let counter = match (from, to) {
            (_, Activated) => &self.activated,
            (_, Competing) => &self.competed,
            (_, Allocated) => &self.allocated,
            (_, Refractory) => &self.fired,
            (Refractory, Available) => &self.recovered,
            (Allocated, Available) => &self.rolled_back,
            (_, Available) => &self.returned,
        };
        // Relaxed here and below: figures order nothing.
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn holds(&self) {
        self.held.fetch_add(1, Relaxed);
    }

    pub(crate) fn released(&self) {
        self.held.fetch_sub(1, Relaxed);
        self.released.fetch_add(1, Relaxed);
    }

    pub(crate) fn learned(&self, columns: u64) {
        self.learned.fetch_add(columns, Relaxed);
    }

    pub(crate) fn read(&self, columns: u64) -> CortexStats {
        let read = |counter: &Counter| counter.load(Relaxed);
        CortexStats {
            columns,
            held: read(&self.held),
            activated: read(&self.activated),
            competed: read(&self.competed),
            allocated: read(&self.allocated),
            fired: read(&self.fired),
            recovered: read(&self.recovered),
            returned: read(&self.returned),
            rolled_back: read(&self.rolled_back),
            released: read(&self.released),
            learned: read(&self.learned),
        }
    }

    /// What is held now stays counted.
    pub(crate) fn reset(&self) {
        for counter in [
            &self.activated,
            &self.competed,
            &self.allocated,
            &self.fired,
            &self.recovered,
            &self.returned,
            &self.rolled_back,
            &self.released,
            &self.learned,
        ] {
            counter.store(0, Relaxed);
        }
    }
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used, reason = "a panic is how a test reports")]
mod tests {
    use crate::column::ConceptId;
    use crate::cortex::Cortex;
    use crate::grid::{ColumnId, Grid};
    use crate::guard::Claim;
    use crate::options::CortexOptions;
    use crate::state::{ChangeError, State};

    /// A cortex of one column in a state, by a legal way there.
    fn column_in(state: State) -> (Cortex, Claim) {
        use State::{Activated, Allocated, Available, Competing, Refractory};
        let cortex = Cortex::new(Grid::new(1, 1, 1).unwrap(), CortexOptions::default()).unwrap();
        let column = ColumnId::new(0);
        let seen = cortex.state(column).unwrap();
        let mut claim = Claim { column, seen };
        let way = [Activated, Competing, Allocated, Refractory];
        let steps = match state {
            Available => 0,
            Activated => 1,
            Competing => 2,
            Allocated => 3,
            Refractory => 4,
        };
        for &to in &way[..steps] {
            claim.seen = cortex.change(&claim, to, 0.25).unwrap();
        }
        (cortex, claim)
    }

    #[test]
    fn what_is_refused_is_not_counted_and_what_takes_place_is_once() {
        for from in State::ALL {
            for to in State::ALL {
                let (cortex, claim) = column_in(from);
                let before = cortex.stats();
                let changed = cortex.change(&claim, to, 0.75);
                let after = cortex.stats();
                let total = |of: super::CortexStats| {
                    [
                        of.activated,
                        of.competed,
                        of.allocated,
                        of.fired,
                        of.recovered,
                        of.returned,
                        of.rolled_back,
                    ]
                    .iter()
                    .sum::<u64>()
                };
                if from.may_become(to) {
                    assert_eq!(changed, Ok(cortex.state(claim.column).unwrap()));
                    assert_eq!(total(after), total(before) + 1, "{from} to {to}");
                } else {
                    assert_eq!(changed, Err(ChangeError::Illegal { from, to }));
                    assert_eq!(after, before, "{from} to {to}");
                    assert_eq!(cortex.state(claim.column), Ok(claim.seen));
                }
                // A change from an old look is refused, whatever it is, and not counted.
                if changed.is_ok() {
                    assert!(cortex.change(&claim, to, 0.75).is_err());
                    assert_eq!(cortex.stats(), after, "{from} to {to} again");
                }
                let none = (after.held, after.released, after.learned);
                assert_eq!(none, (0, 0, 0));
            }
        }
    }

    #[test]
    fn each_change_has_a_counter_of_its_own() {
        use State::{Activated, Allocated, Available, Competing, Refractory};
        let counted = |from, to| {
            let (cortex, claim) = column_in(from);
            cortex.reset_stats();
            cortex.change(&claim, to, 0.0).unwrap();
            cortex.stats()
        };
        assert_eq!(counted(Available, Activated).activated, 1);
        assert_eq!(counted(Activated, Competing).competed, 1);
        assert_eq!(counted(Competing, Allocated).allocated, 1);
        assert_eq!(counted(Allocated, Refractory).fired, 1);
        assert_eq!(counted(Activated, Available).returned, 1);
        assert_eq!(counted(Competing, Available).returned, 1);
        assert_eq!(counted(Allocated, Available).rolled_back, 1);
        assert_eq!(counted(Refractory, Available).recovered, 1);
    }

    #[test]
    fn guards_that_are_refused_count_nothing() {
        let (cortex, _) = column_in(State::Available);
        let column = [ColumnId::new(0)];
        let mut buffer = Vec::new();
        let mut claims = cortex.activate(&column, &[0.5], &mut buffer);
        claims.compete(&[0.5]).unwrap();
        let before = cortex.stats();
        let twice = claims.compete(&[0.5]);
        assert!(matches!(twice, Err(ChangeError::Illegal { .. })));
        assert_eq!(cortex.stats(), before);
        drop(claims);
        let code = [1.0; crate::prototype::CODE_DIMENSION];
        cortex.occupy(column[0], ConceptId::new(3), &code).unwrap();
        let before = cortex.stats();
        assert!(cortex.occupy(column[0], ConceptId::new(4), &code).is_err());
        assert!(cortex.activate(&column, &[], &mut Vec::new()).is_empty());
        assert_eq!(cortex.release(column[0], ConceptId::new(4)), Ok(false));
        assert_eq!(cortex.stats(), before);
    }
}
