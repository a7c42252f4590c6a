//! Draws the training curves of runs into one SVG file, from their `metrics.jsonl`:
//! `cargo run --release --example curves -- OUT.svg RUN_FOLDER...`

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Record {
    epoch: f64,
    loss: f64,
}

/// Records that a point of the curve averages over.
const SMOOTHING: usize = 8;

fn curve(folder: &Path) -> Result<Vec<(f64, f64)>, Box<dyn Error>> {
    let path = folder.join("metrics.jsonl");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let records: Vec<Record> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let mean = |part: &[Record]| {
        let count = part.len() as f64;
        (part.iter().map(|r| r.epoch).sum::<f64>() / count, part.iter().map(|r| r.loss).sum::<f64>() / count)
    };
    Ok(records.chunks(SMOOTHING).map(mean).collect())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let out = arguments.next().ok_or("usage: curves OUT.svg RUN_FOLDER...")?;
    let mut curves = Vec::new();
    for folder in arguments {
        let folder = Path::new(&folder).to_path_buf();
        let name = folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        curves.push((name, curve(&folder)?));
    }
    let points = || curves.iter().flat_map(|(_, points)| points);
    let last = points().map(|&(epoch, _)| epoch).fold(1.0, f64::max);
    let least = points().map(|&(_, loss)| loss).fold(f64::INFINITY, f64::min);
    let most = points().map(|&(_, loss)| loss).fold(0.0, f64::max);

    let root = SVGBackend::new(&out, (760, 380)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..last, (least * 0.8..most * 1.1).log_scale())?;
    chart.configure_mesh().x_desc("epoch").y_desc("training loss (nats)").light_line_style(WHITE).draw()?;
    for (index, (name, points)) in curves.iter().enumerate() {
        let color = Palette99::pick(index).to_rgba();
        chart
            .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .margin(12)
        .background_style(WHITE)
        .border_style(BLACK.mix(0.3))
        .draw()?;
    root.present()?;
    Ok(())
}
