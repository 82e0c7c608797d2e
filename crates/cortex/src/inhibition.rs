//! Columns that hold each other down.

use crate::block::Block;
use cortica_simd::{Isa, WINDOW_REACH_MAX, ramp_field, relax_field, window_max, window_sum};

/// Lateral inhibition among the columns of a box: on-centre, off-surround.
///
/// `u <- (1 - a) u + a (I - sum_j w(d) f(u_j))` (Amari 1977; Wilson & Cowan 1972), from `u = I`, with the
/// difference of Gaussians over lattice distance
/// `w(d) = surround exp(-d^2 / 2 sigma_surround^2) - centre exp(-d^2 / 2 sigma_centre^2)`, each Gaussian cut
/// along every axis at its reach: `ceil(2 sigma_surround)` and `ceil(3 sigma_centre)` columns.
///
/// Amari's f is a step at a threshold. Here it is a ramp of width `contrast` below the highest u within reach
/// of the surround, so that the strongest column of every neighbourhood fires and those that are weaker by
/// more than `contrast` do not: `f(u_i) = clamp(1 - (m_i - u_i) / contrast, 0, 1)`
/// where u_i is above 0, and 0 where it is not: silence does not fire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InhibitionParams {
    /// Strength of the surround, in units of the drive.
    pub surround: f32,
    /// Its width, in units of the lattice.
    pub sigma_surround: f32,
    /// Strength of the centre.
    pub centre: f32,
    /// Its width.
    pub sigma_centre: f32,
    /// `a`: the share of the way gone in a step, in (0, 1].
    pub step: f32,
    /// The width of the ramp, in units of the drive: columns that differ by more are told apart.
    pub contrast: f32,
    /// Settled where no column changes by more in a step.
    pub tolerance: f32,
    /// Steps at most.
    pub steps_max: u32,
}

impl Default for InhibitionParams {
    fn default() -> InhibitionParams {
        InhibitionParams {
            surround: 0.25,
            sigma_surround: 1.5,
            centre: 0.5,
            sigma_centre: 0.5,
            step: 0.75,
            contrast: 1e-3,
            tolerance: 1e-4,
            steps_max: 32,
        }
    }
}

/// Why these are no parameters of an inhibition.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InhibitionError {
    /// A value out of its range.
    #[error("{field} is {got}; it must be {expected}")]
    Value {
        /// Which.
        field: &'static str,
        /// What was given.
        got: f32,
        /// What it may be.
        expected: &'static str,
    },
    /// A column that excites others could lift a weaker one above the strongest; make the centre narrower or
    /// weaker.
    #[error(
        "columns excite others at a distance of {distance} (w is {weight}); make the centre narrower or weaker"
    )]
    ExcitesOthers {
        /// Where.
        distance: f32,
        /// The weight there, below 0.
        weight: f32,
    },
    /// A column that inhibits itself more than the others; make the centre stronger.
    #[error("columns do not excite themselves (w(0) is {weight}); make the centre stronger")]
    NoCentre {
        /// The weight at distance 0.
        weight: f32,
    },
}

/// How a competition ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The field came to rest, after so many steps.
    After(u32),
    /// It had not after the most steps: activities are those of divisive normalisation (Heeger 1992),
    /// `I^2 / (1/4 + mean(I^2))`, cut to \[0, 1\], which keeps the order of the drives.
    Normalised,
}

/// Checked parameters, with their windows.
#[derive(Clone, Debug)]
pub(crate) struct Inhibition {
    params: InhibitionParams,
    surround: Vec<f32>,
    centre: Vec<f32>,
    /// The weights of all places within reach, line by line.
    kernel: Vec<f32>,
}

/// Where no more than one place in so many fires, each is looked at by itself: the windows of a step then cost more.
const FIRING_SPARSE: usize = 64;

#[inline(always)]
#[allow(
    clippy::inline_always,
    reason = "the lengths are known where it is called"
)]
fn add(places: &mut [f32], weights: &[f32], fired: f32) {
    for (place, weight) in places.iter_mut().zip(weights) {
        *place += weight * fired;
    }
}

