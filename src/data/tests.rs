use std::io::Write;

use proptest::prelude::*;

use super::*;

fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn load_csv(text: &str) -> Result<Splits, String> {
    let (_folder, path) = file("table.csv", text.as_bytes());
    let config = DataConfig::Csv { path: path.clone(), scale: 2.0, test_every: 2 };
    config
        .load(|| -> Result<PathBuf, DataError> { unreachable!("no sample is asked for") })
        .map_err(|error| error.to_string().replace(&path.display().to_string(), "table.csv"))
}

#[test]
fn a_table_is_scaled_and_split() {
    let splits = load_csv("a,b,class\n2,4,0\n6,8,1\n1,1,2\n").unwrap();
    assert_eq!(splits.test.features, [1.0, 2.0, 0.5, 0.5]);
    assert_eq!(splits.test.labels, [0, 2]);
    assert_eq!((splits.train.rows, splits.train.labels[0], splits.train.classes), (1, 1, 3));
}

#[test]
fn bad_tables_are_answered_with_line_and_column() {
    let cases = [
        ("1,2\n1,x\n", "data file table.csv: line 2, column 2: `x` is no class"),
        ("1,0\nnan,0\n", "data file table.csv: line 2, column 1: `nan` is no finite number"),
        ("1,0.5\n", "data file table.csv: line 1, column 2: `0.5` is no class"),
        ("", "data file table.csv: has no rows"),
        ("1,0\n1,2,0\n", "data file table.csv: CSV error"),
        ("7\n", "data file table.csv: line 1: 1 column"),
        ("1,0\n", "data file table.csv: 1 rows leave none to train on"),
    ];
    for (text, wanted) in cases {
        let error = load_csv(text).unwrap_err();
        assert!(error.starts_with(wanted), "{text:?}: {error}");
    }
}

#[test]
fn idx_files_are_read_plain_and_compressed() {
    let images = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2][..], &[0, 255, 51, 102]].concat();
    let labels = [0, 0, 8, 1, 0, 0, 0, 2, 1, 9];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&images).unwrap();
    let (_a, image_path) = file("images.gz", &gzip.finish().unwrap());
    let (_b, label_path) = file("labels", &labels);
    let data = idx::read(&image_path, &label_path).unwrap();
    assert_eq!((data.rows, data.columns, data.classes), (2, 2, 10));
    assert_eq!(data.features, [0.0, 1.0, 0.2, 0.4]);
    assert_eq!(data.labels, [1, 9]);

    let error = idx::read(&label_path, &label_path).unwrap_err().to_string();
    assert!(error.contains("starts with [00, 00, 08, 01], but an IDX file of images"), "{error}");
    let (_c, short) = file("short", &[0, 0, 8, 1, 0, 0, 0, 3, 1, 9]);
    let error = idx::read(&image_path, &short).unwrap_err().to_string();
    assert!(error.contains("its header says [3], but 2 bytes follow it"), "{error}");
}

#[test]
fn a_batch_larger_than_the_data_is_refused() {
    let error = Batches::new(10, 11, 0).unwrap_err().to_string();
    assert_eq!(error, "`batch` is 11, but there are only 10 training rows: it must be at most that");
}

proptest! {
    #[test]
    fn every_epoch_is_a_permutation(rows in 1usize..200, seed: u64, epoch in 0u64..1000) {
        let mut batches = Batches::new(rows, 1, seed).unwrap();
        let mut seen: Vec<u32> = (0..rows as u64).map(|step| batches.rows(epoch * rows as u64 + step)[0]).collect();
        seen.sort_unstable();
        prop_assert!(seen.into_iter().eq(0..rows as u32));
    }

    #[test]
    fn batches_do_not_depend_on_the_order_of_asking(seed: u64, a in 0u64..500, b in 0u64..500) {
        let mut one = Batches::new(64, 7, seed).unwrap();
        let mut other = one.clone();
        one.rows(a);
        let later = one.rows(b).to_vec();
        prop_assert_eq!(later, other.rows(b));
    }

    #[test]
    fn seeds_and_epochs_differ(seed in 0u64..1_000_000) {
        let order = |seed, epoch| Batches::new(100, 100, seed).unwrap().rows(epoch).to_vec();
        prop_assert_ne!(order(seed, 0), order(seed, 1));
        prop_assert_ne!(order(seed, 0), order(seed + 1, 0));
        prop_assert_ne!(order(seed, 1), order(seed + 1, 0));
    }
}
