//! Which instructions the kernels use.

use pulp::{Scalar, Simd, WithSimd};
use std::ffi::OsStr;
use std::fmt;
use std::io::Write;
use std::str::FromStr;
use std::sync::OnceLock;

/// The environment variable that forces a set.
const VARIABLE: &str = "CORTICA_ISA";

/// An instruction set that kernels can run on.
///
/// Asking for one the machine lacks is safe: the kernel then runs its portable form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// Portable code, as the compiler vectorises it for the oldest processor of the target.
    Scalar,
    /// x86-64 with AVX2 and FMA (x86-64-v3).
    Avx2,
    /// x86-64 with AVX-512 F, BW, CD, DQ and VL (x86-64-v4).
    Avx512,
    /// 64-bit Arm with NEON.
    Neon,
    /// WebAssembly with 128-bit vectors.
    WasmSimd128,
}

impl Isa {
    /// Every variant, weakest first.
    pub const ALL: [Isa; 5] = [
        Isa::Scalar,
        Isa::WasmSimd128,
        Isa::Neon,
        Isa::Avx2,
        Isa::Avx512,
    ];

    /// The strongest set this machine has, found once. The environment variable `CORTICA_ISA`
    /// (`scalar`, `avx2`, `avx512`, `neon`, `simd128`) overrides it where the machine has what it
    /// names. Where it does not, this says so on standard error, once, and takes the strongest:
    /// a program that would rather refuse asks [`Isa::forced`] first.
    pub fn best() -> Isa {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| {
            let found = Isa::ALL.into_iter().rev().find(|isa| isa.is_available());
            let found = found.unwrap_or(Isa::Scalar);
            match Isa::forced() {
                Ok(forced) => forced.unwrap_or(found),
                Err(error) => {
                    warn(format_args!("{error}; taken is {found}"));
                    found
                }
            }
        })
    }

    /// What the environment variable `CORTICA_ISA` forces; `None` if it is unset or empty. An
    /// error if its value is the name of no set, or of one that this machine cannot run.
    ///
    /// ```
    /// use cortica_simd::Isa;
    ///
    /// // Refuses to start, where `Isa::best` would go on with another set than was asked for.
    /// let isa = Isa::forced()?.unwrap_or_else(Isa::best);
    /// # assert!(isa.is_available());
    /// # Ok::<(), cortica_simd::ForcedIsaError>(())
    /// ```
    pub fn forced() -> Result<Option<Isa>, ForcedIsaError> {
        forced_by(&std::env::var_os(VARIABLE).unwrap_or_default())
    }

    /// The sets this machine has, weakest first; never empty.
    pub fn available() -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_available())
    }

    /// Whether this machine can run it.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => pulp::x86::V3::is_available(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => pulp::x86::V4::is_available(),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => pulp::aarch64::Neon::is_available(),
            #[cfg(target_arch = "wasm32")]
            Isa::WasmSimd128 => pulp::wasm::Simd128::is_available(),
            #[allow(unreachable_patterns, reason = "the sets of other architectures")]
            _ => false,
        }
    }

    /// How many f32 one accumulator holds; the portable form keeps 16 in an array.
    pub(crate) fn lanes(self) -> usize {
        match self {
            Isa::Scalar | Isa::Avx512 => 16,
            Isa::Avx2 => 8,
            Isa::Neon | Isa::WasmSimd128 => 4,
        }
    }

    /// Runs a kernel, compiled for this set.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(crate) fn run<Op: WithSimd>(self, op: Op) -> Op::Output {
        // All that does not end in the call of a wide kernel is in a function of its own, and gets
        // `op` through a closure: so nothing is saved on the stack on the way to the kernel.
        if let Some(machine) = MACHINE.get() {
            if self == Isa::Avx512
                && let Some(simd) = machine.avx512
            {
                return Simd::vectorize(simd, op);
            }
            if self == Isa::Avx2
                && let Some(simd) = machine.avx2
            {
                return Simd::vectorize(simd, op);
            }
        }
        apart(move || self.run_slowly(op))
    }

    /// The first kernel of a process, and those in portable form.
    #[cfg(target_arch = "x86_64")]
    fn run_slowly<Op: WithSimd>(self, op: Op) -> Op::Output {
        let machine = MACHINE.get_or_init(|| Machine {
            avx2: pulp::x86::V3::try_new(),
            avx512: pulp::x86::V4::try_new(),
        });
        match (self, machine.avx2, machine.avx512) {
            (Isa::Avx512, _, Some(simd)) => Simd::vectorize(simd, op),
            (Isa::Avx2, Some(simd), _) => Simd::vectorize(simd, op),
            _ => Scalar.vectorize(op),
        }
    }

    /// Runs a kernel, compiled for this set.
    #[cfg(not(target_arch = "x86_64"))]
    #[inline]
    pub(crate) fn run<Op: WithSimd>(self, op: Op) -> Op::Output {
        match self {
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => {
                if let Some(simd) = pulp::aarch64::Neon::try_new() {
                    return Simd::vectorize(simd, op);
                }
            }
            #[cfg(target_arch = "wasm32")]
            Isa::WasmSimd128 => {
                if let Some(simd) = pulp::wasm::Simd128::try_new() {
                    return Simd::vectorize(simd, op);
                }
            }
            _ => {}
        }
        Scalar.vectorize(op)
    }

    fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Neon => "neon",
            Isa::WasmSimd128 => "simd128",
        }
    }
}

