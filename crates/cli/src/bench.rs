//! `cortica bench`: storing and recalling on a data folder, measured and checked.
//!
//! A fast wrong answer is not a result: every figure comes from answers that were held against
//! neighbours computed apart from the engine, and batches against single recalls.

mod allocation;
mod approximate;
mod busy;
mod curves;
mod data;
mod judge;
mod lists;
mod measure;
mod report;

use std::fs;

use anyhow::{Context, bail};

use crate::args::BenchArgs;
use crate::bench::data::Data;
use crate::figures::count;
use crate::folder::{self, Temporary};
use crate::map::is_svg;
use crate::output::{Out, Outcome};

pub(crate) fn run(args: &BenchArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    if let Some(file) = &args.curves {
        is_svg(file)?; // Before minutes are spent.
    }
    let data = Data::open(&args.data)?;
    let (report, kept) = match &args.store {
        Some(kept) if folder::is_occupied(kept)? => {
            bail!(
                "{} is not empty; give --store an empty or a new folder",
                kept.display()
            )
        }
        Some(kept) => (measure::run(data, kept, args, out)?, Some(kept)),
        None => {
            let folder = Temporary::new("bench")?;
            (measure::run(data, folder.path(), args, out)?, None)
        }
    };
    out.object(&report)?;
    out.line(&report)?;
    if let Some(file) = &args.curves {
        let title = format!(
            "Lists of operations over {} rows of {} numbers, {}; {}",
            count(report.lists.rows as u64),
            report.d,
            report.store.durability,
            report.machine
        );
        let text = curves::svg(&report.lists, &title).context("the picture cannot be drawn")?;
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
        out.line(format!("\nthe curves are in {}", file.display()))?;
    }
    if let Some(kept) = kept {
        out.line(format!("\nthe store stays in {}", kept.display()))?;
    }
    Ok(Outcome::Done)
}
