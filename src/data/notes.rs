//! What is worth knowing of data before a run is trained on it.

use super::rows::few;
use super::{DataConfig, Examples, Labels, Splits, Table};

/// What to tell of data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// What was decided.
    Said(String),
    /// What is likely to be wrong.
    Warning(String),
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Note::Said(text) => f.write_str(text),
            Note::Warning(text) => write!(f, "warning: {text}"),
        }
    }
}

impl Table {
    /// What was decided in reading it.
    pub(crate) fn notes(&self) -> &[String] {
        &self.facts().notes
    }
}

impl DataConfig {
    /// What was decided in reading the data, and what looks wrong with them: labels that are all the same, classes that
    /// some side of the split lacks, columns that do not vary.
    pub fn notes(&self, splits: &Splits) -> Vec<Note> {
        let name = self.name();
        let warn = |text: String| Note::Warning(format!("{name}: {text}"));
        let mut notes = Vec::new();
        if let Examples::Table(train) = &splits.train {
            notes.extend(train.notes().iter().map(|note| Note::Said(format!("{name}: {note}"))));
            notes.extend(constant_columns(train).map(&warn));
        }
        let is_file = matches!(self, DataConfig::Csv(_) | DataConfig::Parquet(_));
        let hint = if is_file { "; `data.label` says which column the labels are in" } else { "" };
        let same = all_the_same(splits).map(|what| format!("{what}, so there is nothing to learn{hint}"));
        match same {
            Some(same) => notes.push(warn(same)),
            None => notes.extend(self.missing_classes(splits).into_iter().map(warn)),
        }
        notes
    }

    /// Classes that one of the splits has and another lacks.
    fn missing_classes(&self, splits: &Splits) -> Vec<String> {
        let classes = splits.train.example().classes.max(splits.test.example().classes);
        let counts = |examples: &Examples| examples.class_counts(classes);
        let (Some(train), Some(test)) = (counts(&splits.train), counts(&splits.test)) else {
            return Vec::new();
        };
        let names = self.class_names(&splits.train).ok().flatten().unwrap_or_default();
        let named = |class: usize| names.get(class).map_or(class.to_string(), |name| format!("`{name}`"));
        let lacks = |of: &[usize]| -> Vec<String> {
            let there = (0..classes).filter(|&class| train[class] + test[class] > 0);
            there.filter(|&class| of[class] == 0).map(named).collect()
        };
        let is_file = matches!(self, DataConfig::Csv(_) | DataConfig::Parquet(_));
        let split =
            if is_file { "; with `data.test_fraction` 0.2 a fifth of each class is test" } else { "" };
        let said = |rows: &str, missing: &[String], hint: &str| match missing {
            [] => None,
            [one] => Some(format!("no {rows} row is of class {one}{hint}")),
            several => Some(format!("no {rows} row is of classes {}{hint}", few(several))),
        };
        let validation = splits.validation.as_ref().and_then(counts).map(|counts| lacks(&counts));
        let of_train = said("training", &lacks(&train), split);
        let first = of_train.or_else(|| said("test", &lacks(&test), split));
        let second = validation.and_then(|missing| said("validation", &missing, " (`validation`)"));
        first.into_iter().chain(second).collect()
    }
}

/// What all labels are, if they are the same.
fn all_the_same(splits: &Splits) -> Option<String> {
    let both = [&splits.train, &splits.test];
    if let [Examples::Table(train), Examples::Table(test)] = both
        && let (Labels::Numbers { numbers, width }, Labels::Numbers { numbers: others, .. }) =
            (train.labels(), test.labels())
    {
        let of_column = |column: usize| {
            let mut all = numbers.iter().chain(others.iter()).skip(column).step_by(*width);
            let first = all.next()?;
            all.all(|number| number == first).then_some((column, first))
        };
        let (column, first) = (0..*width).find_map(of_column)?;
        let which = match (width, train.facts().table.labels.get(column)) {
            (1, _) => "all labels".to_string(),
            (_, Some(name)) => format!("all labels `{name}`"),
            (_, None) => format!("all labels of output {column}"),
        };
        return Some(format!("{which} are {first}"));
    }
    let mut classes = Vec::new();
    for examples in both {
        classes.extend(examples.classes_of_rows()?);
    }
    let first = *classes.first()?;
    if classes.iter().any(|&class| class != first) {
        return None;
    }
    let name = match &splits.train {
        Examples::Table(train) => {
            train.facts().class_names.get(first as usize).map(|name| format!("`{name}`"))
        }
        Examples::Images(_) | Examples::Tokens(_) | Examples::Arrays(_) => None,
    };
    Some(format!("all labels are of class {}", name.unwrap_or_else(|| first.to_string())))
}

/// Columns of a standardized table that are the same in all its rows.
fn constant_columns(train: &Table) -> Option<String> {
    let facts = &train.facts().table;
    let numbers = train.numbers()?;
    let width = facts.mean.len();
    if width == 0 {
        return None;
    }
    let constant: Vec<String> = (0..width)
        .filter(|&column| numbers.chunks_exact(width).all(|row| row[column] == numbers[column]))
        .map(|column| match facts.columns.get(column) {
            Some(name) => format!("`{name}`"),
            None => (column + 1).to_string(),
        })
        .collect();
    let which = few(&constant);
    match constant.len() {
        0 => None,
        1 => Some(format!("the feature {which} is the same in all training rows: standardized it is 0")),
        _ => Some(format!("the features {which} are the same in all training rows: standardized they are 0")),
    }
}
