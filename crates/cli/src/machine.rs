//! What the figures were measured on, and the clock for processor time.

use std::time::Duration;

use cortica::Isa;

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::advice::Usage;

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
    pub(crate) fn here(isa: Isa) -> Self {
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

/// The name, and the numbers that tell processors of one name apart where there are some.
fn cpu_model() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let field = |wanted: &str| {
        let fields = info.lines().filter_map(|line| line.split_once(':'));
        let mut found = fields.filter(|(name, _)| name.trim() == wanted);
        found.next().map(|(_, value)| value.trim())
    };
    let name = field("model name")?;
    let numbers = ["cpu family", "model", "stepping"].map(field);
    let [Some(family), Some(model), Some(stepping)] = numbers else {
        return Some(name.to_owned());
    };
    Some(format!("{name} ({family}/{model}/{stepping})"))
}

/// Processor time that all threads of this process have used. Counting every thread keeps a
/// recall that spreads its work from looking cheaper than it is.
pub(crate) fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Refuses kernels that the environment asks for and this machine cannot run. The library takes
/// the best it has instead, and figures would then be credited to the wrong ones.
pub(crate) fn check_isa() -> anyhow::Result<()> {
    Isa::forced().map_or_else(|why| Err(Usage(why.to_string()).into()), |_| Ok(()))
}