/// The places of a field that are not 0, in their order.
fn each_firing(fired: &[f32], mut found: impl FnMut(usize)) {
    for (chunk, values) in fired.chunks(32).enumerate() {
        // Most have none: one look at all.
        if values.iter().fold(0, |any, value| any | value.to_bits()) != 0 {
            let firing = values.iter().enumerate().filter(|(_, value)| **value > 0.0);
            firing.for_each(|(at, _)| found(32 * chunk + at));
        }
    }
}

/// Semi-saturation of the fall-back, squared: half of the largest drive.
const SEMI_SATURATION: f32 = 0.25;

impl Inhibition {
    pub(crate) fn new(params: InhibitionParams) -> Result<Inhibition, InhibitionError> {
        let within = |field, got: f32, good: bool, expected| {
            let refused = InhibitionError::Value {
                field,
                got,
                expected,
            };
            if good { Ok(()) } else { Err(refused) }
        };
        let InhibitionParams {
            surround,
            sigma_surround,
            centre,
            sigma_centre,
            ..
        } = params;
        let reach_max = WINDOW_REACH_MAX as f32;
        let strength = "in 0..=1";
        within(
            "surround",
            surround,
            (0.0..=1.0).contains(&surround),
            strength,
        )?;
        within("centre", centre, (0.0..=1.0).contains(&centre), strength)?;
        let wide = sigma_surround > 0.0 && 2.0 * sigma_surround <= reach_max;
        within(
            "sigma_surround",
            sigma_surround,
            wide,
            "above 0, and 4 at most",
        )?;
        let narrow = sigma_centre > 0.0 && 3.0 * sigma_centre <= reach_max;
        within(
            "sigma_centre",
            sigma_centre,
            narrow,
            "above 0, and 2.66 at most",
        )?;
        let (step, contrast, tolerance) = (params.step, params.contrast, params.tolerance);
        within(
            "step",
            step,
            step > 0.0 && step <= 1.0,
            "above 0, and 1 at most",
        )?;
        within(
            "contrast",
            contrast,
            (1e-6..=1.0).contains(&contrast),
            "in 1e-6..=1",
        )?;
        within(
            "tolerance",
            tolerance,
            (1e-7..=1.0).contains(&tolerance),
            "in 1e-7..=1",
        )?;
        let most = params.steps_max as f32;
        within(
            "steps_max",
            most,
            (1..=10_000).contains(&params.steps_max),
            "in 1..=10,000",
        )?;
        let window = |sigma: f32, reach: f32| -> Vec<f32> {
            let reach = reach.ceil() as i32;
            (-reach..=reach)
                .map(|d| (-f64::from(d * d) / (2.0 * f64::from(sigma).powi(2))).exp() as f32)
                .collect()
        };
        let mut inhibition = Inhibition {
            kernel: Vec::new(),
            params,
            surround: window(sigma_surround, 2.0 * sigma_surround),
            centre: window(sigma_centre, 3.0 * sigma_centre),
        };
        inhibition.check_weights()?;
        let reach = inhibition.reach() as i32;
        let line = || -reach..=reach;
        let apart = line().flat_map(|z| line().flat_map(move |y| line().map(move |x| [x, y, z])));
        inhibition.kernel = apart.map(|apart| inhibition.weight(apart)).collect();
        Ok(inhibition)
    }

    /// The strongest drive wins for certain where a column excites itself alone.
    fn check_weights(&self) -> Result<(), InhibitionError> {
        let weight = self.weight([0; 3]);
        if weight > 0.0 {
            return Err(InhibitionError::NoCentre { weight });
        }
        let reach = self.reach() as i32;
        for z in 0..=reach {
            for (y, x) in (0..=reach).flat_map(|y| (0..=reach).map(move |x| (y, x))) {
                let weight = self.weight([x, y, z]);
                if [x, y, z] != [0; 3] && weight < 0.0 {
                    let distance = ((x * x + y * y + z * z) as f32).sqrt();
                    return Err(InhibitionError::ExcitesOthers { distance, weight });
                }
            }
        }
        Ok(())
    }

    /// How far windows reach along an axis.
    pub(crate) fn reach(&self) -> usize {
        self.surround.len().max(self.centre.len()) / 2
    }

