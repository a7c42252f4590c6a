//! The fields of a sweep, and the values that they take.

use serde_json::Value;

use crate::noise::plain::philox;

/// A field that runs differ in.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Its path in configurations, such as `rule.lr`.
    pub path: String,
    /// What it may be.
    pub values: Values,
}

/// What a field may be.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Each of these, as an override has them.
    List(Vec<String>),
    /// Numbers between two, for a random search: their logarithms are drawn evenly where the least is above 0.
    Range(f64, f64),
}

/// Fields that all runs of a sweep have in common.
const COMMON: [(&str, &str); 4] = [
    ("data", "all runs learn from the same rows"),
    ("validation", "runs are judged at their end, by rows that are held out"),
    ("checkpoint", "no run of a sweep is saved"),
    ("seed", "--seeds has the seeds"),
];

impl Axis {
    /// Reads `path=1,2,3` or `path=1e-4..1e-1`.
    ///
    /// # Errors
    /// Says what is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Axis, String> {
        let wanted = "must be FIELD=VALUE,VALUE,... or FIELD=LEAST..MOST, such as rule.lr=0.01,0.1 or rule.lr=1e-3..1e-1";
        let Some((path, values)) = text.split_once('=') else {
            return Err(format!("`{text}` {wanted}"));
        };
        let path = path.trim();
        let within = |section: &str| {
            path.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        if let Some((_, why)) = COMMON.iter().find(|(section, _)| within(section)) {
            return Err(format!("`{path}` cannot be varied: {why}"));
        }
        if let Some((least, most)) = values.split_once("..") {
            let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
            return match (number(least), number(most)) {
                (Some(least), Some(most)) if least < most => {
                    Ok(Axis { path: path.to_string(), values: Values::Range(least, most) })
                }
                _ => Err(format!("`{text}`: a range is LEAST..MOST, two numbers of which the first is less")),
            };
        }
        let values = split(values);
        if path.is_empty() || values.iter().any(String::is_empty) {
            return Err(format!("`{text}` {wanted}"));
        }
        if let Some((at, value)) = values.iter().enumerate().find(|(at, value)| values[..*at].contains(value))
        {
            return Err(format!("`{text}` has {value} twice, the second time as value {}", at + 1));
        }
        Ok(Axis { path: path.to_string(), values: Values::List(values) })
    }

    /// The override that sets the field.
    pub fn set(&self, value: &str) -> String {
        format!("{}={value}", self.path)
    }
}

/// The parts between commas that are in no brackets or quotes.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut depth, mut quoted) = (vec![String::new()], 0_i32, false);
    for character in text.chars() {
        match character {
            '"' => quoted = !quoted,
            '[' | '{' if !quoted => depth += 1,
            ']' | '}' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(character);
        }
    }
    parts.iter().map(|part| part.trim().to_string()).collect()
}

/// Every combination of the axes' values, the last axis changing fastest: as overrides.
///
/// # Errors
/// An axis is a range.
pub fn grid(axes: &[Axis]) -> Result<Vec<Vec<String>>, String> {
    let mut points = vec![Vec::new()];
    for axis in axes {
        let Values::List(values) = &axis.values else {
            return Err(format!(
                "`{}` has a range, which a grid has no values of: add --random N, or list values",
                axis.path
            ));
        };
        let with = |point: &Vec<String>| {
            let point = point.clone();
            values.iter().map(move |value| [point.clone(), vec![axis.set(value)]].concat())
        };
        points = points.iter().flat_map(with).collect();
    }
    Ok(points)
}

