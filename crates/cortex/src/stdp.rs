//! Connections that learn from the order of spikes.

use crate::grid::ColumnId;
use std::collections::HashMap;

/// Spike-timing-dependent plasticity (Bi & Poo 1998; Song, Miller & Abbott 2000): with `dt` = time of the
/// spike behind the connection less that of the one before it, a weight changes by `A+ exp(-dt / tau+)`
/// where dt > 0, by `-A- exp(dt / tau-)` where dt < 0, and not at all at 0 or beyond the window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StdpParams {
    /// Milliseconds.
    pub tau_plus_ms: f32,
    /// Milliseconds.
    pub tau_minus_ms: f32,
    /// A+, of a weight in \[0, 1\].
    pub gain_plus: f32,
    /// A-, as above.
    pub gain_minus: f32,
    /// Milliseconds apart at most, inclusive.
    pub window_ms: f32,
}

impl Default for StdpParams {
    fn default() -> StdpParams {
        StdpParams {
            tau_plus_ms: 16.8,
            tau_minus_ms: 33.7,
            gain_plus: 0.01,
            gain_minus: 0.008,
            window_ms: 100.0,
        }
    }
}

impl StdpParams {
    /// How a weight changes for two spikes so many milliseconds apart. 0 for what is not a number.
    #[must_use]
    pub fn change(&self, dt_ms: f32) -> f32 {
        if dt_ms.is_nan() || dt_ms.abs() > self.window_ms || dt_ms == 0.0 {
            0.0
        } else if dt_ms > 0.0 {
            self.gain_plus * (-dt_ms / self.tau_plus_ms).exp()
        } else {
            -self.gain_minus * (dt_ms / self.tau_minus_ms).exp()
        }
    }
}

/// A column has as many connections as it may have; what is to be forgotten is the caller's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the column has {most} connections, the most it may have; disconnect one first")]
pub struct ConnectionsFull {
    /// The most.
    pub most: usize,
}

/// Weighted connections from column to column, kept outside of the columns and capped for each.
///
/// ```
/// use cortica_cortex::{ColumnId, Connections, StdpParams};
///
/// let (a, b) = (ColumnId::new(1), ColumnId::new(2));
/// let mut connections = Connections::new(StdpParams::default(), 64);
/// connections.connect(a, b, 0.5)?;
/// connections.spiked(a, b, 10.0); // `b` spiked 10 ms after `a`.
/// assert!(connections.weight(a, b) > Some(0.5));
/// # Ok::<(), cortica_cortex::ConnectionsFull>(())
/// ```
#[derive(Clone, Debug)]
pub struct Connections {
    params: StdpParams,
    most: usize,
    from: HashMap<ColumnId, Vec<(ColumnId, f32)>>,
}

impl Connections {
    /// None yet; of one column at most `most`.
    #[must_use]
    pub fn new(params: StdpParams, most: usize) -> Connections {
        Connections {
            params,
            most,
            from: HashMap::new(),
        }
    }

    /// Connects two columns, or gives a connection another weight. `weight` is cut to \[0, 1\]; what is not
    /// a number counts as 0.
    pub fn connect(
        &mut self,
        from: ColumnId,
        to: ColumnId,
        weight: f32,
    ) -> Result<(), ConnectionsFull> {
        let weight = unit(weight);
        if let Some(known) = self.weight_mut(from, to) {
            *known = weight;
            return Ok(());
        }
        let targets = self.from.entry(from).or_default();
        if targets.len() >= self.most {
            return Err(ConnectionsFull { most: self.most });
        }
        targets.push((to, weight));
        Ok(())
    }

    /// Takes a connection away; whether there was one.
    pub fn disconnect(&mut self, from: ColumnId, to: ColumnId) -> bool {
        let Some(targets) = self.from.get_mut(&from) else {
            return false;
        };
        let before = targets.len();
        targets.retain(|(target, _)| *target != to);
        let gone = targets.len() < before;
        if targets.is_empty() {
            self.from.remove(&from);
        }
        gone
    }

    /// Learns from a pair of spikes, `to`'s so many milliseconds after `from`'s (negative: before). The
    /// weight stays in \[0, 1\]; where there is no connection, nothing happens. Its new weight.
    pub fn spiked(&mut self, from: ColumnId, to: ColumnId, dt_ms: f32) -> Option<f32> {
        let change = self.params.change(dt_ms);
        let weight = self.weight_mut(from, to)?;
        *weight = unit(*weight + change);
        Some(*weight)
    }

    /// The weight of a connection.
    #[must_use]
    pub fn weight(&self, from: ColumnId, to: ColumnId) -> Option<f32> {
        let targets = self.from.get(&from)?;
        targets
            .iter()
            .find(|(target, _)| *target == to)
            .map(|(_, weight)| *weight)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.from.values().map(Vec::len).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.from.is_empty()
    }

    fn weight_mut(&mut self, from: ColumnId, to: ColumnId) -> Option<&mut f32> {
        let targets = self.from.get_mut(&from)?;
        targets
            .iter_mut()
            .find(|(target, _)| *target == to)
            .map(|(_, weight)| weight)
    }
}

/// Cut to \[0, 1\]; 0 for what is not a number.
fn unit(value: f32) -> f32 {
    if value > 0.0 { value.min(1.0) } else { 0.0 }
}
