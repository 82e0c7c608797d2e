//! What writers ask for, and how it is answered.

use crate::association::{Associated, Association};
use crate::episode::Episode;
use crate::error::{AssociateError, ForgetError, StoreError, TickError};
use crate::level::Activation;
use crate::outcome::{Forgotten, Stored, Ticked};
use crate::write::{Atomicity, Write, Written};
use cortica_env::Timestamp;
use cortica_storage::CommitError;
use std::sync::Arc;

/// What one call wants written.
#[derive(Debug)]
pub(crate) enum Work {
    /// Episodes, and for an import what another store had added to each.
    Store(Vec<Episode>, Option<Vec<Given>>),
    Associate(Vec<Association>),
    Forget(Vec<String>),
    Mixed(Vec<Write>, Atomicity),
    /// Nothing but what waits for a write.
    Tick,
}

/// What another store had added to an episode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given {
    pub(crate) stored_at: Timestamp,
    pub(crate) activation: Activation,
}

/// One answer for each item of the work.
#[derive(Debug)]
pub(crate) enum Answers {
    Stored(Vec<Result<Stored, StoreError>>),
    Associated(Vec<Result<Associated, AssociateError>>),
    Forgotten(Vec<Result<Forgotten, ForgetError>>),
    Mixed(Vec<Written>),
    Ticked(Result<Ticked, TickError>),
}

/// The answer to an item, which may hold only once the log is written.
#[derive(Debug)]
pub(crate) struct Verdict<T, E> {
    pub(crate) answer: Result<T, E>,
    pub(crate) waits: bool,
}

/// One verdict for each item of the work.
#[derive(Debug)]
pub(crate) enum Verdicts {
    Stored(Vec<Verdict<Stored, StoreError>>),
    Associated(Vec<Verdict<Associated, AssociateError>>),
    Forgotten(Vec<Verdict<Forgotten, ForgetError>>),
    Mixed(Vec<MixedVerdict>),
    Ticked(Verdict<Ticked, TickError>),
}

/// The verdict on one of many writes.
#[derive(Debug)]
pub(crate) enum MixedVerdict {
    Stored(Verdict<Stored, StoreError>),
    Associated(Verdict<Associated, AssociateError>),
    Forgotten(Verdict<Forgotten, ForgetError>),
}

impl MixedVerdict {
    pub(crate) fn is_err(&self) -> bool {
        match self {
            Self::Stored(verdict) => verdict.answer.is_err(),
            Self::Associated(verdict) => verdict.answer.is_err(),
            Self::Forgotten(verdict) => verdict.answer.is_err(),
        }
    }

    fn settle(self, failed: Option<&Arc<CommitError>>) -> Written {
        match self {
            Self::Stored(one) => Written::Stored(one.settle(failed, StoreError::Log)),
            Self::Associated(one) => Written::Associated(one.settle(failed, AssociateError::Log)),
            Self::Forgotten(one) => Written::Forgotten(one.settle(failed, ForgetError::Log)),
        }
    }

    /// Nothing came of it, because another one was refused.
    fn abandon(&mut self, item: usize) {
        match self {
            Self::Stored(one) => one.abandon(StoreError::Abandoned { item }),
            Self::Associated(one) => one.abandon(AssociateError::Abandoned { item }),
            Self::Forgotten(one) => one.abandon(ForgetError::Abandoned { item }),
        }
    }
}

impl<T, E> Verdict<T, E> {
    pub(crate) fn now(answer: Result<T, E>) -> Self {
        Self {
            answer,
            waits: false,
        }
    }

    pub(crate) fn once_logged(answer: T) -> Self {
        Self {
            answer: Ok(answer),
            waits: true,
        }
    }

    /// The answer, now that the log was written, or failed.
    fn settle(
        self,
        failed: Option<&Arc<CommitError>>,
        error: fn(Arc<CommitError>) -> E,
    ) -> Result<T, E> {
        match (self.answer, failed) {
            (Ok(_), Some(failed)) if self.waits => Err(error(failed.clone())),
            (answer, _) => answer,
        }
    }

    fn abandon(&mut self, error: E) {
        if self.answer.is_ok() {
            self.answer = Err(error);
        }
    }
}

