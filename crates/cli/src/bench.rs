//! `cortica bench`: storing and recalling on a data folder, measured and checked.
//!
//! A fast wrong answer is not a result: every figure comes from answers that were held against
//! neighbours computed apart from the engine, and batches against single recalls.

mod allocation;
mod approximate;
mod busy;
mod data;
mod judge;
mod measure;
mod report;

use anyhow::bail;

use crate::args::BenchArgs;
use crate::bench::data::Data;
use crate::folder::{self, Temporary};
use crate::output::{Out, Outcome};

pub(crate) fn run(args: &BenchArgs, out: &mut Out) -> anyhow::Result<Outcome> {
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
    if let Some(kept) = kept {
        out.line(format!("\nthe store stays in {}", kept.display()))?;
    }
    Ok(Outcome::Done)
}
