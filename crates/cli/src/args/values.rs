//! Values that options take, by their names.

use clap::ValueEnum;

/// What becomes of a new episode where there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AtCapacity {
    /// The weakest memories are forgotten for it.
    Forget,
    /// It is refused.
    Refuse,
}

impl From<AtCapacity> for cortica::AtCapacity {
    fn from(at_capacity: AtCapacity) -> Self {
        match at_capacity {
            AtCapacity::Forget => Self::Forget,
            AtCapacity::Refuse => Self::Refuse,
        }
    }
}

/// What happens when operations come too fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backpressure {
    /// Reading waits.
    Block,
    /// Lines that have waited longest are dropped, and answered so.
    DropOldest,
    /// Reading waits, and fewer are taken at once while memory is scarce.
    AdaptiveResize,
    /// Reading waits, and one is taken at a time while memory is scarce.
    FallbackSingle,
}

impl From<Backpressure> for cortica::Backpressure {
    fn from(strategy: Backpressure) -> Self {
        match strategy {
            Backpressure::Block => Self::Block,
            Backpressure::DropOldest => Self::DropOldest,
            Backpressure::AdaptiveResize => Self::AdaptiveResize,
            Backpressure::FallbackSingle => Self::FallbackSingle,
        }
    }
}

/// What walks along the graph index read of each vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Codes {
    /// The vector itself.
    F32,
    /// A byte for each value.
    I8,
    /// A bit for each value.
    Signs,
    /// The signs of the differences to all neighbours at once.
    Blocks,
}

impl From<Codes> for cortica::Codes {
    fn from(codes: Codes) -> Self {
        match codes {
            Codes::F32 => Self::F32,
            Codes::I8 => Self::I8,
            Codes::Signs => Self::Signs,
            Codes::Blocks => Self::Blocks,
        }
    }
}

/// What an acknowledgement promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Durability {
    /// Nothing: the batch may still be in this process.
    None,
    /// The batch reached the operating system: it survives this process.
    Buffered,
    /// The batch reached the disk: it survives a power cut.
    Durable,
}

impl From<Durability> for cortica::Durability {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::None => Self::None,
            Durability::Buffered => Self::Buffered,
            Durability::Durable => Self::Durable,
        }
    }
}

/// How sure to find the nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Accuracy {
    /// All of them.
    Exact,
    /// Most of them, in less time.
    Approximate,
}

/// What an export is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// A line of JSON for each item.
    Jsonl,
    /// One table, for programs that read such.
    Parquet,
}

/// How vectors are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Metric {
    /// The cosine of the angle; lengths do not matter.
    Cosine,
    /// The inner product.
    Dot,
    /// The Euclidean distance.
    L2,
}

impl From<Metric> for cortica::Metric {
    fn from(metric: Metric) -> Self {
        match metric {
            Metric::Cosine => Self::Cosine,
            Metric::Dot => Self::Dot,
            Metric::L2 => Self::L2,
        }
    }
}

/// Columns along x, y and z.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sides(pub(crate) [u32; 3]);

pub(super) fn sides(text: &str) -> Result<Sides, String> {
    let sides: Result<Vec<u32>, _> = text.split(',').map(|side| side.trim().parse()).collect();
    match sides.as_deref() {
        Ok(&[nx, ny, nz]) => Ok(Sides([nx, ny, nz])),
        _ => Err("three whole numbers with commas between them".to_owned()),
    }
}

pub(super) fn finite(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(number) if number.is_finite() => Ok(number),
        // A number too large for an f32 parses as infinity.
        _ => Err("expected a finite number".to_owned()),
    }
}
