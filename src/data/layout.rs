//! Which columns of a file are features, and which is the label.

use std::path::Path;

use super::rows::few;
use super::{DataError, LabelColumn, TableFile, Taught};

/// Which columns are what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The names of all columns, where they have some.
    names: Option<Vec<String>>,
    /// Where the features are, in the model's order.
    pub(super) features: Vec<usize>,
    /// Where the label is, if there is one.
    pub(super) label: Option<usize>,
}

impl Layout {
    /// The layout of a file with so many columns, to learn from. `place` is where its first row or header is.
    pub(super) fn to_train(
        path: &Path,
        place: &str,
        options: &TableFile,
        width: usize,
        names: Option<Vec<String>>,
    ) -> Result<Layout, DataError> {
        if width < 2 {
            let found = count(width);
            let reason = format!("{place}: {found}, but a table needs features and then a class or number");
            return Err(DataError::content(path, reason));
        }
        let label = label(path, options, width, names.as_deref())?;
        Ok(Layout { features: all_but(label, width), label: Some(label), names })
    }

    /// The layout of a file with so many columns, whose rows a trained model is to predict. Columns that have the names
    /// of those that the model learned from are taken by these; a label may be missing.
    pub(super) fn to_predict(
        path: &Path,
        place: &str,
        options: &TableFile,
        width: usize,
        names: Option<Vec<String>>,
        taught: &Taught,
    ) -> Result<Layout, DataError> {
        let features = taught.features.shape.elements();
        let learned = taught.table.as_ref().map_or(&[][..], |table| &table.columns);
        if let Some(names) = &names
            && learned.len() == features
            && !has_twins(learned)
            && !has_twins(names)
        {
            let place_of = |wanted: &String| names.iter().position(|name| name == wanted);
            let places: Vec<Option<usize>> = learned.iter().map(place_of).collect();
            if let Some(missing) = places.iter().position(Option::is_none) {
                let reason = format!(
                    "{place}: has no column `{}`, which the run learned from; its columns are {}",
                    learned[missing],
                    few(names)
                );
                return Err(DataError::content(path, reason));
            }
            let label = match &options.label {
                Some(LabelColumn::Name(name)) => place_of(name),
                _ if width == features + 1 => (0..width).find(|column| !places.contains(&Some(*column))),
                _ => None,
            };
            return Ok(Layout {
                features: places.into_iter().flatten().collect(),
                label,
                names: Some(names.clone()),
            });
        }
        if width == features {
            return Ok(Layout { names, features: (0..width).collect(), label: None });
        }
        if width != features + 1 {
            let where_ = match &options.label {
                None => "in the last".to_string(),
                Some(LabelColumn::Name(name)) => format!("named `{name}`"),
                Some(LabelColumn::Number(number)) => format!("in column {}", number + 1),
            };
            let right = format!("{features}, or {} with a label {where_}", features + 1);
            let reason = format!("{place}: {}, but the model takes {right}", count(width));
            return Err(DataError::content(path, reason));
        }
        let label = label(path, options, width, names.as_deref())?;
        Ok(Layout { features: all_but(label, width), label: Some(label), names })
    }

    /// A column in words.
    pub(super) fn title(&self, column: usize) -> String {
        match self.names.as_ref().and_then(|names| names.get(column)) {
            Some(name) if !name.is_empty() => format!("column {} (`{name}`)", column + 1),
            _ => format!("column {}", column + 1),
        }
    }

    /// The names of the features; none if the columns have no names.
    pub(super) fn feature_names(&self) -> Vec<String> {
        let name = |names: &Vec<String>| self.features.iter().map(|&column| names[column].clone()).collect();
        self.names.as_ref().map_or_else(Vec::new, name)
    }
}

fn count(columns: usize) -> String {
    match columns {
        1 => "1 column".to_string(),
        many => format!("{many} columns"),
    }
}

fn all_but(label: usize, width: usize) -> Vec<usize> {
    (0..width).filter(|&column| column != label).collect()
}

fn has_twins(names: &[String]) -> bool {
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

/// The column of labels.
fn label(
    path: &Path,
    options: &TableFile,
    width: usize,
    names: Option<&[String]>,
) -> Result<usize, DataError> {
    match (&options.label, names) {
        (None, _) => Ok(width - 1),
        (Some(LabelColumn::Number(number)), _) if *number < width => Ok(*number),
        (Some(LabelColumn::Number(number)), _) => {
            let wanted = format!("below {width}: {} has {width} columns, counted from 0", path.display());
            Err(DataError::field("data.label", number, wanted))
        }
        (Some(LabelColumn::Name(name)), None) => {
            let wanted =
                format!("a number from 0 to {}: the columns of {} have no names", width - 1, path.display());
            Err(DataError::field("data.label", name, format!("{wanted}, unless `data.header` is true")))
        }
        (Some(LabelColumn::Name(name)), Some(names)) => {
            let mut places = (0..width).filter(|&column| names[column] == *name);
            match (places.next(), places.next()) {
                (Some(column), None) => Ok(column),
                (None, _) => {
                    let wanted = format!("a column of {}, which are {}", path.display(), few(names));
                    Err(DataError::field("data.label", name, wanted))
                }
                (Some(one), Some(other)) => {
                    let wanted = format!(
                        "the name of one column: {} has it in {} and {}",
                        path.display(),
                        one + 1,
                        other + 1
                    );
                    Err(DataError::field("data.label", name, wanted))
                }
            }
        }
    }
}
