//! `cortica map`: what the columns of a store hold, as a picture.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use cortica::{Cortica, Exported, Memory, Value};
use plotters::prelude::*;
use serde::Serialize;

use crate::advice::Usage;
use crate::args::MapArgs;
use crate::figures::{count, plain};
use crate::folder;
use crate::output::{Out, Outcome};

/// Labels that get a colour of their own; all others share one.
pub(crate) const COLOURS: [RGBColor; 8] = [
    // Okabe and Ito's, told apart also by those who see fewer colours.
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(150, 140, 0),
    RGBColor(60, 60, 60),
];
const OTHERS: RGBColor = RGBColor(170, 120, 90);
const EMPTY: RGBColor = RGBColor(236, 236, 236);

/// Columns of a picture at most: larger ones take a viewer too long.
const COLUMNS_MAX: usize = 1 << 18;

/// What was drawn.
#[derive(Debug, Serialize)]
pub(crate) struct Drawn {
    pub(crate) file: String,
    pub(crate) sides: [u32; 3],
    pub(crate) held: u64,
    /// Concepts by what they are coloured by.
    pub(crate) labels: BTreeMap<String, u64>,
}

pub(crate) fn run(args: &MapArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    is_svg(&args.file)?;
    let memory = folder::open_to_read(&args.store)?;
    folder::tell_found(&memory, out);
    let drawn = draw(&memory, &args.file, args.by.as_deref())?;
    out.object(&drawn)?;
    out.line(format!(
        "{} of {} columns hold a concept; drawn in {}",
        count(drawn.held),
        count(drawn.sides.iter().map(|&side| u64::from(side)).product()),
        args.file.display()
    ))?;
    for (label, held) in &drawn.labels {
        out.line(format!("  {:<24} {}", plain(label), count(*held)))?;
    }
    Ok(Outcome::Done)
}

/// Refuses a name that promises another format than the one there is.
pub(crate) fn is_svg(file: &Path) -> Result<(), Usage> {
    let svg = file.extension().is_some_and(|end| end == "svg");
    svg.then_some(())
        .ok_or_else(|| Usage(format!("{} is no FILE.svg", file.display())))
}

/// Draws the columns of a memory.
pub(crate) fn draw(memory: &Cortica, file: &Path, by: Option<&str>) -> anyhow::Result<Drawn> {
    let Some(cortex) = memory.cortex() else {
        bail!("the store has no columns; `cortica allocate` gives concepts some");
    };
    let grid = *cortex.grid();
    let columns = grid.len();
    ensure!(
        columns <= COLUMNS_MAX,
        "{columns} columns are more than a picture of {COLUMNS_MAX} shows"
    );
    let mut all = Vec::new();
    memory.export(|exported| {
        if let Exported::Episode { memory: one, .. } = exported {
            all.push((one.id.clone(), label(one, by)));
        }
        anyhow::Ok(())
    })?;
    let mut labels = vec![None; grid.len()];
    for (id, label) in all {
        if let Some(column) = memory.column(&id) {
            labels[column.get() as usize] = Some(label);
        }
    }
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for label in labels.iter().flatten() {
        *counts.entry(label.clone()).or_default() += 1;
    }
    let picture = Picture::of(grid.sides(), &labels, &counts);
    let text = picture.svg().context("the picture cannot be drawn")?;
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(Drawn {
        file: file.display().to_string(),
        sides: grid.sides(),
        held: labels.iter().flatten().count() as u64,
        labels: counts,
    })
}

fn label(memory: &Memory, by: Option<&str>) -> String {
    let Some(key) = by else {
        return part_of_speech(&memory.id).to_owned();
    };
    match memory.metadata.get(key) {
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Bool(value)) => value.to_string(),
        Some(Value::Int(value)) => value.to_string(),
        Some(Value::Float(value)) => value.to_string(),
        None => "without".to_owned(),
    }
}

/// By an id of WordNet's, such as n00001740.
pub(crate) fn part_of_speech(id: &str) -> &'static str {
    let digits = id.len() == 9 && id.bytes().skip(1).all(|byte| byte.is_ascii_digit());
    match id.as_bytes().first() {
        Some(b'n') if digits => "noun",
        Some(b'v') if digits => "verb",
        Some(b'a' | b's') if digits => "adjective",
        Some(b'r') if digits => "adverb",
        _ => "concept",
    }
}

/// Panels of layers side by side, and what the colours mean.
struct Picture<'a> {
    sides: [u32; 3],
    labels: &'a [Option<String>],
    /// Labels with their numbers, most frequent first.
    legend: Vec<(&'a str, u64)>,
    cell: i32,
    across: i32,
}

