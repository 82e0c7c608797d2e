//! What the figures were measured on, and the clock for processor time.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// The machine line that goes with every figure.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// The processor's own name for itself, where the system tells it.
    pub(crate) cpu: Option<String>,
    pub(crate) cores: Option<usize>,
    pub(crate) isa: String,
    pub(crate) os: &'static str,
    pub(crate) arch: &'static str,
    pub(crate) version: &'static str,
}

impl Machine {
    pub(crate) fn here(isa: cortica::Isa) -> Self {
        Self {
            cpu: cpu_model(),
            cores: std::thread::available_parallelism().ok().map(usize::from),
            isa: isa.to_string(),
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.cpu.as_deref().unwrap_or("unknown processor"))?;
        if let Some(cores) = self.cores {
            write!(f, ", {cores} cores")?;
        }
        write!(f, ", {} kernels, {} {}", self.isa, self.os, self.arch)
    }
}

fn cpu_model() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Processor time that all threads of this process have used. Counting every thread keeps a
/// recall that spreads its work from looking cheaper than it is.
pub(crate) fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
