//! Which crate may see which: the outer bound that `docs/architecture.md` must keep within.
//!
//! It names crates that do not exist yet, so that a new one is born with its edges decided.

/// What a crate may depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sees {
    /// Only these, by short name.
    Only(&'static [&'static str]),
    /// Every crate of a lower layer.
    Below,
    /// Every crate: gates, automation and training sit above all of it.
    Anything,
}

/// Short name, layer, what it sees. The layer orders crates for [`Sees::Below`].
const TABLE: &[(&str, u8, Sees)] = &[
    ("env", 0, Sees::Only(&[])),
    ("reclaim", 0, Sees::Only(&[])),
    ("queue", 0, Sees::Only(&["reclaim"])),
    ("simd", 0, Sees::Only(&[])),
    ("arena", 0, Sees::Only(&["reclaim", "simd"])),
    ("formats", 0, Sees::Only(&[])),
    ("neural", 1, Sees::Only(&["simd", "formats"])),
    ("cortex", 1, Sees::Only(&["env", "simd", "arena"])),
    ("index", 1, Sees::Only(&["env", "reclaim", "simd", "arena"])),
    ("graph", 1, Sees::Only(&["env", "arena"])),
    ("storage", 1, Sees::Only(&["env"])),
    (
        "memory",
        2,
        Sees::Only(&[
            "env", "queue", "simd", "arena", "index", "graph", "storage", "cortex",
        ]),
    ),
    (
        "pipeline",
        2,
        Sees::Only(&["env", "simd", "arena", "queue", "neural", "cortex"]),
    ),
    (
        "batch",
        3,
        Sees::Only(&["env", "arena", "simd", "queue", "cortex", "memory"]),
    ),
    ("cortica", 4, Sees::Below),
    ("cli", 5, Sees::Only(&["cortica", "formats"])),
    ("testkit", 6, Sees::Only(&[])),
    ("train", 6, Sees::Anything),
    ("benches", 6, Sees::Anything),
    ("xtask", 6, Sees::Anything),
];

/// Crates that a crate's tests see beside those it may see itself: a batch is held to what stores that give columns
/// answer one by one.
pub(crate) const TESTS_SEE: &[(&str, &str)] = &[("batch", "neural"), ("batch", "pipeline")];

/// `cortica-env` is called `env` in the tables; the facade keeps its name.
pub(crate) fn short_name(package: &str) -> &str {
    package.strip_prefix("cortica-").unwrap_or(package)
}

/// Whether the crate `from` may depend on the crate `to`; `None` if `from` is not planned.
pub(crate) fn may_see(from: &str, to: &str) -> Option<bool> {
    let layer_of = |name: &str| TABLE.iter().find(|row| row.0 == name).map(|row| row.1);
    let (_, layer, sees) = TABLE.iter().find(|row| row.0 == from)?;
    Some(match sees {
        Sees::Only(names) => names.contains(&to),
        Sees::Below => layer_of(to).is_some_and(|below| below < *layer),
        Sees::Anything => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(from: &str, to: &str, want: Option<bool>) {
        assert_eq!(may_see(from, to), want, "{from} -> {to}");
    }

    #[test]
    fn edges_are_allowed_one_way() {
        check("memory", "index", Some(true));
        check("index", "memory", Some(false));
        check("cli", "memory", Some(false));
        check("testkit", "env", Some(false));
    }

    #[test]
    fn facade_sees_what_lies_below_it() {
        check("cortica", "env", Some(true));
        check("cortica", "batch", Some(true));
        check("cortica", "cli", Some(false));
        check("cortica", "testkit", Some(false));
    }

    #[test]
    fn unplanned_crates_are_unknown() {
        check("common", "env", None);
    }

    #[test]
    fn every_crate_named_is_planned() {
        for (from, _, sees) in TABLE {
            if let Sees::Only(names) = sees {
                for name in *names {
                    assert!(may_see(name, "env").is_some(), "{from} -> {name}");
                }
            }
        }
    }
}
