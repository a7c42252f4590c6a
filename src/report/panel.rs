//! Lines over steps or confidences, drawn by plotters: a panel of them, or several below each other.

use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;

use super::curve::{LOG_FROM, compact, paint};

/// A chart of lines. The vertical axis is logarithmic where the greatest value is 20 times the least.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// What the horizontal axis counts.
    pub x: String,
    /// What the vertical axis measures.
    pub y: String,
    /// Whether the vertical axis may be logarithmic.
    pub may_be_log: bool,
    /// Where there is room for the lines' names.
    pub names: Corner,
    /// The lines.
    pub lines: Vec<Line>,
}

/// A corner of a panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corner {
    /// For lines that rise late.
    UpperLeft,
    /// For lines that fall.
    UpperRight,
    /// For lines that rise.
    LowerRight,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// Its points.
    pub points: Vec<(f64, f64)>,
    /// The number of its colour.
    pub colour: usize,
    /// How it is drawn.
    pub stroke: Stroke,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stroke {
    /// Pale, for what others are drawn over.
    Thin,
    /// In full.
    Plain,
    /// In dashes.
    Dashed,
    /// Its points alone.
    Dots,
    /// Each two points joined, but not with the next two: such as how far a dot may be off.
    Pairs,
    /// The area between them, pale: the points of one edge, then those of the other backwards.
    Band,
}

const SIZE: (u32, u32) = (760, 340);
/// More points are drawn as means of neighbours: there are no more places on the axis.
const MOST_POINTS: usize = 300;
/// So few points are marked.
const FEW_POINTS: usize = 30;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Panels below each other as one SVG element; those with nothing to draw are left out, and none is left if all are.
pub fn stacked(panels: &[Panel]) -> Option<String> {
    let panels: Vec<(Panel, [(f64, f64); 2])> = panels.iter().filter_map(|panel| panel.drawable()).collect();
    let mut svg = String::new();
    let draw = |svg: &mut String| -> Outcome {
        let rows = panels.len();
        let root = SVGBackend::with_string(svg, (SIZE.0, SIZE.1 * u32::try_from(rows)?)).into_drawing_area();
        root.fill(&WHITE)?;
        for (area, (panel, ranges)) in root.split_evenly((rows, 1)).iter().zip(&panels) {
            panel.draw(area, *ranges)?;
        }
        root.present()?;
        Ok(())
    };
    if panels.is_empty() { None } else { draw(&mut svg).ok().map(|()| svg) }
}

impl Panel {
    /// The panel as an SVG element; none where there is nothing to draw.
    pub fn svg(&self) -> Option<String> {
        stacked(std::slice::from_ref(self))
    }

    /// What is drawn, and the ranges of its axes.
    fn drawable(&self) -> Option<(Panel, [(f64, f64); 2])> {
        let points = |line: &Line| match line.stroke {
            Stroke::Pairs | Stroke::Band => line.points.clone(),
            Stroke::Thin | Stroke::Plain | Stroke::Dashed | Stroke::Dots => thinned(&line.points),
        };
        let lines = self.lines.iter().map(|line| Line { points: points(line), ..line.clone() });
        let lines: Vec<Line> = lines.filter(|line| !line.points.is_empty()).collect();
        let points = || lines.iter().flat_map(|line| line.points.iter().copied());
        let range = |of: fn((f64, f64)) -> f64| {
            points().map(of).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            })
        };
        let (x, y) = (range(|point| point.0), range(|point| point.1));
        (x.0 <= x.1).then(|| (Panel { lines, ..self.clone() }, [x, y]))
    }

    fn draw(
        &self,
        area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
        [(left, right), (low, high)]: [(f64, f64); 2],
    ) -> Outcome {
        let right = if left < right { right } else { left + 1.0 };
        if self.may_be_log && low > 0.0 && high / low >= LOG_FROM {
            let room = (high / low).powf(0.05);
            return self.draw_over(area, left..right, (low / room..high * room).log_scale());
        }
        // A constant has room around it.
        let room = 0.06 * (high - low).max(1e-3 * high.abs()).max(1e-12);
        self.draw_over(area, left..right, low - room..high + room)
    }

    fn draw_over<Y>(
        &self,
        area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
        x: std::ops::Range<f64>,
        y: Y,
    ) -> Outcome
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(42)
            .y_label_area_size(72)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .x_desc(&self.x)
            .y_desc(&self.y)
            .label_style(("sans-serif", 14))
            .axis_desc_style(("sans-serif", 15))
            .light_line_style(WHITE)
            .x_label_formatter(&|value| if *value < 1e3 { shown(*value) } else { compact(*value) })
            .y_label_formatter(&|value| shown(*value))
            .draw()?;
        for line in &self.lines {
            let paint = paint(line.colour);
            let style = match line.stroke {
                Stroke::Thin | Stroke::Pairs => paint.mix(0.45).stroke_width(1),
                Stroke::Plain | Stroke::Dashed | Stroke::Dots => paint.stroke_width(2),
                Stroke::Band => paint.mix(0.18).filled(),
            };
            let points = || line.points.iter().copied();
            let legend = move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], style);
            match line.stroke {
                Stroke::Thin | Stroke::Plain => {
                    chart.draw_series(LineSeries::new(points(), style))?.label(&line.name).legend(legend);
                }
                Stroke::Dots => {
                    let dots = points().map(|point| Circle::new(point, 3, style.filled()));
                    let legend = move |(x, y)| Circle::new((x + 9, y), 3, style.filled());
                    chart.draw_series(dots)?.label(&line.name).legend(legend);
                }
                Stroke::Pairs => {
                    let pairs = line.points.chunks_exact(2);
                    let pairs = pairs.map(|pair| PathElement::new(pair.to_vec(), style));
                    chart.draw_series(pairs)?.label(&line.name).legend(legend);
                }
                Stroke::Band => {
                    let area = Polygon::new(line.points.clone(), style);
                    let legend = move |(x, y)| Rectangle::new([(x, y - 4), (x + 18, y + 4)], style);
                    chart.draw_series([area])?.label(&line.name).legend(legend);
                }
                Stroke::Dashed => {
                    let dashes = DashedLineSeries::new(points(), 5, 4, style);
                    chart.draw_series(dashes)?.label(&line.name).legend(move |(x, y)| {
                        // Two dashes.
                        PathElement::new(vec![(x, y), (x + 7, y)], style)
                    });
                }
            }
            if line.points.len() <= FEW_POINTS
                && ![Stroke::Dots, Stroke::Pairs, Stroke::Band].contains(&line.stroke)
            {
                chart.draw_series(points().map(|point| Circle::new(point, 2, style.filled())))?;
            }
        }
        let place = match self.names {
            Corner::UpperLeft => SeriesLabelPosition::UpperLeft,
            Corner::UpperRight => SeriesLabelPosition::UpperRight,
            Corner::LowerRight => SeriesLabelPosition::LowerRight,
        };
        chart
            .configure_series_labels()
            .label_font(("sans-serif", 14))
            .position(place)
            .margin(8)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        Ok(())
    }
}