impl Verdicts {
    /// The answers, now that the log was written, or failed.
    pub(crate) fn settle(self, failed: Option<&Arc<CommitError>>) -> Answers {
        match self {
            Self::Stored(all) => Answers::Stored(settle(all, failed, StoreError::Log)),
            Self::Associated(all) => Answers::Associated(settle(all, failed, AssociateError::Log)),
            Self::Forgotten(all) => Answers::Forgotten(settle(all, failed, ForgetError::Log)),
            Self::Mixed(all) => {
                Answers::Mixed(all.into_iter().map(|one| one.settle(failed)).collect())
            }
            Self::Ticked(one) => Answers::Ticked(one.settle(failed, TickError::Log)),
        }
    }

    /// Which of a list was refused first, if one was.
    pub(crate) fn refused(&self) -> Option<usize> {
        match self {
            Self::Mixed(all) => all.iter().position(MixedVerdict::is_err),
            _ => None,
        }
    }

    /// Nothing of a list is done, because of the one that was refused.
    pub(crate) fn abandon(&mut self, item: usize) {
        if let Self::Mixed(all) = self {
            for one in all {
                one.abandon(item);
            }
        }
    }
}

impl Work {
    /// What answers this work if nothing of it is done.
    pub(crate) fn undone(&self) -> impl FnOnce() -> Answers + use<> {
        let (items, kind) = match self {
            Self::Store(episodes, _) => (episodes.len(), Kind::Store),
            Self::Associate(associations) => (associations.len(), Kind::Associate),
            Self::Forget(ids) => (ids.len(), Kind::Forget),
            Self::Mixed(writes, _) => {
                let kinds = writes.iter().map(Kind::of).collect();
                (writes.len(), Kind::Mixed(kinds))
            }
            Self::Tick => (1, Kind::Tick),
        };
        move || {
            let stopped = Arc::new(CommitError::Stopped);
            let all = (0..items).map(|_| stopped.clone());
            match kind {
                Kind::Store => {
                    Answers::Stored(all.map(|error| Err(StoreError::Log(error))).collect())
                }
                Kind::Associate => {
                    Answers::Associated(all.map(|error| Err(AssociateError::Log(error))).collect())
                }
                Kind::Forget => {
                    Answers::Forgotten(all.map(|error| Err(ForgetError::Log(error))).collect())
                }
                Kind::Mixed(kinds) => {
                    let undone = kinds.into_iter().zip(all);
                    Answers::Mixed(undone.map(|(kind, error)| kind.undone(error)).collect())
                }
                Kind::Tick => Answers::Ticked(Err(TickError::Log(stopped))),
            }
        }
    }

    /// Whether all of it is done or nothing is.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self, Self::Mixed(_, Atomicity::All))
    }

    /// Whether it only lets go of something, which must be possible on a full disk, too.
    pub(crate) fn only_forgets(&self) -> bool {
        match self {
            Self::Forget(_) => true,
            Self::Mixed(writes, _) => writes.iter().all(|write| matches!(write, Write::Forget(_))),
            Self::Store(..) | Self::Associate(_) | Self::Tick => false,
        }
    }

    /// Whether it asks for anything.
    pub(crate) fn is_some(&self) -> bool {
        match self {
            Self::Store(episodes, _) => !episodes.is_empty(),
            Self::Associate(associations) => !associations.is_empty(),
            Self::Forget(ids) => !ids.is_empty(),
            Self::Mixed(writes, _) => !writes.is_empty(),
            Self::Tick => true,
        }
    }

    /// Whether it may store or forget episodes, and so give columns and let go of some.
    pub(crate) fn touches_episodes(&self) -> bool {
        !matches!(self, Self::Associate(_))
    }
}

/// What is asked for, without what it is about.
enum Kind {
    Store,
    Associate,
    Forget,
    Mixed(Vec<Kind>),
    Tick,
}

impl Kind {
    fn of(write: &Write) -> Self {
        match write {
            Write::Store(_) => Self::Store,
            Write::Associate(_) => Self::Associate,
            Write::Forget(_) => Self::Forget,
        }
    }

    fn undone(self, error: Arc<CommitError>) -> Written {
        match self {
            Self::Associate => Written::Associated(Err(AssociateError::Log(error))),
            Self::Forget => Written::Forgotten(Err(ForgetError::Log(error))),
            _ => Written::Stored(Err(StoreError::Log(error))),
        }
    }
}

fn settle<T, E>(
    verdicts: Vec<Verdict<T, E>>,
    failed: Option<&Arc<CommitError>>,
    error: fn(Arc<CommitError>) -> E,
) -> Vec<Result<T, E>> {
    let settled = verdicts.into_iter();
    settled.map(|one| one.settle(failed, error)).collect()
}
