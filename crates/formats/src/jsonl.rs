//! JSON Lines: one JSON value per line, UTF-8, lines of bounded length.
//!
//! ```
//! use cortica_formats::jsonl;
//!
//! let text = &b"{\"id\": \"a\"}\n{\"id\": 7}\n{\"id\": \"c\"}\n"[..];
//! #[derive(serde::Deserialize)]
//! struct Line { id: String }
//!
//! let lines: Vec<_> = jsonl::Reader::<_, Line>::new(text).collect();
//! assert_eq!(lines[0].as_ref().unwrap().id, "a");
//! assert!(lines[1].as_ref().is_err_and(|e| e.line() == Some(2))); // One bad line fails alone.
//! assert_eq!(lines[2].as_ref().unwrap().id, "c");
//! ```

use std::io::{self, BufRead, Write};
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::lines::{Line, next_line};

/// The longest line that is read or written, in bytes without its line end: 16 MiB.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// Why a line was refused. Lines count from 1, blank ones included.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonlError {
    /// The line is longer than [`LINE_BYTES_MAX`]; reading goes on after it.
    #[error("line {line} is longer than {max} bytes")]
    LineTooLong {
        /// Where.
        line: u64,
        /// Bytes accepted.
        max: usize,
    },
    /// The line is not JSON, or not of the expected form; reading goes on after it.
    #[error("line {line}: {why}")]
    Invalid {
        /// Where.
        line: u64,
        /// Which field it is, and what the parser said, with the column.
        why: String,
    },
    /// A value cannot be written as JSON, a map with keys that are no strings say.
    #[error("the value for line {line} cannot be written as JSON: {why}")]
    NotJson {
        /// The line it would have been.
        line: u64,
        /// What the serialiser said.
        why: String,
    },
    /// The operating system refused; reading ends.
    #[error("cannot read or write JSON Lines")]
    Io(#[from] io::Error),
}

impl JsonlError {
    /// The line that was refused; `None` when it was the operating system that refused.
    pub fn line(&self) -> Option<u64> {
        match self {
            JsonlError::LineTooLong { line, .. }
            | JsonlError::Invalid { line, .. }
            | JsonlError::NotJson { line, .. } => Some(*line),
            JsonlError::Io(_) => None,
        }
    }
}

/// Reads one `T` per line; lines of nothing but white space are passed over.
///
/// An iterator: a bad line gives an error and reading goes on with the next; an error of the
/// operating system is given once and ends it. Memory: one line.
#[derive(Debug)]
pub struct Reader<R, T> {
    source: R,
    line: u64,
    line_bytes_max: usize,
    bytes: Vec<u8>,
    ended: bool,
    values: PhantomData<fn() -> T>,
}

impl<R: BufRead, T: DeserializeOwned> Reader<R, T> {
    /// Reads from `reader`, from its present position on.
    pub fn new(reader: R) -> Reader<R, T> {
        Reader::with_line_bytes_max(reader, LINE_BYTES_MAX)
    }

    /// Reads with another bound on the length of a line.
    pub fn with_line_bytes_max(reader: R, line_bytes_max: usize) -> Reader<R, T> {
        Reader {
            source: reader,
            line: 0,
            line_bytes_max,
            bytes: Vec::new(),
            ended: false,
            values: PhantomData,
        }
    }

    /// The number of the line last given, 0 before the first.
    pub fn line(&self) -> u64 {
        self.line
    }
}

impl<R: BufRead, T: DeserializeOwned> Iterator for Reader<R, T> {
    type Item = Result<T, JsonlError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let found = next_line(&mut self.source, self.line_bytes_max, &mut self.bytes);
            self.line += 1;
            match found {
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error.into()));
                }
                Ok(Line::End) => self.ended = true,
                Ok(Line::TooLong) => {
                    return Some(Err(JsonlError::LineTooLong {
                        line: self.line,
                        max: self.line_bytes_max,
                    }));
                }
                Ok(Line::Read) if self.bytes.iter().all(u8::is_ascii_whitespace) => {}
                Ok(Line::Read) => {
                    let value = serde_json::from_slice(&self.bytes);
                    return Some(value.map_err(|error| JsonlError::Invalid {
                        line: self.line,
                        why: why::<T>(&self.bytes, &error),
                    }));
                }
            }
        }
        None
    }
}

/// What is wrong with a line, and where. The parser saw a single line, so its "at line 1" would contradict
/// ours. Which field it was in costs a second look, which only bad lines take.
fn why<T: DeserializeOwned>(line: &[u8], error: &serde_json::Error) -> String {
    let text = error
        .to_string()
        .replace(" at line 1 column ", " at column ");
    let mut parser = serde_json::Deserializer::from_slice(line);
    let again: Result<T, _> = serde_path_to_error::deserialize(&mut parser);
    match again.map_err(|error| error.path().to_string()) {
        Err(path) if path != "." => format!("{path}: {text}"),
        _ => text,
    }
}

/// Writes one value per line. Not atomic: lines go straight to the writer, in order.
#[derive(Debug)]
pub struct Writer<W> {
    sink: W,
    line: u64,
    bytes: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes to `writer`; give a `BufWriter` for files.
    pub fn new(writer: W) -> Writer<W> {
        Writer {
            sink: writer,
            line: 0,
            bytes: Vec::new(),
        }
    }

    /// Writes one line. A value that is refused leaves no trace in the output.
    pub fn write(&mut self, value: &impl Serialize) -> Result<(), JsonlError> {
        self.bytes.clear();
        let line = self.line + 1;
        serde_json::to_writer(&mut self.bytes, value).map_err(|error| JsonlError::NotJson {
            line,
            why: error.to_string(),
        })?;
        if self.bytes.len() > LINE_BYTES_MAX {
            let max = LINE_BYTES_MAX;
            return Err(JsonlError::LineTooLong { line, max });
        }
        self.bytes.push(b'\n');
        self.sink.write_all(&self.bytes)?;
        self.line = line;
        Ok(())
    }

    /// Hands the writer back, flushed.
    pub fn finish(mut self) -> Result<W, JsonlError> {
        self.sink.flush()?;
        Ok(self.sink)
    }
}
