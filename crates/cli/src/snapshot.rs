//! `cortica snapshot` and `cortica restore`: a copy of a store, and back.

use std::path::Path;

use cortica::Copied;
use serde_json::json;

use crate::args::{RestoreArgs, SnapshotArgs};
use crate::figures::{bytes, count};
use crate::folder;
use crate::output::{Out, Outcome};

pub(crate) fn take(args: &SnapshotArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    folder::refuse_inside(&args.store, &args.dest)?;
    let memory = folder::open_to_read(&args.store)?;
    folder::tell_found(&memory, out);
    let copied = memory.snapshot(&args.dest)?;
    memory.close()?;
    tell(&copied, &args.store, &args.dest, out)?;
    out.line(format!(
        "next: cortica restore {} --store DIR",
        args.dest.display()
    ))?;
    Ok(Outcome::Done)
}

pub(crate) fn restore(args: &RestoreArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    folder::refuse_inside(&args.snapshot, &args.store)?;
    let copied = cortica::restore(&args.snapshot, &args.store)?;
    tell(&copied, &args.snapshot, &args.store, out)?;
    out.line(format!(
        "next: cortica stats --store {}",
        args.store.display()
    ))?;
    Ok(Outcome::Done)
}

fn tell(copied: &Copied, from: &Path, to: &Path, out: &mut Out) -> anyhow::Result<()> {
    out.object(&json!({
        "from": from.display().to_string(),
        "to": to.display().to_string(),
        "records": copied.records,
        "bytes": copied.bytes,
        "files": copied.files,
        "durability": copied.durability.to_string(),
    }))?;
    out.line(format!(
        "{} -> {}: {} records, {}, verified, {}",
        from.display(),
        to.display(),
        count(copied.records),
        bytes(copied.bytes),
        copied.durability
    ))
}
