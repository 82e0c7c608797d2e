//! What an acknowledgement promises.

use std::fmt;
use std::str::FromStr;

/// What a write survives once it was acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// Nothing: it may still lie in this process's memory.
    None,
    /// The end of this process: the operating system has it. Not a power cut.
    Buffered,
    /// A power cut: the disk said it has it.
    #[default]
    Durable,
}

impl Durability {
    const ALL: [Durability; 3] = [Durability::None, Durability::Buffered, Durability::Durable];

    fn name(self) -> &'static str {
        match self {
            Durability::None => "none",
            Durability::Buffered => "buffered",
            Durability::Durable => "durable",
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name is none of a [`Durability`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no durability is called {0:?}; use none, buffered or durable")]
pub struct ParseDurabilityError(String);

impl FromStr for Durability {
    type Err = ParseDurabilityError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let named = Durability::ALL
            .into_iter()
            .find(|durability| durability.name() == name);
        named.ok_or_else(|| ParseDurabilityError(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_promises_are_ordered() {
        for durability in Durability::ALL {
            assert_eq!(durability.to_string().parse(), Ok(durability));
        }
        assert!("fsync".parse::<Durability>().is_err());
        assert!(Durability::None < Durability::Buffered);
        assert!(Durability::Buffered < Durability::Durable);
    }
}
