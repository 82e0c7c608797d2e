//! Trains Cortica's three networks on a folder of embeddings.
//!
//! `cortica-train --data DIR --out networks.safetensors` reads a folder of the layout of the bundled
//! data, with embeddings of any dimension; trains encoder, predictor and detector on the concepts
//! of its training side; measures them, as they will be run, on what was held out; and writes the
//! weight file, a JSON file of metrics and a picture of the loss curves beside it. The same folder,
//! seed and build give the same file on one machine; instructions of another kind round otherwise.
#![forbid(unsafe_code)]

mod auc;
mod baselines;
mod bootstrap;
mod clusters;
mod codes;
mod curve;
mod detector;
mod encoder;
mod export;
mod graph;
mod groups;
mod layer;
mod lineage;
mod measure;
mod pca;
mod places;
mod predictor;
mod simple;
mod streams;
mod tasks;
mod within;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use cortica_env::Seed;
use cortica_neural::Networks;
use cortica_testkit::{Dataset, Split};

use crate::export::Precision;
use crate::layer::Network;
use crate::measure::Places;
use crate::streams::Order;

/// Train encoder, predictor and detector on a folder of embeddings.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Folder with X.npy and, for the tasks of order, items.tsv and edges.u32.
    #[arg(long)]
    data: PathBuf,
    /// Where the weights go; metrics and curves get the same name with other endings.
    #[arg(long)]
    out: PathBuf,
    /// All chance begins here.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Steps of the encoder's training.
    #[arg(long, default_value = "1000")]
    encoder_steps: NonZeroUsize,
    /// Passes over the streams, for predictor and detector.
    #[arg(long, default_value = "4")]
    epochs: NonZeroUsize,
    /// Orders from which predictor and detector learn. All are measured.
    #[arg(long, value_delimiter = ',', default_value = "lineage")]
    orders: Vec<Order>,
    /// What the data is, in words: it stands in the weight file, under `data`.
    #[arg(long, value_name = "TEXT", default_value = "not named")]
    about: String,
    /// Also write the weights as f32, as they are before they are rounded to i8.
    #[arg(long, value_name = "FILE", conflicts_with = "measure")]
    floats: Option<PathBuf>,
    /// Measure this weight file instead of training one; only metrics are written, without --restate.
    #[arg(long)]
    measure: Option<PathBuf>,
    /// Train nothing: give the networks of this weight file the places of the folder's training side, and write
    /// them to --out.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["measure", "floats"])]
    places: Option<PathBuf>,
    /// With --measure: also write the weights that were measured to --out, with the new metrics in them.
    #[arg(long, requires = "measure")]
    restate: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let started = Instant::now();
    check_written(&arguments)?;
    let mut data = cortica_testkit::load(&arguments.data)?;
    check_rows(&data)?;
    let measured = arguments
        .measure
        .as_deref()
        .map(|path| open_for(&data, path));
    let measured = measured.transpose()?;
    normalise(&mut data);
    let seed = Seed(arguments.seed);
    let sides = Sides::of(&data)?;
    println!(
        "{} rows of {} values: {} for training, {} held out",
        data.len(),
        data.dimension,
        sides.train.len(),
        sides.held_out.len()
    );

    if let Some(path) = &arguments.places {
        return replace_places(&data, &sides, path, &arguments.out, seed);
    }
    let graph = graph::Graph::new(&data, &sides.of);
    let places = |side, order| streams::places(&graph, &data, &sides.of, side, order, seed);
    let mut all = Places {
        train: Vec::new(),
        held_out: Vec::new(),
    };
    for order in Order::ALL {
        let (mut learnt, measured) = (places(Split::Train, order), places(Split::Test, order));
        if !arguments.orders.contains(&order) {
            learnt.clear();
        }
        println!(
            "{}: {} places in streams for training, {} held out",
            order.name(),
            learnt.len(),
            measured.len()
        );
        all.train.extend(learnt);
        all.held_out.push((order, measured));
    }
    let epochs = arguments.epochs.get();
    if let (Some(networks), Some(path)) = (measured, &arguments.measure) {
        let metrics = measure::all(&networks, &data, &sides, &graph, &all, seed, epochs)?;
        if arguments.restate {
            export::restate(path, &arguments.out, &serde_json::to_string(&metrics)?)?;
        }
        return write_metrics(&arguments.out, &metrics);
    }
    ensure!(
        !all.train.is_empty(),
        "the training side has no streams in the orders named: where there are no relations, try \
         `--orders file`"
    );
    let (encoder, encoder_curve) =
        encoder::train(&data, &sides.train, seed, arguments.encoder_steps.get())?;
    let codes = codes::encode(&encoder, &data)?;
    let (predictor, predictor_curve) = predictor::train(&codes, &all.train, seed, epochs)?;
    let (detector, detector_curve) = detector::train(&codes, &all.train, seed, epochs)?;

    let layers: [&dyn Network; 3] = [&encoder, &predictor, &detector];
    let mut tensors = export::tensors(&layers, Precision::I8)?;
    let networks = Networks::from_bytes(export::encode(&tensors, &[])?)?;
    tensors.extend(places::tensors(&networks, &data, &sides.train, seed)?);
    let networks = Networks::from_bytes(export::encode(&tensors, &[])?)?;
    let metrics = measure::all(&networks, &data, &sides, &graph, &all, seed, epochs)?;
    let minutes = started.elapsed().as_secs_f64() / 60.0;
    println!("{minutes:.1} minutes");
    let about = [
        (
            "architecture",
            "MLP with linear path; LSTM with forget gate; causal dilated TCN",
        ),
        ("data", &*arguments.about),
        ("dimension", &data.dimension.to_string()),
        ("seed", &arguments.seed.to_string()),
        ("training_rows", &sides.train.len().to_string()),
        ("metrics", &serde_json::to_string(&metrics)?),
    ];
    export::write(&arguments.out, &tensors, &about)?;
    if let Some(path) = &arguments.floats {
        // Without metrics: those are of the rounded weights.
        let about = &about[..about.len() - 1];
        let mut unrounded = export::tensors(&layers, Precision::F32)?;
        let own = Networks::from_bytes(export::encode(&unrounded, &[])?)?;
        unrounded.extend(places::tensors(&own, &data, &sides.train, seed)?);
        export::write(path, &unrounded, about)?;
    }
    write_metrics(&arguments.out, &metrics)?;
    let curves = [
        ("encoder", encoder_curve),
        ("predictor", predictor_curve),
        ("detector", detector_curve),
    ];
    let picture = arguments.out.with_extension("svg");
    std::fs::write(&picture, curve::picture(&curves))
        .with_context(|| format!("cannot write {}", picture.display()))?;
    println!("{} bytes of weights resident", networks.bytes());
    Ok(())
}

