//! How training goes: a line on the terminal, and a picture.

use std::fmt::Write as _;

use indicatif::{ProgressBar, ProgressStyle};

/// Points of a curve in the picture.
const POINTS: usize = 100;

/// The losses of one training, as they come.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    losses: Vec<f32>,
}

impl Progress {
    pub(crate) fn new(name: &'static str, steps: usize) -> Progress {
        let style = ProgressStyle::with_template("{prefix:10} {bar:30} {pos}/{len} {msg} {eta}");
        let bar = ProgressBar::new(steps as u64)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(name);
        Progress {
            bar,
            losses: Vec::with_capacity(steps),
        }
    }

    pub(crate) fn add(&mut self, loss: f32) {
        self.losses.push(loss);
        self.bar.inc(1);
        self.bar.set_message(format!("loss {loss:.4}"));
    }

    /// Means of as many stretches as the picture has points.
    pub(crate) fn finish(self) -> Vec<f32> {
        self.bar.finish();
        let stretch = self.losses.len().div_ceil(POINTS).max(1);
        let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
        self.losses.chunks(stretch).map(mean).collect()
    }
}

/// Curves above each other as an SVG picture, each between its own least and greatest loss.
pub(crate) fn picture(curves: &[(&str, &[f32])]) -> String {
    const WIDTH: f32 = 640.0;
    const HEIGHT: f32 = 160.0;
    const MARGIN: f32 = 24.0;
    let height = HEIGHT * curves.len() as f32;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (at, (name, losses)) in curves.iter().enumerate() {
        let low = losses.iter().copied().fold(f32::INFINITY, f32::min);
        let high = losses.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let top = HEIGHT * at as f32 + MARGIN;
        let _ = writeln!(
            svg,
            "<text x=\"{MARGIN}\" y=\"{}\">{name}: loss from {high:.4} down to {low:.4}</text>",
            top - 6.0
        );
        let points = losses.iter().enumerate().map(|(step, loss)| {
            let x = MARGIN + (WIDTH - 2.0 * MARGIN) * step as f32 / losses.len().max(2) as f32;
            let part = (high - loss) / (high - low).max(f32::MIN_POSITIVE);
            format!("{x:.1},{:.1}", top + (HEIGHT - 2.0 * MARGIN) * part)
        });
        let points = points.collect::<Vec<_>>().join(" ");
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"black\" points=\"{points}\"/>"
        );
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_a_line_for_each_curve() {
        let svg = picture(&[("a", &[3.0, 2.0, 1.0]), ("b", &[1.0]), ("c", &[])]);
        assert_eq!(svg.matches("<polyline").count(), 3);
        assert!(svg.contains("a: loss from 3.0000 down to 1.0000"));
        assert!(!svg.contains("NaN"));
    }
}
