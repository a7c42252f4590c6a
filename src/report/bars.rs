//! Horizontal bars of several parts.

use super::page::escape;
use super::prefix::prefix;

/// Bars on one scale, each of parts of the same kinds.
#[derive(Clone, Debug, PartialEq)]
pub struct Bars {
    /// The unit of the numbers.
    pub unit: String,
    /// The names of the parts, in the order of every bar.
    pub parts: Vec<String>,
    /// The bars.
    pub bars: Vec<Bar>,
}

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What it is of.
    pub label: String,
    /// The size of each part; what is not above 0 is not drawn.
    pub sizes: Vec<f64>,
}

/// Colours that people with any colour vision tell apart (Okabe and Ito 2008, then four of Tol's).
const COLOURS: [&str; 12] = [
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999", "#882255",
    "#44aa99", "#117733", "#aa4499",
];

/// The colour of a part or curve by its number.
pub fn colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}

impl Bars {
    /// Bars of sizes in a unit without prefix, in the prefix that suits the longest.
    pub fn scaled(unit: &str, parts: Vec<String>, mut bars: Vec<Bar>) -> Bars {
        let most = bars.iter().map(|bar| bar.sizes.iter().sum()).fold(0.0, f64::max);
        let (scale, prefix) = prefix(most).unwrap_or((1.0, ""));
        bars.iter_mut().flat_map(|bar| &mut bar.sizes).for_each(|size| *size /= scale);
        Bars { unit: format!("{prefix}{unit}"), parts, bars }
    }

    /// As an HTML element.
    pub fn html(&self) -> String {
        let total = |bar: &Bar| bar.sizes.iter().filter(|size| **size > 0.0).sum::<f64>();
        let most = self.bars.iter().map(total).fold(f64::MIN_POSITIVE, f64::max);
        let mut html = String::from("<div class=\"legend\">");
        for (index, part) in self.parts.iter().enumerate() {
            html.push_str(&format!(
                "<span><i style=\"background:{}\"></i>{}</span>",
                colour(index),
                escape(part)
            ));
        }
        html.push_str("</div>\n<div class=\"bars\">\n");
        for bar in &self.bars {
            html.push_str(&format!("<div class=\"label\">{}</div><div class=\"bar\">", escape(&bar.label)));
            for (index, (part, &size)) in self.parts.iter().zip(&bar.sizes).enumerate() {
                if size > 0.0 {
                    let title = format!("{part}: {} {}", number(size), self.unit);
                    html.push_str(&format!(
                        "<span style=\"width:{:.3}%;background:{}\" title=\"{}\"></span>",
                        100.0 * size / most,
                        colour(index),
                        escape(&title)
                    ));
                }
            }
            html.push_str(&format!(
                "</div><div class=\"total\">{} {}</div>\n",
                number(total(bar)),
                self.unit
            ));
        }
        html.push_str("</div>\n");
        html
    }
}

/// Three significant digits, without an exponent where that is short.
fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let digits = 2 - value.abs().max(1e-9).log10().floor() as i32;
    format!("{value:.*}", digits.clamp(0, 6) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_the_width() {
        let bars = Bars {
            unit: "ms".into(),
            parts: vec!["a".into(), "b".into()],
            bars: vec![
                Bar { label: "x".into(), sizes: vec![3.0, 1.0] },
                Bar { label: "y".into(), sizes: vec![2.0, -1.0] },
            ],
        };
        let html = bars.html();
        let widths: Vec<&str> = html.split("width:").skip(1).map(|rest| &rest[..6]).collect();
        assert_eq!(widths, ["75.000", "25.000", "50.000"]);
        assert!(html.contains("title=\"a: 3.00 ms\"") && html.contains("4.00 ms</div>"));
    }

    #[test]
    fn sizes_are_in_the_unit_of_the_longest_bar() {
        let bars = |sizes: &[f64]| {
            let bar = Bar { label: String::new(), sizes: sizes.to_vec() };
            Bars::scaled("B", Vec::new(), vec![bar])
        };
        let found = [&[2e6, 5e2][..], &[0.0], &[3e-10]].map(bars);
        assert_eq!(found.each_ref().map(|bars| bars.unit.as_str()), ["MB", "B", "B"]);
        assert_eq!(found[0].bars[0].sizes, [2.0, 5e-4]);
    }

    #[test]
    fn numbers_have_three_digits() {
        let shown: Vec<String> = [1234.5, 12.345, 0.012_345, 0.0].map(number).into();
        assert_eq!(shown, ["1234", "12.3", "0.0123", "0"]);
    }
}
