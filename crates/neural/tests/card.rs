//! The model card says what was measured: its figures are those of the JSON files beside it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use std::path::{Path, PathBuf};

use cortica_neural::Networks;
use serde_json::Value;

const CARD: &str = include_str!("../weights/README.md");

fn weights(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("weights")
        .join(name)
}

fn metrics(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(weights(name)).unwrap()).unwrap()
}

/// Says the whole line that should be there, so that it can be put there.
#[track_caller]
fn says(line: &str) {
    assert!(CARD.contains(line), "the card does not say:\n{line}");
}

fn count(value: &Value) -> String {
    thousands(usize::try_from(value.as_u64().unwrap()).unwrap())
}

fn thousands(number: usize) -> String {
    if number < 1_000 {
        return number.to_string();
    }
    format!("{},{:03}", thousands(number / 1_000), number % 1_000)
}

fn figure(value: &Value) -> String {
    format!("{:.3}", value.as_f64().unwrap())
}

/// The two ends; what stands between them is the difference itself.
fn interval(ends: &Value) -> String {
    let end = |at: usize| ends[at].as_f64().unwrap();
    format!("({:+.3} to {:+.3})", end(0), end(2))
}

/// A baseline's figure, and by how much the network is above it.
fn beside(figures: &Value, way: &str, name: &str, above: &str) -> String {
    let way = &figures[way];
    format!("{} {}", figure(&way[name]), interval(&way[above]))
}

#[track_caller]
fn says_recall(label: &str, figures: &Value) {
    let ways = ["pca", "pca_centred", "random_projection"];
    let ways = ways.map(|way| beside(figures, way, "recall", "encoder_above_by"));
    let encoder = figure(&figures["encoder"]);
    says(&format!(
        "| {label} | **{encoder}** | {} |",
        ways.join(" | ")
    ));
}

/// A line of a table: a label, and a cell of each of these.
#[track_caller]
fn says_row(label: &str, cells: &[String]) {
    says(&format!("| {label} | {} |", cells.join(" | ")));
}

#[test]
fn recall_is_what_was_measured() {
    let recall = &metrics("768.json")["recall"];
    let label = |set: &str, text: &str| text.replace('#', &count(&recall[set]["queries"]));
    for (set, text) in [
        ("held_out_items", "# held-out rows"),
        ("queries", "# queries"),
        (
            "held_out_queries",
            "of these, the # that mean a held-out row",
        ),
        (
            "held_out_queries_unread",
            "of these, the # whose text is part of none that was trained on",
        ),
    ] {
        says_recall(&label(set, text), &recall[set]);
    }
}

#[test]
fn order_is_what_was_measured() {
    let metrics = metrics("768.json");
    let [temporal, exception] = ["temporal", "exception"].map(|task| &metrics[task]["lineage"]);
    let bold = |value: &Value| format!("**{}**", figure(value));
    let random = "auc_random_negatives";
    says(&format!(
        "| area under the curve, {} held-out places, along lines |",
        count(&temporal["places"])
    ));
    says_row(
        "**network**",
        &[
            bold(&temporal["auc"]),
            bold(&exception["auc"]),
            figure(&temporal[random]),
            figure(&exception[random]),
        ],
    );
    for (way, label) in [
        ("cosine_to_previous", "cosine to previous"),
        ("window_mean", "window mean"),
        ("window_max", "window max"),
        ("candidate_only", "code judged only"),
        ("previous_only", "previous code only"),
        ("earlier_reversed", "earlier ones reversed"),
    ] {
        let near = |task: &Value| beside(task, way, "auc", "network_above_by");
        let random = |task: &Value| figure(&task[way][random]);
        let cells = [
            near(temporal),
            near(exception),
            random(temporal),
            random(exception),
        ];
        says_row(label, &cells);
    }
}

/// Where scores need not be comparable between places, and along orders that were not trained on.
#[test]
fn what_is_less_good_is_said_too() {
    let metrics = metrics("768.json");
    let within = |task: &str, order: &str, others: &str| {
        metrics[task][order]["within_place"][others].clone()
    };
    let four = [
        within("temporal", "lineage", "near"),
        within("exception", "lineage", "near"),
        within("temporal", "lineage", "subtree"),
        within("exception", "lineage", "subtree"),
    ];
    says_row("places", &four.each_ref().map(|of| count(&of["places"])));
    let others = |of: &Value| format!("{:.1}", of["others_a_place"].as_f64().unwrap());
    says_row("others for each, on average", &four.each_ref().map(others));
    says_row(
        "**network**",
        &four.each_ref().map(|of| figure(&of["share"])),
    );
    for (way, label) in [
        ("cosine_to_previous", "cosine to previous"),
        ("window_mean", "window mean"),
        ("window_max", "window max"),
    ] {
        let cell = |of: &Value| beside(of, way, "share", "network_above_by");
        says_row(label, &four.each_ref().map(cell));
    }
    for (order, label) in [
        ("depth_first", "depth-first"),
        ("file", "as the lexicographers' files have them"),
        ("parts", "through parts, members and substances"),
    ] {
        let [temporal, exception] = ["temporal", "exception"].map(|task| &metrics[task][order]);
        let network = |figures: &Value, name: &str| {
            let above = &figures["cosine_to_previous"]["network_above_by"];
            format!("{} {}", figure(&figures[name]), interval(above))
        };
        let cells = [
            count(&temporal["places"]),
            figure(&temporal["cosine_to_previous"]["auc"]),
            network(temporal, "auc"),
            network(exception, "auc"),
            network(&temporal["within_place"]["near"], "share"),
            network(&exception["within_place"]["near"], "share"),
        ];
        says_row(label, &cells);
    }
    // What is measured at all is in the card, or the card says why it is not.
    let orders = metrics["temporal"].as_object().unwrap();
    assert!(
        orders
            .keys()
            .eq(["depth_first", "file", "lineage", "parts"])
    );
}

/// On the rows that come with the engine anyone can measure the same.
#[test]
fn the_bundled_rows_are_what_was_measured() {
    let metrics = metrics("768.bundle.json");
    let recall = &metrics["recall"];
    for (set, text) in [
        ("held_out_items", "# held-out rows"),
        ("queries", "# queries"),
        (
            "held_out_queries",
            "of these, the # that mean a held-out row",
        ),
    ] {
        says_recall(
            &text.replace('#', &count(&recall[set]["queries"])),
            &recall[set],
        );
    }
    let tasks = ["temporal", "exception"].map(|task| &metrics[task]["lineage"]);
    says(&format!(
        "| area under the curve, {} held-out places, along lines | predictor | detector |",
        count(&tasks[0]["places"])
    ));
    says_row("network", &tasks.map(|task| figure(&task["auc"])));
    let cosine = |task: &Value| beside(task, "cosine_to_previous", "auc", "network_above_by");
    says_row("cosine to previous", &tasks.map(cosine));
}

#[test]
fn sizes_are_those_of_the_file() {
    let networks = Networks::open(&weights("768.safetensors")).unwrap();
    says(&format!("{} bytes resident", thousands(networks.bytes())));
    let rows: usize = networks.metadata("training_rows").unwrap().parse().unwrap();
    says(&format!("{} for training", thousands(rows)));
    // The run that measured wrote both files.
    let inside: Value = serde_json::from_str(networks.metadata("metrics").unwrap()).unwrap();
    assert_eq!(inside, metrics("768.json"));
}
