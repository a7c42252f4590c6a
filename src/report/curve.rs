//! Curves, drawn by plotters.

use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;

use super::bars::colour;

/// A chart of curves, the horizontal axis logarithmic. The vertical axis is logarithmic too where the greatest value is 20 times the
/// least.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// What the horizontal axis counts.
    pub x: String,
    /// What the vertical axis measures.
    pub y: String,
    /// The curves.
    pub curves: Vec<Curve>,
}

/// One curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Its name.
    pub name: String,
    /// Its points, as (x, low, middle, high).
    pub points: Vec<(f64, f64, f64, f64)>,
    /// Whether it is a prediction, drawn thin.
    pub predicted: bool,
    /// Whether there is something between its points: a line joins them.
    pub joined: bool,
}

const SIZE: (u32, u32) = (760, 380);
/// Values of which the greatest is so many times the least are drawn on a logarithmic axis.
pub(super) const LOG_FROM: f64 = 20.0;

impl Chart {
    /// The chart as an SVG element; none without two different points on the horizontal axis.
    pub fn svg(&self) -> Option<String> {
        let points = || self.curves.iter().flat_map(|curve| curve.points.iter().copied());
        let least = points().map(|point| point.0).fold(f64::INFINITY, f64::min);
        let most = points().map(|point| point.0).fold(0.0, f64::max);
        if least <= 0.0 || least >= most {
            return None;
        }
        let low = points().map(|point| point.1).fold(f64::INFINITY, f64::min);
        let high = points().map(|point| point.3).fold(f64::NEG_INFINITY, f64::max);
        let mut svg = String::new();
        let sides = (least * 0.9, most * 1.1);
        if low > 0.0 && high / low >= LOG_FROM {
            self.draw(&mut svg, sides, (low / 1.3..high * 1.3).log_scale(), SeriesLabelPosition::UpperLeft)
        } else {
            let room = 0.08 * (high - low).max(0.02 * high.abs());
            self.draw(&mut svg, sides, low - room..high + room, SeriesLabelPosition::MiddleRight)
        }
        .ok()?;
        Some(svg)
    }

    fn draw<Y>(
        &self,
        svg: &mut String,
        (left, right): (f64, f64),
        y: Y,
        names: SeriesLabelPosition,
    ) -> Result<(), Box<dyn std::error::Error>>
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let mut ticks: Vec<f64> =
            self.curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.0)).collect();
        ticks.sort_by(f64::total_cmp);
        ticks.dedup();
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .x_label_area_size(42)
            .y_label_area_size(64)
            .build_cartesian_2d((left..right).log_scale().with_key_points(ticks), y)?;
        chart
            .configure_mesh()
            .x_desc(&self.x)
            .y_desc(&self.y)
            .label_style(("sans-serif", 14))
            .axis_desc_style(("sans-serif", 15))
            .light_line_style(WHITE)
            .x_label_formatter(&|value| compact(*value))
            .draw()?;
        for (index, curve) in self.curves.iter().enumerate() {
            let paint = paint(index);
            let style = paint.stroke_width(if curve.predicted { 1 } else { 2 });
            let middles = || curve.points.iter().map(|&(x, _, middle, _)| (x, middle));
            if curve.joined {
                chart
                    .draw_series(LineSeries::new(middles(), style))?
                    .label(&curve.name)
                    .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], style));
            } else {
                // A prediction is a ring, a measurement a disc.
                let mark = if curve.predicted { style } else { paint.filled() };
                chart
                    .draw_series(middles().map(|at| Circle::new(at, 4, mark)))?
                    .label(&curve.name)
                    .legend(move |(x, y)| Circle::new((x + 9, y), 4, mark));
            }
            if !curve.predicted {
                let bars = curve.points.iter();
                let bars = bars.map(|&(x, low, middle, high)| {
                    ErrorBar::new_vertical(x, low, middle, high, paint.filled(), 6)
                });
                chart.draw_series(bars)?;
            }
        }
        chart
            .configure_series_labels()
            .label_font(("sans-serif", 14))
            .position(names)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        root.present()?;
        Ok(())
    }
}

/// The colour of a curve by its number.
pub(super) fn paint(index: usize) -> RGBColor {
    let text = colour(index);
    let channel = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap_or(0);
    RGBColor(channel(1), channel(3), channel(5))
}

/// A count in a few characters.
pub(super) fn compact(value: f64) -> String {
    let (scaled, unit) = match value {
        _ if value >= 1e9 => (value / 1e9, "G"),
        _ if value >= 1e6 => (value / 1e6, "M"),
        _ if value >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    if scaled.fract().abs() < 0.05 { format!("{scaled:.0}{unit}") } else { format!("{scaled:.1}{unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(xs: &[f64], joined: bool) -> Chart {
        let points = xs.iter().map(|&x| (x, 0.9, 1.0, 1.1)).collect();
        let curve = Curve { name: "ivon".into(), points, predicted: false, joined };
        Chart { x: "rows".into(), y: "ratio".into(), curves: vec![curve] }
    }

    #[test]
    fn a_chart_needs_two_places_on_its_axis() {
        assert!(chart(&[], true).svg().is_none() && chart(&[8.0, 8.0], true).svg().is_none());
        let svg = chart(&[8.0, 64.0], true).svg().unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("ivon") && svg.contains("rows"));
    }

    #[test]
    fn what_grows_far_is_on_a_logarithmic_axis() {
        let place = |last: f64| {
            let points = [(1.0, 1.0), (2.0, 10.0), (4.0, last)].map(|(x, y)| (x, y, y, y)).to_vec();
            let curve = Curve { name: "a".into(), points, predicted: false, joined: false };
            let svg = Chart { x: "x".into(), y: "y".into(), curves: vec![curve] }.svg().unwrap();
            let circles = svg.split("<circle").skip(1);
            let at = |text: &str| text.split("cy=\"").nth(1)?.split('"').next()?.parse::<f64>().ok();
            circles.filter_map(at).take(3).collect::<Vec<_>>()
        };
        let even = |at: &[f64]| ((at[0] - at[1]) - (at[1] - at[2])).abs() <= 1.0;
        assert!(even(&place(100.0)) && even(&place(19.0)), "{:?} {:?}", place(100.0), place(19.0));
    }

    /// The frame and the axes have lines of their own.
    #[test]
    fn points_are_joined_where_there_is_something_between_them() {
        let lines = |joined| chart(&[8.0, 64.0], joined).svg().unwrap().matches("<polyline").count();
        assert!(lines(false) < lines(true), "{} {}", lines(false), lines(true));
    }

    #[test]
    fn counts_are_short() {
        assert_eq!([8.0, 1500.0, 2e6, 1.24e8].map(compact), ["8", "1.5k", "2M", "124M"]);
    }
}
