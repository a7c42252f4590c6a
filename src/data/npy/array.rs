//! One array of NumPy's: its header, and its elements in the order of rows.

use std::io::Read;
use std::path::Path;

use half::f16;

use crate::data::DataError;

/// How a `.npy` file begins.
pub(super) const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// The longest header that is read: NumPy's own limit is less.
const MAX_HEADER: usize = 1 << 16;

/// An array.
#[derive(Debug, PartialEq)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) elements: Elements,
}

/// An array's elements, row-major.
#[derive(Debug, PartialEq)]
pub(super) enum Elements {
    Bytes(Vec<u8>),
    Whole(Vec<i64>),
    Floats(Vec<f32>),
}

/// What the header says of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Truth,
    Unsigned(usize),
    Signed(usize),
    Float(usize),
}

/// What a header says.
#[derive(Debug, PartialEq)]
pub(super) struct Header {
    kind: Kind,
    is_big_endian: bool,
    is_fortran: bool,
    shape: Vec<usize>,
}

/// Reads an array. No more is kept than there is, whatever the header says.
pub(super) fn parse(from: &mut dyn Read, path: &Path, name: &str) -> Result<Array, DataError> {
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
    let Header { kind, is_big_endian, is_fortran, shape } = Header::parse(&header).map_err(|reason| {
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
    let array = Array { shape, elements: kind.elements(body) };
    Ok(if is_fortran { array.rows_first() } else { array })
}

impl Array {
    /// The array of a body in Fortran's order, the first index fastest.
    fn rows_first(self) -> Array {
        let mut distance = 1;
        let mut axes = Vec::new();
        for &size in &self.shape {
            axes.push((size, distance));
            distance *= size;
        }
        let elements = self.elements.gathered(&axes);
        Array { elements, ..self }
    }

    /// The images `[rows, channels, height, width]` with their channels last.
    pub(super) fn channels_last(self) -> Array {
        let &[rows, channels, height, width] = self.shape.as_slice() else { return self };
        let pixels = height * width;
        let axes = [(rows, channels * pixels), (height, width), (width, 1), (channels, pixels)];
        Array { shape: vec![rows, height, width, channels], elements: self.elements.gathered(&axes) }
    }
}

impl Elements {
    /// The elements that are found by these axes, each of a size and a distance, the last one fastest.
    fn gathered(self, axes: &[(usize, usize)]) -> Elements {
        match self {
            Elements::Bytes(bytes) => Elements::Bytes(gather(&bytes, axes)),
            Elements::Whole(numbers) => Elements::Whole(gather(&numbers, axes)),
            Elements::Floats(numbers) => Elements::Floats(gather(&numbers, axes)),
        }
    }
}

fn gather<T: Copy>(elements: &[T], axes: &[(usize, usize)]) -> Vec<T> {
    let place = |mut number: usize| {
        let mut place = 0;
        for &(size, distance) in axes.iter().rev() {
            place += number % size * distance;
            number /= size;
        }
        place
    };
    (0..elements.len()).map(|number| elements[place(number)]).collect()
}

impl Kind {
    fn size(self) -> usize {
        match self {
            Kind::Truth => 1,
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
            Kind::Truth => Elements::Whole(bytes.into_iter().map(|byte| i64::from(byte != 0)).collect()),
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
                        2 => f16::from_bits(whole(part) as u16).to_f32(),
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
    pub(super) fn parse(text: &str) -> Result<Header, String> {
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
            (Some('b'), "1") => Kind::Truth,
            (Some('f'), size @ ("2" | "4" | "8")) => Kind::Float(size.parse().unwrap_or(4)),
            _ => {
                let wanted =
                    "whole numbers of 1 to 8 bytes (u1, i8), floats of 2 to 8 (f2, f4, f8) or booleans (b1)";
                return Err(format!("its `descr` is `{descr}`, but must be of {wanted}"));
            }
        };
        let is_big_endian = match order {
            Some('<' | '|' | '=') => false,
            Some('>') => true,
            _ => return Err(format!("its `descr` is `{descr}`, but must begin with <, > or |")),
        };
        let order = after("fortran_order")?;
        let is_fortran = order.starts_with("True");
        if !is_fortran && !order.starts_with("False") {
            return Err("its `fortran_order` must be True or False".to_string());
        }
        let shape = after("shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')'));
        let (shape, _) = shape.ok_or("its `shape` must be in parentheses")?;
        let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
        let size =
            |size: &str| size.parse().map_err(|_| format!("its `shape` has `{size}`, which must be a size"));
        Ok(Header { kind, is_big_endian, is_fortran, shape: sizes.map(size).collect::<Result<_, _>>()? })
    }
}
