//! All columns of a grid.

use crate::bits::Bits;
use crate::column::{Column, ConceptId};
use crate::grid::{ColumnId, Grid, GridError};
use crate::guard::{Claim, Claims, CommitError};
use crate::membrane::Step;
use crate::options::{CortexError, CortexOptions};
use crate::prototype::{CODE_DIMENSION, Code, CodeError, normalised};
use crate::refractory::millis_between;
use crate::state::{ChangeError, Snapshot, State};
use crate::stats::{CortexStats, Counters};
use crate::undo::{Committed, Learned};
use cortica_env::Timestamp;
use cortica_simd::{encode_i8, f32_from_f16};

/// Columns on a grid, shared by any number of threads.
///
/// ```
/// use cortica_cortex::{ConceptId, Cortex, CortexOptions, Grid, State};
///
/// let cortex = Cortex::new(Grid::new(4, 4, 4)?, CortexOptions::default())?;
/// let candidates: Vec<_> = cortex.grid().columns().take(8).collect();
/// let mut buffer = Vec::new();
///
/// let mut claims = cortex.activate(&candidates, &[0.5; 8], &mut buffer);
/// claims.compete(&[0.5, 0.5, 0.9, 0.5, 0.5, 0.5, 0.5, 0.5])?;
/// let reservation = claims.win(2, 0.9).ok_or("it competed")?; // The other seven are available again.
/// let column = reservation.commit(ConceptId::new(7), &[1.0; 64])?;
/// assert_eq!(cortex.held(column)?, Some(ConceptId::new(7)));
/// assert_eq!(cortex.state(column)?.state(), State::Refractory);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Cortex {
    grid: Grid,
    pub(crate) columns: Vec<Column>,
    /// Which columns have an exemplar, a bit each: what is looked at before a column is.
    pub(crate) shown: Bits,
    options: CortexOptions,
    pub(crate) counters: Counters,
}

impl Cortex {
    /// Bytes of a column, whatever it holds.
    pub const COLUMN_BYTES: usize = size_of::<Column>();

    /// A cortex whose columns are all available and hold nothing. Every column is initialised, and its
    /// memory touched, here: O(columns).
    pub fn new(grid: Grid, options: CortexOptions) -> Result<Cortex, CortexError> {
        options.check()?;
        let mut columns = Vec::new();
        let enough = columns.try_reserve_exact(grid.len());
        enough.map_err(|_| CortexError::NoMemory {
            columns: grid.len(),
        })?;
        columns.extend((0..grid.len()).map(|_| Column::new()));
        Ok(Cortex {
            grid,
            columns,
            shown: Bits::new(grid.len()),
            options,
            counters: Counters::default(),
        })
    }

    /// Where the columns lie.
    #[must_use]
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// How they behave.
    #[must_use]
    pub fn options(&self) -> &CortexOptions {
        &self.options
    }

    /// What a column is doing.
    pub fn state(&self, column: ColumnId) -> Result<Snapshot, GridError> {
        Ok(self.column(column)?.state.load())
    }

    /// The concept that a column holds.
    pub fn held(&self, column: ColumnId) -> Result<Option<ConceptId>, GridError> {
        let column = self.column(column)?;
        let _ = column.state.load(); // What the last holder left can be read after.
        Ok(column.held())
    }

    /// How often prototype and exemplar of a column were written.
    pub fn version(&self, column: ColumnId) -> Result<u64, GridError> {
        Ok(self.column(column)?.learned.version())
    }

    /// Milliseconds since a column fired; `None` for one that never did. Where the clock was put back
    /// behind that moment, 0, and the rest begins anew: it never lasts longer than its length from now.
    pub fn since_fired_ms(&self, column: ColumnId) -> Result<Option<f64>, GridError> {
        Ok(self.since_fired(self.column(column)?, self.options.clock.now()))
    }

    /// The threshold of a column now: infinite in its absolute rest, raised after it.
    pub fn threshold(&self, column: ColumnId) -> Result<f32, GridError> {
        Ok(self.threshold_at(self.column(column)?, self.options.clock.now()))
    }

    fn threshold_at(&self, column: &Column, now: Timestamp) -> f32 {
        let raise = self
            .since_fired(column, now)
            .map_or(0.0, |since| self.options.refractory.raise_after(since));
        self.options.membrane.threshold + raise
    }

