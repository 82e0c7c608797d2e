//! Measured sections, and the brake that `--self-test` puts on them.

use std::hint::{black_box, spin_loop};
use std::time::{Duration, Instant};

use crate::gate::Clock;

/// Adds up the time of the sections it is given; what lies between them is free.
#[derive(Debug)]
pub struct Stopwatch {
    clock: Clock,
    brake: f64,
    total: Duration,
}

impl Stopwatch {
    /// A watch that reads `clock`. A `brake` above 1 makes every section last that many times
    /// as long, by really burning the time inside it; 1 leaves it alone.
    #[must_use]
    pub fn new(clock: Clock, brake: f64) -> Stopwatch {
        Stopwatch {
            clock,
            brake,
            total: Duration::ZERO,
        }
    }

    /// Measures one section. Its result passes through a black box: it cannot be optimised away.
    pub fn time<T>(&mut self, section: impl FnOnce() -> T) -> T {
        let start = now(self.clock);
        let result = black_box(section());
        let mut end = now(self.clock);
        if self.brake > 1.0 {
            let until = start + end.saturating_sub(start).mul_f64(self.brake);
            while end < until {
                spin_loop();
                end = now(self.clock);
            }
        }
        self.total += end.saturating_sub(start);
        result
    }

    /// Adds what was measured by other means. The brake applies to it as to a section.
    pub fn add(&mut self, measured: Duration) {
        self.total += measured.mul_f64(self.brake);
    }

    /// The time of all sections so far.
    pub fn total(&self) -> Duration {
        self.total
    }
}

/// A reading of `clock`; only differences between readings on one thread mean anything.
fn now(clock: Clock) -> Duration {
    match clock {
        Clock::Cpu => thread_cpu_time(),
        Clock::Wall => wall_time(),
    }
}

fn wall_time() -> Duration {
    use std::sync::OnceLock;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

#[cfg(unix)]
fn thread_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    // The processor time of a thread is never negative.
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Where the system has no such clock in reach, elapsed time stands in; the figures are noisier.
#[cfg(not(unix))]
fn thread_cpu_time() -> Duration {
    wall_time()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy() -> u64 {
        (0..2_000_000_u64).fold(1, |sum, i| black_box(sum.wrapping_mul(31) ^ i))
    }

    #[test]
    fn sections_add_up_and_the_rest_is_free() {
        for clock in [Clock::Cpu, Clock::Wall] {
            let mut watch = Stopwatch::new(clock, 1.0);
            watch.time(busy);
            let one = watch.total();
            busy();
            assert_eq!(watch.total(), one);
            watch.time(busy);
            assert!(watch.total() > one);
        }
    }

    #[test]
    fn sleeping_costs_no_processor_time() {
        let pause = Duration::from_millis(30);
        let mut cpu = Stopwatch::new(Clock::Cpu, 1.0);
        let mut wall = Stopwatch::new(Clock::Wall, 1.0);
        wall.time(|| cpu.time(|| std::thread::sleep(pause)));
        assert!(wall.total() >= pause);
        assert!(!cfg!(unix) || cpu.total() < pause);
    }

    /// Each section is stretched by the brake itself, so no two runs need to be compared.
    #[test]
    fn the_brake_stretches_a_section() {
        for clock in [Clock::Cpu, Clock::Wall] {
            let mut watch = Stopwatch::new(clock, 3.0);
            let inside = watch.time(|| {
                let start = now(clock);
                busy();
                now(clock).saturating_sub(start)
            });
            assert!(watch.total() >= inside.mul_f64(2.9), "{:?}", watch.total());
        }
    }
}
