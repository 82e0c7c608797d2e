//! The last codes of each stream: what is expected next rests on them.

use crate::prototype::{CODE_DIMENSION, Code};
use std::collections::{BTreeMap, HashMap};

/// Codes that a stream's window holds.
pub const WINDOW: usize = 8;

/// A code that entered the window of its stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observed {
    /// The stream.
    pub stream: u64,
    /// The code exactly as used.
    pub code: Code,
}

/// Windows of the last [`WINDOW`] codes of each of the streams that were seen last.
///
/// The same codes in the same order leave the same windows; what was added can be taken back, the last first.
///
/// ```
/// use cortica_cortex::{Observed, WINDOW, Windows};
///
/// let mut windows = Windows::default();
/// for at in 0..10 {
///     windows.observe(&Observed { stream: 7, code: [at as f32; 64] });
/// }
/// assert_eq!(windows.window(7).len(), WINDOW);
/// assert_eq!(windows.window(7)[0], [2.0; 64]);
/// let undo = windows.observe(&Observed { stream: 7, code: [10.0; 64] });
/// windows.take_back(undo);
/// assert_eq!(windows.window(7)[7], [9.0; 64]);
/// ```
#[derive(Clone, Debug)]
pub struct Windows {
    streams: HashMap<u64, Stream>,
    /// By when each was last seen.
    order: BTreeMap<u64, u64>,
    /// When that will be next.
    next: u64,
    streams_max: usize,
}

#[derive(Clone, Debug)]
struct Stream {
    seen: u64,
    /// The last ones, oldest first.
    codes: Vec<Code>,
}

/// How one code is taken back.
#[derive(Debug)]
#[must_use = "what was observed can be taken back with this alone"]
pub struct TakeBack {
    stream: u64,
    /// When the stream was seen before, if it was there, and the code that left its window.
    before: Option<u64>,
    left: Option<Code>,
    dropped: Option<(u64, Stream)>,
}

impl Default for Windows {
    fn default() -> Windows {
        Windows::new(Windows::STREAMS_MAX)
    }
}

impl Windows {
    /// The most streams by default.
    pub const STREAMS_MAX: usize = 4_096;

    /// Of so many streams at most, one at least; of more, those that were not seen for longest are dropped.
    #[must_use]
    pub fn new(streams_max: usize) -> Windows {
        Windows {
            streams: HashMap::new(),
            order: BTreeMap::new(),
            next: 0,
            streams_max: streams_max.max(1),
        }
    }

    /// The last codes of a stream, oldest first; none of one that is not known.
    #[must_use]
    pub fn window(&self, stream: u64) -> &[Code] {
        let stream = self.streams.get(&stream);
        stream.map_or(&[], |stream| &stream.codes)
    }

    /// How many streams are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether no stream is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Adds a code to its stream's window. O(log streams).
    pub fn observe(&mut self, observed: &Observed) -> TakeBack {
        let Observed { stream, code } = *observed;
        let now = self.next;
        self.next += 1;
        let mut take_back = TakeBack {
            stream,
            before: None,
            left: None,
            dropped: None,
        };
        if let Some(known) = self.streams.get_mut(&stream) {
            take_back.before = Some(known.seen);
            self.order.remove(&known.seen);
            known.seen = now;
            if known.codes.len() == WINDOW {
                take_back.left = Some(known.codes.remove(0));
            }
            known.codes.push(code);
        } else {
            if self.streams.len() == self.streams_max
                && let Some((_, oldest)) = self.order.pop_first()
                && let Some(gone) = self.streams.remove(&oldest)
            {
                take_back.dropped = Some((oldest, gone));
            }
            let mut codes = Vec::with_capacity(WINDOW);
            codes.push(code);
            self.streams.insert(stream, Stream { seen: now, codes });
        }
        self.order.insert(now, stream);
        take_back
    }

    /// Takes back what was observed last, of what was not taken back yet.
    pub fn take_back(&mut self, take_back: TakeBack) {
        let TakeBack {
            stream,
            before,
            left,
            dropped,
        } = take_back;
        let Some(known) = self.streams.get_mut(&stream) else {
            return;
        };
        self.order.remove(&known.seen);
        self.next = known.seen;
        known.codes.pop();
        match before {
            Some(before) => {
                known.seen = before;
                if let Some(left) = left {
                    known.codes.insert(0, left);
                }
                self.order.insert(before, stream);
            }
            None => {
                self.streams.remove(&stream);
            }
        }
        if let Some((stream, gone)) = dropped {
            self.order.insert(gone.seen, stream);
            self.streams.insert(stream, gone);
        }
    }

    /// All windows, the stream that was not seen for longest first.
    #[must_use]
    pub fn all(&self) -> Vec<(u64, Vec<Code>)> {
        let streams = self.order.values();
        streams
            .map(|&stream| (stream, self.window(stream).to_vec()))
            .collect()
    }

    /// Puts windows back as [`all`](Windows::all) gave them, in the place of all that is there.
    pub fn restore<'a>(&mut self, all: impl IntoIterator<Item = (u64, &'a [Code])>) {
        self.streams.clear();
        self.order.clear();
        for (stream, codes) in all {
            for code in codes {
                let code = *code;
                let _ = self.observe(&Observed { stream, code });
            }
        }
    }

    /// Bytes of codes that are held.
    #[must_use]
    pub fn code_bytes(&self) -> usize {
        self.streams.len() * WINDOW * CODE_DIMENSION * size_of::<f32>()
    }
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used, reason = "a panic is how a test reports")]
mod tests {
    use super::*;
    use cortica_env::Seed;

    fn state(windows: &Windows) -> (Vec<(u64, Vec<Code>)>, u64) {
        (windows.all(), windows.next)
    }

    #[test]
    fn what_is_taken_back_leaves_nothing() {
        let mut rng = Seed(5).rng();
        let mut windows = Windows::new(6);
        let mut done = Vec::new();
        for step in 0..2_000_u32 {
            if rng.below(3) == 0 && !done.is_empty() {
                let (before, take_back) = done.pop().unwrap();
                windows.take_back(take_back);
                assert_eq!(state(&windows), before, "{step}");
            } else {
                let stream = rng.below(9);
                let before = state(&windows);
                let code = [step as f32; CODE_DIMENSION];
                let take_back = windows.observe(&Observed { stream, code });
                assert_eq!(windows.window(stream).last(), Some(&code));
                done.push((before, take_back));
            }
            assert!(windows.len() <= 6 && windows.order.len() == windows.len());
        }
    }

    #[test]
    fn windows_are_put_back_in_their_order() {
        let mut rng = Seed(6).rng();
        let mut windows = Windows::new(5);
        for step in 0..100_u32 {
            let (stream, code) = (rng.below(12), [step as f32; CODE_DIMENSION]);
            let _ = windows.observe(&Observed { stream, code });
        }
        let mut other = Windows::new(5);
        let all = windows.all();
        other.restore(all.iter().map(|(stream, codes)| (*stream, &codes[..])));
        assert_eq!(other.all(), all);
        // And they go on alike.
        for stream in [20, 3, 21, 22] {
            let observed = Observed {
                stream,
                code: [0.5; CODE_DIMENSION],
            };
            let _ = windows.observe(&observed);
            let _ = other.observe(&observed);
        }
        assert_eq!(other.all(), windows.all());
    }
}
