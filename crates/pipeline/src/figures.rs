//! What a pipeline has done, and how long it took.

use crate::sync::lock;
use crate::ticket::Answer;
use cortica_cortex::{AllocateError, Allocation};
use hdrhistogram::Histogram;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Nanoseconds that are counted as they are, to one part in a thousand; what takes longer counts as an hour.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// Times of many requests, nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Percentiles {
    /// How many.
    pub count: u64,
    /// The median.
    pub p50: u64,
    /// Nine of ten take no longer.
    pub p90: u64,
    /// 99 of 100 take no longer.
    pub p99: u64,
    /// 999 of 1,000 take no longer.
    pub p999: u64,
    /// The longest.
    pub max: u64,
}

impl Percentiles {
    /// In one pass: submitters wait meanwhile.
    fn of(times: &Histogram<u64>) -> Percentiles {
        let count = times.len();
        let reached =
            [0.5, 0.9, 0.99, 0.999].map(|share| ((count as f64 * share).ceil() as u64).max(1));
        let mut at = [0; 4];
        let (mut seen, mut next) = (0, 0);
        for bar in times.iter_recorded() {
            seen += bar.count_since_last_iteration();
            while next < reached.len() && seen >= reached[next] {
                at[next] = bar.value_iterated_to();
                next += 1;
            }
        }
        let [p50, p90, p99, p999] = at;
        Percentiles {
            count,
            p50,
            p90,
            p99,
            p999,
            max: times.max(),
        }
    }
}

/// Counts since the pipeline was made or they were reset: `attempted = allocated + duplicates + none + failed`, exactly,
/// and `attempted <= submitted` where nobody has reset them; `submitted = attempted + queued + running` while nobody is at
/// work.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct PipelineStats {
    /// Requests that were taken in.
    pub submitted: u64,
    /// Requests that were handed back: the queue was full, the pipeline stopped, or they are none.
    pub refused: u64,
    /// Requests that were answered.
    pub attempted: u64,
    /// Of these, those that were given a column.
    pub allocated: u64,
    /// Those that were there already.
    pub duplicates: u64,
    /// Those for which no column was free.
    pub none: u64,
    /// Those that ended in an error.
    pub failed: u64,
    /// Of the failed, those that were cancelled.
    pub cancelled: u64,
    /// Those that were not done before their deadline.
    pub late: u64,
    /// Those that were left when the pipeline stopped.
    pub stopped: u64,
    /// Those that a panic ended.
    pub panicked: u64,
    /// Requests that wait now.
    pub queued: usize,
    /// The most that waited, each request that came in counted; where they are decided as they come, workers may
    /// have taken some of them before it was counted.
    pub queue_peak: usize,
    /// From submission to the first work on it.
    pub queue: Percentiles,
    /// Time of workers that went into it.
    pub service: Percentiles,
    /// From submission to the answer.
    pub total: Percentiles,
    /// Busy time of all workers over the time they were there, in \[0, 1\].
    pub utilisation: f64,
}

/// Shared by all who submit and work.
#[derive(Debug)]
pub(crate) struct Totals {
    counts: Mutex<Counts>,
}

#[derive(Debug)]
struct Counts {
    stats: PipelineStats,
    times: [Histogram<u64>; 3],
    busy: Duration,
    /// Time that workers were there, up to when the last of them changed.
    there: Duration,
    workers: u32,
    since: Instant,
}

impl Counts {
    fn new(times: [Histogram<u64>; 3]) -> Counts {
        Counts {
            stats: PipelineStats::default(),
            times,
            busy: Duration::ZERO,
            there: Duration::ZERO,
            workers: 0,
            since: Instant::now(),
        }
    }

    fn advance(&mut self) {
        let now = Instant::now();
        self.there += (now - self.since) * self.workers;
        self.since = now;
    }
}

impl Totals {
    /// The error never: the bounds are good.
    pub(crate) fn new() -> Result<Totals, hdrhistogram::CreationError> {
        let times = || Histogram::new_with_bounds(1, LONGEST_NS, 3);
        Ok(Totals {
            counts: Mutex::new(Counts::new([times()?, times()?, times()?])),
        })
    }

    pub(crate) fn submitted(&self) {
        lock(&self.counts).stats.submitted += 1;
    }

    /// So many wait, with one that came in.
    pub(crate) fn queued(&self, queued: usize) {
        let mut counts = lock(&self.counts);
        counts.stats.queue_peak = counts.stats.queue_peak.max(queued);
    }

    pub(crate) fn refused(&self) {
        lock(&self.counts).stats.refused += 1;
    }

    pub(crate) fn panicked(&self) {
        lock(&self.counts).stats.panicked += 1;
    }

    pub(crate) fn worker(&self, came: bool) {
        let mut counts = lock(&self.counts);
        counts.advance();
        counts.workers = if came {
            counts.workers + 1
        } else {
            counts.workers.saturating_sub(1)
        };
    }

    pub(crate) fn answered(
        &self,
        answer: &Answer,
        queued: Option<Duration>,
        busy: Duration,
        total: Duration,
    ) {
        let nanos = |time: Duration| (time.as_nanos() as u64).clamp(1, LONGEST_NS);
        let mut counts = lock(&self.counts);
        let stats = &mut counts.stats;
        stats.attempted += 1;
        match answer {
            Ok(Allocation::Allocated { .. }) => stats.allocated += 1,
            Ok(Allocation::Duplicate { .. }) => stats.duplicates += 1,
            Ok(_) => stats.none += 1,
            Err(error) => {
                stats.failed += 1;
                match error {
                    AllocateError::Cancelled => stats.cancelled += 1,
                    AllocateError::Deadline => stats.late += 1,
                    AllocateError::Stopped => stats.stopped += 1,
                    _ => {}
                }
            }
        }
        counts.busy += busy;
        let [queue, service, all] = &mut counts.times;
        if let Some(queued) = queued {
            queue.saturating_record(nanos(queued));
            service.saturating_record(nanos(busy));
        }
        all.saturating_record(nanos(total));
    }

    pub(crate) fn read(&self, queued: usize) -> PipelineStats {
        let mut counts = lock(&self.counts);
        counts.advance();
        let there = counts.there.as_secs_f64();
        let utilisation = if there > 0.0 {
            (counts.busy.as_secs_f64() / there).min(1.0)
        } else {
            0.0
        };
        let [queue, service, total] = counts.times.each_ref().map(Percentiles::of);
        PipelineStats {
            queued,
            queue,
            service,
            total,
            utilisation,
            ..counts.stats
        }
    }

    pub(crate) fn reset(&self) {
        let mut counts = lock(&self.counts);
        counts.advance();
        counts.stats = PipelineStats::default();
        counts.times.iter_mut().for_each(Histogram::reset);
        (counts.busy, counts.there) = (Duration::ZERO, Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cortica_testkit::Rng;

    #[test]
    fn one_pass_finds_the_percentiles_of_the_histogram() {
        let mut random = Rng::new(5);
        for count in [0, 1, 2, 3, 10, 999, 1_000, 1_001, 20_000] {
            let mut times = Histogram::new_with_bounds(1, LONGEST_NS, 3).unwrap();
            for _ in 0..count {
                let magnitude = random.below(40);
                times.saturating_record(1 + random.below(1 << magnitude) as u64);
            }
            let got = Percentiles::of(&times);
            let want = [0.5, 0.9, 0.99, 0.999].map(|share| times.value_at_quantile(share));
            assert_eq!([got.p50, got.p90, got.p99, got.p999], want, "{count}");
            assert_eq!((got.count, got.max), (times.len(), times.max()));
        }
    }
}
