//! Forgetting, which has to be possible on a full disk, too.

use crate::error::ForgetError;
use crate::job::{Answers, Work};
use crate::outcome::Forgotten;
use crate::store::MemoryStore;
use cortica_storage::CommitError;

impl MemoryStore {
    /// Forgets an episode. What [`forget_many`](Self::forget_many) does for one.
    pub fn forget(&self, id: &str) -> Result<Forgotten, ForgetError> {
        let unknown = || ForgetError::UnknownId { id: id.to_owned() };
        self.forget_many(&[id])
            .pop()
            .unwrap_or_else(|| Err(unknown()))
    }

    /// Forgets episodes with their embeddings and associations; answer i is for id i. One write,
    /// one sync. They are not found any more when this returns.
    ///
    /// Where the disk is full, even of what is kept back for this, the log is compacted and what was
    /// refused is tried again, for as long as that frees something, and then fewer at once: as many
    /// as there is room for.
    pub fn forget_many(&self, ids: &[impl AsRef<str>]) -> Vec<Result<Forgotten, ForgetError>> {
        let forget = |places: &[usize]| {
            let these = places.iter().map(|&at| ids[at].as_ref().to_owned());
            match self.submit(Work::Forget(these.collect())) {
                Answers::Forgotten(answers) => answers,
                _ => Vec::new(),
            }
        };
        let full = |places: &[usize], answers: &[Result<Forgotten, ForgetError>]| {
            let places = places.iter().copied();
            let full = places.filter(|&at| answers.get(at).is_some_and(found_no_space));
            full.collect::<Vec<usize>>()
        };
        let mut waiting: Vec<usize> = (0..ids.len()).collect();
        let mut answers = forget(&waiting);
        waiting = full(&waiting, &answers);
        let mut together = waiting.len();
        while !waiting.is_empty() {
            if !self.clear_up() {
                if together == 1 {
                    break; // There is no room for one, and all are as large.
                }
                together = together.div_ceil(2);
            }
            loop {
                let these: Vec<usize> = waiting.iter().copied().take(together).collect();
                for (&at, answer) in these.iter().zip(forget(&these)) {
                    if let Some(place) = answers.get_mut(at) {
                        *place = answer;
                    }
                }
                let refused = full(&these, &answers);
                waiting.splice(..these.len(), refused.iter().copied());
                if !refused.is_empty() || waiting.is_empty() {
                    break;
                }
            }
        }
        answers
    }
}

/// Whether it was refused because the disk is full.
pub(crate) fn found_no_space(answer: &Result<Forgotten, ForgetError>) -> bool {
    matches!(answer, Err(ForgetError::Log(error)) if matches!(**error, CommitError::Full))
}
