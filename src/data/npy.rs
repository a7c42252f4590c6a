//! NumPy's arrays: `.npy` files, and `.npz` archives of them.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::error::{DataError, read_file};
use super::{Features, Labels, Table};

/// How a `.npy` file begins.
const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// The longest header that is read: NumPy's own limit is less.
const MAX_HEADER: usize = 1 << 16;

/// An array.
#[derive(Debug, PartialEq)]
struct Array {
    shape: Vec<usize>,
    elements: Elements,
}

/// An array's elements, row-major.
#[derive(Debug, PartialEq)]
enum Elements {
    Bytes(Vec<u8>),
    Whole(Vec<i64>),
    Floats(Vec<f32>),
}

/// What the header says of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Unsigned(usize),
    Signed(usize),
    Float(usize),
}

/// What a header says.
#[derive(Debug, PartialEq)]
struct Header {
    kind: Kind,
    is_big_endian: bool,
    shape: Vec<usize>,
}

/// Reads features and labels from two files.
pub(super) fn read(features: &Path, labels: &Path) -> Result<Table, DataError> {
    let array = |path: &Path| parse(&mut read_file(path)?.as_slice(), path, "");
    table((features, "", array(features)?), (labels, "", array(labels)?))
}

/// Reads features alone.
pub(super) fn read_unlabelled(path: &Path) -> Result<Table, DataError> {
    let array = parse(&mut read_file(path)?.as_slice(), path, "")?;
    let (rows, shape, features) = features((path, "", array))?;
    Ok(Table::unlabelled(shape.as_slice(), features, rows))
}

/// Reads features, and labels if the archive has an array of their name.
pub(super) fn read_archive_to_predict(path: &Path, features: &str, labels: &str) -> Result<Table, DataError> {
    let mut archive = Archive::open(path)?;
    let array = archive.array(features)?;
    if archive.has(labels) {
        let label_array = archive.array(labels)?;
        return table((path, features, array), (path, labels, label_array));
    }
    let (rows, shape, features) = self::features((path, features, array))?;
    Ok(Table::unlabelled(shape.as_slice(), features, rows))
}

/// Reads features and labels from two arrays of an archive.
pub(super) fn read_archive(path: &Path, features: &str, labels: &str) -> Result<Table, DataError> {
    let mut archive = Archive::open(path)?;
    let (feature_array, label_array) = (archive.array(features)?, archive.array(labels)?);
    table((path, features, feature_array), (path, labels, label_array))
}

/// An open archive.
struct Archive<'a> {
    path: &'a Path,
    archive: zip::ZipArchive<BufReader<File>>,
}

