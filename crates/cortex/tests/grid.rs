//! The lattice against brute force.
#![cfg(not(loom))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use cortica_cortex::{ColumnId, Grid, GridError};
use cortica_testkit::Rng;

fn brute_force(grid: &Grid, centre: ColumnId, radius: f32) -> Vec<(ColumnId, u64)> {
    let c = grid.place(centre).unwrap();
    grid.columns()
        .filter_map(|column| {
            let p = grid.place(column).unwrap();
            let distance: u64 = (0..3).map(|a| u64::from(c[a].abs_diff(p[a])).pow(2)).sum();
            ((distance as f64) <= f64::from(radius).powi(2)).then_some((column, distance))
        })
        .collect()
}

#[test]
fn neighbours_are_those_of_brute_force() {
    let mut rng = Rng::new(1);
    for sides in [
        [1, 1, 1],
        [5, 1, 1],
        [1, 7, 2],
        [4, 5, 6],
        [7, 3, 9],
        [8, 8, 8],
    ] {
        let grid = Grid::new(sides[0], sides[1], sides[2]).unwrap();
        let drawn = (0..6).map(|_| 0.2 + 9.0 * rng.unit());
        for radius in [1.0, 1.5, 2.0, 3.0, 0.5, 1e9].into_iter().chain(drawn) {
            for column in grid.columns() {
                let got: Vec<_> = grid.neighbours(column, radius).unwrap().collect();
                assert_eq!(
                    got,
                    brute_force(&grid, column, radius),
                    "{sides:?} {column} r={radius}"
                );
            }
        }
    }
}

#[test]
fn known_counts_inside() {
    let grid = Grid::new(9, 9, 9).unwrap();
    let middle = grid.column(4, 4, 4).unwrap();
    for (radius, count) in [(1.0, 7), (1.5, 19), (2.0, 33), (3.0, 123)] {
        assert_eq!(
            grid.neighbours(middle, radius).unwrap().count(),
            count,
            "{radius}"
        );
    }
    assert_eq!(
        grid.neighbours(grid.column(0, 0, 0).unwrap(), 1.0)
            .unwrap()
            .count(),
        4
    );
}

#[test]
fn the_k_nearest_are_k_where_they_are_there() {
    let mut found = Vec::new();
    for sides in [[1, 1, 1], [20, 1, 1], [6, 5, 4], [9, 9, 9]] {
        let grid = Grid::new(sides[0], sides[1], sides[2]).unwrap();
        for column in grid.columns().step_by(7) {
            let mut all = brute_force(&grid, column, 1e6);
            all.sort_by_key(|&(id, distance)| (distance, id));
            for k in [0, 1, 2, 7, 19, 50, 120, 729, 5_000] {
                grid.nearest(column, k, &mut found).unwrap();
                assert_eq!(found, all[..k.min(all.len())], "{sides:?} {column} k={k}");
            }
        }
    }
}

#[test]
fn places_and_numbers_agree() {
    let grid = Grid::new(3, 4, 5).unwrap();
    for (number, column) in grid.columns().enumerate() {
        assert_eq!(column.get() as usize, number);
        let [x, y, z] = grid.place(column).unwrap();
        assert_eq!(grid.column(x, y, z), Ok(column));
        assert_eq!(grid.column_near([x as f32, y as f32, z as f32]), Ok(column));
        assert_eq!(grid.squared_distance(column, column), Ok(0));
    }
    assert_eq!(grid.columns().len(), 60);
}

#[test]
fn what_lies_outside_is_refused() {
    let grid = Grid::new(3, 4, 5).unwrap();
    for (x, y, z) in [(3, 0, 0), (0, 4, 0), (0, 0, 5), (u32::MAX, 0, 0)] {
        assert_eq!(
            grid.column(x, y, z),
            Err(GridError::Outside {
                x,
                y,
                z,
                sides: [3, 4, 5]
            })
        );
    }
    assert!(grid.place(ColumnId::new(60)).is_err());
    assert!(grid.neighbours(ColumnId::new(60), 1.0).is_err());
    assert!(grid.nearest(ColumnId::new(60), 1, &mut Vec::new()).is_err());
    let middle = grid.column(1, 1, 1).unwrap();
    for radius in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert!(
            matches!(grid.neighbours(middle, radius), Err(GridError::Radius(_))),
            "{radius}"
        );
    }
    let nan = f32::NAN;
    for hint in [
        [nan, 1.0, 1.0],
        [1.0, nan, 1.0],
        [1.0, 1.0, nan],
        [f32::INFINITY, 1.0, 1.0],
        [-0.6, 1.0, 1.0],
        [2.6, 1.0, 1.0],
        [1.0, 1.0, 1e30],
    ] {
        assert!(
            matches!(grid.column_near(hint), Err(GridError::Hint { .. })),
            "{hint:?}"
        );
    }
    assert_eq!(grid.column_near([-0.5, 3.5, 4.4]), grid.column(0, 3, 4));
}

#[test]
fn sizes_that_overflow_are_refused() {
    for (nx, ny, nz) in [
        (0, 1, 1),
        (1, 0, 1),
        (1, 1, 0),
        (u32::MAX, 2, 1),
        (65_536, 65_536, 1),
        (1 << 11, 1 << 11, 1 << 11),
        (u32::MAX, u32::MAX, u32::MAX),
    ] {
        assert_eq!(Grid::new(nx, ny, nz), Err(GridError::Size { nx, ny, nz }));
    }
    // The largest there is: arithmetic at its corner does not overflow.
    let line = Grid::new(u32::MAX, 1, 1).unwrap();
    let last = line.column(u32::MAX - 1, 0, 0).unwrap();
    assert_eq!(line.neighbours(last, 2.0).unwrap().count(), 3);
    assert_eq!(
        line.squared_distance(last, ColumnId::new(0)),
        Ok(u64::from(u32::MAX - 1).pow(2))
    );
}
