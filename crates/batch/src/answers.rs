//! The end of a stream where answers come out.

use crate::answer::Answer;
use crate::cancel::Cancel;
use crate::flow::Flow;
use crate::progress::Progress;
use crate::summary::BatchSummary;
use futures_core::Stream;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;

/// The answers of a stream of operations, each with the number of its operation, in their order.
///
/// An [`Iterator`] that waits for the next one, and a [`Stream`] that does not. Dropped, it ends the
/// batch: what was begun is brought to its end, nothing more is begun, and the source is asked for
/// nothing more.
pub struct Answers {
    flow: Arc<Flow>,
    /// Ends this stream alone.
    own: Cancel,
    engine: Option<JoinHandle<()>>,
}

impl Answers {
    pub(crate) fn new(flow: Arc<Flow>, own: Cancel, engine: JoinHandle<()>) -> Self {
        Self {
            flow,
            own,
            engine: Some(engine),
        }
    }

    /// Looks on from elsewhere, also when this is gone.
    pub fn watch(&self) -> Watch {
        Watch {
            flow: self.flow.clone(),
            own: self.own.clone(),
        }
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.flow.progress()
    }

    /// What it came to; none before it has ended.
    pub fn summary(&self) -> Option<BatchSummary> {
        self.flow.summary()
    }

    /// Ends it, and says what it came to. [`BatchSummary::applied`] says how many operations, from
    /// the first on, were dealt with; what lies behind has not happened.
    /// [`BatchSummary::ended_by`] is none only where the source was at its end, which is sure once there
    /// was no next answer.
    pub fn finish(mut self) -> BatchSummary {
        self.stop();
        self.flow.summary_so_far()
    }

    /// Waits for what was begun.
    fn stop(&mut self) {
        self.own.cancel();
        if let Some(engine) = self.engine.take() {
            // What it had to say is in the answers.
            let _ = engine.join();
        }
    }
}

impl Iterator for Answers {
    type Item = (u64, Answer);

    fn next(&mut self) -> Option<(u64, Answer)> {
        self.flow.take()
    }
}

impl Stream for Answers {
    type Item = (u64, Answer);

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<(u64, Answer)>> {
        self.flow.poll(context.waker())
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Answers").field(&self.progress()).finish()
    }
}

/// Looks at a stream from elsewhere, and can end it.
#[derive(Clone)]
pub struct Watch {
    flow: Arc<Flow>,
    own: Cancel,
}

impl Watch {
    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.flow.progress()
    }

    /// What it came to; none before it has ended.
    pub fn summary(&self) -> Option<BatchSummary> {
        self.flow.summary()
    }

    /// Ends it: what was not begun is answered [`Cancelled`](crate::ItemError::Cancelled).
    pub fn cancel(&self) {
        self.own.cancel();
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").field(&self.progress()).finish()
    }
}
