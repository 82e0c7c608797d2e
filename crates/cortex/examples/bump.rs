//! A picture of activity before and after inhibition, as SVG on standard output:
//! `cargo run --release -p cortica-cortex --example bump > docs/bump.svg`.
#![allow(clippy::unwrap_used, reason = "an example that cannot go on says why")]

use cortica_cortex::{Competition, Grid, InhibitionParams};
use cortica_env::Seed;
use cortica_simd::Isa;

const SIDE: u32 = 24;
const CELL: u32 = 12;
const TOP: u32 = 28;

fn main() {
    let grid = Grid::new(SIDE, SIDE, 1).unwrap();
    let columns: Vec<_> = grid.columns().collect();
    let mut chance = Seed(3).rng();
    // Two broad bumps and noise: what a concept that is like two others drives.
    let drives: Vec<f32> = columns
        .iter()
        .map(|&column| {
            let [x, y, _] = grid.place(column).unwrap();
            let bump = |cx: f64, cy: f64, height: f64| {
                let square = (f64::from(x) - cx).powi(2) + (f64::from(y) - cy).powi(2);
                height * (-square / (2.0 * 9.0)).exp()
            };
            let drive = bump(8.0, 9.0, 0.75) + bump(17.0, 15.0, 0.55) + 0.2 * chance.unit();
            drive.clamp(0.0, 1.0) as f32
        })
        .collect();
    let mut competition = Competition::new(InhibitionParams::default(), Isa::best()).unwrap();
    let outcome = competition.run(&grid, &columns, &drives, 1).unwrap();
    let width = SIDE * CELL;
    println!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>",
        2 * width + 3 * CELL,
        width + TOP + CELL
    );
    let rect = |left: u32, [x, y, _]: [u32; 3], style: &str| {
        let (x, y) = (left + x * CELL, TOP + y * CELL);
        println!("<rect x=\"{x}\" y=\"{y}\" width=\"{CELL}\" height=\"{CELL}\" {style}/>");
    };
    let panels = [
        ("drive", drives.as_slice()),
        ("activity", outcome.activities),
    ];
    for (panel, (name, values)) in (0..).zip(panels) {
        let left = CELL + panel * (width + CELL);
        println!("<text x=\"{left}\" y=\"18\">{name}: white 0, black the highest</text>");
        let high = values.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        for (&column, value) in columns.iter().zip(values) {
            let grey = (255.0 * (1.0 - value / high)).round() as u8;
            let fill = format!("fill=\"#{grey:02x}{grey:02x}{grey:02x}\"");
            rect(left, grid.place(column).unwrap(), &fill);
        }
        if panel == 1 {
            let winner = grid.place(outcome.winners[0].column).unwrap();
            let frame = "fill=\"none\" stroke=\"red\" stroke-width=\"2\"";
            rect(left, winner, frame);
        }
    }
    println!("</svg>");
}
