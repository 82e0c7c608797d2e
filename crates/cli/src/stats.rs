//! `cortica stats`: what a store holds and how large it is.

use cortica::{GraphStats, Stats};
use serde_json::{Value, json};

use crate::args::StatsArgs;
use crate::figures::{aligned, bytes, count};
use crate::folder;
use crate::output::{Out, Outcome};

pub(crate) fn run(args: &StatsArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let mut builder = folder::reader();
    if let Some(capacity) = args.capacity {
        builder = builder.capacity(capacity as usize);
    }
    let memory = builder.open(&args.store)?;
    folder::tell_damage(&memory, out);
    let stats = memory.stats();
    let graph = memory.graph_stats().unwrap_or_default();
    memory.close()?;
    out.object(&object(&stats, &graph))?;
    out.line(format!(
        "{}\n{}",
        args.store.display(),
        aligned(&rows(&stats, &graph))
    ))?;
    Ok(Outcome::Done)
}

/// The snapshot as JSON; `space` is null as long as no embedding fixed it.
fn object(stats: &Stats, graph: &GraphStats) -> Value {
    json!({
        "episodes": stats.episodes,
        "embedded": stats.embedded,
        "associations": stats.associations,
        "capacity": stats.capacity, // Null where none was named: it is not kept in the store.
        "pressure": stats.pressure(),
        "log_bytes": stats.log_bytes,
        "file_bytes": stats.file_bytes,
        "dead_bytes": stats.dead_bytes,
        "files": stats.segments,
        "writable": stats.recovery.damage.is_empty(), // It is open for reading only here.
        "lost_associations": stats.lost_associations,
        "lost_forgets": stats.lost_forgets,
        "lost_columns": stats.lost_columns,
        "space_guessed": stats.space_guessed,
        "vector_bytes": stats.vector_bytes,
        "index": {
            "indexed": stats.index.indexed,
            "waiting": stats.index.waiting,
            "unreleased": stats.index.unreleased,
            "reachable": graph.reachable, // Of those that are indexed.
            "mean_degree": graph.mean_degree,
            "max_degree": graph.max_degree,
            "bytes": stats.index.bytes,
            "loaded": stats.index.loaded,
            "refused": stats.index.refused,
            "unsavable": stats.index.unsavable,
            "trouble": stats.index.trouble,
        },
        "next_seq": stats.next_seq,
        "space": stats.space.as_ref().map(|space| json!({
            "dimension": space.dimension,
            "metric": space.metric.to_string(),
            "model": space.model,
        })),
        "isa": stats.isa.to_string(),
        "recovery": {
            "records": stats.recovery.records,
            "damage": stats.recovery.damage.len(),
            "quarantined": stats.recovery.quarantined,
            "dropped_tail_bytes": stats.recovery.dropped_tail_bytes,
            "set_aside_records": stats.recovery.set_aside_records,
            "set_aside": stats.recovery.set_aside.iter().map(|file| file.display().to_string()).collect::<Vec<_>>(),
        },
    })
}

fn rows(stats: &Stats, graph: &GraphStats) -> Vec<(&'static str, String)> {
    let space = stats.space.as_ref().map_or_else(
        || "none yet; the first embedding fixes it".to_owned(),
        |space| {
            let model = if space.model.is_empty() {
                "not named"
            } else {
                &space.model
            };
            format!(
                "{} numbers, {}, model {model}",
                space.dimension, space.metric
            )
        },
    );
    let room = match stats.capacity {
        Some(capacity) => format!(
            "{} of {}: a pressure of {:.2}",
            count(stats.episodes),
            count(capacity),
            stats.pressure()
        ),
        None => "none; who opens the store may name one".to_owned(),
    };
    let records = count(stats.recovery.records);
    let recovery = match folder::dropped(&stats.recovery) {
        None => format!("{records} records, nothing dropped"),
        Some(dropped) => format!("{records} records; {dropped}"),
    };
    vec![
        (
            "episodes",
            format!(
                "{} ({} with an embedding)",
                count(stats.episodes),
                count(stats.embedded)
            ),
        ),
        ("associations", count(stats.associations)),
        ("vector space", space),
        ("capacity", room),
        (
            "log",
            format!(
                "{} ({} on disk, {} dead)",
                bytes(stats.log_bytes),
                bytes(stats.file_bytes),
                bytes(stats.dead_bytes)
            ),
        ),
        ("vectors in memory", bytes(stats.vector_bytes)),
        (
            "index",
            format!(
                "{} embeddings in the graph, {} waiting, {} in memory",
                count(stats.index.indexed),
                count(stats.index.waiting),
                bytes(stats.index.bytes)
            ),
        ),
        ("graph", graph_row(graph)),
        ("next seq", stats.next_seq.to_string()),
        ("read at opening", recovery),
        ("kernels", stats.isa.to_string()),
    ]
}

fn graph_row(graph: &GraphStats) -> String {
    let reached = match graph.linked.saturating_sub(graph.reachable) {
        0 => "all reachable".to_owned(),
        lost => format!("{} not reachable", count(lost as u64)),
    };
    let (mean, most) = (graph.mean_degree, graph.max_degree);
    format!("{mean:.1} links an embedding, {most} at most; {reached}")
}
