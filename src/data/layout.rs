//! Which columns of a file are features, and which is the label.

use std::path::Path;

use serde_json::Value;

use super::rows::few;
use super::{DataError, LabelColumn, LabelColumns, LabelKind, TableFile, Taught};

/// Which columns are what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The names of all columns, where they have some.
    names: Option<Vec<String>>,
    /// Where the features are, in the model's order.
    pub(super) features: Vec<usize>,
    /// Where the labels are; nowhere if there are none.
    pub(super) labels: Vec<usize>,
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
        let labels = labels(path, options, width, names.as_deref())?;
        let features = all_but(&labels, width);
        if features.is_empty() {
            let wanted =
                format!("fewer than the {width} columns of {}: features must be left", path.display());
            return Err(DataError::field("data.label", format!("{} columns", labels.len()), wanted));
        }
        Ok(Layout { features, labels, names })
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
        let columns = options.label.as_ref().map_or(&[][..], |LabelColumns(columns)| columns);
        let place_of_file = place;
        let wide = features + columns.len().max(1);
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
            let labels = match columns {
                [] | [LabelColumn::Number(_)] if width == wide => {
                    (0..width).filter(|column| !places.contains(&Some(*column))).collect()
                }
                [] | [LabelColumn::Number(_)] => Vec::new(),
                [LabelColumn::Name(name)] => place_of(name).into_iter().collect(),
                several => {
                    let place = |column: &LabelColumn| match column {
                        LabelColumn::Name(name) => place_of(name),
                        LabelColumn::Number(number) => {
                            Some(*number).filter(|number| *number < width && !places.contains(&Some(*number)))
                        }
                    };
                    let found: Vec<usize> = several.iter().filter_map(place).collect();
                    if let Some(missing) = several.iter().find(|column| place(column).is_none())
                        && !found.is_empty()
                    {
                        let missing = Value::from(missing.clone());
                        let reason = format!("{place_of_file}: has some of the labels, but not {missing}");
                        return Err(DataError::content(path, reason));
                    }
                    found
                }
            };
            return Ok(Layout {
                features: places.into_iter().flatten().collect(),
                labels,
                names: Some(names.clone()),
            });
        }
        if width == features {
            return Ok(Layout { names, features: (0..width).collect(), labels: Vec::new() });
        }
        if width != wide {
            let where_ = match columns {
                [] => "a label in the last".to_string(),
                [LabelColumn::Name(name)] => format!("a label named `{name}`"),
                [LabelColumn::Number(number)] => format!("a label in column {}", number + 1),
                several => format!("{} labels", several.len()),
            };
            let right = format!("{features}, or {wide} with {where_}");
            let reason = format!("{place}: {}, but the model takes {right}", count(width));
            return Err(DataError::content(path, reason));
        }
        let labels = labels(path, options, width, names.as_deref())?;
        Ok(Layout { features: all_but(&labels, width), labels, names })
    }

    /// A column in words.
    pub(super) fn title(&self, column: usize) -> String {
        match self.names.as_ref().and_then(|names| names.get(column)) {
            Some(name) if !name.is_empty() => format!("column {} (`{name}`)", column + 1),
            _ => format!("column {}", column + 1),
        }
    }

    /// Which columns have labels, in words.
    pub(super) fn said(&self) -> String {
        let titles: Vec<String> = self.labels.iter().map(|&column| self.title(column)).collect();
        match &titles[..] {
            [] => "no column has labels".to_string(),
            [title] => format!("labels are in {title}"),
            several => format!("labels are in {}", several.join(", ")),
        }
    }

    /// The names of the labels; none if the columns have no names, or there is one label.
    pub(super) fn label_names(&self) -> Vec<String> {
        let name = |names: &Vec<String>| self.labels.iter().map(|&column| names[column].clone()).collect();
        self.names.as_ref().filter(|_| self.labels.len() > 1).map_or_else(Vec::new, name)
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

fn all_but(labels: &[usize], width: usize) -> Vec<usize> {
    (0..width).filter(|column| !labels.contains(column)).collect()
}

fn has_twins(names: &[String]) -> bool {
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

/// The columns of labels.
fn labels(
    path: &Path,
    options: &TableFile,
    width: usize,
    names: Option<&[String]>,
) -> Result<Vec<usize>, DataError> {
    let Some(LabelColumns(columns)) = &options.label else { return Ok(vec![width - 1]) };
    if columns.len() > 1 && options.target == LabelKind::Class {
        let wanted = format!("number: `data.label` has {} columns, but a row has one class", columns.len());
        return Err(DataError::field("data.target", "class", wanted));
    }
    let mut labels = Vec::new();
    for column in columns {
        let place = label(path, column, width, names)?;
        if labels.contains(&place) {
            let wanted = "different columns: each is one label";
            return Err(DataError::field(
                "data.label",
                Value::from(options.label.clone().map(Value::from)),
                wanted,
            ));
        }
        labels.push(place);
    }
    Ok(labels)
}

/// The place of a column of labels.
fn label(
    path: &Path,
    column: &LabelColumn,
    width: usize,
    names: Option<&[String]>,
) -> Result<usize, DataError> {
    match (column, names) {
        (LabelColumn::Number(number), _) if *number < width => Ok(*number),
        (LabelColumn::Number(number), _) => {
            let wanted = format!("below {width}: {} has {width} columns, counted from 0", path.display());
            Err(DataError::field("data.label", number, wanted))
        }
        (LabelColumn::Name(name), None) => {
            let wanted =
                format!("a number from 0 to {}: the columns of {} have no names", width - 1, path.display());
            Err(DataError::field("data.label", name, format!("{wanted}, unless `data.header` is true")))
        }
        (LabelColumn::Name(name), Some(names)) => {
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
