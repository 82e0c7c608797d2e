//! Writes of several kinds in one list.

use crate::association::{Associated, Association};
use crate::episode::Episode;
use crate::error::{AssociateError, ForgetError, StoreError};
use crate::forgetting::found_no_space;
use crate::job::{Answers, Work};
use crate::outcome::{Forgotten, Stored};
use crate::store::MemoryStore;

/// One of many writes; see [`MemoryStore::write_many`](crate::MemoryStore::write_many).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Write {
    /// Stores an episode.
    Store(Episode),
    /// Links two episodes.
    Associate(Association),
    /// Forgets the episode with this id.
    Forget(String),
}

/// How one of many writes was answered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Written {
    /// Answers [`Write::Store`].
    Stored(Result<Stored, StoreError>),
    /// Answers [`Write::Associate`].
    Associated(Result<Associated, AssociateError>),
    /// Answers [`Write::Forget`].
    Forgotten(Result<Forgotten, ForgetError>),
}

impl Written {
    /// Whether it was done.
    pub fn is_ok(&self) -> bool {
        match self {
            Self::Stored(answer) => answer.is_ok(),
            Self::Associated(answer) => answer.is_ok(),
            Self::Forgotten(answer) => answer.is_ok(),
        }
    }
}

/// What happens to the others of a list of writes when one of them is refused, and after a crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Atomicity {
    /// Each counts for itself. After a crash before the answer, the first ones may be there, each as a
    /// whole, with what it evicted.
    #[default]
    Each,
    /// All or none: where one is refused none is done, and after a crash at any moment all are there or
    /// none is. The whole list is in memory once more until it is written.
    All,
}

impl MemoryStore {
    /// Does writes of several kinds in their order, under one lock and with one commit; answer i is for
    /// write i. Gives what they give one by one.
    ///
    /// With [`Atomicity::All`] they are one frame of the log: where one is refused none is done, and
    /// after a crash at any moment all are there or none is.
    ///
    /// On a full disk one commit has room for all or for none: where it finds none, every store and every
    /// association is refused, also such as alone would have found some; offer them again, one by one.
    /// What is to be forgotten is then forgotten all the same, as
    /// [`forget_many`](Self::forget_many) does, unless it is to be done together with other writes or not at all.
    pub fn write_many(&self, writes: Vec<Write>, atomicity: Atomicity) -> Vec<Written> {
        let forgets: Vec<(usize, String)> = (0..)
            .zip(&writes)
            .filter_map(|(at, write)| match write {
                Write::Forget(id) => Some((at, id.clone())),
                _ => None,
            })
            .collect();
        let only_forgets = forgets.len() == writes.len();
        let write = |writes| match self.submit(Work::Mixed(writes, atomicity)) {
            Answers::Mixed(answers) => answers,
            _ => Vec::new(),
        };
        let mut answers = write(writes);
        let found_no_space = |answer: &Written| matches!(answer, Written::Forgotten(answer) if found_no_space(answer));
        match atomicity {
            Atomicity::Each => {
                let refused =
                    |(at, _): &(usize, String)| answers.get(*at).is_some_and(found_no_space);
                let (places, ids): (Vec<_>, Vec<_>) = forgets.into_iter().filter(refused).unzip();
                if !ids.is_empty() {
                    for (at, answer) in places.into_iter().zip(self.forget_many(&ids)) {
                        answers[at] = Written::Forgotten(answer);
                    }
                }
            }
            Atomicity::All if only_forgets => {
                while answers.iter().any(found_no_space) && self.clear_up() {
                    let again = forgets.iter().map(|(_, id)| Write::Forget(id.clone()));
                    answers = write(again.collect());
                }
            }
            Atomicity::All => {}
        }
        answers
    }
}
