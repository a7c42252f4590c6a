//! NumPy's arrays: `.npy` files, and `.npz` archives of them.

mod array;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use array::{Array, Elements, parse};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::{DataError, open_file};
use super::gzip::Bounded;
use super::{Features, Labels, Table};

/// Where the channels of images are in an array.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImageLayout {
    /// `[rows, height, width, channels]`, as NumPy's images mostly are.
    #[default]
    ChannelsLast,
    /// `[rows, channels, height, width]`, as PyTorch's are.
    ChannelsFirst,
}

impl ImageLayout {
    pub(super) fn is_default(&self) -> bool {
        *self == ImageLayout::default()
    }

    fn apply(self, array: Array) -> Array {
        match self {
            ImageLayout::ChannelsLast => array,
            ImageLayout::ChannelsFirst => array.channels_last(),
        }
    }
}

/// Reads features and labels from two files.
pub(super) fn read(features: &Path, labels: &Path, layout: ImageLayout) -> Result<Table, DataError> {
    let array = |path: &Path| parse(&mut open_file(path)?, path, "");
    table((features, "", layout.apply(array(features)?)), (labels, "", array(labels)?))
}

/// Reads features alone.
pub(super) fn read_unlabelled(path: &Path, layout: ImageLayout) -> Result<Table, DataError> {
    let array = parse(&mut open_file(path)?, path, "")?;
    unlabelled((path, "", layout.apply(array)))
}

fn unlabelled(array: (&Path, &str, Array)) -> Result<Table, DataError> {
    let (rows, shape, features) = features(array)?;
    Ok(Table::unlabelled(shape.as_slice(), features, rows))
}

/// Reads features, and labels if the archive has an array of their name.
pub(super) fn read_archive_to_predict(
    path: &Path,
    features: &str,
    labels: &str,
    layout: ImageLayout,
) -> Result<Table, DataError> {
    let mut archive = Archive::open(path)?;
    let array = layout.apply(archive.array(features)?);
    if archive.has(labels) {
        let label_array = archive.array(labels)?;
        return table((path, features, array), (path, labels, label_array));
    }
    unlabelled((path, features, array))
}

/// Reads features and labels from two arrays of an archive.
pub(super) fn read_archive(
    path: &Path,
    features: &str,
    labels: &str,
    layout: ImageLayout,
) -> Result<Table, DataError> {
    let mut archive = Archive::open(path)?;
    let (feature_array, label_array) = (archive.array(features)?, archive.array(labels)?);
    table((path, features, layout.apply(feature_array)), (path, labels, label_array))
}

/// An open archive.
struct Archive<'a> {
    path: &'a Path,
    archive: zip::ZipArchive<BufReader<File>>,
}

impl Archive<'_> {
    fn open(path: &Path) -> Result<Archive<'_>, DataError> {
        let failed = |source| DataError::Read { path: path.to_path_buf(), source };
        let file = crate::files::open(path).map_err(failed)?;
        let archive = zip::ZipArchive::new(BufReader::new(file))
            .map_err(|error| DataError::content(path, format!("is no npz archive: {error}")))?;
        Ok(Archive { path, archive })
    }

    fn has(&self, name: &str) -> bool {
        self.archive.file_names().any(|file| file.trim_end_matches(".npy") == name)
    }

    fn array(&mut self, name: &str) -> Result<Array, DataError> {
        let Archive { path, archive } = self;
        let names: Vec<String> =
            archive.file_names().map(|name| format!("`{}`", name.trim_end_matches(".npy"))).collect();
        let entry = archive.by_name(&format!("{name}.npy")).map_err(|error| {
            let reason =
                format!("the array `{name}` cannot be read: {error}; there are {}", names.join(", "));
            DataError::content(path, reason)
        })?;
        let packed = entry.compressed_size();
        parse(&mut Bounded::new(entry, packed), path, &format!("the array `{name}` "))
    }
}

/// Rows of features, with labels that are classes if they are whole numbers, and else numbers to predict.
fn table(
    (feature_path, feature_name, features): (&Path, &str, Array),
    (label_path, label_name, labels): (&Path, &str, Array),
) -> Result<Table, DataError> {
    let (rows, shape, features) = self::features((feature_path, feature_name, features))?;
    let wrong_labels =
        |reason: String| DataError::content(label_path, format!("{}{reason}", named(label_name)));
    let is_of_numbers = matches!(labels.elements, Elements::Floats(_));
    let width = match *labels.shape.as_slice() {
        [count] | [count, 1] if count == rows => 1,
        [count, width] if count == rows && width > 1 && is_of_numbers => width,
        [count, width] if count == rows && width > 1 => {
            let shape = &labels.shape;
            return Err(wrong_labels(format!(
                "has the shape {shape:?} and whole numbers, which are classes, of which a row has one; several numbers \
                 a row must be floats"
            )));
        }
        _ => 0,
    };
    if width == 0 {
        let shape = &labels.shape;
        return Err(wrong_labels(format!(
            "has the shape {shape:?}, but the {rows} rows have [{rows}] labels"
        )));
    }
    let class = |(at, number): (usize, i64)| match u16::try_from(number) {
        Ok(class) => Ok(u32::from(class)),
        Err(_) => Err(wrong_labels(format!("its element {at} is {number}, but classes are from 0 to 65535"))),
    };
    let labels = match labels.elements {
        Elements::Bytes(bytes) => Labels::classes(bytes.into_iter().map(u32::from).collect()),
        Elements::Whole(numbers) => {
            Labels::classes(numbers.into_iter().enumerate().map(class).collect::<Result<_, _>>()?)
        }
        Elements::Floats(numbers) => Labels::several(finite(numbers).map_err(wrong_labels)?, width),
    };
    Ok(Table::new(shape.as_slice(), features, labels))
}

/// Rows of features, the shape of each, and how many there are.
fn features((path, name, array): (&Path, &str, Array)) -> Result<(usize, Vec<usize>, Features), DataError> {
    let wrong = |reason: String| DataError::content(path, format!("{}{reason}", named(name)));
    let (rows, shape) = match array.shape.as_slice() {
        &[rows, columns] => (rows, vec![columns]),
        &[rows, height, width] => (rows, vec![height, width, 1]),
        &[rows, height, width, channels] => (rows, vec![height, width, channels]),
        other => {
            let wanted = "[rows, columns], [rows, height, width] or [rows, height, width, channels]";
            return Err(wrong(format!("has the shape {other:?}, but features must have {wanted}")));
        }
    };
    if array.shape.contains(&0) {
        let shape = &array.shape;
        return Err(wrong(format!("has the shape {shape:?}, but must have some elements")));
    }
    let features = match array.elements {
        Elements::Bytes(bytes) => Features::pixels(bytes, &[0.0], &[1.0]),
        Elements::Whole(numbers) => {
            Features::numbers(numbers.into_iter().map(|number| number as f32).collect())
        }
        Elements::Floats(numbers) => Features::numbers(finite(numbers).map_err(wrong)?),
    };
    Ok((rows, shape, features))
}

/// An array in errors: that of a file is the file itself.
fn named(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!("the array `{name}` ") }
}

/// The numbers, all of which must be finite.
fn finite(numbers: Vec<f32>) -> Result<Vec<f32>, String> {
    match numbers.iter().position(|number| !number.is_finite()) {
        None => Ok(numbers),
        Some(at) => Err(format!("its element {at} is {}, but must be a finite number", numbers[at])),
    }
}

#[cfg(test)]
mod tests;
