//! NumPy's arrays by name: an archive of `.npy` files, which `numpy.load` reads.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{Cells, Sheet};

/// The header of a `.npy` file begins its elements at a multiple of this.
const ALIGNMENT: usize = 64;
/// The magic, the version, and the header's length.
const PREFIX: usize = 10;

/// The bytes of the archive.
pub(super) fn encode(sheet: &Sheet) -> zip::result::ZipResult<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
    let mut add = |name: &str, bytes: Vec<u8>| {
        archive.start_file(format!("{name}.npy"), options)?;
        archive.write_all(&bytes)?;
        zip::result::ZipResult::Ok(())
    };
    for column in &sheet.columns {
        let bytes = match &column.cells {
            Cells::Whole(numbers) => whole(numbers.iter().copied(), sheet.rows),
            Cells::Classes(classes, _) => whole(classes.iter().copied().map(u64::from), sheet.rows),
            Cells::Numbers(numbers) => floats(&[sheet.rows], numbers),
            Cells::Words(words) => texts(words),
            Cells::Matrix { heads, numbers, .. } => floats(&[sheet.rows, heads.len()], numbers),
        };
        add(column.name, bytes)?;
    }
    if !sheet.class_names.is_empty() {
        add("class_names", texts(&sheet.class_names))?;
    }
    Ok(archive.finish()?.into_inner())
}

fn whole(numbers: impl Iterator<Item = u64>, rows: usize) -> Vec<u8> {
    array("<i8", &[rows], numbers.flat_map(u64::to_le_bytes))
}

fn floats(shape: &[usize], numbers: &[f64]) -> Vec<u8> {
    array("<f8", shape, numbers.iter().flat_map(|number| number.to_le_bytes()))
}

/// Texts as NumPy keeps them: each with as many characters as the longest, filled up with zeros.
fn texts(texts: &[String]) -> Vec<u8> {
    let longest = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1);
    let characters = texts.iter().flat_map(|text| {
        let filled = text.chars().map(u32::from).chain(std::iter::repeat(0));
        filled.take(longest).flat_map(u32::to_le_bytes)
    });
    array(&format!("<U{longest}"), &[texts.len()], characters)
}

/// A `.npy` file of format version 1.0.
fn array(descr: &str, shape: &[usize], elements: impl Iterator<Item = u8>) -> Vec<u8> {
    let sizes: String = shape.iter().map(|size| format!("{size},")).collect();
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sizes}), }}");
    let end = (PREFIX + header.len() + 1).next_multiple_of(ALIGNMENT);
    header.push_str(&" ".repeat(end - PREFIX - header.len() - 1));
    header.push('\n');
    let length = (header.len() as u16).to_le_bytes();
    let mut bytes = [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes()].concat();
    bytes.extend(elements);
    bytes
}
