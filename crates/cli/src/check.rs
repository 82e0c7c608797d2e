//! `cortica check`: every checksum of a store, verified. Only the process id in the lock file changes.

use serde_json::json;

use crate::args::StoreArgs;
use crate::figures::{aligned, bytes, count};
use crate::output::{Out, Outcome};

pub(crate) fn run(args: &StoreArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let report = cortica::check(&args.store)?;
    out.object(&json!({
        "sound": report.is_sound(),
        "records": report.records,
        "episodes": report.episodes,
        "associations": report.associations,
        "bytes": report.bytes,
        "tail_bytes": report.tail_bytes,
        "damage": report.damage.iter().map(|damage| json!({
            "position": damage.offset,
            "bytes": damage.bytes,
            "why": damage.why,
        })).collect::<Vec<_>>(),
    }))?;

    let tail = match report.tail_bytes {
        0 => "none".to_owned(),
        n => format!(
            "{} behind the last whole record: a commit that never finished, or one that nothing \
             proved durable, damaged since; the next opening drops them and sets whole records aside",
            bytes(n)
        ),
    };
    out.line(format!(
        "{}\n{}",
        args.store.display(),
        aligned(&[
            ("records", count(report.records)),
            ("episodes", count(report.episodes)),
            ("associations", count(report.associations)),
            ("read", bytes(report.bytes)),
            ("tail", tail),
        ])
    ))?;
    if report.is_sound() {
        out.line("sound: every record is whole")?;
        return Ok(Outcome::Done);
    }
    for damage in &report.damage {
        out.line(format!(
            "damage at byte {}, {} long: {}",
            damage.offset,
            bytes(damage.bytes),
            damage.why
        ))?;
    }
    out.note(
        "The store is damaged. Copy the folder before anything else; then ingest the sources \
         into a new store.",
    );
    Ok(Outcome::Failed)
}
