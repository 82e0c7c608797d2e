//! Networks, deduplication and competition, joined.

use crate::concepts::ConceptTable;
use crate::model::Model;
use crate::options::{EngineError, EngineOptions};
use crate::place::Seen;
use crate::relaxed::Wanted;
use crate::request;
use crate::round::EngineRound;
use crate::settled::Settled;
use crate::stats::{Counters, EngineStats};
use crate::sync::{lock, read};
use crate::worker::{Lent, Worker};
use cortica_cortex::{
    Allocate, AllocateError, Allocation, Code, ColumnId, Competition, ConceptId, ConceptRequest,
    Cortex, Dedup, DedupError, Duplicate, Placement, Replaced, Scorer, Ticket, WINDOW, Window,
    Windows, normalised,
};
use cortica_neural::Networks;
use cortica_simd::encode_i8;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, RwLock};

/// Workers that are kept for the next who call; more are made where more call at once.
const IDLE_MAX: usize = 64;

/// In which order requests of a batch are decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// In the order in which they were submitted: the same answers, columns and prototypes for any number of
    /// workers.
    #[default]
    Submission,
    /// As they come: workers decide side by side.
    Relaxed,
}

/// Gives concepts columns; shared by any number of threads. See the [crate](crate).
///
/// An exact duplicate is found first; then the encoder makes a code, which leads to a place of the grid, and says
/// whom to compare features with. Free columns around the place are scored and compete; the winner holds
/// the concept, fires, and its neighbourhood learns. Where none is free the radius doubles, until it covers the grid.
#[derive(Debug)]
pub struct AllocationEngine {
    pub(crate) cortex: Arc<Cortex>,
    pub(crate) model: Arc<dyn Model>,
    pub(crate) options: EngineOptions,
    pub(crate) placement: Placement,
    pub(crate) dedup: Dedup,
    pub(crate) concepts: RwLock<ConceptTable>,
    pub(crate) windows: Mutex<Windows>,
    pub(crate) counters: Counters,
    /// Held by rounds that may take codes out of windows again, and by whoever puts one in, for as long as that
    /// takes. Before the gate.
    pub(crate) observing: Mutex<()>,
    /// Written by rounds, read by whoever decides side by side.
    pub(crate) gate: RwLock<()>,
    /// Moves on whenever a concept that was on its way is no more.
    pub(crate) settled: Settled,
    /// Moves on whenever a column is no longer kept from others by a request that may still fail.
    pub(crate) claimed: Settled,
    /// From corner to corner of the grid.
    pub(crate) diameter: f32,
    scorer: Scorer,
    competition: Competition,
    idle: Mutex<Vec<Worker>>,
}

impl AllocationEngine {
    /// An engine over an empty cortex. Codes lead where the model has [learnt](Model::placement) that they belong, or
    /// else along directions drawn by [`EngineOptions::seed`].
    pub fn new(
        cortex: Arc<Cortex>,
        model: Arc<dyn Model>,
        options: EngineOptions,
    ) -> Result<AllocationEngine, EngineError> {
        let grid = *cortex.grid();
        let learnt = model.placement(grid);
        let placement = learnt.unwrap_or_else(|| Placement::new(grid, options.seed));
        AllocationEngine::with_placement(cortex, model, placement, options)
    }

    /// As [`new`](AllocationEngine::new), with places of the caller's choice, such as those
    /// [fitted](Placement::fitted) to a sample of codes; for the grid of the cortex.
    pub fn with_placement(
        cortex: Arc<Cortex>,
        model: Arc<dyn Model>,
        placement: Placement,
        options: EngineOptions,
    ) -> Result<AllocationEngine, EngineError> {
        options.check()?;
        let held = cortex.stats().held;
        if held > 0 {
            return Err(EngineError::Held { held });
        }
        let isa = cortex.options().isa;
        let sides = cortex.grid().sides().map(|side| f64::from(side).powi(2));
        Ok(AllocationEngine {
            dedup: Dedup::new(options.dedup, isa)?,
            concepts: RwLock::default(),
            windows: Mutex::new(Windows::new(options.streams_max)),
            counters: Counters::default(),
            observing: Mutex::default(),
            gate: RwLock::default(),
            settled: Settled::default(),
            claimed: Settled::default(),
            diameter: sides.iter().sum::<f64>().sqrt() as f32,
            scorer: Scorer::new(options.weights, options.similarity_radius)?,
            competition: Competition::new(options.inhibition, isa)?,
            idle: Mutex::default(),
            placement,
            cortex,
            model,
            options,
        })
    }

