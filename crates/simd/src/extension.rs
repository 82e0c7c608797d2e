//! Instructions that not every processor of an [`Isa`] has.

use crate::isa::{Isa, warn};
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

/// Instructions beyond an [`Isa`], each of which a processor may have or lack on its own. The
/// kernels that profit look once per batch call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Extension {
    /// Sums of four i8 products: AVX-512 VNNI, AVX-VNNI beside AVX2, the dot product of NEON.
    Vnni,
    /// Counting the set bits of each 64-bit lane: AVX-512 VPOPCNTDQ.
    Vpopcntdq,
    /// Converting between f16 and f32: F16C beside AVX2. AVX-512 and NEON have it built in.
    F16c,
}

impl Extension {
    /// Every variant.
    pub const ALL: [Extension; 3] = [Extension::Vnni, Extension::Vpopcntdq, Extension::F16c];

    fn name(self) -> &'static str {
        match self {
            Extension::Vnni => "vnni",
            Extension::Vpopcntdq => "vpopcntdq",
            Extension::F16c => "f16c",
        }
    }
}

impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name is none of an [`Extension`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no extension is called {0:?}; use vnni, vpopcntdq or f16c")]
pub struct ParseExtensionError(String);

impl FromStr for Extension {
    type Err = ParseExtensionError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let mut named = Extension::ALL.into_iter();
        let named = named.find(|extension| extension.name() == name);
        named.ok_or_else(|| ParseExtensionError(name.to_owned()))
    }
}

impl Isa {
    /// Whether the kernels of this set use the extension: the set has a use for it, this machine
    /// has both, and the environment variable `CORTICA_WITHOUT` (names separated by commas:
    /// `vnni,vpopcntdq,f16c`) does not forbid it. A name in it that is none of these forbids
    /// nothing, and the first call says so on standard error.
    pub fn has(self, extension: Extension) -> bool {
        static FOUND: OnceLock<Vec<(Isa, Extension)>> = OnceLock::new();
        FOUND.get_or_init(find).contains(&(self, extension))
    }
}

fn find() -> Vec<(Isa, Extension)> {
    let value = std::env::var_os("CORTICA_WITHOUT").unwrap_or_default();
    let (forbidden, unknown) = forbidden_by(&value.to_string_lossy());
    for error in unknown {
        warn(format_args!("CORTICA_WITHOUT: {error}"));
    }
    let allowed = |extension: &Extension| !forbidden.contains(extension);
    let pairs = Isa::available().flat_map(|isa| {
        let extensions = Extension::ALL.into_iter().filter(allowed);
        extensions.map(move |extension| (isa, extension))
    });
    pairs
        .filter(|&(isa, extension)| is_detected(isa, extension))
        .collect()
}

/// The extensions of a list, and what in it is none. Empty places count for nothing.
fn forbidden_by(list: &str) -> (Vec<Extension>, Vec<ParseExtensionError>) {
    let names = list.split(',').map(str::trim);
    let (mut forbidden, mut unknown) = (Vec::new(), Vec::new());
    for name in names.filter(|name| !name.is_empty()) {
        match name.parse() {
            Ok(extension) => forbidden.push(extension),
            Err(error) => unknown.push(error),
        }
    }
    (forbidden, unknown)
}

#[cfg(target_arch = "x86_64")]
fn is_detected(isa: Isa, extension: Extension) -> bool {
    match (isa, extension) {
        (Isa::Avx512, Extension::Vnni) => is_x86_feature_detected!("avx512vnni"),
        (Isa::Avx512, Extension::Vpopcntdq) => is_x86_feature_detected!("avx512vpopcntdq"),
        // The 256-bit form of AVX-512 VNNI would not do: whoever asks for AVX2 gets AVX2.
        (Isa::Avx2, Extension::Vnni) => is_x86_feature_detected!("avxvnni"),
        (Isa::Avx2, Extension::F16c) => is_x86_feature_detected!("f16c"),
        _ => false,
    }
}

#[cfg(target_arch = "aarch64")]
fn is_detected(isa: Isa, extension: Extension) -> bool {
    match (isa, extension) {
        (Isa::Neon, Extension::Vnni) => std::arch::is_aarch64_feature_detected!("dotprod"),
        _ => false,
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn is_detected(_: Isa, _: Extension) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for extension in Extension::ALL {
            assert_eq!(extension.to_string().parse(), Ok(extension));
        }
        assert!("sse9".parse::<Extension>().is_err());
    }

    #[test]
    fn a_list_is_told_from_what_is_misspelt_in_it() {
        assert_eq!(forbidden_by(""), (vec![], vec![]));
        let (forbidden, unknown) = forbidden_by(" vnni,,vpopcnt, f16c,");
        assert_eq!(forbidden, [Extension::Vnni, Extension::F16c]);
        assert_eq!(unknown, [ParseExtensionError("vpopcnt".to_owned())]);
    }

    #[test]
    fn the_portable_form_has_no_extensions() {
        for extension in Extension::ALL {
            assert!(!Isa::Scalar.has(extension), "{extension}");
        }
    }
}
