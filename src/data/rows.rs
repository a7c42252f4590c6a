//! Rows of a table as they are read from a file of any kind: cells become features and labels.

use std::collections::HashMap;
use std::path::Path;

use super::dialect::has_decimal_comma;
use super::layout::Layout;
use super::table::Facts;
use super::{DataError, Features, LabelKind, Labels, Table, TableFacts, TableFile};

/// Classes that a table can have.
const MAX_CLASSES: usize = 65536;

/// A cell of a table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Text(&'a str),
    Number(f64),
    Truth(bool),
    Missing,
}

/// Rows so far.
pub(super) struct Rows<'a> {
    path: &'a Path,
    options: &'a TableFile,
    layout: Layout,
    /// The classes of the run that is to predict the rows.
    known: &'a [String],
    features: Vec<f32>,
    labels: Found,
    count: usize,
}

/// Labels so far.
enum Found {
    Nothing,
    Numbers(Vec<f32>),
    Classes(Vec<u32>),
    /// The number of each word in the order of appearance, and the labels.
    Words(HashMap<String, u32>, Vec<u32>),
}

impl std::fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Cell::Text(text) => f.write_str(text),
            Cell::Number(number) => number.fmt(f),
            Cell::Truth(truth) => truth.fmt(f),
            Cell::Missing => f.write_str(""),
        }
    }
}

impl Cell<'_> {
    fn is_empty(self) -> bool {
        matches!(self, Cell::Missing | Cell::Text(""))
    }

    fn number(self) -> Option<f64> {
        match self {
            Cell::Text(text) => text.parse().ok(),
            Cell::Number(number) => Some(number),
            Cell::Truth(_) | Cell::Missing => None,
        }
    }

    /// It as a feature: `true` is 1, as NumPy has it.
    fn feature(self) -> Option<f32> {
        let number: Option<f32> = match self {
            Cell::Text(text) => whole(text).or_else(|| match text {
                "true" | "True" | "TRUE" => Some(1.0),
                "false" | "False" | "FALSE" => Some(0.0),
                text => text.parse().ok(),
            }),
            Cell::Truth(truth) => Some(f32::from(truth)),
            Cell::Number(number) => Some(number as f32),
            Cell::Missing => None,
        };
        number.filter(|number| number.is_finite())
    }

    /// Why it is no such thing.
    fn is_no(self, wanted: &str) -> String {
        if self.is_empty() {
            return format!("the cell is empty, but must be a {wanted}");
        }
        match self {
            Cell::Text(text) if has_decimal_comma(text) => {
                let point = text.replacen(',', ".", 1);
                format!("`{self}` has a decimal comma, but must be a {wanted}, written with a point: {point}")
            }
            _ => format!("`{self}` is no {wanted}"),
        }
    }
}

/// A number of a few digits, such as most of an image, in less time than any number takes.
fn whole(text: &str) -> Option<f32> {
    // Those of up to seven digits are exact.
    let is_whole = (1..=7).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_whole.then(|| text.bytes().fold(0, |sum, byte| 10 * sum + u32::from(byte - b'0')) as f32)
}

impl<'a> Rows<'a> {
    /// No rows yet, of a file of this layout. `known` are the classes of the run that is to predict them.
    pub(super) fn new(
        path: &'a Path,
        options: &'a TableFile,
        layout: Layout,
        known: &'a [String],
    ) -> Rows<'a> {
        Rows { path, options, layout, known, features: Vec::new(), labels: Found::Nothing, count: 0 }
    }

    /// Makes room for about so many rows.
    pub(super) fn reserve(&mut self, rows: usize) {
        self.features.try_reserve(rows.saturating_mul(self.layout.features.len())).ok();
    }

    /// Appends a row, whose `cell` is that of a column of the layout. `place` says where it is: `line 3`.
    pub(super) fn push<'c>(
        &mut self,
        cell: impl Fn(usize) -> Cell<'c>,
        place: impl Fn() -> String,
    ) -> Result<(), DataError> {
        let wrong = |layout: &Layout, column: usize, reason: String| {
            DataError::content(self.path, format!("{}, {}: {reason}", place(), layout.title(column)))
        };
        for &column in &self.layout.features {
            let cell = cell(column);
            let number =
                cell.feature().ok_or_else(|| wrong(&self.layout, column, cell.is_no("finite number")))?;
            self.features.push(number / self.options.scale);
        }
        for &column in &self.layout.labels {
            let taken = self.labels.take(cell(column), self.options.target, self.known);
            taken.map_err(|reason| wrong(&self.layout, column, reason))?;
        }
        self.count += 1;
        Ok(())
    }

    /// The rows as a table. `notes` are what is to be told of it.
    pub(super) fn finish(self, mut notes: Vec<String>) -> Result<Table, DataError> {
        let Rows { path, layout, known, features, labels, count, .. } = self;
        if count == 0 {
            return Err(DataError::content(path, "has no rows".to_string()));
        }
        let width = layout.features.len();
        let features = Features::numbers(features);
        let (labels, class_names) = match labels {
            Found::Nothing => {
                let facts = Facts { notes, ..Facts::default() };
                return Ok(Table::unlabelled([width], features, count).with_facts(facts));
            }
            Found::Numbers(numbers) => (Labels::several(numbers, layout.labels.len()), Vec::new()),
            Found::Classes(classes) => (Labels::classes(classes), Vec::new()),
            Found::Words(_, labels) if !known.is_empty() => (Labels::classes(labels), known.to_vec()),
            Found::Words(words, labels) => {
                let (labels, names) = sorted(words, labels);
                let of = layout.labels.first().map_or_else(String::new, |&column| layout.title(column));
                notes.push(format!("classes are the words of {of}: {}", few(&names)));
                (Labels::classes(labels), names)
            }
        };
        let table = TableFacts {
            columns: layout.feature_names(),
            labels: layout.label_names(),
            ..TableFacts::default()
        };
        let classes = class_names.len();
        let facts = Facts { table, class_names, notes };
        Ok(Table::new([width], features, labels).with_classes(classes).with_facts(facts))
    }
}

