//! `cortica demo`: the bundled concepts stored durably, each in a column; reopened from disk, drawn and recalled.

mod recall;
mod report;
mod store;

use std::path::{Path, PathBuf};

use crate::args::DemoArgs;
use crate::bundle::Bundle;
use crate::demo::report::Report;
use crate::map;
use crate::output::{Out, Outcome};

pub(crate) fn run(args: &DemoArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    out.outlive_reader(); // Half a demo store would be no use to the next command.
    let bundle = Bundle::read()?;
    let stored = store::run(&args.dir, &bundle, out)?;
    // From here on everything comes from disk.
    let (memory, reopened) = store::reopen(&args.dir)?;
    let drawn = map::draw(&memory, &picture(&args.dir), None)?;
    let recalled = recall::run(&memory, &bundle, out)?;
    let report = Report {
        dir: &args.dir,
        bundle: &bundle,
        memory: &memory,
        stored,
        reopened,
        drawn,
        recalled,
    };
    out.object(&report.object())?;
    out.line(report.text())?;
    memory.close()?;
    Ok(Outcome::Done)
}

/// Beside the store's folder, under its name.
fn picture(dir: &Path) -> PathBuf {
    let name = dir.file_name().map(ToOwned::to_owned);
    let mut name = name.unwrap_or_else(|| "cortica-demo".into());
    name.push(".svg");
    dir.with_file_name(name)
}
