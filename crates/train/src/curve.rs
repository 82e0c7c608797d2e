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
        // Where there is no terminal for the bar, in a log: a line for each tenth.
        let (done, steps) = (self.bar.position(), self.bar.length().unwrap_or(0));
        if self.bar.is_hidden() && done * 10 / steps.max(1) > (done - 1) * 10 / steps.max(1) {
            eprintln!(
                "{}: step {done} of {steps}, loss {loss:.4}",
                self.bar.prefix()
            );
        }
    }

    /// Means of as many stretches as the picture has points.
    pub(crate) fn finish(self) -> Curve {
        self.bar.finish();
        let stretch = self.losses.len().div_ceil(POINTS).max(1);
        let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
        Curve {
            steps: self.losses.len(),
            losses: self.losses.chunks(stretch).map(mean).collect(),
        }
    }
}

/// How the loss of one training went.
#[derive(Debug)]
pub(crate) struct Curve {
    steps: usize,
    /// Means of stretches, in order.
    losses: Vec<f32>,
}

/// Curves above each other as an SVG picture, each between its own least and greatest loss.
pub(crate) fn picture(curves: &[(&str, Curve)]) -> String {
    const WIDTH: f32 = 640.0;
    const HEIGHT: f32 = 160.0;
    const TOP: f32 = 24.0;
    const BOTTOM: f32 = 22.0;
    const LEFT: f32 = 56.0;
    const RIGHT: f32 = 24.0;
    let height = HEIGHT * curves.len() as f32;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let mut text = |x: f32, y: f32, anchor: &str, words: String| {
        let _ = writeln!(
            svg,
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{words}</text>"
        );
    };
    let mut lines = String::new();
    for (at, (name, Curve { steps, losses })) in curves.iter().enumerate() {
        let (Some(first), Some(last)) = (losses.first(), losses.last()) else {
            continue; // Nothing was trained.
        };
        let low = losses.iter().copied().fold(f32::INFINITY, f32::min);
        let high = losses.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let top = HEIGHT * at as f32 + TOP;
        let (bottom, right) = (top + HEIGHT - TOP - BOTTOM, WIDTH - RIGHT);
        let title = format!("{name}: mean loss {first:.4} at first, {last:.4} at last");
        text(LEFT, top - 8.0, "start", title);
        text(LEFT - 6.0, top + 4.0, "end", format!("{high:.3}"));
        text(LEFT - 6.0, bottom + 4.0, "end", format!("{low:.3}"));
        text(LEFT, bottom + 15.0, "middle", "0".to_owned());
        text(right, bottom + 15.0, "end", format!("{steps} steps"));
        let points = losses.iter().enumerate().map(|(step, loss)| {
            let end = losses.len().saturating_sub(1).max(1);
            let x = LEFT + (right - LEFT) * step as f32 / end as f32;
            let part = (high - loss) / (high - low).max(f32::MIN_POSITIVE);
            format!("{x:.1},{:.1}", top + (bottom - top) * part)
        });
        let points = points.collect::<Vec<_>>().join(" ");
        let _ = writeln!(
            lines,
            "<path fill=\"none\" stroke=\"gray\" d=\"M{LEFT} {top}V{bottom}H{right}\"/>\n\
             <polyline fill=\"none\" stroke=\"black\" points=\"{points}\"/>"
        );
    }
    svg + &lines + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_a_line_for_each_curve_that_has_losses() {
        let curve = |steps, losses: &[f32]| Curve {
            steps,
            losses: losses.to_vec(),
        };
        let falling = curve(300, &[3.0, 1.0, 2.0]);
        let svg = picture(&[
            ("a", falling),
            ("b", curve(1, &[1.0])),
            ("c", curve(0, &[])),
        ]);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains("a: mean loss 3.0000 at first, 2.0000 at last"));
        assert!(svg.contains(">300 steps<") && svg.contains(">1.000<") && svg.contains(">3.000<"));
        // From the upper left to the middle of the right: y falls as the loss rises.
        assert!(svg.contains("points=\"56.0,24.0 336.0,138.0 616.0,81.0\""));
        assert!(!svg.contains("NaN"));
    }

    #[test]
    fn a_curve_is_made_of_means_of_stretches() {
        let mut progress = Progress::new("test", 250);
        (0..250).for_each(|step| progress.add(step as f32));
        let curve = progress.finish();
        assert_eq!((curve.steps, curve.losses.len()), (250, 84));
        assert_eq!(curve.losses[..2], [1.0, 4.0]);
        assert_eq!(curve.losses[83], 249.0);
    }
}