    /// Claims those of the candidates that hold nothing, are available and not absolutely refractory, each
    /// with its level (a level that is missing is 0). A column that another thread has, or that is given
    /// twice, is passed over; so is a number that is no column. O(candidates); allocates only where `buffer`
    /// is too small.
    pub fn activate<'a, 'b>(
        &'a self,
        candidates: &[ColumnId],
        levels: &[f32],
        buffer: &'b mut Vec<Claim>,
    ) -> Claims<'a, 'b> {
        let mut claims = Claims::new(self, buffer);
        let now = self.options.clock.now();
        for (at, &column) in candidates.iter().enumerate() {
            let level = levels.get(at).copied().unwrap_or(0.0);
            if let Some(seen) = self.try_activate(column, level, now) {
                claims.push(Claim { column, seen });
            }
        }
        claims
    }

    fn try_activate(&self, id: ColumnId, level: f32, now: Timestamp) -> Option<Snapshot> {
        let column = self.columns.get(id.index())?;
        let mut seen = column.state.load();
        // Looked at between the state and its change: a concept is committed by a change of state, so
        // if one came in between, the change below fails.
        if column.held().is_some() {
            return None;
        }
        if seen.state() == State::Refractory {
            let since = self.since_fired(column, now)?;
            if self.options.refractory.is_absolute(since) {
                return None;
            }
            seen = self.moved(column, seen, State::Available, 0.0).ok()?;
        }
        self.moved(column, seen, State::Activated, level).ok()
    }

    /// Adds those columns within a distance of one that hold nothing and can be claimed now to `found`, in the
    /// order of their numbers, each with the square of its distance. O(r^3).
    pub fn free_within(
        &self,
        centre: ColumnId,
        radius: f32,
        found: &mut Vec<(ColumnId, u64)>,
    ) -> Result<(), GridError> {
        let ball = self.grid.ball(centre, radius)?;
        let now = self.options.clock.now();
        for line in ball {
            self.shown.each_clear(line.first, line.len, |index| {
                let id = ColumnId::new(index as u32);
                if self.is_free(&self.columns[index], now) {
                    found.push((id, line.square_at(index)));
                }
            });
        }
        Ok(())
    }

    fn is_free(&self, column: &Column, now: Timestamp) -> bool {
        let state = column.state.load().state();
        let rested = || {
            let since = self.since_fired(column, now);
            since.is_none_or(|since| !self.options.refractory.is_absolute(since))
        };
        column.held().is_none()
            && match state {
                State::Available => true,
                State::Refractory => rested(),
                State::Activated | State::Competing | State::Allocated => false,
            }
    }

    /// Makes all columns available whose absolute rest is over; how many there were. They become so by
    /// themselves when they are activated: this is for those who count states. O(columns).
    pub fn recover(&self) -> usize {
        let now = self.options.clock.now();
        let rested = |column: &&Column| {
            let seen = column.state.load();
            let over = || {
                self.since_fired(column, now)
                    .is_none_or(|since| !self.options.refractory.is_absolute(since))
            };
            seen.state() == State::Refractory
                && over()
                && self.moved(column, seen, State::Available, 0.0).is_ok()
        };
        self.columns.iter().filter(rested).count()
    }

    /// Lets go of a concept: the column can be won again. Whether the column held it.
    pub fn release(&self, id: ColumnId, concept: ConceptId) -> Result<bool, GridError> {
        let column = self.column(id)?;
        let _ = column.state.load(); // What its last holder left is seen.
        // Under the version that exemplars are written under: whoever wins the column next writes after this.
        let released = column.held() == Some(concept)
            && column.learned.clear_exemplar_if(|| {
                let gone = column.let_go(concept);
                if gone {
                    self.shown.clear(id.index());
                }
                gone
            });
        if released {
            self.counters.released();
        }
        Ok(released)
    }

    /// Gives a free column a concept without a competition, for one that is read back: the column neither
    /// fires nor rests.
    pub fn occupy(&self, id: ColumnId, concept: ConceptId, code: &Code) -> Result<(), OccupyError> {
        let exemplar = self.exemplar_of(code)?;
        let column = self.column(id)?;
        let mut buffer = Vec::new();
        let claims = self.activate(&[id], &[], &mut buffer);
        if claims.is_empty() {
            return Err(OccupyError::Taken(id));
        }
        self.counters.holds(); // Before anybody can release it.
        column.learned.set_exemplar(&exemplar);
        self.shown.set(id.index());
        column.hold(concept);
        Ok(())
    }

    /// The code in i8.
    fn exemplar_of(&self, code: &Code) -> Result<[i8; CODE_DIMENSION], CodeError> {
        let code = normalised(code)?;
        let mut exemplar = [0; CODE_DIMENSION];
        encode_i8(self.options.isa, &code, &mut exemplar);
        Ok(exemplar)
    }