impl<'a> Picture<'a> {
    fn of(
        sides: [u32; 3],
        labels: &'a [Option<String>],
        counts: &'a BTreeMap<String, u64>,
    ) -> Picture<'a> {
        let mut legend: Vec<(&str, u64)> = counts
            .iter()
            .map(|(label, held)| (label.as_str(), *held))
            .collect();
        legend.sort_by_key(|&(label, held)| (std::cmp::Reverse(held), label));
        let [nx, ny, nz] = sides.map(|side| side as i32);
        // Some 1,200 pixels wide, and about as high.
        let across = (f64::from(nz * ny) / f64::from(nx)).sqrt().ceil() as i32;
        let across = across.clamp(1, nz);
        Picture {
            sides,
            labels,
            legend,
            cell: (1_160 / (across * (nx + 2))).clamp(2, 24),
            across,
        }
    }

    fn svg(&self) -> anyhow::Result<String> {
        let [nx, ny, nz] = self.sides.map(|side| side as i32);
        let (cell, margin, head) = (self.cell, 20, 70);
        let panel = (nx * cell + 2 * cell, ny * cell + 22);
        let rows = (nz + self.across - 1) / self.across;
        let size = (
            (2 * margin + self.across * panel.0).max(640),
            head + rows * panel.1 + margin,
        );
        let mut text = String::new();
        {
            let root = SVGBackend::with_string(&mut text, (size.0 as u32, size.1 as u32));
            let root = root.into_drawing_area();
            root.fill(&WHITE)?;
            let held = self.labels.iter().flatten().count();
            let title = format!("{held} concepts in {nx} x {ny} x {nz} columns");
            let font = |size: i32| ("sans-serif", size).into_font();
            root.draw(&Text::new(title, (margin, 12), font(18)))?;
            let mut at = margin;
            for (place, &(label, held)) in self.legend.iter().take(COLOURS.len() + 1).enumerate() {
                let others = self.legend.len() - place;
                let (label, colour) = match COLOURS.get(place) {
                    Some(colour) => (format!("{} ({held})", short(label)), *colour),
                    None => (format!("{others} others"), OTHERS),
                };
                let square = [(at, 43), (at + 12, 55)];
                root.draw(&Rectangle::new(square, colour.filled()))?;
                let wide = 8 * label.chars().count() as i32;
                root.draw(&Text::new(label, (at + 17, 42), font(14)))?;
                at += 34 + wide;
            }
            for z in 0..nz {
                let left = margin + (z % self.across) * panel.0;
                let top = head + (z / self.across) * panel.1;
                let name = format!("z = {z}");
                root.draw(&Text::new(name, (left, top), font(12)))?;
                let ground = [(left, top + 16), (left + nx * cell, top + 16 + ny * cell)];
                root.draw(&Rectangle::new(ground, EMPTY.filled()))?;
                for (y, x) in (0..ny).flat_map(|y| (0..nx).map(move |x| (y, x))) {
                    let column = (x + nx * (y + ny * z)) as usize;
                    let Some(label) = &self.labels[column] else {
                        continue;
                    };
                    let colour = self.colour(label);
                    let (left, top) = (left + x * cell, top + 16 + (ny - 1 - y) * cell);
                    let gap = i32::from(cell > 4);
                    let square = [(left, top), (left + cell - gap, top + cell - gap)];
                    root.draw(&Rectangle::new(square, colour.filled()))?;
                }
            }
            root.present()?;
        }
        Ok(text)
    }

    fn colour(&self, label: &str) -> RGBColor {
        let place = self.legend.iter().position(|&(known, _)| known == label);
        let known = place.and_then(|place| COLOURS.get(place));
        known.copied().unwrap_or(OTHERS)
    }
}

fn short(label: &str) -> String {
    if label.chars().count() <= 18 {
        return label.to_owned();
    }
    label.chars().take(17).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_shows_every_column_and_its_label() {
        let label = |text: &str| Some(text.to_owned());
        let labels = [
            label("noun"),
            None,
            label("verb"),
            label("noun"),
            None,
            None,
        ];
        let counts = BTreeMap::from([("noun".to_owned(), 2), ("verb".to_owned(), 1)]);
        let text = Picture::of([3, 1, 2], &labels, &counts).svg().unwrap();
        let squares = |colour: &str| text.matches(colour).count();
        assert_eq!(squares("fill=\"#0072B2\""), 3, "two columns and the legend");
        assert_eq!(squares("fill=\"#E69F00\""), 2);
        assert_eq!(squares("fill=\"#ECECEC\""), 2, "a panel for each layer");
        assert!(text.contains("noun (2)") && text.contains("z = 1"));
    }

    #[test]
    fn parts_of_speech_are_told_by_ids_of_wordnet_alone() {
        for (id, want) in [
            ("n00001740", "noun"),
            ("s00002312", "adjective"),
            ("noun", "concept"),
            ("", "concept"),
        ] {
            assert_eq!(part_of_speech(id), want, "{id}");
        }
    }
}