/// Points that are finite, at most [`MOST_POINTS`] of them.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let finite: Vec<(f64, f64)> =
        points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    let mean = |part: &[(f64, f64)]| {
        let of = |value: fn(&(f64, f64)) -> f64| part.iter().map(value).sum::<f64>() / part.len() as f64;
        (of(|point| point.0), of(|point| point.1))
    };
    match finite.len().div_ceil(MOST_POINTS) {
        0 | 1 => finite,
        together => finite.chunks(together).map(mean).collect(),
    }
}

/// A number in a few characters.
fn shown(value: f64) -> String {
    if value != 0.0 && !(1e-3..1e5).contains(&value.abs()) {
        return format!("{value:.1e}");
    }
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() || text == "-0" { "0".to_string() } else { text.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(points: &[(f64, f64)]) -> Panel {
        let line = Line { name: "a <b>".into(), points: points.to_vec(), colour: 0, stroke: Stroke::Plain };
        Panel {
            x: "epoch".into(),
            y: "loss".into(),
            may_be_log: true,
            names: Corner::UpperRight,
            lines: vec![line],
        }
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(panel(&[]).svg(), None);
        assert_eq!(panel(&[(1.0, f64::NAN)]).svg(), None);
        let svg = stacked(&[panel(&[(0.0, 2.0), (1.0, 1.0)]), panel(&[]), panel(&[(3.0, 0.5)])]).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("height=\"680\""), "{svg}");
        assert!(svg.contains("a &lt;b&gt;") && svg.contains("epoch"), "{svg}");
    }

    #[test]
    fn an_axis_is_logarithmic_where_values_are_far_apart() {
        let ticks = |points: &[(f64, f64)]| panel(points).svg().unwrap();
        let far = ticks(&[(0.0, 100.0), (1.0, 1.0), (2.0, 0.01)]);
        assert!(["\n0.1\n", "\n10\n"].iter().all(|tick| far.contains(tick)), "{far}");
        let near = ticks(&[(0.0, 2.0), (1.0, 1.0)]);
        assert!(near.contains("\n1.2\n"), "{near}");
        // Zero has no logarithm, and a constant no range.
        assert!(ticks(&[(0.0, 100.0), (1.0, 0.0)]).contains("\n20\n"));
        assert!(panel(&[(0.0, 0.1), (1.0, 0.1)]).svg().is_some());
    }

    #[test]
    fn pairs_are_drawn_each_for_itself() {
        let lines = |stroke| {
            let mut panel = panel(&[(0.0, 0.0), (0.0, 1.0), (1.0, 2.0), (1.0, 3.0)]);
            panel.lines[0].stroke = stroke;
            panel.svg().unwrap().matches("<polyline").count()
        };
        assert_eq!(lines(Stroke::Pairs), lines(Stroke::Plain) + 1);
    }

    #[test]
    fn many_points_are_drawn_as_means() {
        let points: Vec<(f64, f64)> = (0..700).map(|i| (f64::from(i), f64::from(i % 3))).collect();
        let thinned = thinned(&points);
        assert_eq!((thinned.len(), thinned[0]), (234, (1.0, 1.0)));
    }

    #[test]
    fn numbers_are_short() {
        let found = [0.0, 0.25, 10.0, 1e-4, 123_456.0, -0.0].map(shown);
        assert_eq!(found, ["0", "0.25", "10", "1.0e-4", "1.2e5", "0"]);
    }
}
