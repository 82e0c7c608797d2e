//! Small trainings from end to end, through the program itself.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use std::path::Path;
use std::process::{Command, Output};

use cortica_neural::{CODE, Networks, WINDOW};
use cortica_testkit::Split;
use serde_json::Value;

const README: &str = include_str!("../README.md");

const WEIGHTS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../neural/weights/768.safetensors"
);

fn output(data: &Path, out: &Path, others: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cortica-train"))
        .arg("--data")
        .arg(data)
        .arg("--out")
        .arg(out)
        .args(["--seed", "7"])
        .args(others)
        .output()
        .unwrap()
}

/// The program with these arguments and a seed; what it prints.
fn program(data: &Path, out: &Path, others: &[&str]) -> String {
    let output = output(data, out, others);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn run(out: &Path, encoder_steps: &str) -> String {
    let steps = ["--encoder-steps", encoder_steps, "--epochs", "1"];
    program(&cortica_testkit::bundle_dir(), out, &steps)
}

fn metrics(path: &Path) -> Value {
    let text = std::fs::read_to_string(path.with_extension("json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// What the encoder finds among held-out rows.
fn recall(path: &Path) -> f64 {
    let metrics = metrics(path);
    metrics["recall"]["held_out_items"]["encoder"]
        .as_f64()
        .unwrap()
}

#[test]
fn a_short_training_writes_what_can_be_run() {
    assert!(README.contains("--data crates/cli/data --out networks.safetensors --seed 1"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("networks.safetensors");
    let printed = run(&path, "3");
    assert!(printed.contains("bytes of weights resident"), "{printed}");
    let networks = Networks::open(&path).unwrap();
    assert_eq!(networks.dimension(), 768);
    assert!(networks.bytes() < 400_000, "{}", networks.bytes());
    let about = ["seed", "dimension", "data"].map(|key| networks.metadata(key));
    assert_eq!(about, [Some("7"), Some("768"), Some("not named")]);
    let picture = std::fs::read_to_string(path.with_extension("svg")).unwrap();
    assert_eq!(picture.matches("<polyline").count(), 3);

    // The same folder and seed give the same file, whatever else is written.
    let again = folder.path().join("again.safetensors");
    let floats = folder.path().join("floats.safetensors");
    let steps = ["--encoder-steps", "3", "--epochs", "1", "--floats"];
    let with_floats = [&steps[..], &[floats.to_str().unwrap()]].concat();
    program(&cortica_testkit::bundle_dir(), &again, &with_floats);
    assert!(std::fs::read(&path).unwrap() == std::fs::read(&again).unwrap());

    // Along each axis of the map as many training codes fall between one quantile and the next.
    let places = networks.places().unwrap();
    let data = cortica_testkit::bundle();
    let train = (0..data.len()).filter(|&row| data.items[row].split == Split::Train);
    let mut scratch = networks.scratch();
    let mut encode = |row| {
        networks
            .encoder()
            .encode(data.row(row), &mut scratch)
            .unwrap()
    };
    let codes: Vec<[f32; CODE]> = train.map(&mut encode).collect();
    for (axis, quantiles) in places.axes().iter().zip(places.quantiles()) {
        let middle = quantiles[quantiles.len() / 2];
        let product =
            |code: &[f32; CODE]| -> f32 { code.iter().zip(axis).map(|(a, b)| a * b).sum() };
        let below = codes.iter().filter(|code| product(code) < middle).count();
        assert!(
            below.abs_diff(codes.len() / 2) <= 1,
            "{below} of {}",
            codes.len()
        );
    }
    // A file gets them anew, of other data or where it had none; the networks stay as they are.
    let placed = folder.path().join("placed.safetensors");
    let given = ["--places", path.to_str().unwrap()];
    program(&cortica_testkit::bundle_dir(), &placed, &given);
    let placed = Networks::open(&placed).unwrap();
    assert_eq!(placed.places(), networks.places());
    assert_eq!(placed.bytes(), networks.bytes());
    assert_eq!(placed.metadata("metrics"), networks.metadata("metrics"));

    // Before rounding there were four times the bytes, and nearly the same codes.
    let unrounded = Networks::open(&floats).unwrap();
    assert!(unrounded.bytes() > 3 * networks.bytes());
    let features = cortica_testkit::bundle().row(0);
    let code = |networks: &Networks| {
        let mut scratch = networks.scratch();
        networks.encoder().encode(features, &mut scratch).unwrap()
    };
    let (rounded, exact) = (code(&networks), code(&unrounded));
    let cosine: f32 = rounded.iter().zip(exact).map(|(a, b)| a * b).sum();
    assert!(rounded != exact && cosine > 0.999, "{cosine}");

    // More training gives better codes of what was held out.
    let longer = folder.path().join("longer.safetensors");
    run(&longer, "100");
    let (before, after) = (recall(&path), recall(&longer));
    assert!(after > before + 0.05, "{before} {after}");
}

/// The first values of the bundled embeddings, in a folder of their own: real rows of another
/// dimension, with their relations or as bare rows.
fn narrower(folder: &Path, dimension: usize, related: bool) {
    let data = cortica_testkit::bundle();
    let first = |row: usize| &data.row(row)[..dimension];
    let rows: Vec<f32> = (0..data.len()).flat_map(first).copied().collect();
    cortica_formats::write_npy_f32(&folder.join("X.npy"), data.len(), dimension, &rows).unwrap();
    if related {
        for name in ["items.tsv", "edges.u32", "edge_types.tsv"] {
            std::fs::copy(cortica_testkit::bundle_dir().join(name), folder.join(name)).unwrap();
        }
    }
}

/// Trains for a dimension, loads the file and runs a stream through it.
#[track_caller]
fn check_dimension(dimension: usize, related: bool) {
    let folder = tempfile::tempdir().unwrap();
    narrower(folder.path(), dimension, related);
    let path = folder.path().join("own.safetensors");
    let (order, measured) = if related {
        ("depth-first", "depth_first")
    } else {
        ("file", "file")
    };
    let steps = ["--encoder-steps", "60", "--epochs", "1", "--orders", order];
    program(folder.path(), &path, &steps);
    let recall = &metrics(&path)["recall"]["held_out_items"];
    let above = |way: &str| recall[way]["encoder_above_by"][0].as_f64().unwrap();
    assert!(above("random_projection") > 0.0, "{recall}");

    let networks = Networks::open(&path).unwrap();
    assert_eq!(networks.dimension(), dimension);
    let mut scratch = networks.scratch();
    let mut codes = [[0.0; CODE]; WINDOW];
    for (row, code) in codes.iter_mut().enumerate() {
        let features = &cortica_testkit::bundle().row(row)[..dimension];
        *code = networks.encoder().encode(features, &mut scratch).unwrap();
    }
    // What is computed is what the file's weights define.
    let close = |got: &[f32], want: &[f64]| {
        let pairs = got.iter().zip(want);
        let off = pairs.map(|(got, want)| (f64::from(*got) - want).abs());
        let off = off.fold(0.0, f64::max);
        assert!(got.len() == want.len() && off < 1e-4, "{off}");
    };
    let next = networks.predictor().predict(&codes, &mut scratch).unwrap();
    close(&next, &networks.predictor().predict_reference(&codes));
    let detector = networks.detector();
    let all = detector.detect_all(&codes, &mut scratch).unwrap();
    close(&all, &detector.detect_all_reference(&codes));
    // A single pass over streams is enough to tell what stands there from a random row.
    let metrics = metrics(&path);
    for task in ["temporal", "exception"] {
        let figures = &metrics[task][measured];
        let area = figures["auc_random_negatives"].as_f64().unwrap();
        assert!(area > 0.6, "{task}: {figures}");
    }
}

#[test]
fn embeddings_of_384_values_with_relations() {
    check_dimension(384, true);
}

#[test]
fn bare_rows_of_100_values_in_the_order_of_the_file() {
    check_dimension(100, false);
}

/// All but the metrics of a restated file is what it was, to the last bit.
#[track_caller]
fn check_restated(path: &Path, metrics: &Value) {
    let [before, after] = [Path::new(WEIGHTS), path]
        .map(|path| cortica_formats::Safetensors::open(path, 64 << 20).unwrap());
    after.check_seal().unwrap();
    assert!(before.names().eq(after.names()));
    for name in before.names() {
        let [before, after] = [&before, &after].map(|file| file.tensor(name).unwrap());
        assert_eq!(before.dtype, after.dtype, "{name}");
        assert_eq!(before.shape, after.shape, "{name}");
        assert!(before.bytes == after.bytes, "{name}");
    }
    let [before, after] = [Path::new(WEIGHTS), path].map(|path| Networks::open(path).unwrap());
    for key in ["architecture", "data", "dimension", "seed", "training_rows"] {
        assert_eq!(before.metadata(key), after.metadata(key), "{key}");
    }
    let inside: Value = serde_json::from_str(after.metadata("metrics").unwrap()).unwrap();
    assert_eq!(&inside, metrics);
}

/// The shipped weights, on what they were never trained on: of the bundle always, of a larger folder
/// where there is one.
#[test]
fn shipped_weights_are_better_than_what_needs_no_training() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("measured.safetensors");
    let check = |data: &Path, queries: bool, order: bool| {
        program(data, &out, &["--measure", WEIGHTS, "--restate"]);
        let metrics = metrics(&out);
        check_restated(&out, &metrics);
        for task in ["temporal", "exception"] {
            let figures = &metrics[task]["lineage"];
            let before = figures["codes_before"].as_object().unwrap();
            let counted: u64 = before.values().map(|count| count.as_u64().unwrap()).sum();
            assert_eq!(figures["places"], counted, "{figures}");
            let [clusters, places] = ["clusters", "places"].map(|key| figures[key].as_u64());
            assert!(clusters > Some(1) && clusters < places, "{figures}");
        }
        let clear = |figures: &Value, way: &str, name: &str| {
            let low = figures[way][name][0].as_f64().unwrap();
            assert!(low > 0.0, "{way}: {figures}");
        };
        let sets = [
            "held_out_items",
            "queries",
            "held_out_queries",
            "held_out_queries_unread",
        ];
        for set in &sets[..if queries { 4 } else { 1 }] {
            for way in ["pca", "pca_centred", "random_projection"] {
                clear(&metrics["recall"][*set], way, "encoder_above_by");
            }
        }
        if !order {
            return;
        }
        for task in ["temporal", "exception"] {
            let figures = &metrics[task]["lineage"];
            for way in [
                "cosine_to_previous",
                "window_mean",
                "window_max",
                "candidate_only",
            ] {
                clear(figures, way, "network_above_by");
            }
        }
        // What the card says beside its tables.
        for task in ["temporal", "exception"] {
            let figures = &metrics[task]["lineage"];
            for (codes, places) in [("2", 2_169), ("3", 1_368), ("4", 592), ("8", 7)] {
                assert_eq!(figures["codes_before"][codes], places, "{figures}");
            }
            assert_eq!(figures["clusters"], 116);
            clear(figures, "cosine_to_previous", "network_above_by_clusters");
        }
        // What the predictor gains by its window, and by the order in it.
        for way in ["previous_only", "earlier_reversed"] {
            clear(&metrics["temporal"]["lineage"], way, "network_above_by");
        }
    };
    check(&cortica_testkit::bundle_dir(), false, false);
    // What stands beside the weights was measured so, with another seed, on this machine or another one.
    let recorded = metrics(&Path::new(WEIGHTS).with_extension("bundle.json"));
    let again = metrics(&out);
    for set in ["held_out_items", "queries", "held_out_queries"] {
        let [recorded, again] =
            [&recorded, &again].map(|all| all["recall"][set]["encoder"].as_f64().unwrap());
        assert!(
            (recorded - again).abs() < 0.002,
            "{set}: {recorded} {again}"
        );
    }
    match cortica_testkit::data_dir() {
        Some(data) => check(&data, true, true),
        // On the bundle there is nothing to ask: the card says that these are not better there.
        None => println!("skipped: queries and order are asked of the large folder alone"),
    }
}

#[test]
fn shipped_weights_say_what_they_are_and_what_they_are_worth() {
    let networks = Networks::open(Path::new(WEIGHTS)).unwrap();
    assert!(networks.places().is_some());
    let about = ["dimension", "seed", "training_rows"].map(|key| networks.metadata(key));
    assert_eq!(about, [Some("768"), Some("1"), Some("24659")]);
    assert!(networks.metadata("architecture").unwrap().contains("LSTM"));
    assert!(networks.metadata("data").unwrap().contains("WordNet"));
    // The same run wrote both.
    let inside: Value = serde_json::from_str(networks.metadata("metrics").unwrap()).unwrap();
    assert_eq!(inside, metrics(Path::new(WEIGHTS)));
}

/// What the program says of a folder that it does not take.
fn refusal(data: &Path, others: &[&str]) -> String {
    let output = output(data, &data.join("out.safetensors"), others);
    assert!(!output.status.success());
    assert!(!data.join("out.safetensors").exists());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn what_is_no_number_is_named_before_training() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = vec![0.5_f32; 700 * 16];
    rows[40 * 16 + 3] = f32::NAN;
    cortica_formats::write_npy_f32(&folder.path().join("X.npy"), 700, 16, &rows).unwrap();
    let said = refusal(folder.path(), &["--orders", "file"]);
    assert!(
        said.contains("X.npy: row 40 holds NaN in column 3"),
        "{said}"
    );
}

/// They have no direction. Of nothing else a training made weights that were refused when it was over.
#[test]
fn rows_of_zeros_are_named_before_training() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, zeros: &[usize]| {
        let mut rows = vec![0.5_f32; 700 * 16];
        for &row in zeros {
            rows[row * 16..][..16].fill(-0.0);
        }
        cortica_formats::write_npy_f32(&folder.path().join(name), 700, 16, &rows).unwrap();
    };
    let every: Vec<usize> = (0..700).collect();
    for (zeros, said) in [
        (
            &every[..],
            "X.npy: 700 of 700 rows hold nothing but zeros, the first of them row 0",
        ),
        (
            &[40, 41],
            "X.npy: 2 of 700 rows hold nothing but zeros, the first of them row 40",
        ),
    ] {
        write("X.npy", zeros);
        let refused = refusal(folder.path(), &["--orders", "file"]);
        assert!(refused.contains(said), "{refused}");
        assert!(
            refused.contains("embed them again or take them out"),
            "{refused}"
        );
    }
    write("X.npy", &[]);
    write("q.npy", &[7]);
    let refused = refusal(folder.path(), &["--orders", "file"]);
    assert!(refused.contains("q.npy: 1 of 700 rows"), "{refused}");
}

#[test]
fn weights_for_other_embeddings_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    narrower(folder.path(), 100, false);
    let said = refusal(folder.path(), &["--measure", WEIGHTS]);
    assert!(
        said.contains("takes embeddings of 768 values, and the rows of X.npy have 100"),
        "{said}"
    );
}

/// Before there is anything to lose: a training takes minutes.
#[test]
fn files_that_cannot_be_written_or_read_are_named_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = cortica_testkit::bundle_dir();
    let said = |out: &Path, others: &[&str]| {
        let output = output(&bundle, out, others);
        assert!(!output.status.success());
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    let nowhere = folder.path().join("none/out.safetensors");
    let wanted = format!("cannot write {}", nowhere.display());
    assert!(said(&nowhere, &[]).contains(&wanted));
    let out = folder.path().join("out.safetensors");
    let floats = ["--floats", nowhere.to_str().unwrap()];
    assert!(said(&out, &floats).contains(&wanted));
    assert!(said(folder.path(), &[]).contains("cannot write"));
    for taken in ["out.json", "out.svg"] {
        let taken = folder.path().join(taken);
        assert!(said(&taken, &[]).contains("two files"), "{taken:?}");
        let floats = ["--floats", taken.to_str().unwrap()];
        assert!(said(&out, &floats).contains("two files"), "{taken:?}");
    }
    let floats = ["--floats", out.to_str().unwrap()];
    assert!(said(&out, &floats).contains("two files"));
    // By another name it is the same file: through its folder, through links, and from where the program runs.
    let within = folder.path().join("within");
    std::fs::create_dir(&within).unwrap();
    let mut same = vec![
        folder.path().join("./out.safetensors"),
        within.join("../out.safetensors"),
        within.join("../out.json"),
        within.join("../out.svg"),
    ];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.path(), within.join("folder")).unwrap();
        same.push(within.join("folder/out.safetensors"));
        std::fs::write(&out, "kept").unwrap();
        std::os::unix::fs::symlink(&out, within.join("file.safetensors")).unwrap();
        same.push(within.join("file.safetensors"));
    }
    for same in &same {
        let floats = ["--floats", same.to_str().unwrap()];
        assert!(said(&out, &floats).contains("two files"), "{same:?}");
    }
    let floats = ["--floats", "./here.safetensors"];
    assert!(said(Path::new("here.safetensors"), &floats).contains("two files"));
    #[cfg(unix)]
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "kept");
    _ = std::fs::remove_file(&out);
    std::fs::remove_dir_all(&within).unwrap();
    let inside = folder.path().join("metrics.json");
    std::fs::create_dir(&inside).unwrap();
    let beside = folder.path().join("metrics.safetensors");
    assert!(said(&beside, &[]).contains("cannot write"));
    std::fs::remove_dir(&inside).unwrap();
    for steps in ["--encoder-steps", "--epochs"] {
        assert!(said(&out, &[steps, "0"]).contains(steps));
    }

    let cut = folder.path().join("cut.safetensors");
    std::fs::write(&cut, &std::fs::read(WEIGHTS).unwrap()[..1_000]).unwrap();
    let refused = said(&out, &["--measure", cut.to_str().unwrap()]);
    assert!(refused.contains(cut.to_str().unwrap()), "{refused}");
    assert!(refused.contains("cut short"), "{refused}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
