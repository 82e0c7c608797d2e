//! What a gate measures: set up once, run by `perf-check` and by criterion alike.

use std::fmt;
use std::path::PathBuf;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::gate::{Clock, Kind};
use crate::stopwatch::Stopwatch;

/// How a run of the gates is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Smaller sizes and fewer samples, for every commit.
    pub quick: bool,
    /// A folder of data in the layout of the bundled one, or none.
    pub data: Option<PathBuf>,
    /// A folder on a real disk, for what writes files; removed afterwards.
    pub scratch: PathBuf,
    /// Whether answers and counts are to come out wrong on purpose.
    pub corrupt: bool,
}

/// One way of doing the work. It times its measured sections on the watch it is handed.
pub type Run = Box<dyn FnMut(&mut Stopwatch) -> Result<()>>;

/// The error of a subject whose peer is here, but not in the form that the bar is about: its gate
/// is skipped.
#[derive(Debug)]
pub(crate) struct NoPeer(pub(crate) String);

impl fmt::Display for NoPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "skipped: {}", self.0)
    }
}

impl std::error::Error for NoPeer {}

/// The subject of a ratio and its baseline. One run of each does the same amount of work.
pub struct Pair {
    /// Compares answers before anything is timed.
    pub check: Box<dyn FnMut() -> Result<()>>,
    /// What is held to the bar.
    pub subject: Run,
    /// What it is compared with.
    pub baseline: Run,
}

/// A ratio whose bar may be more than a processor can do.
pub struct Limited {
    /// The subject and its baseline.
    pub pair: Pair,
    /// The least that any code has to do for the same work, and nothing else: to read the same
    /// bytes from where they lie, or to run the same arithmetic. Only run where the bar is missed.
    pub roof: Run,
    /// The share of that limit which the subject must reach where the bar is beyond it.
    pub share: f64,
}

/// The subject of a scaling gate.
pub struct Scaled {
    /// How many threads the gate is about.
    pub threads: usize,
    /// Compares answers before anything is timed.
    pub check: Box<dyn FnMut() -> Result<()>>,
    /// What is done.
    pub work: Work,
}

/// Work that divides itself among so many threads.
pub type Divided = Box<dyn Fn(usize, &mut Stopwatch) -> Result<()>>;

/// The work of a scaling gate.
pub enum Work {
    /// One share, the same for every thread; its argument numbers the thread.
    Share(Box<dyn Fn(usize) -> Result<()> + Send + Sync>),
    /// As many shares as its argument says, by as many threads of its own. It times its measured sections itself.
    Divided(Divided),
}

impl Work {
    /// How long `threads` threads take for as many shares, so many times. As for [`in_parallel`], a `brake` above 1
    /// makes that last so many times as long.
    pub fn elapsed(&self, threads: usize, repeats: u64, brake: f64) -> Result<Duration> {
        match self {
            Work::Share(share) => in_parallel(threads, brake, |thread| {
                (0..repeats).try_for_each(|_| share(thread))
            }),
            Work::Divided(work) => {
                let mut watch = Stopwatch::new(Clock::Wall, brake);
                (0..repeats).try_for_each(|_| work(threads, &mut watch))?;
                Ok(watch.total())
            }
        }
    }
}

/// What is registered under a gate's name.
#[derive(Clone, Copy)]
pub enum Subject {
    /// Gives the share of right answers.
    Answer(fn(&Setup) -> Result<f64>),
    /// Gives the number of events.
    Count(fn(&Setup) -> Result<f64>),
    /// Gives two ways to do the same work.
    Ratio(fn(&Setup) -> Result<Pair>),
    /// Gives two ways to do the same work, and what the processor needs for it at least.
    Limited(fn(&Setup) -> Result<Limited>),
    /// Gives work for several threads.
    Scaling(fn(&Setup) -> Result<Scaled>),
}

impl Subject {
    /// The kind of gate it is for.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Subject::Answer(_) => Kind::Answer,
            Subject::Count(_) => Kind::Count,
            Subject::Ratio(_) | Subject::Limited(_) => Kind::Ratio,
            Subject::Scaling(_) => Kind::Scaling,
        }
    }
}

/// Runs `work` on `threads` threads that start together; gives the elapsed time from the first
/// start to the last end. A `brake` above 1 makes each thread's part last that many times as long.
pub fn in_parallel(
    threads: usize,
    brake: f64,
    work: impl Fn(usize) -> Result<()> + Sync,
) -> Result<Duration> {
    let barrier = Barrier::new(threads);
    let (barrier, work) = (&barrier, &work);
    let parts: Vec<Result<(Instant, Instant)>> = std::thread::scope(|scope| {
        let spawned: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || {
                    let mut watch = Stopwatch::new(Clock::Wall, brake);
                    barrier.wait();
                    let start = Instant::now();
                    watch.time(|| work(thread))?;
                    Ok((start, Instant::now()))
                })
            })
            .collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread
                .join()
                .unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked")))
        };
        spawned.into_iter().map(join).collect()
    });
    let parts: Vec<(Instant, Instant)> = parts.into_iter().collect::<Result<_>>()?;
    let start = parts.iter().map(|part| part.0).min();
    let end = parts.iter().map(|part| part.1).max();
    ensure!(!parts.is_empty(), "work on no thread takes no time");
    Ok(end
        .zip(start)
        .map_or(Duration::ZERO, |(end, start)| end - start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    #[test]
    fn every_thread_does_its_share() {
        let seen = AtomicUsize::new(0);
        let pause = Duration::from_millis(5);
        let took = in_parallel(3, 1.0, |thread| {
            seen.fetch_add(1 << (8 * thread), Relaxed);
            std::thread::sleep(pause);
            Ok(())
        });
        assert!(took.unwrap() >= pause);
        assert_eq!(seen.load(Relaxed), 0x01_01_01);
    }

    #[test]
    fn errors_and_panics_come_back() {
        assert!(
            in_parallel(2, 1.0, |thread| {
                ensure!(thread == 0);
                Ok(())
            })
            .is_err()
        );
        assert!(in_parallel(2, 1.0, |_| panic!("on purpose")).is_err());
        assert!(in_parallel(0, 1.0, |_| Ok(())).is_err());
    }

    #[test]
    fn the_brake_holds_every_thread() {
        let pause = Duration::from_millis(5);
        let took = in_parallel(2, 3.0, |_| {
            std::thread::sleep(pause);
            Ok(())
        });
        assert!(took.unwrap() >= pause * 3);
    }
}