impl Archive<'_> {
    fn open(path: &Path) -> Result<Archive<'_>, DataError> {
        let failed = |source| DataError::Read { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(DataError::content(path, "is no file, but an npz archive is one".to_string()));
        }
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
        let mut entry = archive.by_name(&format!("{name}.npy")).map_err(|error| {
            let reason =
                format!("the array `{name}` cannot be read: {error}; there are {}", names.join(", "));
            DataError::content(path, reason)
        })?;
        parse(&mut entry, path, &format!("the array `{name}` "))
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
    if !matches!(labels.shape.as_slice(), &[count] | &[count, 1] if count == rows) {
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
        Elements::Floats(numbers) => Labels::numbers(finite(numbers).map_err(wrong_labels)?),
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

/// Reads an array. No more is kept than there is, whatever the header says.
fn parse(from: &mut dyn Read, path: &Path, name: &str) -> Result<Array, DataError> {
    let wrong = |reason: String| DataError::content(path, format!("{name}{reason}"));
    let mut take = |count: usize| {
        let mut bytes = Vec::new();
        let read = from.take(count as u64).read_to_end(&mut bytes);
        read.map(|_| bytes).map_err(|error| wrong(format!("cannot be read: {error}")))
    };
    let start = take(8)?;
    if start.len() < 8 || &start[..6] != MAGIC {
        return Err(wrong(format!("starts with {start:02x?}, but an npy array starts with {MAGIC:02x?}")));
    }
    let wide = match start[6] {
        1 => 2,
        2 | 3 => 4,
        other => return Err(wrong(format!("the version at offset 6 is {other}, but must be 1, 2 or 3"))),
    };
    let length = take(wide)?;
    let length = length.iter().rev().fold(0usize, |length, &byte| length << 8 | usize::from(byte));
    if length > MAX_HEADER {
        return Err(wrong(format!(
            "the header's length at offset 8 is {length}, but must be at most {MAX_HEADER}"
        )));
    }
    let header = String::from_utf8_lossy(&take(length)?).into_owned();
    let Header { kind, is_big_endian, shape } = Header::parse(&header).map_err(|reason| {
        wrong(format!("the header at offset {} is `{}`: {reason}", 8 + wide, header.trim()))
    })?;
    let size = kind.size();
    let bytes = shape.iter().try_fold(size, |bytes, &dim| bytes.checked_mul(dim));
    // One byte more, to see that there is none.
    let mut body = take(bytes.unwrap_or(0).saturating_add(1))?;
    if bytes != Some(body.len()) {
        let follow = if bytes.is_some_and(|bytes| body.len() > bytes) {
            "more bytes".to_string()
        } else {
            format!("{} bytes", body.len())
        };
        let reason = format!(
            "its header says {shape:?} elements of {size} bytes, but {follow} follow it at offset {}",
            8 + wide + length
        );
        return Err(wrong(reason));
    }
    if is_big_endian {
        body.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    Ok(Array { shape, elements: kind.elements(body) })
}

impl Kind {
    fn size(self) -> usize {
        match self {
            Kind::Unsigned(size) | Kind::Signed(size) | Kind::Float(size) => size,
        }
    }

    /// Elements from little-endian bytes. Double precision is rounded to single.
    fn elements(self, bytes: Vec<u8>) -> Elements {
        let whole =
            |bytes: &[u8]| bytes.iter().rev().fold(0u64, |number, &byte| number << 8 | u64::from(byte));
        let parts = bytes.chunks_exact(self.size());
        match self {
            Kind::Unsigned(1) => Elements::Bytes(bytes),
            // What does not fit is no class either.
            Kind::Unsigned(_) => {
                Elements::Whole(parts.map(|part| i64::try_from(whole(part)).unwrap_or(i64::MAX)).collect())
            }
            Kind::Signed(size) => {
                let unused = 64 - 8 * size as u32;
                Elements::Whole(parts.map(|part| (whole(part) << unused) as i64 >> unused).collect())
            }
            Kind::Float(size) => Elements::Floats(
                parts
                    .map(|part| match size {
                        4 => f32::from_bits(whole(part) as u32),
                        _ => f64::from_bits(whole(part)) as f32,
                    })
                    .collect(),
            ),
        }
    }
}

impl Header {
    /// Reads a dictionary such as `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
    fn parse(text: &str) -> Result<Header, String> {
        let after = |key: &str| {
            let rest = text.split_once(&format!("'{key}':")).map(|(_, rest)| rest.trim_start());
            rest.ok_or_else(|| format!("it must have `{key}`"))
        };
        let descr =
            after("descr")?.strip_prefix('\'').and_then(|rest| rest.split_once('\'')).map(|(descr, _)| descr);
        let descr = descr.ok_or("its `descr` must be that of one kind of element")?;
        let mut letters = descr.chars();
        let (order, kind) = (letters.next(), letters.next());
        let kind = match (kind, letters.as_str()) {
            (Some('u'), size @ ("1" | "2" | "4" | "8")) => Kind::Unsigned(size.parse().unwrap_or(1)),
            (Some('i'), size @ ("1" | "2" | "4" | "8")) => Kind::Signed(size.parse().unwrap_or(1)),
            (Some('f'), size @ ("4" | "8")) => Kind::Float(size.parse().unwrap_or(4)),
            _ => {
                let wanted = "whole numbers of 1 to 8 bytes (u1, i8) or floats of 4 or 8 (f4, f8)";
                return Err(format!("its `descr` is `{descr}`, but must be of {wanted}"));
            }
        };
        let is_big_endian = match order {
            Some('<' | '|' | '=') => false,
            Some('>') => true,
            _ => return Err(format!("its `descr` is `{descr}`, but must begin with <, > or |")),
        };
        if !after("fortran_order")?.starts_with("False") {
            return Err("its `fortran_order` must be False: numpy.ascontiguousarray makes it so".to_string());
        }
        let shape = after("shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')'));
        let (shape, _) = shape.ok_or("its `shape` must be in parentheses")?;
        let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
        let size =
            |size: &str| size.parse().map_err(|_| format!("its `shape` has `{size}`, which must be a size"));
        Ok(Header { kind, is_big_endian, shape: sizes.map(size).collect::<Result<_, _>>()? })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::data::{Batch, Examples};

    /// An array as NumPy writes it.
    fn npy(descr: &str, shape: &str, body: &[u8]) -> Vec<u8> {
        let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        while !(10 + header.len() + 1).is_multiple_of(64) {
            header.push(' ');
        }
        header.push('\n');
        let length = (header.len() as u16).to_le_bytes();
        [&MAGIC[..], &[1, 0], &length, header.as_bytes(), body].concat()
    }

    fn floats() -> Vec<u8> {
        let body: Vec<u8> =
            [0.5f32, 1.0, -2.0, 3.0, 4.0, 8.0].into_iter().flat_map(f32::to_le_bytes).collect();
        npy("<f4", "(3, 2)", &body)
    }

    fn classes() -> Vec<u8> {
        let body: Vec<u8> = [2i64, 0, 1].into_iter().flat_map(i64::to_le_bytes).collect();
        npy("<i8", "(3,)", &body)
    }

    fn load(features: &[u8], labels: &[u8]) -> Result<Table, String> {
        let folder = tempfile::tempdir().unwrap();
        let (x, y) = (folder.path().join("x.npy"), folder.path().join("y.npy"));
        std::fs::write(&x, features).unwrap();
        std::fs::write(&y, labels).unwrap();
        read(&x, &y).map_err(|error| error.to_string())
    }

    fn features(table: Table) -> Vec<f32> {
        let mut batch = Batch::default();
        let all: Vec<u32> = (0..table.len() as u32).collect();
        Examples::Table(table).append(&all, None, &mut batch).unwrap();
        batch.features[0].as_chunks().0.iter().map(|&bytes| f32::from_ne_bytes(bytes)).collect()
    }

    #[test]
    fn arrays_are_read_in_their_types() {
        let table = load(&floats(), &classes()).unwrap();
        assert_eq!(table.labels(), &Labels::classes(vec![2, 0, 1]));
        assert_eq!(
            (table.example().features[0].to_string(), table.example().classes),
            ("f32[2]".to_string(), 3)
        );
        assert_eq!(features(table), [0.5, 1.0, -2.0, 3.0, 4.0, 8.0]);

        let big: Vec<u8> = [1.5f64, -2.5, 1e30].into_iter().flat_map(f64::to_be_bytes).collect();
        let images = npy("|u1", "(3, 1, 2)", &[0, 255, 51, 102, 153, 204]);
        let table = load(&images, &npy(">f8", "(3, 1)", &big)).unwrap();
        assert_eq!(table.labels(), &Labels::numbers(vec![1.5, -2.5, 1e30]));
        assert_eq!(table.example().features[0].to_string(), "f32[1,2,1]");
        assert_eq!(features(table), [0.0, 1.0, 0.2, 0.4, 0.6, 0.8]);

        let signed = npy("<i2", "(1, 2)", &[0xff, 0xff, 7, 0]);
        assert_eq!(features(load(&signed, &npy("|u1", "(1,)", &[9])).unwrap()), [-1.0, 7.0]);
    }

    #[test]
    fn archives_have_their_arrays_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.npz");
        let mut archive = zip::ZipWriter::new(File::create(&path).unwrap());
        for (name, array) in [("x.npy", floats()), ("y.npy", classes())] {
            archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            archive.write_all(&array).unwrap();
        }
        archive.finish().unwrap();
        assert_eq!(read_archive(&path, "x", "y").unwrap(), load(&floats(), &classes()).unwrap());
        let error = read_archive(&path, "x", "z").unwrap_err().to_string();
        assert!(
            error.contains("the array `z` cannot be read") && error.ends_with("there are `x`, `y`"),
            "{error}"
        );
        let error = read_archive(&path, "y", "y").unwrap_err().to_string();
        assert!(error.contains("the array `y` has the shape [3], but features must have"), "{error}");
    }

    #[test]
    fn wrong_arrays_are_answered_with_what_is_wrong() {
        let cases = [
            (b"PK".to_vec(), classes(), "starts with [50, 4b], but an npy array starts with"),
            (npy("<c8", "(1, 1)", &[0; 8]), classes(), "its `descr` is `<c8`, but must be of whole numbers"),
            (
                npy("<f4", "(3, 3)", &[0; 24]),
                classes(),
                "says [3, 3] elements of 4 bytes, but 24 bytes follow it",
            ),
            (
                npy("<f4", "(3, 1)", &[0; 24]),
                classes(),
                "says [3, 1] elements of 4 bytes, but more bytes follow it",
            ),
            (
                npy("<f4", "(99999999999, 99999999999, 99999999999)", &[]),
                classes(),
                "says [99999999999, 99999999999, 99999999999] elements",
            ),
            (npy("<f4", "(3, x)", &[]), classes(), "its `shape` has `x`, which must be a size"),
            (floats(), npy("|u1", "(2,)", &[0, 1]), "has the shape [2], but the 3 rows have [3] labels"),
            (
                npy("<f4", "(1, 1)", &f32::NAN.to_le_bytes()),
                npy("|u1", "(1,)", &[0]),
                "its element 0 is NaN, but must be a finite number",
            ),
            (
                npy("<f4", "(1, 1)", &[0; 4]),
                npy("<i4", "(1,)", &[255; 4]),
                "its element 0 is -1, but classes are from 0 to 65535",
            ),
            (
                npy("<f4", "(0, 2)", &[]),
                npy("|u1", "(0,)", &[]),
                "has the shape [0, 2], but must have some elements",
            ),
        ];
        for (features, labels, wanted) in cases {
            let error = load(&features, &labels).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
        let fortran = String::from_utf8_lossy(&npy("|u1", "(1,)", b"a")[10..]).replace("False", "True ");
        let error = Header::parse(&fortran).unwrap_err();
        assert!(error.contains("`fortran_order` must be False"), "{error}");
    }

    proptest! {
        #[test]
        fn arrays_that_lie_are_errors_or_small(
            changes in proptest::collection::vec((0usize..160, any::<u8>()), 0..5), cut in 0usize..160
        ) {
            let mut bytes = floats();
            for (at, byte) in changes {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            bytes.truncate(bytes.len() - cut / 2 % bytes.len());
            if let Ok(table) = load(&bytes, &classes()) {
                prop_assert!(table.bytes() <= 8 * bytes.len());
                features(table);
            }
        }
    }
}
