//! What an allocation leaves in the log beside its episode: all that it takes to make it again
//! without networks.
//!
//! ```text
//! offset  size  field
//!      0     4  flags: 1 it has a column, 2 it was learned from, 4 it belongs to a stream
//!      4     4  column, 0 without one
//!      8     4  concept: the number by which the column knows it, 0 without one
//!     12     4  rate, f32: the share of the way that prototypes were moved
//!     16     4  radius, f32: how far around the column
//!     20     4  zero
//!     24     8  stream: where the code entered a window, 0 without one
//!     32   256  code: 64 f32
//! ```

use cortica_cortex::{CODE_DIMENSION, Code, ColumnId, ConceptId, Decision, Observed, Reserved};

/// Bytes of a trace.
pub(crate) const TRACE_LEN: usize = 32 + CODE_DIMENSION * size_of::<f32>();

/// Bytes of a record that is nothing but a trace.
pub(crate) const RECORD_BYTES: u32 = 56 + TRACE_LEN as u32;

const HAS_COLUMN: u32 = 1;
const LEARNED: u32 = 2;
const IN_STREAM: u32 = 4;

/// What is logged of an allocation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Trace {
    /// The column that holds the episode's concept, and the number by which it does.
    pub(crate) held: Option<(ColumnId, ConceptId)>,
    /// Rate and radius, where its column and those around it learned.
    pub(crate) learned: Option<(f32, f32)>,
    /// The stream whose window the code entered.
    pub(crate) stream: Option<u64>,
    /// The code exactly as used.
    pub(crate) code: Code,
}

impl Trace {
    /// What is to be logged of an answer, if anything is.
    pub(crate) fn of(reserved: &Reserved) -> Option<Trace> {
        match (&reserved.decision, &reserved.observed) {
            (Some(decision), _) => Some(Trace {
                held: Some((decision.column, decision.concept)),
                learned: Some((decision.rate, decision.radius)),
                stream: decision.stream,
                code: decision.code,
            }),
            (None, Some(Observed { stream, code })) => Some(Trace {
                held: None,
                learned: None,
                stream: Some(*stream),
                code: *code,
            }),
            (None, None) => None,
        }
    }

    /// Of an episode that is replaced and keeps its column: it teaches nothing anew.
    pub(crate) fn kept(column: ColumnId, concept: ConceptId, code: Code) -> Trace {
        Trace {
            held: Some((column, concept)),
            learned: None,
            stream: None,
            code,
        }
    }

    /// Whether it counts even when its episode is gone: something was learned, or a window filled.
    pub(crate) fn lasts(&self) -> bool {
        self.learned.is_some() || self.stream.is_some()
    }

    /// The decision, where there is a column.
    pub(crate) fn decision(&self) -> Option<Decision> {
        let (column, concept) = self.held?;
        let (rate, radius) = self.learned.unwrap_or_default();
        Some(Decision {
            concept,
            column,
            rate,
            radius,
            code: self.code,
            stream: self.stream,
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let flag = |there: bool, flag: u32| if there { flag } else { 0 };
        let flags = flag(self.held.is_some(), HAS_COLUMN)
            | flag(self.learned.is_some(), LEARNED)
            | flag(self.stream.is_some(), IN_STREAM);
        let (column, concept) = self.held.map_or((0, 0), |(a, b)| (a.get(), b.get()));
        let (rate, radius) = self.learned.unwrap_or_default();
        for word in [flags, column, concept, rate.to_bits(), radius.to_bits(), 0] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.stream.unwrap_or_default().to_le_bytes());
        for value in self.code {
            out.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// Refuses what no allocator decides.
    pub(crate) fn decode(bytes: &[u8; TRACE_LEN]) -> Result<Trace, String> {
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[4 * at + i]));
        let (flags, rate, radius) = (word(0), f32::from_bits(word(3)), f32::from_bits(word(4)));
        let stream = u64::from_le_bytes(std::array::from_fn(|i| bytes[24 + i]));
        let code: Code = std::array::from_fn(|at| f32::from_bits(word(8 + at)));
        let has = |flag: u32| flags & flag != 0;
        if flags > HAS_COLUMN | LEARNED | IN_STREAM || flags == 0 || word(5) != 0 {
            return Err(format!("an allocation has the flags {flags}"));
        }
        if has(LEARNED)
            && !(has(HAS_COLUMN)
                && (0.0..=1.0).contains(&rate)
                && radius >= 0.0
                && radius.is_finite())
        {
            return Err(format!("an allocation learned by {rate} within {radius}"));
        }
        let zeros = !has(HAS_COLUMN) && (word(1), word(2)) != (0, 0)
            || !has(LEARNED) && (word(3), word(4)) != (0, 0)
            || !has(IN_STREAM) && stream != 0;
        if zeros {
            return Err("an allocation has what its flags say it has not".to_owned());
        }
        if !code.iter().all(|value| value.is_finite()) || code.iter().all(|&value| value == 0.0) {
            return Err("an allocation has a code without direction".to_owned());
        }
        Ok(Trace {
            held: has(HAS_COLUMN).then(|| (ColumnId::new(word(1)), ConceptId::new(word(2)))),
            learned: has(LEARNED).then_some((rate, radius)),
            stream: has(IN_STREAM).then_some(stream),
            code,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traces() -> Vec<Trace> {
        let code = std::array::from_fn(|at| at as f32 - 31.5);
        let held = Some((ColumnId::new(7), ConceptId::new(9)));
        let trace = |held, learned, stream| Trace {
            held,
            learned,
            stream,
            code,
        };
        vec![
            trace(held, Some((0.2, 2.0)), Some(u64::MAX)),
            trace(held, Some((1.0, 0.0)), None),
            trace(None, None, Some(3)),
            Trace::kept(ColumnId::new(1), ConceptId::new(2), code),
        ]
    }

    fn bytes_of(trace: &Trace) -> [u8; TRACE_LEN] {
        let mut bytes = Vec::new();
        trace.encode(&mut bytes);
        bytes.try_into().unwrap_or([0; TRACE_LEN])
    }

    #[test]
    fn traces_round_trip() {
        for trace in traces() {
            assert_eq!(Trace::decode(&bytes_of(&trace)), Ok(trace));
        }
    }

    #[test]
    fn what_nobody_decides_is_refused() {
        let good = bytes_of(&traces()[0]);
        let with = |at: usize, word: u32| {
            let mut bytes = good;
            bytes[4 * at..][..4].copy_from_slice(&word.to_le_bytes());
            Trace::decode(&bytes)
        };
        for flags in [0, 2, 4, 5, 6, 8, 15, u32::MAX] {
            assert!(with(0, flags).is_err(), "{flags}");
        }
        for rate in [-0.1, 1.1, f32::NAN] {
            assert!(with(3, rate.to_bits()).is_err(), "{rate}");
        }
        for radius in [-1.0, f32::INFINITY, f32::NAN] {
            assert!(with(4, radius.to_bits()).is_err(), "{radius}");
        }
        assert!(with(5, 1).is_err());
        assert!(with(8, f32::NAN.to_bits()).is_err());
        let mut silent = good;
        silent[32..].fill(0);
        assert!(Trace::decode(&silent).is_err());
    }
}
