//! The binary version of CIFAR-10 and CIFAR-100 (Krizhevsky 2009): records of labels and then 32 x 32 pixels, all red
//! ones before the green and the blue ones.

use std::borrow::Cow;
use std::path::Path;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::error::{DataError, read_file};
use super::{Features, Labels, Table};

/// Height and width of an image.
const SIZE: usize = 32;
/// Pixels of a channel.
const PIXELS: usize = SIZE * SIZE;

/// Which of the two sets. In JSON: `10` or `100`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "usize", into = "usize")]
pub enum Cifar {
    /// Ten classes.
    Ten,
    /// A hundred fine classes; the coarse ones are not used.
    Hundred,
}

impl JsonSchema for Cifar {
    fn schema_name() -> Cow<'static, str> {
        "Cifar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"enum": [10, 100]})
    }
}

impl TryFrom<usize> for Cifar {
    type Error = String;

    fn try_from(classes: usize) -> Result<Cifar, String> {
        match classes {
            10 => Ok(Cifar::Ten),
            100 => Ok(Cifar::Hundred),
            other => Err(format!("{other} must be 10 or 100")),
        }
    }
}

impl From<Cifar> for usize {
    fn from(cifar: Cifar) -> usize {
        cifar.classes()
    }
}

impl Cifar {
    /// Number of classes.
    pub fn classes(self) -> usize {
        match self {
            Cifar::Ten => 10,
            Cifar::Hundred => 100,
        }
    }

    /// Bytes before the pixels of a record, of which the last is the class.
    fn labels(self) -> usize {
        match self {
            Cifar::Ten => 1,
            Cifar::Hundred => 2,
        }
    }

    /// The names of training files and of the test file.
    pub(super) fn files(self) -> (&'static [&'static str], &'static str) {
        match self {
            Cifar::Ten => (
                &[
                    "data_batch_1.bin",
                    "data_batch_2.bin",
                    "data_batch_3.bin",
                    "data_batch_4.bin",
                    "data_batch_5.bin",
                ],
                "test_batch.bin",
            ),
            Cifar::Hundred => (&["train.bin"], "test.bin"),
        }
    }

    /// Mean and standard deviation of the training pixels, by channel, in units of 255.
    fn moments(self) -> ([f32; 3], [f32; 3]) {
        match self {
            Cifar::Ten => ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
            Cifar::Hundred => ([0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]),
        }
    }

    /// Training and test images `[32, 32, 3]`, each channel less its mean over its standard deviation.
    pub(super) fn read(self, folder: &Path) -> Result<(Table, Table), DataError> {
        let (train, test) = self.files();
        Ok((self.read_files(folder, train)?, self.read_files(folder, &[test])?))
    }

    /// Images of one file, with or without labels before the pixels of each.
    pub(super) fn read_to_predict(self, path: &Path) -> Result<Table, DataError> {
        let bytes = read_file(path)?;
        let record = self.labels() + 3 * PIXELS;
        if bytes.is_empty() || bytes.len().is_multiple_of(record) {
            let (folder, name) = (path.parent().unwrap_or(path), path.file_name().unwrap_or_default());
            return self.read_files(folder, &[&name.to_string_lossy()]);
        }
        if !bytes.len().is_multiple_of(3 * PIXELS) {
            let reason = format!(
                "has {} bytes, but must have {record} for each image with labels, or {} without",
                bytes.len(),
                3 * PIXELS
            );
            return Err(DataError::content(path, reason));
        }
        let pixels = bytes.chunks_exact(3 * PIXELS).flat_map(channels_last).collect();
        let (mean, std) = self.moments();
        let rows = bytes.len() / (3 * PIXELS);
        Ok(Table::unlabelled([SIZE, SIZE, 3], Features::pixels(pixels, &mean, &std), rows))
    }

    /// The names of the classes, if the file that lists them is in the folder too.
    pub(super) fn class_names(self, folder: &Path) -> Result<Option<Vec<String>>, DataError> {
        let name = match self {
            Cifar::Ten => "batches.meta.txt",
            Cifar::Hundred => "fine_label_names.txt",
        };
        let path = folder.join(name);
        let text = match crate::files::read_to_string_if_there(&path) {
            Ok(Some(text)) => text,
            Ok(None) => return Ok(None),
            Err(source) => return Err(DataError::Read { path, source }),
        };
        let names: Vec<String> =
            text.lines().map(|line| line.trim().to_string()).filter(|line| !line.is_empty()).collect();
        Ok((names.len() == self.classes()).then_some(names))
    }

    fn read_files(self, folder: &Path, names: &[&str]) -> Result<Table, DataError> {
        let record = self.labels() + 3 * PIXELS;
        let (mut pixels, mut classes) = (Vec::new(), Vec::new());
        for name in names {
            let path = folder.join(name);
            let bytes = read_file(&path)?;
            if bytes.is_empty() || !bytes.len().is_multiple_of(record) {
                let reason = format!(
                    "has {} bytes, but the binary version of CIFAR-{} has {record} for each image: its last whole one \
                     ends at offset {}",
                    bytes.len(),
                    self.classes(),
                    bytes.len() / record * record
                );
                return Err(DataError::content(&path, reason));
            }
            for (index, record_bytes) in bytes.chunks_exact(record).enumerate() {
                let (labels, image) = record_bytes.split_at(self.labels());
                let class = labels[self.labels() - 1];
                if usize::from(class) >= self.classes() {
                    let offset = index * record + self.labels() - 1;
                    let reason = format!(
                        "the class at offset {offset} is {class}, but must be below {}",
                        self.classes()
                    );
                    return Err(DataError::content(&path, reason));
                }
                classes.push(u32::from(class));
                pixels.extend(channels_last(image));
            }
        }
        let (mean, std) = self.moments();
        let table =
            Table::new([SIZE, SIZE, 3], Features::pixels(pixels, &mean, &std), Labels::classes(classes));
        Ok(table.with_classes(self.classes()))
    }
}

/// The pixels of an image whose red ones come before the green and the blue ones.
fn channels_last(image: &[u8]) -> impl Iterator<Item = u8> + '_ {
    (0..3 * PIXELS).map(|element| image[element % 3 * PIXELS + element / 3])
}
