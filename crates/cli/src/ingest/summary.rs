//! What an ingest came to, as the last line of JSON and for people.

use std::fmt;

use serde::Serialize;

use crate::figures::{bytes, count, rounded};
use crate::ingest::edges::EdgeTotals;

/// All rows of the file and how they were answered.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Summary {
    pub(crate) rows: u64,
    pub(crate) stored: u64,
    pub(crate) already_there: u64,
    /// Left out where there are none.
    #[serde(skip_serializing_if = "super::is_zero")]
    pub(crate) updated: u64,
    #[serde(skip_serializing_if = "super::is_zero")]
    pub(crate) duplicates: u64,
    /// Episodes that were forgotten to make room.
    #[serde(skip_serializing_if = "super::is_zero")]
    pub(crate) evicted: u64,
    pub(crate) failed: u64,
    pub(crate) durability: String,
    /// From the first row to the last, reading the file included.
    pub(crate) seconds: f64,
    /// Rows stored per second; null when none was.
    pub(crate) rows_s: Option<f64>,
    /// Null without `--edges`.
    pub(crate) edges: Option<EdgeTotals>,
    /// In the store, with those of other files.
    pub(crate) episodes: u64,
    /// On disk, the store closed.
    pub(crate) bytes: u64,
}

impl Summary {
    /// Rows whose content is in the store, as durably as was asked for.
    pub(crate) fn acked(&self) -> u64 {
        self.stored + self.updated + self.already_there + self.duplicates
    }

    /// Whether every row and every relation is in the store.
    pub(crate) fn all_there(&self) -> bool {
        self.failed == 0 && self.edges.as_ref().is_none_or(|edges| edges.failed == 0)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "stored {} of {} rows",
            count(self.stored),
            count(self.rows)
        )?;
        let (seconds, durability) = (self.seconds, &self.durability);
        match self.rows_s {
            Some(rate) => {
                let rate = rounded(rate);
                write!(f, " in {seconds:.2} s ({rate} rows/s, {durability})")?;
            }
            None => write!(f, " ({durability})")?,
        }
        if self.already_there > 0 {
            let there = count(self.already_there);
            write!(
                f,
                "\n{there} were there already with the same content and stay as they are"
            )?;
        }
        if self.updated > 0 {
            let updated = count(self.updated);
            write!(
                f,
                "\n{updated} took the place of what was there under their id"
            )?;
        }
        if self.duplicates > 0 {
            let duplicates = count(self.duplicates);
            write!(
                f,
                "\n{duplicates} have exactly the content of another episode, which stands for them"
            )?;
        }
        if self.evicted > 0 {
            let evicted = count(self.evicted);
            write!(
                f,
                "\n{evicted} were forgotten to make room, the weakest first"
            )?;
        }
        if self.failed > 0 {
            write!(
                f,
                "\n{} failed, as named above; the others are stored",
                count(self.failed)
            )?;
        }
        if let Some(EdgeTotals {
            stored,
            already_there,
            failed,
            ..
        }) = &self.edges
        {
            let [stored, there, failed] = [stored, already_there, failed].map(|n| count(*n));
            write!(
                f,
                "\nrelations: {stored} stored, {there} there already, {failed} failed"
            )?;
        }
        let (episodes, on_disk) = (count(self.episodes), bytes(self.bytes));
        write!(
            f,
            "\nthe store holds {episodes} episodes, {on_disk} on disk"
        )
    }
}
