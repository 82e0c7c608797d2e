//! `cortica demo`: the bundled concepts stored durably, reopened from disk and recalled.

mod recall;
mod report;
mod store;

use crate::args::DemoArgs;
use crate::bundle::Bundle;
use crate::demo::report::Report;
use crate::output::{Out, Outcome};

pub(crate) fn run(args: &DemoArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    out.outlive_reader(); // Half a demo store would be no use to the next command.
    let bundle = Bundle::read()?;
    let stored = store::run(&args.dir, &bundle, out)?;
    // From here on everything comes from disk.
    let (memory, reopened) = store::reopen(&args.dir)?;
    let recalled = recall::run(&memory, &bundle, out)?;
    let report = Report {
        dir: &args.dir,
        bundle: &bundle,
        memory: &memory,
        stored,
        reopened,
        recalled,
    };
    out.object(&report.object())?;
    out.line(report.text())?;
    memory.close()?;
    Ok(Outcome::Done)
}
