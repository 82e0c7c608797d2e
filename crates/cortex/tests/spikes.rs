//! Membranes, rest, spikes and what connections learn, by a clock that moves when told to.
#![cfg(not(loom))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use cortica_cortex::{
    ColumnId, ConceptId, Connections, Cortex, CortexError, CortexOptions, Grid, MembraneParams,
    RefractoryParams, State, StdpParams,
};
use cortica_env::{Clock, ManualClock, Timestamp};
use cortica_testkit::Rng;
use std::sync::{Arc, Mutex};

const CODE: [f32; 64] = [0.5; 64];

#[test]
fn a_membrane_follows_its_closed_form() {
    let membrane = MembraneParams::default();
    let tau = 15.0_f64;
    // Towards a drive, and away from it; in one step and in a thousand.
    for (start, drive) in [(0.0_f32, 1.0_f32), (0.7, 0.0), (0.2, 0.5), (0.9, -0.3)] {
        for ms in [0.1_f64, 1.0, 15.0, 40.0, 200.0] {
            let (v, i) = (f64::from(start), f64::from(drive));
            let want = i + (v - i) * (-ms / tau).exp();
            let one = f64::from(membrane.relax(start, drive, ms));
            let many = (0..1_000).fold(start, |v, _| membrane.relax(v, drive, ms / 1_000.0));
            assert!(
                (one - want).abs() < 1e-6,
                "{start} {drive} {ms}: {one}, {want}"
            );
            assert!((f64::from(many) - want).abs() < 1e-4, "{many}, {want}");
        }
    }
    // tau itself, read off a decay: within 1% of 15 ms.
    let left = f64::from(membrane.relax(1.0, 0.0, 10.0));
    let measured = -10.0 / left.ln();
    assert!((measured / tau - 1.0).abs() < 0.01, "{measured}");
    // Time that stands still or goes back, and what is no time.
    for ms in [0.0, -5.0, f64::NAN] {
        assert_eq!(membrane.relax(0.3, 1.0, ms), 0.3);
    }
    assert_eq!(membrane.relax(0.3, 1.0, f64::INFINITY), 1.0);
}

#[test]
fn a_column_is_stepped_by_the_clock() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(0)));
    let options = CortexOptions {
        clock: clock.clone(),
        ..CortexOptions::default()
    };
    let cortex = Cortex::new(Grid::new(1, 1, 1).unwrap(), options).unwrap();
    let mut buffer = Vec::new();
    let mut claims = cortex.activate(&[ColumnId::new(0)], &[0.5], &mut buffer);
    assert_eq!(claims.integrate(1, 0.5), None);
    assert_eq!(claims.integrate(0, 0.5).unwrap().potential, 0.0);
    clock.advance_micros(15_000);
    let step = claims.integrate(0, 0.5).unwrap();
    assert!((step.potential - 0.5 * (1.0 - (-1.0_f32).exp())).abs() < 1e-6);
    assert_eq!(step.spike_ms, None);
    // The next holder finds what this one left.
    drop(claims);
    let mut claims = cortex.activate(&[ColumnId::new(0)], &[0.5], &mut buffer);
    clock.advance_micros(30_000);
    let step = claims.integrate(0, 2.0).unwrap();
    let at = step.spike_ms.unwrap();
    let from = 0.5 * (1.0 - (-1.0_f64).exp());
    let want = 15.0 * ((2.0 - from) / (2.0 - 0.8)).ln();
    assert!((f64::from(at) - want).abs() < 1e-4, "{at}, {want}");
    assert_eq!(step.potential, 0.0);
    // A clock that was put back does not move it.
    clock.set(Timestamp::from_micros(-1_000_000));
    assert_eq!(claims.integrate(0, 2.0).unwrap().potential, 0.0);
}

#[test]
fn the_first_spike_comes_in_the_order_of_the_drives() {
    let membrane = MembraneParams::default();
    for drive in [0.81_f32, 0.9, 1.0, 1.5, 10.0, 1e6] {
        let (i, theta) = (f64::from(drive), f64::from(0.8_f32));
        let want = 15.0 * (i / (i - theta)).ln();
        let got = f64::from(membrane.first_spike_ms(drive));
        assert!((got / want - 1.0).abs() < 1e-5, "{drive}: {got}, {want}");
        // It is where the potential reaches the threshold.
        let there = membrane.relax(0.0, drive, got);
        assert!((there - 0.8).abs() < 1e-4, "{drive}: {there}");
    }
    for never in [0.8, 0.5, 0.0, -1.0, f32::NAN] {
        assert_eq!(membrane.first_spike_ms(never), f32::INFINITY);
    }
    let mut rng = Rng::new(3);
    let mut drives: Vec<f32> = (0..1_000).map(|_| 0.5 + rng.unit()).collect();
    drives.sort_by(|a, b| b.total_cmp(a));
    let spikes: Vec<f32> = drives
        .iter()
        .map(|&drive| membrane.first_spike_ms(drive))
        .collect();
    assert!(spikes.is_sorted());
    let distinct = drives
        .windows(2)
        .filter(|pair| pair[0] > pair[1] && pair[1] > 0.8);
    let strict = spikes
        .windows(2)
        .filter(|pair| pair[0] < pair[1] && pair[1].is_finite());
    assert_eq!(strict.count(), distinct.count());
}

