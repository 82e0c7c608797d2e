//! `cortica batch`: operations of all sorts, line by line.

mod line;
mod places;
mod report;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use cortica::{Atomicity, BatchConfig, BatchSummary, ConfigError, Cortica, Operation};
use cortica_formats::jsonl::{self, JsonlError, LINE_BYTES_MAX};

use crate::advice::Usage;
use crate::args::BatchArgs;
use crate::batch::line::OperationLine;
use crate::batch::places::Places;
use crate::batch::report::Report;
use crate::folder;
use crate::output::{Out, Outcome};

pub(crate) fn run(args: &BatchArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let reader: Box<dyn BufRead + Send> = if args.file == Path::new("-") {
        Box::new(BufReader::new(io::stdin()))
    } else {
        let file = File::open(&args.file).with_context(|| args.file.display().to_string())?;
        if file.metadata().is_ok_and(|about| about.is_dir()) {
            // Reading it would fail, but only when the store had been created.
            let why = format!("{} is a folder; give a file of lines", args.file.display());
            return Err(Usage(why).into());
        }
        Box::new(BufReader::new(file))
    };
    let mut builder = Cortica::builder().durability(args.durability.into());
    if let Some(dimension) = args.dimension {
        builder = builder.dimension(dimension);
    }
    let memory = builder.open(&args.store)?;
    folder::tell_found(&memory, out);
    out.outlive_reader();

    let broken = Arc::new(Mutex::new(None));
    let limit = (args.memory_limit as usize) << 20;
    // A list is in memory as a whole, within the limit, and its lines with it.
    let places = if args.atomic {
        Places::default()
    } else {
        Places::within(limit)
    };
    let lines = Lines {
        // A line is in memory before it is an operation that can be counted.
        source: jsonl::Reader::with_line_bytes_max(reader, limit.min(LINE_BYTES_MAX)),
        broken: broken.clone(),
        places: places.clone(),
        given: 0,
    };
    let mut report = Report::of(places.clone());
    let mut config = BatchConfig::default();
    config.batch_size = args.batch as usize;
    config.memory_limit = limit;
    config.backpressure = args.backpressure.into();
    config.timeout = args
        .timeout
        .map(|seconds| Duration::from_secs(u64::from(seconds)));
    let summary = if args.atomic {
        config.atomicity = Atomicity::All;
        let operations = lines.collect_within(config.memory_limit)?;
        let done = memory.batch().config(config).run(operations);
        let done = done.map_err(|error| match error {
            ConfigError::NoWrite { operation, kind } => {
                let line = places.line(operation as u64);
                anyhow::anyhow!(
                    "line {line} is a {kind}, which is no write; leave out --atomic, or that line"
                )
            }
            error => error.into(),
        })?;
        for (number, answer) in (0..).zip(&done.answers) {
            report.add(number, answer, out)?;
        }
        done.summary
    } else {
        stream(&memory, config, lines, &mut report, out)?
    };
    let stats = memory.stats();
    memory.close()?;
    report.finish(&summary, &stats, out)?;
    let broken = broken.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(error) = broken {
        let error = anyhow::Error::new(error).context(args.file.display().to_string());
        return Err(error.context("reading stopped; what came before was done"));
    }
    Ok(report.outcome(&summary))
}

fn stream(
    memory: &Cortica,
    config: BatchConfig,
    lines: Lines,
    report: &mut Report,
    out: &mut Out,
) -> anyhow::Result<BatchSummary> {
    let places = lines.places.clone();
    let mut answers = memory.batch().config(config).stream(lines)?;
    let progress = out.progress(None, "operations");
    for (number, answer) in answers.by_ref() {
        report.add(number, &answer, out)?;
        places.forget_before(number);
        progress.advance(1);
    }
    drop(progress);
    Ok(answers.finish())
}

/// One operation for each line that is not blank.
struct Lines {
    source: jsonl::Reader<Box<dyn BufRead + Send>, OperationLine>,
    /// Why nothing more could be read.
    broken: Arc<Mutex<Option<JsonlError>>>,
    places: Places,
    /// Operations that were given.
    given: u64,
}

impl Iterator for Lines {
    type Item = Operation;

    fn next(&mut self) -> Option<Operation> {
        let found = self.source.next()?;
        self.places.add(self.given, self.source.line());
        self.given += 1;
        match found {
            Ok(OperationLine(operation)) => Some(operation),
            Err(error @ JsonlError::Io(_)) => {
                *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                None
            }
            Err(error @ JsonlError::LineTooLong { max, .. }) if max < LINE_BYTES_MAX => {
                let why = format!("{error}; raise --memory-limit");
                Some(Operation::Unreadable(why))
            }
            Err(error) => Some(Operation::Unreadable(error.to_string())),
        }
    }
}

impl Lines {
    /// All of them, as far as they may take so many bytes as texts.
    fn collect_within(mut self, limit: usize) -> anyhow::Result<Vec<Operation>> {
        let mut operations = Vec::new();
        let mut bytes = 0_usize;
        while let Some(operation) = self.next() {
            bytes = bytes.saturating_add(operation.bytes());
            if bytes > limit {
                let why = format!(
                    "--atomic: line {} is beyond the memory limit; raise --memory-limit, or leave \
                     --atomic out",
                    self.source.line()
                );
                return Err(Usage(why).into());
            }
            operations.push(operation);
        }
        if let Some(error) = self
            .broken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            return Err(anyhow::Error::new(error).context("nothing was done"));
        }
        Ok(operations)
    }
}