    /// w of two columns that lie so far apart along the axes.
    pub(crate) fn weight(&self, apart: [i32; 3]) -> f32 {
        let gaussian = |strength: f32, window: &[f32]| {
            let middle = window.len() / 2;
            apart.iter().fold(strength, |product, d| {
                let at = d.unsigned_abs() as usize;
                product
                    * if at <= middle {
                        window[middle + at]
                    } else {
                        0.0
                    }
            })
        };
        gaussian(self.params.surround, &self.surround) - gaussian(self.params.centre, &self.centre)
    }

    /// The most that a column excites itself.
    pub(crate) fn excitation(&self) -> f32 {
        -self.weight([0; 3])
    }

    /// Runs the dynamics over a block; `field.u` holds the activities, in units of the drive, after it.
    pub(crate) fn run(&self, isa: Isa, block: &Block, field: &mut Field) -> Settled {
        field.u.copy_from_slice(&field.drive);
        for step in 1..=self.params.steps_max {
            if self.step(isa, block, field) <= self.params.tolerance {
                return Settled::After(step);
            }
        }
        Inhibition::normalise(field);
        Settled::Normalised
    }

    /// One step of all columns at once; the greatest change. A Gaussian is the product of its axes, so
    /// each sum over a box of columns is three sums over lines.
    fn step(&self, isa: Isa, block: &Block, field: &mut Field) -> f32 {
        let [x, y, z] = block.strides();
        let Field {
            drive,
            mask,
            u,
            fired,
            a,
            b,
            wide,
            narrow,
            firing,
        } = field;
        let steepness = 1.0 / self.params.contrast;
        let whole = block.len();
        let reach = self.reach();
        // Each pass writes its result where the middle of its windows is.
        let middle = |reach: usize, stride: usize| reach * stride;
        let max = |stride: usize, from: &[f32], to: &mut [f32]| {
            let start = middle(reach, stride);
            window_max(isa, reach, stride, from, &mut to[start..whole - start]);
        };
        max(x, u, a);
        max(y, a, b);
        max(z, b, a);
        ramp_field(isa, steepness, mask, u, a, fired);
        firing.clear();
        each_firing(fired, |at| firing.push(at));
        if firing.len() * FIRING_SPARSE <= whole {
            self.scatter(block, firing, fired, wide);
            narrow.fill(0.0);
            return relax_field(isa, self.params.step, mask, drive, [wide, narrow], u);
        }
        let convolve =
            |window: &[f32], strength: f32, out: &mut [f32], a: &mut [f32], b: &mut [f32]| {
                let mut last = [0.0; 2 * WINDOW_REACH_MAX + 1];
                for (last, weight) in last.iter_mut().zip(window) {
                    *last = strength * weight;
                }
                let reach = window.len() / 2;
                let sum = |window: &[f32], stride: usize, from: &[f32], to: &mut [f32]| {
                    let start = middle(reach, stride);
                    window_sum(isa, window, stride, from, &mut to[start..whole - start]);
                };
                sum(window, x, fired, a);
                sum(window, y, a, b);
                sum(&last[..window.len()], z, b, out);
            };
        convolve(&self.surround, self.params.surround, wide, a, b);
        convolve(&self.centre, self.params.centre, narrow, a, b);
        relax_field(isa, self.params.step, mask, drive, [wide, narrow], u)
    }

    /// What the few columns that fire do to those around them: each adds its weights to the places within reach, in
    /// the order of their places.
    fn scatter(&self, block: &Block, firing: &[usize], fired: &[f32], inhibition: &mut [f32]) {
        let [_, y, z] = block.strides();
        let reach = self.reach();
        let side = 2 * reach + 1;
        inhibition.fill(0.0);
        for &at in firing {
            let first = at - reach * (1 + y + z);
            let starts = (0..side).flat_map(|of_z| (0..side).map(move |of_y| of_z * z + of_y * y));
            for (start, weights) in starts.zip(self.kernel.chunks_exact(side)) {
                let places = &mut inhibition[first + start..];
                // Of a known length, which the compiler makes two vectors of.
                match (places.first_chunk_mut::<7>(), weights.first_chunk::<7>()) {
                    (Some(places), Some(weights)) if side == 7 => add(places, weights, fired[at]),
                    _ => add(&mut places[..side], weights, fired[at]),
                }
            }
        }
    }

