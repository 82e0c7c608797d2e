//! The door by which stores use an engine: rounds, and what a log brings back.

use crate::concepts::Concept;
use crate::engine::AllocationEngine;
use crate::round::EngineRound;
use crate::sync::{lock, read, write};
use cortica_cortex::{
    Allocate, AllocateError, ColumnId, ConceptId, Cortex, Decision, DedupError, Logged, Round,
    Windows, normalised,
};

impl Allocate for AllocationEngine {
    fn cortex(&self) -> &Cortex {
        &self.cortex
    }

    fn begin(&self) -> Box<dyn Round + '_> {
        Box::new(EngineRound::new(self))
    }

    /// Beside others who decide: it needs no round of its own.
    fn release(&self, column: ColumnId, concept: ConceptId) -> Result<bool, AllocateError> {
        let _together = read(&self.gate);
        // A concept is committed under this lock, so that it is known wherever its column holds it.
        let mut concepts = write(&self.concepts);
        if !self.cortex.release(column, concept)? {
            return Ok(false);
        }
        self.dedup.remove(concept);
        concepts.remove(concept);
        Ok(true)
    }

    fn replay(&self, logged: &Logged<'_>) -> Result<(), AllocateError> {
        let _observing = lock(&self.observing);
        let _alone = write(&self.gate);
        let (stream, code) = match *logged {
            Logged::Allocated {
                decision,
                concept_id,
                features,
            } => {
                self.take_in(decision, concept_id, features, Decision::carry_out)?;
                (decision.stream, decision.code)
            }
            Logged::Learned(decision) => {
                decision.teach(&self.cortex)?;
                (decision.stream, decision.code)
            }
            Logged::Held {
                decision,
                concept_id,
                features,
            } => {
                let hold = |decision: &Decision, cortex: &Cortex| {
                    let Decision {
                        column, concept, ..
                    } = *decision;
                    Ok(cortex.occupy(column, concept, &decision.code)?)
                };
                return self.take_in(decision, concept_id, features, hold);
            }
            Logged::Observed(observed) => {
                let code = normalised(&observed.code);
                code.map_err(|refused| AllocateError::Learn(refused.into()))?;
                (Some(observed.stream), observed.code)
            }
            Logged::Released { column, concept } => {
                if self.cortex.release(column, concept)? {
                    self.dedup.remove(concept);
                    write(&self.concepts).remove(concept);
                }
                return Ok(());
            }
        };
        if let Some(stream) = stream {
            drop(lock(&self.windows).push(stream, &code));
        }
        Ok(())
    }

    fn windows(&self) -> Windows {
        lock(&self.windows).clone()
    }

    fn set_windows(&self, windows: Windows) {
        let mut own = Windows::new(self.options.streams_max);
        for (stream, codes) in windows.iter() {
            for code in codes {
                drop(own.push(stream, code));
            }
        }
        let _observing = lock(&self.observing);
        *lock(&self.windows) = own;
    }
}

impl AllocationEngine {
    fn take_in(
        &self,
        decision: &Decision,
        concept_id: &str,
        features: &[f32],
        carry_out: impl FnOnce(&Decision, &Cortex) -> Result<(), AllocateError>,
    ) -> Result<(), AllocateError> {
        let concept = decision.concept;
        let code =
            normalised(&decision.code).map_err(|refused| AllocateError::Learn(refused.into()))?;
        let id = concept_id.as_bytes();
        let restored = self
            .dedup
            .restore(concept, id, features, &self.i8_code(&code));
        restored.map_err(|refused| match refused {
            DedupError::Taken(concept) => AllocateError::Present(concept),
            other => AllocateError::Request {
                field: "concept",
                got: other.to_string(),
                expected: "as it was logged".to_owned(),
            },
        })?;
        if let Err(refused) = carry_out(decision, &self.cortex) {
            self.dedup.remove(concept);
            return Err(refused);
        }
        let known = Concept {
            id: id.into(),
            features: features.into(),
            column: decision.column,
        };
        write(&self.concepts).insert(concept, known);
        Ok(())
    }
}