/// Writes the networks of a weight file again, with the places of this folder's training side.
fn replace_places(
    data: &Dataset,
    sides: &Sides,
    path: &Path,
    out: &Path,
    seed: Seed,
) -> Result<()> {
    let networks = open_for(data, path)?;
    let (mut tensors, about) = places::others(path)?;
    tensors.extend(places::tensors(&networks, data, &sides.train, seed)?);
    let about: Vec<(&str, &str)> = about.iter().map(|(key, text)| (&**key, &**text)).collect();
    export::write(out, &tensors, &about)?;
    println!("places of {} codes", sides.train.len());
    Ok(())
}

/// Prints metrics, and writes them beside the weights.
fn write_metrics(out: &Path, metrics: &serde_json::Value) -> Result<()> {
    let text = serde_json::to_string_pretty(metrics)?;
    println!("{text}");
    let path = out.with_extension("json");
    std::fs::write(&path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
}

/// Rows without an item that are held out, or not, together.
const STRETCH: usize = 100;

/// Rows by the side they stand on.
#[derive(Debug)]
struct Sides {
    of: Vec<Split>,
    train: Vec<usize>,
    held_out: Vec<usize>,
}

impl Sides {
    /// Rows without an item are held out by stretches, so that they stand among rows of their side.
    fn of(data: &Dataset) -> Result<Sides> {
        let side = |row: usize| match data.items.get(row) {
            Some(item) => item.split,
            None => cortica_testkit::split_of(&format!("stretch {}", row / STRETCH)),
        };
        let of: Vec<Split> = (0..data.len()).map(side).collect();
        let (train, held_out): (Vec<usize>, Vec<usize>) =
            (0..data.len()).partition(|&row| of[row] == Split::Train);
        ensure!(
            train.len() >= 500 && held_out.len() >= 100,
            "{} rows to train on and {} held out are too few",
            train.len(),
            held_out.len()
        );
        Ok(Sides {
            of,
            train,
            held_out,
        })
    }
}

/// Finds out before anything is trained, not after, that there is no place for a file, or that one would be
/// written over another.
fn check_written(arguments: &Arguments) -> Result<()> {
    let out = &arguments.out;
    let mut written: Vec<PathBuf> = Vec::new();
    if arguments.places.is_some() {
        written.push(out.clone());
    } else {
        if arguments.measure.is_none() {
            written.extend([out.clone(), out.with_extension("svg")]);
        } else if arguments.restate {
            written.push(out.clone());
        }
        written.push(out.with_extension("json"));
    }
    written.extend(arguments.floats.clone());
    let mut taken: Vec<PathBuf> = Vec::new();
    for path in &written {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        ensure!(
            folder.is_dir() && !path.is_dir(),
            "cannot write {}: name a file in a folder that is there",
            path.display()
        );
        let place = place_of(path, folder)?;
        ensure!(
            !taken.contains(&place),
            "two files would be written to {}: metrics take the ending json and the picture svg beside --out, \
             so give weights another one",
            path.display()
        );
        taken.push(place);
    }
    Ok(())
}

/// Where a file is or will be, however it is called: one file may have many names.
fn place_of(path: &Path, folder: &Path) -> Result<PathBuf> {
    if path.exists() {
        return path
            .canonicalize()
            .with_context(|| format!("cannot write {}", path.display()));
    }
    let folder = folder
        .canonicalize()
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(folder.join(path.file_name().unwrap_or_default()))
}

/// Names what nothing can be learnt from before anything is learnt: the first value that is no finite number, and
/// rows of zeros, which have no direction and are near to nothing.
fn check_rows(data: &Dataset) -> Result<()> {
    let files = [("X.npy", &data.rows), ("q.npy", &data.queries)];
    for (file, values) in files {
        let at = values.iter().position(|value| !value.is_finite());
        if let Some(at) = at {
            let (row, column) = (at / data.dimension, at % data.dimension);
            bail!(
                "{file}: row {row} holds {} in column {column}; take such rows out",
                values[at]
            );
        }
        let rows = values.chunks_exact(data.dimension);
        let count = rows.len();
        let zeros = rows
            .enumerate()
            .filter(|(_, row)| row.iter().all(|&value| value == 0.0));
        let zeros: Vec<usize> = zeros.map(|(at, _)| at).collect();
        if let Some(first) = zeros.first() {
            bail!(
                "{file}: {} of {count} rows hold nothing but zeros, the first of them row {first}; they have no \
                 direction, so embed them again or take them out",
                zeros.len()
            );
        }
    }
    Ok(())
}

/// Opens a weight file that takes rows of this folder.
fn open_for(data: &Dataset, path: &Path) -> Result<Networks> {
    let networks =
        Networks::open(path).with_context(|| format!("cannot use {}", path.display()))?;
    ensure!(
        networks.dimension() == data.dimension,
        "{} takes embeddings of {} values, and the rows of X.npy have {}: give it a folder it was \
         trained for, or train on this one",
        path.display(),
        networks.dimension(),
        data.dimension
    );
    Ok(networks)
}

/// Brings rows and queries to length 1, as the encoder does.
fn normalise(data: &mut Dataset) {
    let d = data.dimension;
    let rows = data.rows.chunks_exact_mut(d);
    for row in rows.chain(data.queries.chunks_exact_mut(d)) {
        let length = row
            .iter()
            .map(|v| f64::from(*v).powi(2))
            .sum::<f64>()
            .sqrt();
        if length > 0.0 {
            for value in row {
                *value = (f64::from(*value) / length) as f32;
            }
        }
    }
}