    /// The fall-back. One pool for all columns, so that the order of the drives stays.
    fn normalise(field: &mut Field) {
        let drives = field.drive.iter().zip(&field.mask);
        let (sum, count) = drives.fold((0.0_f64, 0.0_f64), |(sum, count), (&drive, &mask)| {
            (sum + f64::from(drive).powi(2), count + f64::from(mask))
        });
        let pool = SEMI_SATURATION + (sum / count.max(1.0)) as f32;
        for (u, drive) in field.u.iter_mut().zip(&field.drive) {
            *u = (drive * drive / pool).min(1.0);
        }
    }
}

/// Memory of the dynamics, used again and again. All of a block's length.
#[derive(Clone, Debug, Default)]
pub(crate) struct Field {
    pub(crate) drive: Vec<f32>,
    /// 1 where a candidate is, 0 elsewhere.
    pub(crate) mask: Vec<f32>,
    pub(crate) u: Vec<f32>,
    fired: Vec<f32>,
    a: Vec<f32>,
    b: Vec<f32>,
    wide: Vec<f32>,
    narrow: Vec<f32>,
    /// Places that fire.
    firing: Vec<usize>,
}

impl Field {
    /// Zeros for a block.
    pub(crate) fn clear(&mut self, len: usize) {
        let Field {
            drive,
            mask,
            u,
            fired,
            a,
            b,
            wide,
            narrow,
            firing: _,
        } = self;
        for values in [drive, mask, u, fired, a, b, wide, narrow] {
            values.clear();
            values.resize(len, 0.0);
        }
    }
}

/// The definition of the dynamics: every column against every other within reach, in the order of their
/// places. The activities, in units of the drive, and how it ended.
///
/// `places` are distinct places of the lattice, `drives` theirs. O(steps n^2).
pub fn inhibit_reference(
    params: InhibitionParams,
    places: &[[u32; 3]],
    drives: &[f32],
) -> Result<(Vec<f32>, Settled), InhibitionError> {
    let inhibition = Inhibition::new(params)?;
    let reach = inhibition.reach() as u32;
    let apart =
        |a: [u32; 3], b: [u32; 3]| std::array::from_fn(|axis| a[axis].abs_diff(b[axis]) as i32);
    let near = |a: [u32; 3], b: [u32; 3]| (0..3).all(|axis| a[axis].abs_diff(b[axis]) <= reach);
    let mut u = drives.to_vec();
    for step in 1..=params.steps_max {
        let fired: Vec<f32> = places
            .iter()
            .zip(&u)
            .map(|(&place, &own)| {
                let others = places
                    .iter()
                    .zip(&u)
                    .filter(|(other, _)| near(place, **other));
                let highest = others.fold(0.0_f32, |highest, (_, &u)| highest.max(u));
                let ramp = (1.0 - (highest - own) / params.contrast).clamp(0.0, 1.0);
                if own > 0.0 { ramp } else { 0.0 }
            })
            .collect();
        let mut change = 0.0_f32;
        for (at, &place) in places.iter().enumerate() {
            let others = places
                .iter()
                .zip(&fired)
                .filter(|(other, _)| near(place, **other));
            let inhibited: f32 = others
                .map(|(&other, fired)| inhibition.weight(apart(place, other)) * fired)
                .sum();
            let next = (1.0 - params.step) * u[at] + params.step * (drives[at] - inhibited);
            change = change.max((next - u[at]).abs());
            u[at] = next;
        }
        if change <= params.tolerance {
            return Ok((u, Settled::After(step)));
        }
    }
    let squares: f32 = drives.iter().map(|drive| drive * drive).sum();
    let pool = SEMI_SATURATION + squares / drives.len().max(1) as f32;
    let activities = drives.iter().map(|drive| (drive * drive / pool).min(1.0));
    Ok((activities.collect(), Settled::Normalised))
}
