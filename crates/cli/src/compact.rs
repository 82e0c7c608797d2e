//! `cortica compact`: a store's files without what was forgotten or replaced.

use cortica::Cortica;
use serde_json::json;

use crate::args::StoreArgs;
use crate::figures::{bytes, count};
use crate::folder;
use crate::output::{Out, Outcome};

pub(crate) fn run(args: &StoreArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let memory = Cortica::builder().must_exist(true).open(&args.store)?;
    folder::tell_found(&memory, out);
    let before = folder::bytes(&args.store)?;
    let freed = memory.compact()?;
    let stats = memory.stats();
    memory.close()?;
    let after = folder::bytes(&args.store)?;
    out.object(&json!({
        "bytes_before": before,
        "bytes": after,
        "dead_bytes": stats.dead_bytes,
        "files": stats.segments,
        "episodes": stats.episodes,
        "durability": freed.durability.to_string(),
    }))?;
    out.line(format!(
        "{}: {} before, {} now, {}; {} episodes in {} log files",
        args.store.display(),
        bytes(before),
        bytes(after),
        freed.durability,
        count(stats.episodes),
        count(stats.segments)
    ))?;
    Ok(Outcome::Done)
}
