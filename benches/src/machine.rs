//! Where figures were measured: without it they mean nothing.

use std::fmt;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// What decides how fast things are, and which code was measured.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Processors this process may use.
    pub cores: usize,
    /// The instruction set in use.
    pub isa: String,
    /// Operating system and architecture.
    pub os: String,
    /// The commit that was built, `+` after it when files differed from it then.
    pub commit: String,
}

impl Machine {
    /// This machine, and this build; what cannot be found out is `unknown`.
    #[must_use]
    pub fn here() -> Machine {
        Machine {
            cpu: cpu_name().unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            isa: cortica_simd::Isa::best().to_string(),
            os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            commit: env!("CORTICA_COMMIT").to_owned(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine {
            cpu,
            cores,
            isa,
            os,
            commit,
        } = self;
        write!(f, "{cpu}, {cores} cores, {isa}, {os}, commit {commit}")
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn cpu_name() -> Option<String> {
    if cfg!(target_os = "macos") {
        return output(Command::new("sysctl").args(["-n", "machdep.cpu.brand_string"]));
    }
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    cpu_name_in(&text)
}

/// The name in the words of Linux, which differ between architectures. Vendors give many parts
/// the same name, so family, model and stepping are added where there are any.
fn cpu_name_in(cpuinfo: &str) -> Option<String> {
    let field = |wanted: &str| {
        let fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        let mut found = fields.filter(|(name, _)| name.trim() == wanted);
        found.next().map(|(_, value)| value.trim().to_owned())
    };
    if let Some(part) = field("CPU part") {
        return Some(format!("Arm {} {part}", field("CPU implementer")?));
    }
    let name = field("model name")?;
    match (field("cpu family"), field("model"), field("stepping")) {
        (Some(family), Some(model), Some(stepping)) => {
            Some(format!("{name} ({family}/{model}/{stepping})"))
        }
        _ => Some(name),
    }
}

/// What a command prints; nothing counts as none.
fn output(command: &mut Command) -> Option<String> {
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_parts_apart() {
        let intel = "cpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Xeon\nstepping\t: 8\n";
        assert_eq!(cpu_name_in(intel).as_deref(), Some("Xeon (6/143/8)"));
        let arm = "CPU implementer\t: 0x41\nCPU part\t: 0xd0c\n";
        assert_eq!(cpu_name_in(arm).as_deref(), Some("Arm 0x41 0xd0c"));
        assert_eq!(cpu_name_in("model name : Other"), Some("Other".to_owned()));
        assert_eq!(cpu_name_in(""), None);
    }

    #[test]
    fn the_commit_is_that_of_the_build() {
        let commit = Machine::here().commit;
        let name = commit.strip_suffix('+').unwrap_or(&commit);
        let hexadecimal = name.len() == 12 && name.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(hexadecimal || name == "unknown", "{commit}");
    }
}
