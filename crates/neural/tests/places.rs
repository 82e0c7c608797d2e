//! Weight files that say where codes lead on a map, those that do not, and those that say it badly.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_formats::{Safetensors, TensorDtype};
use cortica_neural::{CODE, Networks, Places, WeightsError};
use support::{Owned, encode, golden, tensors_of};

const METADATA: [(&str, &str); 2] = [("format", "cortica-networks"), ("version", "1")];

fn floats(name: &str, shape: &[usize], values: &[f32]) -> Owned {
    Owned {
        name: name.to_owned(),
        dtype: TensorDtype::F32,
        shape: shape.to_vec(),
        bytes: values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
    }
}

/// Along the first three values of a code.
fn axes() -> Vec<f32> {
    let mut axes = vec![0.0; 3 * CODE];
    (0..3).for_each(|axis| axes[axis * CODE + axis] = 1.0);
    axes
}

const QUANTILES: [f32; 9] = [-0.5, 0.0, 0.5, -1.0, -1.0, 1.0, 0.1, 0.2, 0.9];

fn file(more: &[Owned]) -> Vec<u8> {
    let bytes = std::fs::read(golden("networks_i8")).unwrap();
    let mut all = tensors_of(&Safetensors::from_bytes(bytes).unwrap());
    all.extend_from_slice(more);
    encode(&METADATA, &all)
}

fn both(axes: &[f32], quantiles: &[f32]) -> [Owned; 2] {
    [
        floats(Places::AXES, &[3, CODE], axes),
        floats(Places::QUANTILES, &[3, quantiles.len() / 3], quantiles),
    ]
}

#[track_caller]
fn refusal(more: &[Owned]) -> WeightsError {
    Networks::from_bytes(file(more)).expect_err("this file should be refused")
}

#[test]
fn what_is_written_is_read() {
    let networks = Networks::from_bytes(file(&both(&axes(), &QUANTILES))).unwrap();
    let places = networks.places().unwrap();
    assert_eq!(places.axes()[1][1], 1.0);
    assert_eq!(places.axes().concat(), axes());
    assert_eq!(places.quantiles().concat(), QUANTILES);
    assert_eq!(places.bytes(), 4 * (3 * CODE + 9));
    let without = Networks::from_bytes(file(&[])).unwrap();
    assert_eq!(without.places(), None);
    assert_eq!(networks.bytes(), without.bytes() + places.bytes());
}

#[test]
fn half_of_it_is_refused() {
    let [axes, quantiles] = both(&axes(), &QUANTILES);
    for (given, wanted) in [(axes, Places::QUANTILES), (quantiles, Places::AXES)] {
        let refused = refusal(&[given]);
        assert!(matches!(refused, WeightsError::Missing { name } if name == wanted));
    }
}

#[test]
fn shapes_and_types() {
    let good = both(&axes(), &QUANTILES);
    for (at, shape) in [
        (0, vec![CODE, 3]),
        (0, vec![3 * CODE]),
        (1, vec![9]),
        (1, vec![9, 1]),
        (1, vec![1, 9]),
    ] {
        let mut bad = good.clone();
        bad[at].shape = shape;
        let refused = refusal(&bad);
        assert!(matches!(refused, WeightsError::Shape { .. }), "{refused}");
    }
    for count in [0, 1, Places::QUANTILES_MAX + 1] {
        let refused = refusal(&both(&axes(), &vec![0.5; 3 * count]));
        assert!(matches!(refused, WeightsError::Shape { .. }), "{refused}");
    }
    let most = vec![0.5; 3 * Places::QUANTILES_MAX];
    Networks::from_bytes(file(&both(&axes(), &most))).unwrap();
    for at in 0..2 {
        let mut bad = good.clone();
        bad[at].dtype = TensorDtype::I32;
        let refused = refusal(&bad);
        assert!(matches!(refused, WeightsError::Dtype { .. }), "{refused}");
    }
}

#[test]
fn values_that_place_nothing() {
    for value in [f32::NAN, f32::INFINITY] {
        let (mut bad, mut worse) = (axes(), QUANTILES);
        (bad[70], worse[4]) = (value, value);
        for tensors in [both(&bad, &QUANTILES), both(&axes(), &worse)] {
            let refused = refusal(&tensors);
            assert!(
                matches!(refused, WeightsError::NotFinite { .. }),
                "{refused}"
            );
        }
    }
    for length in [0.0, 0.99, 1.01, f32::MAX] {
        let mut bad = axes();
        bad[2 * CODE + 2] = length;
        let refused = refusal(&both(&bad, &QUANTILES));
        assert!(matches!(refused, WeightsError::Length { row: 2, .. }));
    }
    let mut bad = QUANTILES;
    bad.swap(6, 7);
    let refused = refusal(&both(&axes(), &bad));
    assert!(matches!(refused, WeightsError::Descending { at: 7, .. }));
}
