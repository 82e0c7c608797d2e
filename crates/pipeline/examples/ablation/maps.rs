//! Maps that engines make of a folder's concepts, and what they are compared with.

use std::error::Error;
use std::sync::Arc;

use crate::pca::components;
use cortica_cortex::{
    Allocation, CODE_DIMENSION, Code, ColumnId, ConceptRequest, Cortex, CortexOptions, Grid, Hint,
    Placement, Scorer, Windows, normalised, trustworthiness,
};
use cortica_env::Seed;
use cortica_pipeline::{AllocationEngine, EngineOptions, Model};
use cortica_simd::{Isa, Rows, dot_rows};
use cortica_testkit::Dataset;

use crate::stand_ins::StandIns;

pub(crate) type Place = Option<[f32; 3]>;

/// A concept that is to be placed: its row, and the stream it comes in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) row: usize,
    pub(crate) stream: Option<u64>,
}

/// Where the rows of a folder came to lie.
#[derive(Clone, Debug)]
pub(crate) struct Map {
    pub(crate) places: Vec<Place>,
    /// For each step, whether it was given a column then.
    pub(crate) fresh: Vec<bool>,
    pub(crate) exceptions: u64,
    /// Allocations looked at, and in how many of them each term of the score varied over candidates.
    pub(crate) varied: (u64, [u64; 3]),
}

/// How a map is made.
#[derive(Clone, Debug)]
pub(crate) struct Making {
    pub(crate) grid: Grid,
    pub(crate) search_radius: f32,
    pub(crate) engine: EngineOptions,
    pub(crate) placing: Placing,
}

/// What leads codes to places.
#[derive(Clone, Debug)]
pub(crate) enum Placing {
    /// Directions by chance, ranks of directions spread evenly: nothing is known of the codes.
    Unknown,
    /// Directions by chance, ranks among the codes of these rows.
    Fitted(Arc<[usize]>),
    /// The first three principal components of the codes of these rows, ranks among them.
    Principal(Arc<[usize]>),
}

impl Placing {
    fn of(
        &self,
        data: &Dataset,
        model: &StandIns,
        grid: Grid,
        seed: Seed,
    ) -> Result<Option<Placement>, Box<dyn Error>> {
        let (Placing::Fitted(rows) | Placing::Principal(rows)) = self else {
            return Ok(None);
        };
        let mut worker = model.worker(Isa::best());
        let encode = |&row: &usize| worker.encode(data.row(row));
        let codes = rows.iter().map(encode).collect::<Result<Vec<Code>, _>>()?;
        if matches!(self, Placing::Fitted(_)) {
            return Ok(Some(Placement::fitted(grid, seed, &codes)));
        }
        let codes = codes.iter().filter_map(|code| normalised(code).ok());
        let codes: Vec<Code> = codes.collect();
        let lines: Vec<&[f32]> = codes.iter().map(|code| &code[..]).collect();
        let (directions, _) = components(&lines, 3, true);
        let axis = |axis: usize| std::array::from_fn(|at| directions[axis * CODE_DIMENSION + at]);
        let axes = [axis(0), axis(1), axis(2)];
        Ok(Some(Placement::along(grid, axes, &codes)))
    }
}

impl Making {
    pub(crate) fn map(
        &self,
        data: &Dataset,
        model: &StandIns,
        steps: &[Step],
        look: bool,
    ) -> Result<Map, Box<dyn Error>> {
        let cortex = Arc::new(Cortex::new(self.grid, CortexOptions::default())?);
        let (shared, options) = (Arc::new(model.clone()), self.engine.clone());
        let placement = self.placing.of(data, model, self.grid, self.engine.seed)?;
        let engine = match placement {
            Some(placement) => {
                AllocationEngine::with_placement(cortex.clone(), shared, placement, options)?
            }
            None => AllocationEngine::new(cortex.clone(), shared, options)?,
        };
        let mut map = Map {
            places: vec![None; data.len()],
            fresh: Vec::with_capacity(steps.len()),
            exceptions: 0,
            varied: (0, [0; 3]),
        };
        let mut looker = Looker {
            worker: model.worker(Isa::best()),
            scorer: Scorer::new(self.engine.weights, self.engine.similarity_radius)?,
            windows: Windows::default(),
            near: Vec::new(),
        };
        for step in steps {
            let id = step.row.to_string();
            let request = ConceptRequest {
                search_radius: self.search_radius,
                stream: step.stream,
                ..ConceptRequest::new(&id, data.row(step.row))
            };
            let looked = if look {
                looker.look(&engine, &cortex, &request)?
            } else {
                None
            };
            let answer = engine.allocate(&request)?;
            if let Allocation::Allocated { column, .. } = answer {
                map.places[step.row] = Some(place(&self.grid, column));
                if let Some(varied) = looked {
                    map.varied.0 += 1;
                    for (count, varied) in map.varied.1.iter_mut().zip(varied) {
                        *count += u64::from(varied);
                    }
                }
            }
            map.fresh
                .push(matches!(answer, Allocation::Allocated { .. }));
        }
        map.exceptions = engine.stats().exceptions;
        Ok(map)
    }
}