    /// An engine with the networks that come with Cortica for features of this dimension, which are those of
    /// feature `weights-768`; [`AllocateError::NoWeights`] where there are none.
    pub fn shipped(
        dimension: usize,
        cortex: Arc<Cortex>,
        options: EngineOptions,
    ) -> Result<AllocationEngine, EngineError> {
        let networks = shipped(dimension).map_err(EngineError::Networks)?;
        AllocationEngine::new(cortex, Arc::new(networks), options)
    }

    /// Gives a concept a column, or says why not. Threads that call this work side by side.
    ///
    /// A request that is none, or comes after its deadline, is refused before anything changes. Every other enters the
    /// window of its stream, whatever becomes of it. There is no suitable column where none is free: one that another
    /// thread may yet give up is waited for.
    pub fn allocate(&self, request: &ConceptRequest<'_>) -> Result<Allocation, AllocateError> {
        let counting = self.counters.begin();
        let checked = self.check(request);
        let answer = checked.and_then(|()| self.decide(request, Wanted::ALWAYS));
        counting.answered(answer.as_ref());
        answer
    }

    /// Gives many concepts columns, one after the other by this thread; answer i is that of request i, and one that
    /// fails fails alone. In [`Order::Submission`] nobody else decides meanwhile.
    pub fn allocate_many(
        &self,
        requests: &[ConceptRequest<'_>],
        order: Order,
    ) -> Vec<Result<Allocation, AllocateError>> {
        match order {
            Order::Submission => {
                let mut round = EngineRound::new(self);
                let decided = requests.iter().map(|request| round.decide(request));
                let answers: Vec<_> = decided.map(|reserved| Ok(reserved?.allocation)).collect();
                round.keep();
                answers
            }
            Order::Relaxed => {
                let all = requests.iter().map(|request| self.allocate(request));
                all.collect()
            }
        }
    }

    /// Lets go of a concept by its id: its column can be won again. Whether it was there.
    pub fn release_id(&self, concept_id: &str) -> Result<bool, AllocateError> {
        let found = self.find(concept_id);
        found.map_or(Ok(false), |(concept, column)| self.release(column, concept))
    }

    /// The number and the column of a concept. O(concepts).
    #[must_use]
    pub fn find(&self, concept_id: &str) -> Option<(ConceptId, ColumnId)> {
        read(&self.concepts).find(concept_id.as_bytes())
    }

    /// The code that a request's features have. Nothing changes.
    pub fn encode(&self, features: &[f32]) -> Result<Code, AllocateError> {
        let request = ConceptRequest::new("-", features);
        self.check(&request)?;
        encoded(self.borrow().get()?, features)
    }

    /// How it decides.
    #[must_use]
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Where codes lead.
    #[must_use]
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Values of the features.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.model.dimension()
    }

    /// What was done so far, and what is there now.
    #[must_use]
    pub fn stats(&self) -> EngineStats {
        EngineStats {
            concepts: read(&self.concepts).len(),
            streams: lock(&self.windows).len(),
            cortex: self.cortex.stats(),
            dedup: self.dedup.stats(),
            ..self.counters.read()
        }
    }

    /// Starts the counts anew; what is there stays counted.
    pub fn reset_stats(&self) {
        for counter in self.counters.all() {
            counter.store(0, Relaxed);
        }
        self.cortex.reset_stats();
        self.dedup.reset_stats();
    }

    pub(crate) fn check(&self, request: &ConceptRequest<'_>) -> Result<(), AllocateError> {
        let (grid, isa) = (self.cortex.grid(), self.cortex.options().isa);
        request::check(request, self.dimension(), grid, isa)?;
        self.check_deadline(request)
    }

    pub(crate) fn check_deadline(&self, request: &ConceptRequest<'_>) -> Result<(), AllocateError> {
        match request.deadline {
            Some(deadline) if self.cortex.options().clock.now() > deadline => {
                Err(AllocateError::Deadline)
            }
            _ => Ok(()),
        }
    }

    /// The window of a stream as it was, with this code in it from now on. By whoever is observing.
    pub(crate) fn observe(&self, stream: u64, code: &Code) -> (Window, Replaced) {
        let mut windows = lock(&self.windows);
        let before = windows.window(stream);
        (before, windows.push(stream, code))
    }