/// What this machine has, once a kernel was run.
#[cfg(target_arch = "x86_64")]
static MACHINE: OnceLock<Machine> = OnceLock::new();

#[cfg(target_arch = "x86_64")]
struct Machine {
    avx2: Option<pulp::x86::V3>,
    avx512: Option<pulp::x86::V4>,
}

#[cfg(target_arch = "x86_64")]
#[inline(never)]
fn apart<R>(work: impl FnOnce() -> R) -> R {
    work()
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name is none of an [`Isa`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no instruction set is called {0:?}; use scalar, avx2, avx512, neon or simd128")]
pub struct ParseIsaError(String);

impl FromStr for Isa {
    type Err = ParseIsaError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let named = Isa::ALL.into_iter().find(|isa| isa.name() == name);
        named.ok_or_else(|| ParseIsaError(name.to_owned()))
    }
}

/// The environment asks for an instruction set that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForcedIsaError {
    /// Misspelt, or not text at all.
    #[error(
        "CORTICA_ISA is `{got}`, which is no instruction set; available here: {}",
        listed()
    )]
    Unknown {
        /// The variable's value.
        got: String,
    },
    /// There is such a set, on other machines.
    #[error(
        "CORTICA_ISA is `{got}`, which this machine cannot run; available here: {}",
        listed()
    )]
    Unavailable {
        /// What was asked for.
        got: Isa,
    },
}

fn listed() -> String {
    let names: Vec<&str> = Isa::available().map(Isa::name).collect();
    names.join(", ")
}

/// An empty value counts as none.
fn forced_by(value: &OsStr) -> Result<Option<Isa>, ForcedIsaError> {
    if value.is_empty() {
        return Ok(None);
    }
    match value.to_str().and_then(|name| name.parse::<Isa>().ok()) {
        Some(isa) if isa.is_available() => Ok(Some(isa)),
        Some(got) => Err(ForcedIsaError::Unavailable { got }),
        None => Err(ForcedIsaError::Unknown {
            got: value.to_string_lossy().into_owned(),
        }),
    }
}

/// A line on standard error; where there is none, nobody wants to know.
pub(crate) fn warn(what: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "cortica-simd: {what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_had_is_told_by_name() {
        assert_eq!(forced_by(OsStr::new("")), Ok(None));
        for isa in Isa::ALL {
            let want = if isa.is_available() {
                Ok(Some(isa))
            } else {
                Err(ForcedIsaError::Unavailable { got: isa })
            };
            assert_eq!(forced_by(OsStr::new(isa.name())), want);
        }
        for name in ["axv2", "AVX2", " avx2", "avx2,scalar"] {
            let error = forced_by(OsStr::new(name)).unwrap_err().to_string();
            let want = format!(
                "CORTICA_ISA is `{name}`, which is no instruction set; available here: scalar"
            );
            assert!(error.starts_with(&want), "{error}");
        }
    }

    #[test]
    fn names_round_trip() {
        for isa in Isa::ALL {
            assert_eq!(isa.to_string().parse(), Ok(isa));
        }
        assert!("sse9".parse::<Isa>().is_err());
    }

    #[test]
    fn scalar_is_always_there_and_the_best_is_available() {
        assert_eq!(Isa::available().next(), Some(Isa::Scalar));
        assert!(Isa::best().is_available());
    }
}