/// So many combinations drawn at random; the first of them are the same however many there are.
pub fn random(axes: &[Axis], count: u32, seed: u64) -> Vec<Vec<String>> {
    let unit = |point: u32, axis: u32| {
        let key = [seed as u32, (seed >> 32) as u32, axis, 0];
        f64::from(philox(key, point)) / (f64::from(u32::MAX) + 1.0)
    };
    let draw = |point: u32, (number, axis): (u32, &Axis)| {
        let unit = unit(point, number);
        match &axis.values {
            Values::List(values) => axis.set(&values[(unit * values.len() as f64) as usize]),
            Values::Range(least, most) if *least > 0.0 => {
                axis.set(&short(least * (most / least).powf(unit), *least, *most))
            }
            Values::Range(least, most) => axis.set(&short(least + (most - least) * unit, *least, *most)),
        }
    };
    (0..count).map(|point| (0..).zip(axes).map(|axis| draw(point, axis)).collect()).collect()
}

/// A number between two in three digits: more of them matter to no run, and make tables wide.
fn short(number: f64, least: f64, most: f64) -> String {
    let rounded = format!("{number:.2e}").parse::<f64>().unwrap_or(number).clamp(least, most);
    if (1e-3..1e5).contains(&rounded.abs()) { format!("{rounded}") } else { format!("{rounded:e}") }
}

/// The number that an override sets a field to, if it is one.
pub fn number(set: &str) -> Option<f64> {
    let (_, value) = set.split_once('=')?;
    serde_json::from_str::<Value>(value).ok()?.as_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(text: &str) -> Axis {
        Axis::parse(text).unwrap()
    }

    #[test]
    fn fields_have_values_or_a_range() {
        let list = |values: &[&str]| Values::List(values.iter().map(|value| value.to_string()).collect());
        assert_eq!(axis("rule.lr=0.1, 1").values, list(&["0.1", "1"]));
        assert_eq!(axis("model.hidden=[10,20],[30]").values, list(&["[10,20]", "[30]"]));
        assert_eq!(axis("rule.kind=ivon,adamw").values, list(&["ivon", "adamw"]));
        assert_eq!(axis("rule.lr=1e-3..1").values, Values::Range(1e-3, 1.0));
        let wrong = |text: &str| Axis::parse(text).unwrap_err();
        assert!(wrong("rule.lr").starts_with("`rule.lr` must be FIELD=VALUE"));
        assert!(wrong("rule.lr=1,,2").contains("must be FIELD=VALUE"));
        assert!(wrong("rule.lr=2..1").contains("a range is LEAST..MOST"));
        assert!(wrong("rule.lr=1,2,1").contains("has 1 twice"));
        assert!(wrong("data.path=a,b").contains("the same rows"));
        assert!(wrong("seed=1,2").contains("--seeds"));
    }

    #[test]
    fn a_grid_has_every_combination() {
        let found = grid(&[axis("a=1,2"), axis("b=x,y")]).unwrap();
        assert_eq!(found, [["a=1", "b=x"], ["a=1", "b=y"], ["a=2", "b=x"], ["a=2", "b=y"]]);
        assert!(grid(&[axis("a=1..2")]).unwrap_err().contains("--random"));
    }

    #[test]
    fn a_random_search_draws_within_the_ranges_and_goes_on_where_it_was() {
        let axes = [axis("a=1e-4..1"), axis("b=-1..1"), axis("c=x,y")];
        let found = random(&axes, 200, 7);
        assert_eq!(found[..20], random(&axes, 20, 7));
        assert_ne!(found[..20], random(&axes, 20, 8));
        let numbers = |at: usize| found.iter().map(move |point| number(&point[at]).unwrap());
        assert!(numbers(0).all(|value| (1e-4..=1.0).contains(&value)));
        assert!(numbers(1).all(|value| (-1.0..=1.0).contains(&value)));
        // Half of the logarithms are below the middle, and half of the second field's values.
        let below = |at, middle| numbers(at).filter(|value| *value < middle).count();
        assert!((70..130).contains(&below(0, 1e-2)) && (70..130).contains(&below(1, 0.0)));
        assert!((70..130).contains(&found.iter().filter(|point| point[2] == "c=x").count()));
    }
}
