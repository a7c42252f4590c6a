//! Draws what `benches/external/scaling.py` measured: time and memory of a step against length and vocabulary.
//!
//! `cargo run --example lengths -- benches/lengths.json benches` writes four pictures into the folder.

use std::path::PathBuf;

use natgrad::report::{Chart, Curve};
use serde::Deserialize;

#[derive(Deserialize)]
struct Measured {
    points: Vec<Point>,
}

/// What the other is while one is varied, as in the script.
const LENGTH: f64 = 512.0;
const VOCABULARY: f64 = 96.0;

/// Where a point stands on an axis, if it is of it.
type Place = fn(&Point) -> Option<f64>;

/// One step of one entrant, or why there is none.
#[derive(Deserialize)]
struct Point {
    length: f64,
    vocabulary: f64,
    entrant: String,
    ms: Option<Interval>,
    xla_bytes: Option<f64>,
    resident_bytes: Option<f64>,
}

#[derive(Clone, Copy, Deserialize)]
struct Interval {
    median: f64,
    low: f64,
    high: f64,
}

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1).map(PathBuf::from);
    let (Some(file), Some(folder)) = (args.next(), args.next()) else {
        anyhow::bail!("usage: lengths NUMBERS.json FOLDER");
    };
    let measured: Measured = serde_json::from_slice(&std::fs::read(file)?)?;
    let places: [(&str, Place); 2] = [
        ("length", |point| (point.vocabulary == VOCABULARY).then_some(point.length)),
        ("vocabulary", |point| (point.length == LENGTH).then_some(point.vocabulary)),
    ];
    for (axis, place) in places {
        let memory = |point: &Point| {
            let megabytes = point.xla_bytes.or(point.resident_bytes)? / 1e6;
            Some((megabytes, megabytes, megabytes))
        };
        let time = |point: &Point| point.ms.map(|ms| (ms.low, ms.median, ms.high));
        let points: Vec<(f64, &Point)> =
            measured.points.iter().filter_map(|point| Some((place(point)?, point))).collect();
        for (what, unit, chart) in [
            ("time", "ms of a step", curves(&points, time)),
            ("memory", "MB of a step", curves(&points, memory)),
        ] {
            let chart = Chart { x: axis.to_string(), y: unit.to_string(), curves: chart };
            if let Some(svg) = chart.svg() {
                std::fs::write(folder.join(format!("{axis}-{what}.svg")), svg)?;
            }
        }
    }
    Ok(())
}

/// A curve for each entrant.
fn curves(points: &[(f64, &Point)], value: impl Fn(&Point) -> Option<(f64, f64, f64)>) -> Vec<Curve> {
    let mut names: Vec<&str> = points.iter().map(|(_, point)| &*point.entrant).collect();
    names.sort_unstable();
    names.dedup();
    let curve = |name: &str| {
        let own = points.iter().filter(|(_, point)| point.entrant == name);
        let mut points: Vec<_> = own
            .filter_map(|&(place, point)| {
                let (low, middle, high) = value(point)?;
                Some((place, low, middle, high))
            })
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Curve { name: name.to_string(), points, predicted: false, joined: true }
    };
    names.into_iter().map(curve).collect()
}
