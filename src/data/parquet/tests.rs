use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::super::{Batch, Examples, Labels};
use super::*;

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
