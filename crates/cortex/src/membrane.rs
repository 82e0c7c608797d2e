//! A leaky membrane, exactly stepped, and when it first spikes.

/// A leaky integrate-and-fire membrane (Lapicque 1907; Gerstner & Kistler 2002, ch. 4), in units of the
/// drive: `tau dV/dt = I - V`, spike and reset to 0 where V reaches the threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MembraneParams {
    /// Time constant tau, milliseconds.
    pub tau_ms: f32,
    /// Where it spikes.
    pub threshold: f32,
}

impl Default for MembraneParams {
    fn default() -> MembraneParams {
        MembraneParams {
            tau_ms: 15.0,
            threshold: 0.8,
        }
    }
}

/// What a step brought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The potential after it; 0 where it spiked.
    pub potential: f32,
    /// When in the step it first spiked, milliseconds from its beginning.
    pub spike_ms: Option<f32>,
}

impl MembraneParams {
    /// The potential `elapsed_ms` later under a constant drive, without a threshold:
    /// `I + (V - I) exp(-t / tau)`. Exact for any step: two half steps are one whole. Time that does not
    /// pass changes nothing.
    #[must_use]
    pub fn relax(&self, potential: f32, drive: f32, elapsed_ms: f64) -> f32 {
        if elapsed_ms.is_nan() || elapsed_ms <= 0.0 {
            return potential;
        }
        let (v, i) = (f64::from(potential), f64::from(drive));
        (i + (v - i) * (-elapsed_ms / f64::from(self.tau_ms)).exp()) as f32
    }

    /// A step with the threshold: at the first spike the potential falls to 0 and stays there to the
    /// end of the step, for the column is refractory then.
    #[must_use]
    pub fn step(&self, potential: f32, drive: f32, threshold: f32, elapsed_ms: f64) -> Step {
        let spike = self.spike_after_ms(potential, drive, threshold);
        match spike {
            Some(at) if f64::from(at) <= elapsed_ms => Step {
                potential: 0.0,
                spike_ms: Some(at),
            },
            _ => Step {
                potential: self.relax(potential, drive, elapsed_ms),
                spike_ms: None,
            },
        }
    }

    /// When a membrane at `potential` reaches `threshold` under a constant drive:
    /// `tau ln((I - V) / (I - theta))`, 0 where it is there already, never where the drive is not
    /// above the threshold.
    #[must_use]
    pub fn spike_after_ms(&self, potential: f32, drive: f32, threshold: f32) -> Option<f32> {
        if potential >= threshold {
            return Some(0.0);
        }
        let (v, i, theta) = (f64::from(potential), f64::from(drive), f64::from(threshold));
        if i.is_nan() || i <= theta {
            return None;
        }
        // ln((i - v) / (i - theta)), written so that nothing is lost where the two are near.
        let ratio = (theta - v) / (i - theta);
        Some((f64::from(self.tau_ms) * ratio.ln_1p()) as f32)
    }

    /// Time to the first spike from rest, `tau ln(I / (I - theta))`: the strongest drive spikes
    /// first. `f32::INFINITY` for one that never does.
    #[must_use]
    pub fn first_spike_ms(&self, drive: f32) -> f32 {
        let spike = self.spike_after_ms(0.0, drive, self.threshold);
        spike.unwrap_or(f32::INFINITY)
    }
}
