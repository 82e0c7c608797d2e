//! `cortica batch`: operations of all sorts, line by line.

mod line;
mod report;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use cortica::{Atomicity, BatchConfig, BatchSummary, Cortica, Operation};
use cortica_formats::jsonl::{self, JsonlError};

use crate::advice::Usage;
use crate::args::BatchArgs;
use crate::batch::line::OperationLine;
use crate::batch::report::Report;
use crate::folder;
use crate::output::{Out, Outcome};

pub(crate) fn run(args: &BatchArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let reader: Box<dyn BufRead + Send> = if args.file == Path::new("-") {
        Box::new(BufReader::new(io::stdin()))
    } else {
        let file = File::open(&args.file).with_context(|| args.file.display().to_string())?;
        Box::new(BufReader::new(file))
    };
    let mut builder = Cortica::builder().durability(args.durability.into());
    if let Some(dimension) = args.dimension {
        builder = builder.dimension(dimension);
    }
    let memory = builder.open(&args.store)?;
    folder::tell_found(&memory, out);

    let broken = Arc::new(Mutex::new(None));
    let lines = Lines {
        lines: jsonl::Reader::new(reader),
        broken: broken.clone(),
    };
    let mut report = Report::default();
    let mut config = BatchConfig::default();
    config.batch_size = args.batch as usize;
    config.memory_limit = (args.memory_limit as usize) << 20;
    config.backpressure = args.backpressure.into();
    config.timeout = args
        .timeout
        .map(|seconds| Duration::from_secs(u64::from(seconds)));
    let summary = if args.atomic {
        config.atomicity = Atomicity::All;
        let operations = lines.collect_within(config.memory_limit)?;
        let done = memory.batch().config(config).run(operations)?;
        for (number, answer) in (0..).zip(&done.answers) {
            report.add(number, answer, out)?;
        }
        done.summary
    } else {
        stream(&memory, config, lines, &mut report, out)?
    };
    let stats = memory.stats();
    memory.close()?;
    Report::finish(&summary, &stats, out)?;
    let broken = broken.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(error) = broken {
        let error = anyhow::Error::new(error).context(args.file.display().to_string());
        return Err(error.context("reading stopped; what came before was done"));
    }
    Ok(report.outcome())
}

fn stream(
    memory: &Cortica,
    config: BatchConfig,
    lines: Lines,
    report: &mut Report,
    out: &mut Out,
) -> anyhow::Result<BatchSummary> {
    let mut answers = memory.batch().config(config).stream(lines)?;
    let progress = out.progress(None, "operations");
    for (number, answer) in answers.by_ref() {
        report.add(number, &answer, out)?;
        progress.advance(1);
    }
    drop(progress);
    Ok(answers.finish())
}

/// One operation for each line that is not blank.
struct Lines {
    lines: jsonl::Reader<Box<dyn BufRead + Send>, OperationLine>,
    /// Why nothing more could be read.
    broken: Arc<Mutex<Option<JsonlError>>>,
}

impl Iterator for Lines {
    type Item = Operation;

    fn next(&mut self) -> Option<Operation> {
        match self.lines.next()? {
            Ok(OperationLine(operation)) => Some(operation),
            Err(error @ JsonlError::Io(_)) => {
                *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                None
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
                    self.lines.line()
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
