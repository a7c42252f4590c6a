use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::super::{Batch, Examples, Labels};
use super::*;
use crate::data::gzip::Bound;

/// A file of two rows: age 1 and 2, height 1.5 and missing or 2.5, owner, kind dog and cat.
fn write(path: &Path, is_whole: bool, compression: Compression) {
    let schema = "message schema {
        required int64 age; optional double height; required boolean owner; required binary kind (UTF8);
    }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let mut file =
        SerializedFileWriter::new(std::fs::File::create(path).unwrap(), schema, properties).unwrap();
    let mut group = file.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&[1, 2], None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let heights = if is_whole { &[1.5, 2.5][..] } else { &[1.5] };
    column.typed::<DoubleType>().write_batch(heights, Some(&[1, i16::from(is_whole)]), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<BoolType>().write_batch(&[true, false], None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let words = [ByteArray::from("dog"), ByteArray::from("cat")];
    column.typed::<ByteArrayType>().write_batch(&words, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    file.close().unwrap();
}

fn features(table: Table) -> Vec<f32> {
    let mut batch = Batch::default();
    Examples::Table(table).append(&[0, 1], None, &mut batch).unwrap();
    batch.features[0].as_chunks().0.iter().map(|&bytes| f32::from_ne_bytes(bytes)).collect()
}

#[test]
fn columns_have_their_types_and_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let plain = Compression::UNCOMPRESSED;
    for compression in [plain, Compression::SNAPPY, Compression::ZSTD(Default::default())] {
        write(&path, true, compression);
        let table = read(&path, &TableFile::new(&path)).unwrap();
        assert_eq!(table.labels(), &Labels::classes(vec![1, 0]));
        assert_eq!(table.facts().class_names, ["cat", "dog"]);
        assert_eq!(table.facts().table.columns, ["age", "height", "owner"]);
        assert_eq!(features(table), [1.0, 1.5, 1.0, 2.0, 2.5, 0.0]);
    }
    let wrong = |fields: &str, wanted: &str| {
        let options = serde_json::from_str(&format!("{{\"path\": \"t\"{fields}}}")).unwrap();
        let error = read(&path, &options).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    };
    let words = "row 0, counted from 0, column 4 (`kind`): `dog` is no finite number";
    wrong(r#", "label": "age""#, words);
    wrong(r#", "label": "name""#, "`data.label` is name, but must be a column of");
    wrong(
        r#", "separator": ";""#,
        "`data.separator` is ;, but must be left out: Parquet has columns with names",
    );
    write(&path, false, plain);
    wrong("", "row 1, counted from 0, column 2 (`height`): the cell is empty, but must be a finite number");
    std::fs::write(&path, "a,b\n1,2\n").unwrap();
    wrong("", "cannot be read as Parquet: ");
}

/// A file of one column with as many rows of zeros, which Zstandard packs to next to nothing.
fn zeros(path: &Path, rows: usize) -> Vec<u8> {
    let schema =
        Arc::new(parse_message_type("message schema { required int64 a; required int64 b; }").unwrap());
    let builder = WriterProperties::builder().set_compression(Compression::ZSTD(Default::default()));
    let properties = Arc::new(builder.set_dictionary_enabled(false).build());
    let mut file =
        SerializedFileWriter::new(std::fs::File::create(path).unwrap(), schema, properties).unwrap();
    let mut group = file.next_row_group().unwrap();
    while let Some(mut column) = group.next_column().unwrap() {
        column.typed::<Int64Type>().write_batch(&vec![0; rows], None, None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    file.close().unwrap();
    std::fs::read(path).unwrap()
}

/// A field of a structure as Thrift writes it: its number and kind, and then the number.
fn field(head: u8, number: u64) -> Vec<u8> {
    let mut left = number << 1;
    let mut bytes = vec![head];
    while left > 127 {
        bytes.push(left as u8 | 128);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8], most: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..most {
        let Some(at) = bytes.windows(from.len()).position(|part| part == from) else { break };
        bytes.splice(at..at + from.len(), to.iter().copied());
    }
    bytes
}

#[test]
fn what_unpacks_to_too_much_is_refused_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let right = zeros(&path, 20_000);
    assert_eq!(read(&path, &TableFile::new(&path)).unwrap().len(), 20_000);
    let refused = |bytes: &[u8]| {
        assert_ne!(bytes, right);
        std::fs::write(&path, bytes).unwrap();
        let error = read(&path, &TableFile::new(&path)).unwrap_err().to_string();
        assert!(error.contains("compressed bytes unpack to more than 1073741824, and"), "{error}");
    };
    // The first page, which says that it has two gigabytes.
    refused(&replace(&right, &field(0x15, 160_000), &field(0x15, (1 << 31) - 1), 1));
    // Rows that have no bytes of their own, as equal values in runs have none.
    let length = right.last_chunk::<8>().unwrap().first_chunk().unwrap();
    let length = u32::from_le_bytes(*length) as usize;
    let (pages, footer) = right.split_at(right.len() - 8 - length);
    let footer = replace(&footer[..length], &field(0x16, 20_000), &field(0x16, 200_000_000), 9);
    let length = (footer.len() as u32).to_le_bytes();
    refused(&[pages, &footer, &length, b"PAR1"].concat());
}

#[test]
fn headers_of_pages_say_what_they_unpack_to() {
    let pages = |bytes: &[u8]| {
        let mut reader = std::io::BufReader::new(std::io::Cursor::new(bytes));
        bounds::unpacked(&mut reader, bytes.len() as u64, Bound::of(0)).map_err(|error| error.to_string())
    };
    let header = |unpacked: u64, packed: u64, rest: &[u8]| {
        [&[0x15, 0][..], &field(0x15, unpacked), &field(0x15, packed), rest].concat()
    };
    let two = [header(1 << 29, 3, &[0, 7, 7, 7]), header(5, 0, &[0])].concat();
    assert_eq!(pages(&two), Ok((1 << 29) + 5));
    // A dictionary of so many values, and statistics that are passed over.
    let dictionary = [&[0x4c][..], &field(0x15, 10), &[0, 0]].concat();
    assert_eq!(pages(&header(5, 0, &dictionary)), Ok(5 + 10 * size_of::<ByteArray>() as u64));
    let statistics = [&[0x2c][..], &field(0x15, 10), &[0x18, 2, 9, 9, 0x11, 0x29, 0x25, 1, 1, 0, 0]].concat();
    assert_eq!(pages(&header(5, 0, &statistics)), Ok(5));
    let first = [&[0x2c][..], &field(0x15, 10), &field(0x15, 3), &[0, 0]].concat();
    let refused = [&[0x2c][..], &field(0x15, 10), &field(0x15, 6), &[0, 0]].concat();
    let second = [&[0x5c][..], &field(0x15, 10), &field(0x35, 7), &[0, 0]].concat();
    assert!(pages(&header(5, 0, &refused)).unwrap_err().contains("DELTA_LENGTH_BYTE_ARRAY"));
    assert!(pages(&header(5, 0, &second)).unwrap_err().contains("in the encoding DELTA_BYTE_ARRAY; write"));
    assert_eq!(pages(&header(5, 0, &first)), Ok(5));
    for (bytes, wanted) in [
        (header(5, 1, &[0]), "a page ends after its column"),
        (header(5, 0, &[0x18, 0xff, 0xff, 0xff, 0x7f]), "a page's header ends after its column"),
        (header(5, 0, &[0x1c; 20]), "a page's header is too deep"),
        (header(5, 0, &[&[0x16][..], &[255; 11]].concat()), "a page's header has a number without end"),
        (header(5, 0, &[0x1d]), "a page has no header"),
        (vec![0x25, 1, 0], "an unpacked size is -1, but cannot be negative"),
        (header(5, 0, &[]), "failed to fill whole buffer"),
    ] {
        assert_eq!(pages(&bytes), Err(wanted.to_string()));
    }
}
