//! `cortica check`: every checksum of a store, verified, and the store repaired if that is asked for.

use cortica::{CheckReport, Damage, FoundCache, RepairReport};
use serde_json::{Value, json};

use crate::args::CheckArgs;
use crate::figures::{aligned, bytes, count};
use crate::output::{Out, Outcome};

pub(crate) fn run(args: &CheckArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let repair = || cortica::repair(&args.store);
    let repaired = args.repair.then(repair).transpose()?;
    let report = cortica::check(&args.store)?;
    out.object(&as_json(&report, repaired.as_ref()))?;

    if let Some(repaired) = &repaired {
        tell_repaired(repaired, out)?;
        if !repaired.damage.is_empty() {
            // What was said need not be said again.
            cortica::repair_told(&args.store)?;
        }
    }
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
    for cache in &report.caches {
        out.line(cache_words(cache))?;
    }
    for note in &report.notes {
        out.line(note)?;
    }
    if repaired.is_none() && !report.untold.is_empty() {
        out.line(
            "a repair did not get to the end of its report; `cortica check --repair` tells what it found",
        )?;
    }
    if report.lost_columns > 0 {
        out.line(format!(
            "{} concepts have lost their columns, to others or with what said of which grid they were",
            count(report.lost_columns)
        ))?;
    }
    if report.is_sound() {
        out.line("sound: every record is whole")?;
        return Ok(Outcome::Done);
    }
    for damage in &report.damage {
        out.line(format!("damage {}", words(damage)))?;
    }
    if report.lost_associations > 0 {
        out.line(format!(
            "{} relations lead to episodes that are lost",
            count(report.lost_associations)
        ))?;
    }
    if report.lost_forgets > 0 {
        out.line(format!(
            "{} episodes were forgotten, and what said so is lost",
            count(report.lost_forgets)
        ))?;
    }
    if report.space_lost {
        out.line("what the vector space is was lost: metric and model are not known")?;
    }
    if report.damage.is_empty() && report.space_lost {
        out.note(format!(
            "The store can be used, but compares embeddings by a guess. Name their metric and model \
             when embeddings are added.\n\
             next: cortica ingest FILE --metric METRIC --model MODEL --store {}",
            args.store.display()
        ));
        return Ok(Outcome::Failed);
    }
    out.note(format!(
        "The store is damaged: it can be read, not written. Copy the folder before anything else.\n\
         next: cortica check --repair --store {}",
        args.store.display()
    ));
    Ok(Outcome::Failed)
}

fn as_json(report: &CheckReport, repaired: Option<&RepairReport>) -> Value {
    let place = |damage: &Damage| {
        json!({
            "file": damage.file.display().to_string(),
            "position": damage.offset,
            "bytes": damage.bytes,
            "seq": damage.seq,
            "why": damage.why,
        })
    };
    json!({
        "sound": report.is_sound(),
        "records": report.records,
        "episodes": report.episodes,
        "associations": report.associations,
        "bytes": report.bytes,
        "tail_bytes": report.tail_bytes,
        "lost_associations": report.lost_associations,
        "lost_forgets": report.lost_forgets,
        "lost_columns": report.lost_columns,
        "space_lost": report.space_lost,
        "files": report.files,
        "quarantined": report.quarantined,
        "caches": report.caches.iter().map(|cache| json!({
            "file": cache.file.display().to_string(),
            "bytes": cache.bytes,
            "position": cache.position,
            "whole": cache.useless.is_none(),
            "why": cache.useless,
        })).collect::<Vec<_>>(),
        "notes": report.notes,
        // What a repair has just found stands in `repaired`.
        "untold": repaired.map_or(&report.untold[..], |_| &[]).iter().map(place).collect::<Vec<_>>(),
        "damage": report.damage.iter().map(place).collect::<Vec<_>>(),
        "repaired": repaired.map(|repaired| json!({
            "damage": repaired.damage.iter().map(place).collect::<Vec<_>>(),
            "saved": repaired.saved,
            "durability": repaired.durability.to_string(),
            "quarantined": repaired.quarantined.iter()
                .map(|file| file.display().to_string()).collect::<Vec<_>>(),
        })),
    })
}

fn cache_words(cache: &FoundCache) -> String {
    let state = match (&cache.useless, cache.position) {
        (Some(why), _) => format!("{why}; the next command that writes makes it anew"),
        (None, Some(position)) => format!("whole, made from the log up to {position}"),
        (None, None) => "whole".to_owned(),
    };
    let (file, bytes) = (cache.file.display(), bytes(cache.bytes));
    format!("cache {file}, {bytes}: {state}")
}

fn words(damage: &Damage) -> String {
    let seq = damage.seq.filter(|seq| *seq > 0);
    let seq = seq.map_or_else(String::new, |seq| format!(" (seq {seq})"));
    format!(
        "in {} at byte {}, {} long: {}{seq}",
        damage.file.display(),
        damage.offset,
        bytes(damage.bytes),
        damage.why
    )
}

fn tell_repaired(repaired: &RepairReport, out: &mut Out) -> anyhow::Result<()> {
    if repaired.damage.is_empty() && repaired.quarantined.is_empty() {
        return out.line("nothing was damaged, and nothing was changed");
    }
    for damage in &repaired.damage {
        out.line(format!("lost {}", words(damage)))?;
    }
    for file in &repaired.quarantined {
        out.line(format!("the damaged file is kept as {}", file.display()))?;
    }
    let (saved, durability) = (count(repaired.saved), repaired.durability);
    out.line(format!(
        "{saved} records were saved from the damaged files, {durability}"
    ))
}