/// Scores the candidates of a request as the engine will.
struct Looker {
    worker: Box<dyn cortica_pipeline::ModelWorker>,
    scorer: Scorer,
    windows: Windows,
    near: Vec<(ColumnId, u64)>,
}

impl Looker {
    /// Which terms vary over candidates, once a tenth of the grid is full.
    fn look(
        &mut self,
        engine: &AllocationEngine,
        cortex: &Cortex,
        request: &ConceptRequest<'_>,
    ) -> Result<Option<[bool; 3]>, Box<dyn Error>> {
        let code = engine.encode(request.features)?;
        let mut predicted = None;
        if let Some(stream) = request.stream {
            let window = self.windows.codes(stream);
            if !window.is_empty() {
                predicted = self.worker.predict(window)?;
            }
            drop(self.windows.push(stream, &code));
        }
        if cortex.stats().held < cortex.grid().len() as u64 / 10 {
            return Ok(None);
        }
        let centre = engine.placement().place(Hint::Auto, &code)?;
        self.near.clear();
        cortex.free_within(centre, request.search_radius, &mut self.near)?;
        let columns: Vec<ColumnId> = self.near.iter().map(|&(column, _)| column).collect();
        let scores = self
            .scorer
            .score(cortex, &columns, &code, predicted.as_ref())?;
        let varies = |of: fn(&cortica_cortex::Score) -> f32| {
            let values = scores.iter().map(of);
            let (low, high) = values.fold((f32::MAX, f32::MIN), |(low, high), value| {
                (low.min(value), high.max(value))
            });
            high - low > 1e-6
        };
        Ok(Some([
            varies(|s| s.similarity),
            varies(|s| s.semantic),
            varies(|s| s.temporal),
        ]))
    }
}

pub(crate) fn place(grid: &Grid, column: ColumnId) -> [f32; 3] {
    grid.place(column)
        .unwrap_or_default()
        .map(|axis| axis as f32)
}

/// Each of the points at the nearest free column to its place, in the order given; places are spread
/// evenly, by the points' ranks along each axis.
pub(crate) fn onto_grid(
    grid: &Grid,
    points: &[[f32; 3]],
    order: &[usize],
) -> Result<Vec<Place>, Box<dyn Error>> {
    let sides = grid.sides();
    let mut wanted = vec![[0_u32; 3]; points.len()];
    for axis in 0..3 {
        let mut by: Vec<usize> = (0..points.len()).collect();
        by.sort_by(|&a, &b| points[a][axis].total_cmp(&points[b][axis]));
        for (rank, &at) in by.iter().enumerate() {
            let place = rank as u64 * u64::from(sides[axis]) / points.len() as u64;
            wanted[at][axis] = place as u32;
        }
    }
    let mut taken = vec![false; grid.len()];
    let mut places = vec![None; points.len()];
    for &at in order {
        let [x, y, z] = wanted[at];
        let centre = grid.column(x, y, z)?;
        let mut radius = 1.0_f32;
        let column = loop {
            let free = |(column, _): &(ColumnId, u64)| !taken[column.get() as usize];
            let near = grid.neighbours(centre, radius)?.filter(free);
            if let Some((column, _)) = near.min_by_key(|&(column, distance)| (distance, column)) {
                break column;
            }
            radius *= 1.5;
        };
        taken[column.get() as usize] = true;
        places[at] = Some(place(grid, column));
    }
    Ok(places)
}

/// The trustworthiness at 10 of each of the rows that were placed (a sample of 2,000), by row.
pub(crate) fn trust(data: &Dataset, places: &[Place]) -> Vec<Option<f64>> {
    let placed = |row: &usize| places[*row].is_some();
    let rows: Vec<usize> = (0..places.len()).filter(placed).collect();
    let values: Vec<f32> = rows
        .iter()
        .flat_map(|&row| data.row(row))
        .copied()
        .collect();
    let lying: Vec<[f32; 3]> = rows.iter().filter_map(|&row| places[row]).collect();
    let d = data.dimension;
    let likeness = |at: usize, out: &mut [f32]| {
        if let Ok(all) = Rows::packed(&values, d) {
            dot_rows(Isa::best(), &values[at * d..][..d], all, out);
        }
    };
    let step = rows.len().div_ceil(2_000).max(1);
    let asked: Vec<usize> = (0..rows.len()).step_by(step).collect();
    let figures = trustworthiness(likeness, &lying, &asked, 10);
    let mut all = vec![None; places.len()];
    for (at, figure) in asked.into_iter().zip(figures) {
        all[rows[at]] = Some(figure);
    }
    all
}

pub(crate) fn shuffled(rows: &[usize], seed: Seed) -> Vec<usize> {
    let mut rng = seed.derive("order").rng();
    let mut rows = rows.to_vec();
    for at in (1..rows.len()).rev() {
        rows.swap(at, rng.below(at as u64 + 1) as usize);
    }
    rows
}