#[test]
fn rest_is_respected_to_the_microsecond() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(5_000)));
    let options = CortexOptions {
        clock: clock.clone(),
        ..CortexOptions::default()
    };
    let cortex = Cortex::new(Grid::new(2, 1, 1).unwrap(), options).unwrap();
    let only = [ColumnId::new(0)];
    let mut buffer = Vec::new();
    for round in 0..200 {
        let mut claims = cortex.activate(&only, &[], &mut buffer);
        claims.compete(&[]).unwrap();
        let concept = ConceptId::new(round);
        claims.win(0, 1.0).unwrap().commit(concept, &CODE).unwrap();
        cortex.release(only[0], concept).unwrap(); // Nothing but its rest is in the way.
        for _ in 0..20 {
            assert!(cortex.activate(&only, &[], &mut buffer).is_empty());
            assert_eq!(cortex.threshold(only[0]), Ok(f32::INFINITY));
            assert_eq!(cortex.recover(), 0);
            clock.advance_micros(99);
        }
        clock.advance_micros(19); // 1,999 us.
        assert!(cortex.activate(&only, &[], &mut buffer).is_empty());
        clock.advance_micros(1);
        assert_eq!(
            cortex.activate(&only, &[], &mut buffer).len(),
            1,
            "2,000 us"
        );
    }
    assert_eq!(cortex.stats().fired, 200);
    assert_eq!(cortex.stats().recovered, 200);
}

#[test]
fn the_threshold_decays_from_the_end_of_the_absolute_part() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(0)));
    let options = CortexOptions {
        clock: clock.clone(),
        ..CortexOptions::default()
    };
    let cortex = Cortex::new(Grid::new(1, 1, 1).unwrap(), options).unwrap();
    let only = ColumnId::new(0);
    assert_eq!(cortex.threshold(only), Ok(0.8), "it never fired");
    let mut buffer = Vec::new();
    let mut claims = cortex.activate(&[only], &[], &mut buffer);
    claims.compete(&[]).unwrap();
    claims
        .win(0, 1.0)
        .unwrap()
        .commit(ConceptId::new(0), &CODE)
        .unwrap();
    for (us, raise) in [
        (2_000, 0.2),
        (4_000, 0.2 * (-1.0_f64).exp()),
        (7_000, 0.2 * (-2.5_f64).exp()),
        (11_999, 0.2 * (-4.999_5_f64).exp()),
        (12_000, 0.0),
        (1_000_000, 0.0),
    ] {
        clock.set(Timestamp::from_micros(us));
        let got = f64::from(cortex.threshold(only).unwrap());
        assert!((got - 0.8 - raise).abs() < 1e-6, "{us}: {got}");
    }
    let rest = RefractoryParams::default();
    assert!(rest.is_absolute(1.999) && !rest.is_absolute(2.0));
}

#[test]
fn a_clock_that_is_put_back_does_not_make_rest_longer() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1 << 50)));
    let options = CortexOptions {
        clock: clock.clone(),
        ..CortexOptions::default()
    };
    let cortex = Cortex::new(Grid::new(1, 1, 1).unwrap(), options).unwrap();
    let only = [ColumnId::new(0)];
    let mut buffer = Vec::new();
    let mut claims = cortex.activate(&only, &[], &mut buffer);
    claims.compete(&[]).unwrap();
    claims
        .win(0, 1.0)
        .unwrap()
        .commit(ConceptId::new(0), &CODE)
        .unwrap();
    cortex.release(only[0], ConceptId::new(0)).unwrap();
    for back in [0, i64::MIN, i64::MIN + 1] {
        clock.set(Timestamp::from_micros(back));
        assert!(cortex.activate(&only, &[], &mut buffer).is_empty());
        assert_eq!(cortex.state(only[0]).unwrap().state(), State::Refractory);
    }
    clock.advance_micros(2_000);
    assert_eq!(cortex.activate(&only, &[], &mut buffer).len(), 1);
    clock.set(Timestamp::from_micros(i64::MAX));
    assert_eq!(cortex.activate(&only, &[], &mut buffer).len(), 1);
}

/// Tells each of these moments once, then the last one.
#[derive(Debug)]
struct Readings(Mutex<Vec<i64>>);

impl Readings {
    fn next(&self, moments: &[i64]) {
        *self.0.lock().unwrap() = moments.iter().rev().copied().collect();
    }
}

impl Clock for Readings {
    fn now(&self) -> Timestamp {
        let mut left = self.0.lock().unwrap();
        let next = left[left.len() - 1];
        if left.len() > 1 {
            left.pop();
        }
        Timestamp::from_micros(next)
    }
}