    /// Moves the prototypes of a column and of those within a radius towards a code (Kohonen 1982): by
    /// `rate exp(-d^2 / 2 sigma^2)` of the way, d in units of the lattice, `sigma` half of the radius. A
    /// radius of 0 is the column alone. `rate` is cut to \[0, 1\]. How many were moved.
    pub fn learn(
        &self,
        winner: ColumnId,
        code: &Code,
        rate: f32,
        radius: f32,
    ) -> Result<usize, LearnError> {
        self.learn_with(winner, code, rate, radius, |_| {})
    }

    /// As [`learn`](Cortex::learn), for who may have to take it back: what was there before is added to `before`, for
    /// [`unlearn`](Cortex::unlearn).
    pub fn learn_kept(
        &self,
        winner: ColumnId,
        code: &Code,
        rate: f32,
        radius: f32,
        before: &mut Vec<Learned>,
    ) -> Result<usize, LearnError> {
        self.learn_with(winner, code, rate, radius, |learned| before.push(learned))
    }

    /// What a column has learned, of one moment.
    pub fn learned(&self, column: ColumnId) -> Result<Learned, GridError> {
        let (prototype, learnings) = self.column(column)?.learned.learned();
        Ok(Learned {
            column,
            prototype,
            learnings,
        })
    }

    fn learn_with(
        &self,
        winner: ColumnId,
        code: &Code,
        rate: f32,
        radius: f32,
        mut keep: impl FnMut(Learned),
    ) -> Result<usize, LearnError> {
        let code = normalised(code)?;
        let rate = if rate > 0.0 { rate.min(1.0) } else { 0.0 };
        let salt = |column: ColumnId| u64::from(column.get()) | 1 << 40;
        let mut learn = |id: ColumnId, column: &Column, rate: f32| {
            let (prototype, learnings) = column.learned.learn(&code, rate, salt(id));
            keep(Learned {
                column: id,
                prototype,
                learnings,
            });
        };
        learn(winner, self.column(winner)?, rate);
        let mut moved = 1;
        if radius != 0.0 {
            let sigma = f64::from(radius) / 2.0;
            for (column, distance) in self.grid.neighbours(winner, radius)? {
                if column != winner {
                    let share = (-(distance as f64) / (2.0 * sigma * sigma)).exp() as f32;
                    learn(column, &self.columns[column.index()], rate * share);
                    moved += 1;
                }
            }
        }
        self.counters.learned(moved as u64);
        Ok(moved)
    }

    /// The prototype of a column, as f16, of one version.
    pub fn prototype(&self, column: ColumnId) -> Result<[u16; CODE_DIMENSION], GridError> {
        Ok(self.column(column)?.learned.prototype())
    }

    /// Puts a prototype there as it is, in f16, every value finite: for a cortex that is read back.
    pub fn set_prototype(
        &self,
        column: ColumnId,
        prototype: &[u16; CODE_DIMENSION],
    ) -> Result<(), LearnError> {
        let column = self.column(column)?;
        for (at, value) in prototype.map(f32_from_f16).into_iter().enumerate() {
            if !value.is_finite() {
                return Err(CodeError::NotFinite { at, value }.into());
            }
        }
        column.learned.set_prototype(prototype);
        Ok(())
    }

    /// The exemplar of a column: the code of the concept that it holds, in i8 and of any length; zeros where it
    /// holds none.
    pub fn exemplar(&self, column: ColumnId) -> Result<[i8; CODE_DIMENSION], GridError> {
        Ok(self.column(column)?.learned.exemplar())
    }

    /// What was done so far, and what is held. O(1).
    #[must_use]
    pub fn stats(&self) -> CortexStats {
        self.counters.read(self.columns.len() as u64)
    }

    /// Starts the counts anew; what is held stays counted.
    pub fn reset_stats(&self) {
        self.counters.reset();
    }

    /// How many columns are in each state now, in the order of [`State::ALL`]. O(columns).
    #[must_use]
    pub fn census(&self) -> [usize; 5] {
        let mut counts = [0; 5];
        for column in &self.columns {
            counts[column.state.load().state() as usize] += 1;
        }
        counts
    }

    /// Columns of a line that have an exemplar.
    pub(crate) fn each_shown(&self, first: usize, len: usize, found: impl FnMut(usize)) {
        self.shown.each_set(first, len, found);
    }

    pub(crate) fn at(&self, index: usize) -> &Column {
        &self.columns[index]
    }

    pub(crate) fn column(&self, column: ColumnId) -> Result<&Column, GridError> {
        let columns = self.columns.len() as u32;
        let found = self.columns.get(column.index());
        found.ok_or(GridError::NoColumn { column, columns })
    }

