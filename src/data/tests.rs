use std::io::Write;

use proptest::prelude::*;

use std::path::PathBuf;

use super::*;

fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// Features and classes of every example.
fn rows_of(source: &Source) -> (Vec<f32>, Vec<u32>) {
    let mut batch = Batch::default();
    let all: Vec<u32> = (0..source.len() as u32).collect();
    source.append(&all, None, &mut batch).unwrap();
    let words = |bytes: &[u8]| bytes.as_chunks().0.to_vec();
    let features = words(&batch.features).into_iter().map(f32::from_ne_bytes).collect();
    (features, words(&batch.labels).into_iter().map(u32::from_ne_bytes).collect())
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
    let splits = load_csv("\u{feff}a,b,class\n2,4,0\n6,8,1\n1,1,2\n").unwrap();
    assert_eq!(rows_of(&splits.test), (vec![1.0, 2.0, 0.5, 0.5], vec![0, 2]));
    assert_eq!(rows_of(&splits.train), (vec![3.0, 4.0], vec![1]));
    assert_eq!(
        (splits.train.example().classes, splits.train.example().features.to_string()),
        (3, "f32[2]".into())
    );
}

#[test]
fn bad_tables_are_answered_with_line_and_column() {
    let cases = [
        ("1,2\n1,x\n", "data file table.csv: line 2, column 2: `x` is no class"),
        ("1,0\nnan,0\n", "data file table.csv: line 2, column 1: `nan` is no finite number"),
        ("1,0.5\n", "data file table.csv: line 1, column 2: `0.5` is no class"),
        ("", "data file table.csv: has no rows"),
        ("1,0\n1,2,0\n", "data file table.csv: line 2: 3 columns, but the first line has 2"),
        ("7\n", "data file table.csv: line 1: 1 column"),
        ("1,0\n\n\nx,0\n", "data file table.csv: line 4, column 1: `x` is no finite number"),
        ("x,0\n1,0\n", "data file table.csv: line 1, column 1: `x` is no finite number"),
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
    assert_eq!((data.len(), data.bytes(), data.example().classes), (2, 12, 10));
    assert_eq!(data.example().features.to_string(), "f32[1,2,1]");
    assert_eq!(rows_of(&Source::Table(data)), (vec![0.0, 1.0, 0.2, 0.4], vec![1, 9]));

    let error = idx::read(&label_path, &label_path).unwrap_err().to_string();
    assert!(
        error.contains("starts with [00, 00, 08, 01] and has 10 bytes, but an IDX file of images"),
        "{error}"
    );
    let (_c, short) = file("short", &[0, 0, 8, 1, 0, 0, 0, 3, 1, 9]);
    let error = idx::read(&image_path, &short).unwrap_err().to_string();
    assert!(error.contains("its header says [3], but 2 bytes follow it"), "{error}");
}

#[test]
fn pixels_are_numbers_by_channel_and_can_be_moved_and_mirrored() {
    let pixels = Features::pixels((0..12).map(|pixel| pixel * 17).collect(), &[0.0, 0.5], &[1.0, 0.25]);
    let table = Source::Table(Table::new([3, 2, 2], pixels, Labels::classes(vec![7])));
    let number = |pixel: u8, channel: usize| {
        let unit = f32::from(pixel) * 17.0 / 255.0;
        if channel == 0 { unit } else { (unit - 0.5) / 0.25 }
    };
    let image: Vec<f32> = (0..12).map(|pixel| number(pixel, usize::from(pixel) % 2)).collect();
    assert_eq!(rows_of(&table), (image.clone(), vec![7]));
    let cropped = |crop: Crop| {
        let mut batch = Batch::default();
        table.append(&[0], Some(&[crop]), &mut batch).unwrap();
        batch.features.as_chunks().0.iter().map(|&bytes| f32::from_ne_bytes(bytes)).collect::<Vec<f32>>()
    };
    assert_eq!(cropped(Crop::default()), image);
    // Rows of two pixels of two channels: [[0 1][2 3]] [[4 5][6 7]] [[8 9][10 11]].
    let black = [number(0, 0), number(0, 1)];
    let at = |pixel: usize| [image[2 * pixel], image[2 * pixel + 1]];
    assert_eq!(
        cropped(Crop { dy: 0, dx: 0, flip: true }),
        [at(1), at(0), at(3), at(2), at(5), at(4)].concat()
    );
    assert_eq!(
        cropped(Crop { dy: 1, dx: -1, flip: false }),
        [black, at(2), black, at(4), black, black].concat()
    );
    assert_eq!(
        cropped(Crop { dy: -1, dx: 1, flip: true }),
        [black, black, black, at(1), black, at(3)].concat()
    );
    assert_eq!(cropped(Crop { dy: i32::MIN, dx: i32::MAX, flip: false }), [black; 6].concat());
}

#[test]
fn an_example_that_is_not_there_is_an_error() {
    let table = Table::new([1], Features::numbers(vec![0.5; 3]), Labels::numbers(vec![1.0, 2.0, 3.0]));
    let error = Source::Table(table).append(&[2, 3], None, &mut Batch::default()).unwrap_err().to_string();
    assert_eq!(error, "there is no example 3: there are 3, counted from 0");
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
