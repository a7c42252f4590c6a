//! Data files: tables, arrays, images, tokens, text.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use natgrad::assets;
use natgrad::data::{Batch, DataConfig, DataError, Examples};
use natgrad::text::Tokenizer;
use serde_json::json;

use crate::mutate::survive;

/// Loads the data, and reads some of its examples, in which a file is wrong that is read where it is wanted.
fn load(config: serde_json::Value) {
    let config: DataConfig = serde_json::from_value(config).unwrap();
    let fetch = |_| Err::<PathBuf, assets::Error>(assets::Error::NoCacheFolder);
    let splits: Result<_, DataError> = config.load(fetch);
    let Ok(splits) = splits else { return };
    for examples in [&splits.train, &splits.test] {
        let rows = examples.len().min(10) as u32;
        append(examples, 0..rows);
        append(examples, examples.len() as u32 - rows..examples.len() as u32);
    }
}

fn append(examples: &Examples, rows: std::ops::Range<u32>) {
    examples.append(&rows.collect::<Vec<u32>>(), None, &mut Batch::default()).ok();
}

/// An array as NumPy writes it.
pub fn npy(descr: &str, shape: &str, body: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    while !(10 + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let length = (header.len() as u16).to_le_bytes();
    [&b"\x93NUMPY\x01\x00"[..], &length, header.as_bytes(), body].concat()
}

/// Eight rows of two features, and eight labels.
pub fn arrays() -> [Vec<u8>; 2] {
    let features: Vec<u8> = (0..16).flat_map(|number| (number as f32 / 7.0).to_le_bytes()).collect();
    let labels: Vec<u8> = (0..8i64).flat_map(|number| (number % 3).to_le_bytes()).collect();
    [npy("<f4", "(8, 2)", &features), npy("<i8", "(8,)", &labels)]
}

#[test]
fn tables() {
    let folder = tempfile::tempdir().unwrap();
    let plain = b"x,y,class\n0.5,1.25,0\n-1,2e3,1\n0.25,7,2\n3,4,0\n1,1,1\n".to_vec();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(&plain).unwrap();
    let originals = [plain.clone(), plain.clone(), packed.finish().unwrap()];
    survive("tables", &originals, move |bytes| {
        let path = folder.path().join("table.csv");
        std::fs::write(&path, bytes).unwrap();
        load(json!({"csv": {"path": path}}));
        load(json!({"csv": {"path": path, "target": "number", "scale": 2.0, "test_every": 2}}));
    });
}

/// A table of numbers and words, whose pages are of the version, with a dictionary or without.
fn parquet(is_second: bool, has_dictionary: bool, compression: parquet::basic::Compression) -> Vec<u8> {
    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type};
    use parquet::file::properties::{WriterProperties, WriterVersion};
    let schema = "message schema { required int32 a; optional double b; required binary kind (UTF8); }";
    let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let version = if is_second { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 };
    let properties = WriterProperties::builder().set_writer_version(version).set_compression(compression);
    let properties = Arc::new(properties.set_dictionary_enabled(has_dictionary).build());
    let mut file = parquet::file::writer::SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
    let mut group = file.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int32Type>().write_batch(&[1, 2, 5, 5], None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<DoubleType>().write_batch(&[0.5, 1.5, 2.0, 2.0], Some(&[1; 4]), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let words = ["dog", "cat", "dog", "cow"].map(ByteArray::from);
    column.typed::<ByteArrayType>().write_batch(&words, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    file.into_inner().unwrap()
}

#[test]
fn tables_of_parquet() {
    use parquet::basic::Compression;
    let folder = tempfile::tempdir().unwrap();
    let [plain, packed] = [Compression::UNCOMPRESSED, Compression::SNAPPY];
    let originals = [
        parquet(false, true, plain),
        parquet(false, false, packed),
        parquet(true, true, packed),
        parquet(true, true, plain),
    ];
    survive("parquet", &originals, move |bytes| {
        let path = folder.path().join("table.parquet");
        std::fs::write(&path, bytes).unwrap();
        load(json!({"parquet": {"path": path, "test_every": 2}}));
    });
}

#[test]
fn arrays_of_numpy() {
    let folder = tempfile::tempdir().unwrap();
    let [features, labels] = arrays();
    let (x, y) = (folder.path().join("x.npy"), folder.path().join("y.npy"));
    std::fs::write(&x, &features).unwrap();
    std::fs::write(&y, &labels).unwrap();
    let images = npy("|u1", "(8, 1, 2)", &[9; 16]);
    let whole: Vec<u8> = (0..16i16).flat_map(i16::to_be_bytes).collect();
    let originals = [features, labels, images, npy(">i2", "(8, 2)", &whole)];
    survive("npy", &originals, move |bytes| {
        let path = folder.path().join("mutated.npy");
        std::fs::write(&path, bytes).unwrap();
        load(json!({"npy": {"features": path, "labels": y, "test_features": x, "test_labels": y}}));
        load(json!({"npy": {"features": x, "labels": path, "test_features": x, "test_labels": y}}));
    });
}

#[test]
fn archives_of_numpy() {
    let [features, labels] = arrays();
    let archive = |method| {
        let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        for (name, array) in [("x", &features), ("y", &labels)] {
            for split in ["train", "test"] {
                archive.start_file(format!("{name}_{split}.npy"), options).unwrap();
                archive.write_all(array).unwrap();
            }
        }
        archive.finish().unwrap().into_inner()
    };
    let originals = [archive(zip::CompressionMethod::Stored), archive(zip::CompressionMethod::Deflated)];
    let folder = tempfile::tempdir().unwrap();
    survive("npz", &originals, move |bytes| {
        let path = folder.path().join("mutated.npz");
        std::fs::write(&path, bytes).unwrap();
        load(json!({"npz": {"path": path}}));
    });
}

#[test]
fn images() {
    let folder = tempfile::tempdir().unwrap();
    let images = [&[0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0, 3][..], &[5; 24]].concat();
    let labels = [&[0, 0, 8, 1, 0, 0, 0, 4][..], &[0, 1, 2, 1]].concat();
    let (right_images, right_labels) = (folder.path().join("images"), folder.path().join("labels"));
    std::fs::write(&right_images, &images).unwrap();
    std::fs::write(&right_labels, &labels).unwrap();
    survive("idx", &[images, labels], move |bytes| {
        let path = folder.path().join("mutated");
        std::fs::write(&path, bytes).unwrap();
        for (images, labels) in [(&path, &right_labels), (&right_images, &path)] {
            let idx = json!({"images": images, "labels": labels, "test_images": right_images,
                "test_labels": right_labels});
            load(json!({"idx": idx}));
        }
    });
}

#[test]
fn tokens() {
    let folder = tempfile::tempdir().unwrap();
    let tokens: Vec<u8> = (0..100u16).flat_map(|token| (token % 11).to_le_bytes()).collect();
    std::fs::write(folder.path().join("val.bin"), &tokens).unwrap();
    survive("tokens", &[tokens], move |bytes| {
        std::fs::write(folder.path().join("train.bin"), bytes).unwrap();
        load(json!({"token-bins": {"folder": folder.path(), "context": 4, "vocabulary": 11}}));
    });
}

#[test]
fn tokenizers() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/predict/gpt2/tokenizer.json");
    let byte_level = json!({
        "version": "1.0",
        "added_tokens": [{"id": 5, "content": "<|endoftext|>", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true}],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "c": 3, "abc": 4},
            "merges": [["a", "b"], ["ab", "c"]]},
    });
    let originals = [std::fs::read(fixture).unwrap(), byte_level.to_string().into_bytes()];
    let folder = tempfile::tempdir().unwrap();
    survive("tokenizers", &originals, move |bytes| {
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, bytes).unwrap();
        let Ok(tokenizer) = Tokenizer::load(&path) else { return };
        let (_, _) = (tokenizer.vocabulary(), tokenizer.start());
        if let Ok(tokens) = tokenizer.encode("abc ab\n<|endoftext|>") {
            tokenizer.decode(&tokens).ok();
        }
        tokenizer.decode(&[0, 1, u32::MAX]).ok();
        tokenizer.to_json().ok();
    });
}