    /// Milliseconds since it fired. A moment that lies ahead becomes now.
    fn since_fired(&self, column: &Column, now: Timestamp) -> Option<f64> {
        let fired = column.fired()?;
        let since = millis_between(fired, now);
        if since >= 0.0 {
            return Some(since);
        }
        // Another thread's spike may be newer than `now`. Only a clock that was put back is behind it still.
        let now = self.options.clock.now();
        let since = millis_between(fired, now);
        if since < 0.0 {
            column.put_back_fired(fired, now);
        }
        Some(since.max(0.0))
    }

    pub(crate) fn moved(
        &self,
        column: &Column,
        seen: Snapshot,
        to: State,
        level: f32,
    ) -> Result<Snapshot, ChangeError> {
        let changed = column.state.change(seen, to, level)?;
        self.counters.changed(seen.state(), to);
        Ok(changed)
    }

    /// Moves a claimed column on.
    pub(crate) fn change(
        &self,
        claim: &Claim,
        to: State,
        level: f32,
    ) -> Result<Snapshot, ChangeError> {
        self.moved(&self.columns[claim.column.index()], claim.seen, to, level)
    }

    pub(crate) fn give_back(&self, claim: &Claim) {
        // A claimed column is moved by its holder alone, and every state that one holds it in may
        // become available: this cannot fail, and a guard could do nothing about it.
        let _ = self.change(claim, State::Available, 0.0);
    }

    /// Lets others find a reserved column by the code of its concept; `commit` counts on it. When that was: the clock,
    /// which may panic, is asked before anything is written.
    pub(crate) fn show(&self, claim: &Claim, code: &Code) -> Result<Timestamp, CodeError> {
        let exemplar = self.exemplar_of(code)?;
        let now = self.options.clock.now();
        self.columns[claim.column.index()]
            .learned
            .set_exemplar(&exemplar);
        self.shown.set(claim.column.index());
        Ok(now)
    }

    pub(crate) fn hide(&self, claim: &Claim) {
        self.shown.clear(claim.column.index());
        self.columns[claim.column.index()]
            .learned
            .clear_exemplar_if(|| true);
    }

    pub(crate) fn integrate(&self, id: ColumnId, drive: f32) -> Step {
        let column = &self.columns[id.index()];
        let now = self.options.clock.now();
        let (potential, since) = column.potential();
        let elapsed = since
            .map_or(0.0, |since| millis_between(since, now))
            .max(0.0);
        let threshold = self.threshold_at(column, now);
        let drive = if drive.is_finite() { drive } else { 0.0 };
        let step = self
            .options
            .membrane
            .step(potential, drive, threshold, elapsed);
        column.set_potential(step.potential, now);
        step
    }

    /// Commits with the code, now.
    pub(crate) fn commit(
        &self,
        claim: &Claim,
        concept: ConceptId,
        code: &Code,
    ) -> Result<(), CommitError> {
        let exemplar = self.exemplar_of(code)?;
        let now = self.options.clock.now();
        self.commit_at(claim, concept, Some(exemplar), now)?;
        Ok(())
    }

    /// Commits with this exemplar, or the one that is shown. Nothing is asked that may panic.
    pub(crate) fn commit_at(
        &self,
        claim: &Claim,
        concept: ConceptId,
        exemplar: Option<[i8; CODE_DIMENSION]>,
        now: Timestamp,
    ) -> Result<Committed, CommitError> {
        let column = &self.columns[claim.column.index()];
        if column.state.load() != claim.seen {
            return Err(CommitError::Gone);
        }
        self.counters.holds(); // Before anybody can release it.
        if let Some(exemplar) = exemplar {
            column.learned.set_exemplar(&exemplar);
            self.shown.set(claim.column.index());
        }
        let committed = Committed {
            column: claim.column,
            concept,
            spike: column.spike(),
        };
        column.hold(concept);
        column.set_fired(now);
        column.set_potential(0.0, now);
        let fired = self.moved(column, claim.seen, State::Refractory, 0.0);
        fired.map_err(|_| CommitError::Gone)?;
        Ok(committed)
    }
}

/// Why a column was not given a concept.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OccupyError {
    /// There is no such column.
    #[error(transparent)]
    Grid(#[from] GridError),
    /// The code has no direction.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// It holds a concept, rests, or is claimed by another thread.
    #[error("{0} is taken or claimed; release it first, or try again")]
    Taken(ColumnId),
}

/// Why nothing was learned.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LearnError {
    /// There is no such column, or the radius is none.
    #[error(transparent)]
    Grid(#[from] GridError),
    /// The code has no direction.
    #[error(transparent)]
    Code(#[from] CodeError),
}
