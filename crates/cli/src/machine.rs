//! What the figures were measured on, and the clock for processor time.

use std::ffi::OsStr;
use std::time::Duration;

use cortica::Isa;

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::advice::Usage;

/// The environment variable that chooses the kernels.
const ISA_VARIABLE: &str = "CORTICA_ISA";

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
    let asked = std::env::var_os(ISA_VARIABLE).unwrap_or_default();
    refusal(&asked).map_or(Ok(()), |why| Err(Usage(why).into()))
}

/// An empty value counts as none.
fn refusal(asked: &OsStr) -> Option<String> {
    let named = asked.to_str().and_then(|name| name.parse::<Isa>().ok());
    if asked.is_empty() || named.is_some_and(Isa::is_available) {
        return None;
    }
    let available: Vec<String> = Isa::available().map(|isa| isa.to_string()).collect();
    let lacking = match named {
        Some(_) => "which this machine cannot run",
        None => "which is no instruction set",
    };
    Some(format!(
        "{ISA_VARIABLE} is `{}`, {lacking}; available here: {}",
        asked.display(),
        available.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_refused_by_name() {
        for isa in Isa::ALL {
            let refusal = refusal(OsStr::new(&isa.to_string()));
            assert_eq!(refusal.is_none(), isa.is_available(), "{refusal:?}");
            if let Some(why) = refusal {
                assert!(why.contains("cannot run"), "{why}");
            }
        }
        assert_eq!(refusal(OsStr::new("")), None);
        let why = refusal(OsStr::new("axv2")).unwrap();
        for word in ["CORTICA_ISA", "`axv2`", "no instruction set", "scalar"] {
            assert!(why.contains(word), "{why}");
        }
    }
}
