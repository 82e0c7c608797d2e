//! What writers ask for, and how it is answered.

use crate::association::{Associated, Association};
use crate::episode::Episode;
use crate::error::{AssociateError, ForgetError, StoreError};
use crate::level::Activation;
use crate::outcome::{Forgotten, Stored};
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
}

impl Verdicts {
    /// The answers, now that the log was written, or failed.
    pub(crate) fn settle(self, failed: Option<&Arc<CommitError>>) -> Answers {
        match self {
            Self::Stored(all) => Answers::Stored(settle(all, failed, StoreError::Log)),
            Self::Associated(all) => Answers::Associated(settle(all, failed, AssociateError::Log)),
            Self::Forgotten(all) => Answers::Forgotten(settle(all, failed, ForgetError::Log)),
        }
    }
}

impl Work {
    /// What answers this work if nothing of it is done.
    pub(crate) fn undone(&self) -> impl FnOnce() -> Answers + use<> {
        let (items, kind) = match self {
            Self::Store(episodes, _) => (episodes.len(), 0),
            Self::Associate(associations) => (associations.len(), 1),
            Self::Forget(ids) => (ids.len(), 2),
        };
        move || {
            let stopped = Arc::new(CommitError::Stopped);
            let all = (0..items).map(|_| stopped.clone());
            match kind {
                0 => Answers::Stored(all.map(|error| Err(StoreError::Log(error))).collect()),
                1 => {
                    Answers::Associated(all.map(|error| Err(AssociateError::Log(error))).collect())
                }
                _ => Answers::Forgotten(all.map(|error| Err(ForgetError::Log(error))).collect()),
            }
        }
    }
}

fn settle<T, E>(
    verdicts: Vec<Verdict<T, E>>,
    failed: Option<&Arc<CommitError>>,
    error: fn(Arc<CommitError>) -> E,
) -> Vec<Result<T, E>> {
    let settled = verdicts
        .into_iter()
        .map(|verdict| match (verdict.answer, failed) {
            (Ok(_), Some(failed)) if verdict.waits => Err(error(failed.clone())),
            (answer, _) => answer,
        });
    settled.collect()
}