    /// What the stream led to expect, and whether this code belongs there.
    pub(crate) fn perceive(
        &self,
        worker: &mut Worker,
        code: &Code,
        before: &[Code],
    ) -> Result<Seen, AllocateError> {
        let mut seen = Seen::alone(code);
        if before.is_empty() {
            return Ok(seen);
        }
        let predicted = worker.model.predict(before);
        seen.predicted = predicted.map_err(|refused| networks(&refused))?;
        worker.window.clear();
        worker.window.extend_from_slice(before);
        worker.window.push(*code);
        let last = worker.window.len().saturating_sub(WINDOW);
        let exception = worker.model.detect(&worker.window[last..]);
        let exception = exception.map_err(|refused| networks(&refused))?;
        seen.exception = exception >= self.options.exception_min;
        if seen.exception {
            self.counters.exceptions.fetch_add(1, Relaxed);
        }
        Ok(seen)
    }

    /// Compares with what is there: a ticket, or what it duplicates.
    pub(crate) fn admit(
        &self,
        request: &ConceptRequest<'_>,
        code: &Code,
    ) -> Result<Result<Ticket<'_>, Same>, AllocateError> {
        let id = request.concept_id.as_bytes();
        let mut ticket = {
            let concepts = read(&self.concepts);
            match self.dedup.reserve(id, request.features, &*concepts) {
                Ok(ticket) => ticket,
                Err(refused) => return same(refused, &concepts).map(Err),
            }
        };
        // Nearly all of the work, and nobody who has a concept to add waits for it.
        let near = ticket.near(&self.i8_code(code));
        let concepts = read(&self.concepts);
        match near.and_then(|near| ticket.admit_near(&near, &*concepts)) {
            Ok(()) => Ok(Ok(ticket)),
            Err(refused) => same(refused, &concepts).map(Err),
        }
    }

    /// Whether every column holds a concept.
    pub(crate) fn is_full(&self) -> bool {
        let stats = self.cortex.stats();
        stats.held >= stats.columns
    }

    pub(crate) fn i8_code(&self, code: &Code) -> [i8; cortica_cortex::CODE_DIMENSION] {
        let mut encoded = [0; cortica_cortex::CODE_DIMENSION];
        encode_i8(self.cortex.options().isa, code, &mut encoded);
        encoded
    }

    /// Microseconds of the cortex' clock.
    pub(crate) fn micros(&self) -> u64 {
        self.cortex.options().clock.now().as_micros().max(0) as u64
    }

    /// A worker that nobody uses.
    pub(crate) fn borrow(&self) -> Lent<'_> {
        let idle = lock(&self.idle).pop();
        Lent::new(self, idle.unwrap_or_else(|| self.worker()))
    }

    pub(crate) fn give_back(&self, worker: Worker) {
        let mut idle = lock(&self.idle);
        if idle.len() < IDLE_MAX {
            idle.push(worker);
        }
    }

    fn worker(&self) -> Worker {
        Worker {
            model: self.model.worker(self.cortex.options().isa),
            scorer: self.scorer.clone(),
            competition: self.competition.clone(),
            near: Vec::new(),
            candidates: Vec::new(),
            drives: Vec::new(),
            claims: Vec::new(),
            window: Vec::new(),
            moved: 0,
        }
    }
}

/// What a request duplicates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Same {
    pub(crate) of: ConceptId,
    pub(crate) similarity: f32,
    /// Where it lies, if it is there and not still on its way.
    pub(crate) column: Option<ColumnId>,
}

/// The duplicate by which a concept was refused, or the error.
fn same(refused: DedupError, concepts: &ConceptTable) -> Result<Same, AllocateError> {
    let (of, similarity) = match refused {
        DedupError::Duplicate(Duplicate::Id(of) | Duplicate::Content(of)) => (of, 1.0),
        DedupError::Duplicate(Duplicate::Meaning { of, cosine }) => (of, cosine.min(1.0)),
        DedupError::Full => return Err(AllocateError::Full),
        other => return Err(AllocateError::Networks(other.to_string())),
    };
    Ok(Same {
        of,
        similarity,
        column: concepts.get(of).map(|concept| concept.column),
    })
}

/// The code of features that were checked.
pub(crate) fn encoded(worker: &mut Worker, features: &[f32]) -> Result<Code, AllocateError> {
    let code = worker.model.encode(features);
    let code = code.map_err(|refused| networks(&refused))?;
    normalised(&code).map_err(|refused| AllocateError::Networks(refused.to_string()))
}

pub(crate) fn networks(refused: &cortica_neural::InputError) -> AllocateError {
    AllocateError::Networks(refused.to_string())
}

fn shipped(dimension: usize) -> Result<Networks, AllocateError> {
    #[cfg(feature = "weights-768")]
    if dimension == 768 {
        let networks = Networks::shipped_768();
        return networks.map_err(|refused| AllocateError::Networks(refused.to_string()));
    }
    Err(AllocateError::NoWeights { dimension })
}
