//! The picture of lists: operations a second and the time of a list against its length.

use anyhow::Context;
use plotters::prelude::*;

use crate::bench::lists::LENGTHS;
use crate::bench::report::{ListOf, Lists};
use crate::map::COLOURS;

/// Lines of a panel: what they are of, and points of length and value.
type Lines<'a> = Vec<(&'a str, Vec<(f64, f64)>)>;

const SIZE: (u32, u32) = (980, 420);

/// Two panels, both axes logarithmic.
pub(crate) fn svg(lists: &Lists, title: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let root = root.titled(title, ("sans-serif", 15))?;
        let (left, right) = root.split_horizontally(SIZE.0 / 2);
        let rates = lines(lists, |row| row.operations_s);
        panel(&left, "operations per second", &rates, false)?;
        let times = lines(lists, |row| row.p99_us.map(|us| us / 1e3));
        panel(&right, "a list at the 99th percentile, ms", &times, true)?;
        root.present()?;
    }
    Ok(text)
}

fn lines(lists: &Lists, value: impl Fn(&ListOf) -> Option<f64>) -> Lines<'_> {
    let mut lines: Lines<'_> = Vec::new();
    for row in &lists.of {
        let Some(value) = value(row) else { continue };
        let point = (row.length as f64, value);
        match lines.iter_mut().find(|(kind, _)| *kind == row.kind) {
            Some((_, points)) => points.push(point),
            None => lines.push((row.kind, vec![point])),
        }
    }
    lines
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    title: &str,
    lines: &Lines<'_>,
    legend: bool,
) -> anyhow::Result<()> {
    if lines.is_empty() {
        return Ok(()); // Axes without an end would be drawn without one.
    }
    let values = lines.iter().flat_map(|(_, points)| points);
    let (low, high) = values.fold((f64::MAX, f64::MIN_POSITIVE), |(low, high), &(_, y)| {
        (low.min(y), high.max(y))
    });
    let longest = LENGTHS[LENGTHS.len() - 1] as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 14))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(
            (1.0..longest * 1.2).log_scale(),
            (low / 1.5..high * 1.5).log_scale(),
        )
        .context("nothing to draw")?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("operations in a list")
        .x_label_formatter(&|length| format!("{length:.0}"))
        .y_label_formatter(&|value| format!("{value}"))
        .draw()?;
    for ((kind, points), colour) in lines.iter().zip(COLOURS) {
        let line = PathElement::new(points.clone(), colour.stroke_width(2));
        let drawn = chart.draw_series(std::iter::once(line))?;
        if legend {
            drawn.label(*kind).legend(move |(x, y)| {
                PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2))
            });
        }
    }
    if legend {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_kind_in_both_panels() {
        let row = |kind, length, operations_s| ListOf {
            kind,
            length,
            lists: 3,
            operations_s: Some(operations_s),
            p50_us: Some(10.0),
            p99_us: Some(10.0 * length as f64),
        };
        let of = vec![
            row("store", 1, 1e4),
            row("store", 10, 1e5),
            row("recall", 1, 2e3),
            row("recall", 10, 3e3),
        ];
        let text = svg(&Lists { rows: 100, of }, "two kinds").unwrap();
        for colour in ["#0072B2", "#E69F00"] {
            let lines = text.matches(&format!("stroke=\"{colour}\"")).count();
            assert_eq!(lines, 3, "two lines and the legend's: {text}");
        }
        assert!(text.contains("two kinds") && text.contains("recall"));
        let nothing = Lists {
            rows: 0,
            of: Vec::new(),
        };
        assert!(svg(&nothing, "").is_ok(), "an empty picture");
    }
}