#[test]
fn a_spike_between_a_reading_and_its_use_does_not_make_rest_shorter() {
    let clock = Arc::new(Readings(Mutex::new(vec![10_000])));
    let options = CortexOptions {
        clock: clock.clone(),
        ..CortexOptions::default()
    };
    let cortex = Cortex::new(Grid::new(1, 1, 1).unwrap(), options).unwrap();
    let only = [ColumnId::new(0)];
    let mut buffer = Vec::new();
    let mut claims = cortex.activate(&only, &[], &mut buffer);
    claims.compete(&[]).unwrap();
    let reservation = claims.win(0, 1.0).unwrap();
    reservation.commit(ConceptId::new(0), &CODE).unwrap();
    cortex.release(only[0], ConceptId::new(0)).unwrap();
    // Another thread read the clock 3 ms before the spike, and comes to the column after it.
    clock.next(&[7_000, 10_001]);
    assert!(cortex.activate(&only, &[], &mut buffer).is_empty());
    clock.next(&[7_000, 10_001]);
    assert_eq!(cortex.recover(), 0);
    clock.next(&[7_000, 10_001]);
    assert_eq!(cortex.since_fired_ms(only[0]), Ok(Some(0.001)));
    clock.next(&[11_999]);
    assert!(cortex.activate(&only, &[], &mut buffer).is_empty());
    clock.next(&[12_000]);
    assert_eq!(cortex.activate(&only, &[], &mut buffer).len(), 1);
}

#[test]
fn options_out_of_range_are_refused() {
    type Change = fn(&mut CortexOptions, f32);
    let fields: [(&str, Change, &[f32]); 5] = [
        ("membrane.tau_ms", |of, to| of.membrane.tau_ms = to, &[0.0]),
        (
            "membrane.threshold",
            |of, to| of.membrane.threshold = to,
            &[0.0],
        ),
        (
            "refractory.absolute_ms",
            |of, to| of.refractory.absolute_ms = to,
            &[],
        ),
        (
            "refractory.relative_ms",
            |of, to| of.refractory.relative_ms = to,
            &[],
        ),
        ("refractory.raise", |of, to| of.refractory.raise = to, &[]),
    ];
    for (name, change, more) in fields {
        for &got in [f32::NAN, f32::INFINITY, -1.0].iter().chain(more) {
            let mut options = CortexOptions::default();
            change(&mut options, got);
            let error = Cortex::new(Grid::new(1, 1, 1).unwrap(), options).unwrap_err();
            assert!(
                matches!(error, CortexError::Option { field, .. } if field == name),
                "{error}"
            );
        }
    }
}

#[test]
fn stdp_has_sign_window_and_nothing_at_zero() {
    let stdp = StdpParams::default();
    for dt in [0.001_f32, 1.0, 16.8, 50.0, 100.0] {
        let up = 0.01 * (-f64::from(dt) / 16.8).exp();
        let down = -0.008 * (-f64::from(dt) / 33.7).exp();
        assert!((f64::from(stdp.change(dt)) - up).abs() < 1e-8, "{dt}");
        assert!((f64::from(stdp.change(-dt)) - down).abs() < 1e-8, "{dt}");
        assert!(stdp.change(dt) > 0.0 && stdp.change(-dt) < 0.0);
    }
    for dt in [
        0.0,
        -0.0,
        100.001,
        -100.001,
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
    ] {
        assert_eq!(stdp.change(dt).to_bits(), 0.0_f32.to_bits(), "{dt}");
    }
}

#[test]
fn weights_stay_weights() {
    let mut connections = Connections::new(StdpParams::default(), 4);
    let (a, b) = (ColumnId::new(1), ColumnId::new(2));
    connections.connect(a, b, 0.5).unwrap();
    let mut rng = Rng::new(8);
    let (mut low, mut high) = (1.0_f32, 0.0_f32);
    for update in 0..1_000_000 {
        // Long runs of one sign, so that both ends are met.
        let sign = if update / 5_000 % 2 == 0 { 1.0 } else { -1.0 };
        let dt = sign * 30.0 * rng.unit() + 4.0 * (rng.unit() - 0.5);
        let weight = connections.spiked(a, b, dt).unwrap();
        assert!((0.0..=1.0).contains(&weight), "{weight}");
        (low, high) = (low.min(weight), high.max(weight));
    }
    assert_eq!((low, high), (0.0, 1.0));
}

#[test]
fn connections_are_capped() {
    let mut connections = Connections::new(StdpParams::default(), 3);
    let id = ColumnId::new;
    for to in 1..=3 {
        connections.connect(id(0), id(to), 0.5).unwrap();
    }
    assert_eq!(connections.connect(id(0), id(4), 0.5).unwrap_err().most, 3);
    assert_eq!(connections.len(), 3);
    connections.connect(id(0), id(2), f32::NAN).unwrap();
    assert_eq!(connections.weight(id(0), id(2)), Some(0.0));
    assert_eq!(connections.spiked(id(0), id(4), 1.0), None);
    assert_eq!(connections.spiked(id(4), id(0), 1.0), None);
    assert!(connections.disconnect(id(0), id(2)) && !connections.disconnect(id(0), id(2)));
    connections.connect(id(0), id(4), 2.0).unwrap();
    assert_eq!(connections.weight(id(0), id(4)), Some(1.0));
    for to in [1, 3, 4] {
        assert!(connections.disconnect(id(0), id(to)));
    }
    assert!(connections.is_empty());
}