impl Found {
    fn take(&mut self, cell: Cell, target: LabelKind, known: &[String]) -> Result<(), String> {
        if target == LabelKind::Number {
            let number = cell.number().map(|number| number as f32).filter(|number| number.is_finite());
            let number = number.ok_or_else(|| cell.is_no("finite number"))?;
            match self {
                Found::Numbers(numbers) => numbers.push(number),
                _ => *self = Found::Numbers(vec![number]),
            }
            return Ok(());
        }
        if cell.is_empty() {
            return Err(cell.is_no("class"));
        }
        if !known.is_empty() {
            let name = cell.to_string();
            let class = known.iter().position(|known| *known == name);
            let class =
                class.ok_or_else(|| format!("`{name}` is no class of the run, which are {}", few(known)))?;
            match self {
                Found::Words(_, labels) => labels.push(class as u32),
                _ => *self = Found::Words(HashMap::new(), vec![class as u32]),
            }
            return Ok(());
        }
        let is_class = |class: &f64| class.fract() == 0.0 && (0.0..MAX_CLASSES as f64).contains(class);
        match (&mut *self, cell.number()) {
            (Found::Words(..), Some(_)) => Err(format!(
                "`{cell}` is a number, but the classes before it are words: they must be of one kind"
            )),
            (Found::Words(words, labels), None) => {
                let next = words.len() as u32;
                labels.push(*words.entry(cell.to_string()).or_insert(next));
                if words.len() > MAX_CLASSES {
                    return Err(format!(
                        "`{cell}` is the {}th class, but at most {MAX_CLASSES} can be told apart",
                        words.len()
                    ));
                }
                Ok(())
            }
            (Found::Nothing, None) => {
                *self = Found::Words(HashMap::from([(cell.to_string(), 0)]), vec![0]);
                Ok(())
            }
            (_, number) => {
                let class = number.filter(is_class).ok_or_else(|| {
                    let numbers = match number {
                        Some(number) if number.is_finite() => {
                            "; with `\"target\": \"number\"` numbers are predicted"
                        }
                        _ => "",
                    };
                    format!("{}{numbers}", cell.is_no("class: a whole number from 0 to 65535"))
                })?;
                match self {
                    Found::Classes(classes) => classes.push(class as u32),
                    _ => *self = Found::Classes(vec![class as u32]),
                }
                Ok(())
            }
        }
    }
}

/// Labels that count the words in the order of the alphabet, and the words.
fn sorted(words: HashMap<String, u32>, labels: Vec<u32>) -> (Vec<u32>, Vec<String>) {
    let mut names: Vec<(String, u32)> = words.into_iter().collect();
    names.sort_unstable();
    let mut places = vec![0; names.len()];
    for (place, (_, number)) in names.iter().enumerate() {
        places[*number as usize] = place as u32;
    }
    let labels = labels.into_iter().map(|label| places[label as usize]).collect();
    (labels, names.into_iter().map(|(name, _)| name).collect())
}

/// The first few names.
pub(super) fn few(names: &[String]) -> String {
    const FEW: usize = 12;
    let more = if names.len() > FEW { format!(" and {} more", names.len() - FEW) } else { String::new() };
    format!("{}{more}", names[..names.len().min(FEW)].join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_digits_are_the_number_that_they_say() {
        for text in ["0", "7", "255", "007", "9999999"] {
            assert_eq!(whole(text).map(f32::to_bits), text.parse().ok().map(f32::to_bits), "{text}");
        }
        assert!(["", "12345678", "+1", "-1", "1.5", "1e3", "٣"].iter().all(|text| whole(text).is_none()));
    }
}
