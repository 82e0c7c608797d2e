//! Where words, JSON and progress go.
//!
//! Standard output carries the answer: text for people, or JSON lines with `--json`. Standard
//! error carries everything else, so that a pipe sees the answer alone.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// How a command that ran to its end went; a command that could not run returns an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All of it worked: exit code 0.
    Done,
    /// Some items failed, or damage was found; the output says which. Exit code 1.
    Failed,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => ExitCode::SUCCESS,
            Outcome::Failed => ExitCode::from(1),
        }
    }
}

/// The reader of standard output is gone. Commands pass it up and the program ends quietly.
#[derive(Debug)]
pub(crate) struct Hangup;

impl Display for Hangup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the reader of standard output went away")
    }
}

impl std::error::Error for Hangup {}

/// The way out for everything a command says.
#[derive(Debug)]
pub(crate) struct Out {
    json: bool,
    /// Whether work goes on when nobody reads the answer any more.
    outlives_reader: bool,
    reader_gone: bool,
}

impl Out {
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            outlives_reader: false,
            reader_gone: false,
        }
    }

    /// Whether the answer is wanted as JSON.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// From here on a reader who leaves does not stop the work: storing half a file because
    /// `| head` had seen enough would be a poor joke.
    pub(crate) fn outlive_reader(&mut self) {
        self.outlives_reader = true;
    }

    /// A line of the answer for people; silent with `--json`.
    pub(crate) fn line(&mut self, text: impl Display) -> anyhow::Result<()> {
        if self.json {
            return Ok(());
        }
        self.raw(format!("{text}\n").as_bytes())
    }

    /// An object of the answer for machines, on its own line and flushed; silent without
    /// `--json`.
    pub(crate) fn object(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        if !self.json {
            return Ok(());
        }
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.raw(&line)
    }

    /// Bytes of the answer as they are, flushed.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        if self.reader_gone {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.reader_gone = true;
                if self.outlives_reader {
                    Ok(())
                } else {
                    Err(Hangup.into())
                }
            }
            Err(error) => Err(anyhow::Error::new(error).context("cannot write the answer")),
        }
    }

    /// Words beside the answer, on standard error.
    #[expect(clippy::unused_self, reason = "all output goes through one place")]
    pub(crate) fn note(&self, text: impl Display) {
        // Nobody is left to tell when standard error itself is closed.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// A bar on standard error if that is a terminal, otherwise nothing.
    #[expect(clippy::unused_self, reason = "all output goes through one place")]
    pub(crate) fn progress(&self, total: Option<u64>, doing: &'static str) -> Progress {
        if !io::stderr().is_terminal() {
            return Progress(None);
        }
        let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let template = if total.is_some() {
            "{msg} {bar:32} {human_pos}/{human_len} ({eta} left)"
        } else {
            "{msg} {spinner} {human_pos}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(doing);
        Progress(Some(bar))
    }
}

/// A progress bar that clears itself away when dropped.
#[derive(Debug)]
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    pub(crate) fn advance(&self, by: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(by);
        }
    }

    /// Writes a note above the bar rather than through it.
    pub(crate) fn above(&self, write: impl FnOnce()) {
        match &self.0 {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
