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
    /// only one side of the split has, columns that do not vary.
    pub fn notes(&self, splits: &Splits) -> Vec<Note> {
        let (Examples::Table(train), Examples::Table(test)) = (&splits.train, &splits.test) else {
            return Vec::new();
        };
        let name = self.name();
        let facts = train.facts();
        let mut notes: Vec<Note> =
            facts.notes.iter().map(|note| Note::Said(format!("{name}: {note}"))).collect();
        let warn = |text: String| Note::Warning(format!("{name}: {text}"));
        notes.extend(constant_columns(train).map(&warn));
        notes.extend(self.labels_that_are_wrong(train, test).map(warn));
        notes
    }

    fn labels_that_are_wrong(&self, train: &Table, test: &Table) -> Option<String> {
        let is_file = matches!(self, DataConfig::Csv(_) | DataConfig::Parquet(_));
        let hint = if is_file { "; `data.label` says which column the labels are in" } else { "" };
        let facts_of = |column: usize| train.facts().table.labels.get(column);
        let (classes, others) = match (train.labels(), test.labels()) {
            (Labels::Classes(classes), Labels::Classes(others)) => (classes, others),
            (Labels::Numbers { numbers, width }, Labels::Numbers { numbers: others, .. }) => {
                let of_column = |column: usize| {
                    let mut all = numbers.iter().chain(others.iter()).skip(column).step_by(*width);
                    let first = all.next()?;
                    all.all(|number| number == first).then_some((column, first))
                };
                let (column, first) = (0..*width).find_map(of_column)?;
                let which = match (width, facts_of(column)) {
                    (1, _) => "all labels".to_string(),
                    (_, Some(name)) => format!("all labels `{name}`"),
                    (_, None) => format!("all labels of output {column}"),
                };
                return Some(format!("{which} are {first}, so there is nothing to learn{hint}"));
            }
            _ => return None,
        };
        let count = train.example().classes.max(test.example().classes);
        let counts = |labels: &[u32]| {
            let mut counts = vec![0usize; count];
            labels.iter().for_each(|&label| counts[label as usize] += 1);
            counts
        };
        let (of_train, of_test) = (counts(classes), counts(others));
        let named = |class: usize| match train.facts().class_names.get(class) {
            Some(name) => format!("`{name}`"),
            None => class.to_string(),
        };
        let there: Vec<usize> = (0..count).filter(|&class| of_train[class] + of_test[class] > 0).collect();
        if let [only] = there[..] {
            return Some(format!(
                "all labels are of class {}, so there is nothing to learn{hint}",
                named(only)
            ));
        }
        let list = |classes: &[usize]| few(&classes.iter().map(|&class| named(class)).collect::<Vec<_>>());
        let lacks = |of: &[usize]| there.iter().copied().filter(|&class| of[class] == 0).collect::<Vec<_>>();
        let (no_train, no_test) = (lacks(&of_train), lacks(&of_test));
        let split =
            if is_file { "; with `data.test_fraction` 0.2 a fifth of each class is test" } else { "" };
        let class = |classes: &[usize]| if classes.len() == 1 { "class" } else { "classes" };
        match (&no_train[..], &no_test[..]) {
            ([], []) => None,
            (missing @ [_, ..], _) => {
                Some(format!("no training row is of {} {}{split}", class(missing), list(missing)))
            }
            ([], missing) => Some(format!("no test row is of {} {}{split}", class(missing), list(missing))),
        }
    }
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
