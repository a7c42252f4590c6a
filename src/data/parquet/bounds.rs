//! What a Parquet file would unpack to, told by its pages' headers and before anything is made of them: a header of some
//! bytes can claim two gigabytes, and the reader takes that much memory for it.

use std::fs::File;
use std::io::{self, BufReader, Error, ErrorKind, Read, Seek, SeekFrom};

use parquet::data_type::ByteArray;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use crate::data::gzip::Bound;

/// How deep the structures of a header may be; those of the format are three.
const DEPTH: usize = 8;
/// What the reader takes for a value of a dictionary, beside its bytes.
const ENTRY: u64 = size_of::<ByteArray>() as u64;
/// Bytes of a cell in a table.
const CELL: u64 = size_of::<f32>() as u64;

/// An error if the file has pages or cells beyond what it may unpack to, or headers that are none.
pub(super) fn check(file: &File, metadata: &ParquetMetaData) -> io::Result<()> {
    let packed = file.metadata()?.len();
    let bound = Bound::of(packed);
    let mut cells = 0u64;
    let mut total = 0u64;
    let mut reader = BufReader::with_capacity(1 << 12, file);
    for group in metadata.row_groups() {
        let rows = unsigned(group.num_rows(), "rows of a group")?;
        for column in group.columns() {
            cells = cells.saturating_add(rows);
            bound.check(cells.saturating_mul(CELL))?;
            let (start, length) = range(column, packed)?;
            reader.seek(SeekFrom::Start(start))?;
            total = total.saturating_add(unpacked(&mut reader, length, bound)?);
            bound.check(total)?;
        }
    }
    Ok(())
}

/// How many bytes the pages unpack to that are the next so many bytes.
pub(super) fn unpacked<R: Read + Seek>(
    reader: &mut BufReader<R>,
    length: u64,
    bound: Bound,
) -> io::Result<u64> {
    let mut total = 0u64;
    let mut left = length;
    while left > 0 {
        let mut header = Header { bytes: reader.by_ref().take(left), unpacked: 0, packed: 0, entries: 0 };
        header.structure(DEPTH, Place::Header)?;
        left = header.bytes.limit();
        let page = unsigned(header.packed, "a packed size")?;
        let entries = unsigned(header.entries, "a number of values")?.saturating_mul(ENTRY);
        let bytes = unsigned(header.unpacked, "an unpacked size")?;
        total = total.saturating_add(bytes).saturating_add(entries);
        bound.check(total)?;
        left = left.checked_sub(page).ok_or_else(|| wrong("a page ends after its column"))?;
        reader.seek_relative(page as i64)?;
    }
    Ok(total)
}

/// Where a column of a group begins, and how many bytes it has.
fn range(column: &ColumnChunkMetaData, file: u64) -> io::Result<(u64, u64)> {
    let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
    let start = unsigned(start, "an offset of a page")?;
    let length = unsigned(column.compressed_size(), "a column's size")?;
    unsigned(column.data_page_offset(), "an offset of a page")?;
    unsigned(column.num_values(), "a number of values")?;
    if start.checked_add(length).is_none_or(|end| end > file) {
        return Err(wrong("a column ends after the file"));
    }
    Ok((start, length))
}

/// An error for encodings in which a page tells itself how many values it has: the reader takes memory for as many without
/// asking whether they can be there.
fn check_encoding(encoding: i64) -> io::Result<()> {
    let name = match encoding {
        6 => "DELTA_LENGTH_BYTE_ARRAY",
        7 => "DELTA_BYTE_ARRAY",
        _ => return Ok(()),
    };
    Err(wrong(&format!(
        "it has words in the encoding {name}; write them with a dictionary, or in the encoding PLAIN"
    )))
}

fn unsigned(number: i64, what: &str) -> io::Result<u64> {
    u64::try_from(number).map_err(|_| wrong(&format!("{what} is {number}, but cannot be negative")))
}

fn wrong(reason: &str) -> Error {
    Error::new(ErrorKind::InvalidData, reason)
}

/// A page's header, a structure in Thrift's compact encoding.
struct Header<R> {
    bytes: io::Take<R>,
    unpacked: i64,
    packed: i64,
    /// Values of a dictionary.
    entries: i64,
}

/// What a structure is.
#[derive(Clone, Copy)]
enum Place {
    Header,
    /// The part of a header that is a dictionary's.
    Dictionary,
    /// That of a page of values, whose encoding is in this field.
    Values(i64),
    Other,
}

impl<R: Read> Header<R> {
    /// Fields up to the end, of which the sizes are kept.
    fn structure(&mut self, depth: usize, place: Place) -> io::Result<()> {
        let mut field = 0i64;
        loop {
            let [head] = self.array()?;
            if head == 0 {
                return Ok(());
            }
            field = match head >> 4 {
                0 => self.number()?,
                step => field.wrapping_add(i64::from(step)),
            };
            match (place, field, head & 15) {
                (Place::Header, 2, 5) => self.unpacked = self.number()?,
                (Place::Header, 3, 5) => self.packed = self.number()?,
                (Place::Header, 7, 12) => self.structure(depth.saturating_sub(1), Place::Dictionary)?,
                (Place::Header, 5, 12) => self.structure(depth.saturating_sub(1), Place::Values(2))?,
                (Place::Header, 8, 12) => self.structure(depth.saturating_sub(1), Place::Values(4))?,
                (Place::Values(encoding), field, 5) if field == encoding => check_encoding(self.number()?)?,
                (Place::Dictionary, 1, 5) => self.entries = self.number()?,
                // A boolean is in the kind of its field.
                (_, _, 1 | 2) => {}
                (_, _, kind) => self.skip(kind, depth)?,
            }
        }
    }

    fn skip(&mut self, kind: u8, depth: usize) -> io::Result<()> {
        let depth = depth.checked_sub(1).ok_or_else(|| wrong("a page's header is too deep"))?;
        match kind {
            1..=3 => self.array::<1>().map(drop),
            4..=6 => self.number().map(drop),
            7 => self.array::<8>().map(drop),
            8 => {
                let length = self.varint()?;
                if io::copy(&mut self.bytes.by_ref().take(length), &mut io::sink())? < length {
                    return Err(wrong("a page's header ends after its column"));
                }
                Ok(())
            }
            9 | 10 => {
                let [head] = self.array()?;
                let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                (0..count).try_for_each(|_| self.skip(head & 15, depth))
            }
            11 => {
                let count = self.varint()?;
                let [kinds] = if count > 0 { self.array()? } else { [0] };
                (0..count).try_for_each(|_| {
                    self.skip(kinds >> 4, depth)?;
                    self.skip(kinds & 15, depth)
                })
            }
            12 => self.structure(depth, Place::Other),
            _ => Err(wrong("a page has no header")),
        }
    }

    /// A number in zigzag: 0, -1, 1, -2.
    fn number(&mut self) -> io::Result<i64> {
        let number = self.varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn varint(&mut self) -> io::Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            number |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Ok(number);
            }
        }
        Err(wrong("a page's header has a number without end"))
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut array = [0; N];
        self.bytes.read_exact(&mut array)?;
        Ok(array)
    }
}
