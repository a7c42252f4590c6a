use std::io::Write;

use proptest::prelude::*;

use std::path::PathBuf;

use super::*;
use crate::text::Tokenizer;

fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// Features and classes of every example.
fn rows_of(examples: &Examples) -> (Vec<f32>, Vec<u32>) {
    let mut batch = Batch::default();
    let all: Vec<u32> = (0..examples.len() as u32).collect();
    examples.append(&all, None, &mut batch).unwrap();
    let words = |bytes: &[u8]| bytes.as_chunks().0.to_vec();
    let features = words(&batch.features[0]).into_iter().map(f32::from_ne_bytes).collect();
    (features, words(&batch.labels).into_iter().map(u32::from_ne_bytes).collect())
}

fn load_csv(text: &str) -> Result<Splits, String> {
    let (_folder, path) = file("table.csv", text.as_bytes());
    let config = DataConfig::Csv(TableFile { scale: 2.0, test_every: Some(2), ..TableFile::new(&path) });
    config
        .load(|_| -> Result<PathBuf, DataError> { unreachable!("no sample is asked for") })
        .map_err(|error| error.to_string().replace(&path.display().to_string(), "table.csv"))
}

#[test]
fn a_table_is_scaled_and_split() {
    let splits = load_csv("\u{feff}a,b,class\n2,4,0\n6,8,1\n1,1,2\n").unwrap();
    assert_eq!(rows_of(&splits.test), (vec![1.0, 2.0, 0.5, 0.5], vec![0, 2]));
    assert_eq!(rows_of(&splits.train), (vec![3.0, 4.0], vec![1]));
    assert_eq!(
        (splits.train.example().classes, splits.train.example().features[0].to_string()),
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
    assert_eq!(data.example().features[0].to_string(), "f32[1,2,1]");
    assert_eq!(rows_of(&Examples::Table(data)), (vec![0.0, 1.0, 0.2, 0.4], vec![1, 9]));

    let error = idx::read(&label_path, &label_path).unwrap_err().to_string();
    assert!(
        error.contains("starts with [00, 00, 08, 01] and has 10 bytes, but an IDX file of images"),
        "{error}"
    );
    let (_c, short) = file("short", &[0, 0, 8, 1, 0, 0, 0, 3, 1, 9]);
    let error = idx::read(&image_path, &short).unwrap_err().to_string();
    assert!(error.contains("its header says [3], but 2 bytes follow it"), "{error}");
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    bomb.write_all(&[0, 0, 8, 1, 0, 0, 0, 2]).unwrap();
    (0..50).for_each(|_| bomb.write_all(&[0; 1 << 20]).unwrap());
    let (_d, bomb) = file("bomb", &bomb.finish().unwrap());
    let error = idx::read(&image_path, &bomb).unwrap_err().to_string();
    assert!(error.contains("its header says [2], but 52428800 bytes follow it"), "{error}");
}

#[test]
fn pixels_are_numbers_by_channel_and_can_be_moved_and_mirrored() {
    let pixels = Features::pixels((0..12).map(|pixel| pixel * 17).collect(), &[0.0, 0.5], &[1.0, 0.25]);
    let table = Examples::Table(Table::new([3, 2, 2], pixels, Labels::classes(vec![7])));
    let number = |pixel: u8, channel: usize| {
        let unit = f32::from(pixel) * 17.0 / 255.0;
        if channel == 0 { unit } else { (unit - 0.5) / 0.25 }
    };
    let image: Vec<f32> = (0..12).map(|pixel| number(pixel, usize::from(pixel) % 2)).collect();
    assert_eq!(rows_of(&table), (image.clone(), vec![7]));
    let cropped = |crop: Crop| {
        let mut batch = Batch::default();
        table.append(&[0], Some(&[crop]), &mut batch).unwrap();
        batch.features[0].as_chunks().0.iter().map(|&bytes| f32::from_ne_bytes(bytes)).collect::<Vec<f32>>()
    };
    assert_eq!(cropped(Crop::default()), image);
    // Rows of two pixels of two channels: [[0 1][2 3]] [[4 5][6 7]] [[8 9][10 11]].
    let black = [number(0, 0), number(0, 1)];
    let at = |pixel: usize| [image[2 * pixel], image[2 * pixel + 1]];
    assert_eq!(
        cropped(Crop { dy: 0, dx: 0, flip: true, key: 0 }),
        [at(1), at(0), at(3), at(2), at(5), at(4)].concat()
    );
    assert_eq!(
        cropped(Crop { dy: 1, dx: -1, flip: false, key: 0 }),
        [black, at(2), black, at(4), black, black].concat()
    );
    assert_eq!(
        cropped(Crop { dy: -1, dx: 1, flip: true, key: 0 }),
        [black, black, black, at(1), black, at(3)].concat()
    );
    assert_eq!(cropped(Crop { dy: i32::MIN, dx: i32::MAX, flip: false, key: 0 }), [black; 6].concat());
}

#[test]
fn the_last_column_can_be_a_number() {
    let numbers = |path: &PathBuf| TableFile { target: LabelKind::Number, ..TableFile::new(path) };
    let (_folder, path) = file("table.csv", b"x,y\n1,-0.5\n2,1e3\n3,x\n");
    let error = csv::read(&path, &numbers(&path)).unwrap_err().to_string();
    assert!(error.ends_with("line 4, column 2 (`y`): `x` is no finite number"), "{error}");
    let (_folder, path) = file("table.csv", b"x,y\n1,-0.5\n2,1e3\n");
    let table = csv::read(&path, &numbers(&path)).unwrap();
    assert_eq!(table.labels(), &Labels::numbers(vec![-0.5, 1000.0]));
    assert_eq!((table.example().labels.to_string(), table.example().classes), ("f32[]".to_string(), 0));
}

/// Batches of two epochs of numbered 1 x 5 images.
fn augmented_features(seed: u64, augment: Augment) -> Vec<Vec<u8>> {
    let images = (0..60u8).map(|element| element / 5 * 20 + element % 5 + 1).collect();
    let table =
        Table::new([1, 5, 1], Features::pixels(images, &[0.0], &[1.0]), Labels::classes((0..12).collect()));
    let examples = Examples::Table(table.with_augment(Some(augment)));
    let mut batches = Batches::new(12, 4, seed).unwrap();
    let of_step = |step| {
        let mut batch = Batch::default();
        batches.append(&examples, step, &mut batch).unwrap();
        batch.features.remove(0)
    };
    (0..6).map(of_step).collect()
}

#[test]
fn changes_of_images_depend_on_the_seed_and_the_step() {
    let plain = augmented_features(3, Augment::default());
    let changed = augmented_features(3, Augment { crop: 1, flip: true });
    assert_ne!(plain, changed);
    assert_eq!(changed, augmented_features(3, Augment { crop: 1, flip: true }));
    assert_ne!(changed, augmented_features(4, Augment { crop: 1, flip: true }));
}

proptest! {
    #[test]
    fn crops_are_as_wide_as_asked_and_even(seed: u64, step in 0u64..1_000_000) {
        let crops = Crop::draw(Augment { crop: 2, flip: true }, seed, step, 2000);
        for shift in -2..=2 {
            // Of 2000 draws of one in five, 400 with a standard deviation of 18.
            let within = |count: usize| (290..510).contains(&count);
            prop_assert!(within(crops.iter().filter(|crop| crop.dy == shift).count()));
            prop_assert!(within(crops.iter().filter(|crop| crop.dx == shift).count()));
        }
        prop_assert!((860..1140).contains(&crops.iter().filter(|crop| crop.flip).count()));
        prop_assert!(crops.iter().all(|crop| crop.dy.abs() <= 2 && crop.dx.abs() <= 2));
        let unflipped = Crop::draw(Augment { crop: 2, flip: false }, seed, step, 100);
        prop_assert!(!unflipped.iter().any(|crop| crop.flip));
        prop_assert_eq!(&Crop::draw(Augment { crop: 2, flip: true }, seed, step, 7)[..], &crops[..7]);
    }
}

fn load(config: &DataConfig) -> Result<Splits, String> {
    let none = |_| -> Result<PathBuf, DataError> { unreachable!("nothing is fetched") };
    config.load(none).map_err(|error| error.to_string())
}

/// A record of CIFAR: red pixels, green ones, blue ones, each counted on from its channel.
fn cifar_record(labels: &[u8]) -> Vec<u8> {
    let pixels = (0..3).flat_map(|channel| (0..1024).map(move |pixel| (channel * 80 + pixel % 80) as u8));
    labels.iter().copied().chain(pixels).collect()
}

#[test]
fn cifar_is_read_channels_last() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    for batch in 1..=5 {
        write(&format!("data_batch_{batch}.bin"), &cifar_record(&[batch]));
    }
    write("test_batch.bin", &cifar_record(&[7]));
    let config = |classes, crop| DataConfig::Cifar {
        folder: folder.path().to_path_buf(),
        classes,
        augment: Some(Augment { crop, flip: true }),
    };
    let splits = load(&config(Cifar::Ten, 4)).unwrap();
    assert_eq!(splits.train.example().features[0].to_string(), "f32[32,32,3]");
    assert_eq!((splits.train.len(), splits.train.example().classes), (5, 10));
    assert_eq!(splits.train.bytes_in_memory(), Some(5 * (3072 + 4)));
    let (features, labels) = rows_of(&splits.train);
    assert_eq!(labels, [1, 2, 3, 4, 5]);
    let number = |pixel: f32, mean: f32, std: f32| (pixel / 255.0 - mean) / std;
    // The second pixel of the first row.
    let wanted = [number(1.0, 0.4914, 0.2470), number(81.0, 0.4822, 0.2435), number(161.0, 0.4465, 0.2616)];
    assert_eq!(features[3..6], wanted);
    assert_eq!(rows_of(&splits.test).1, [7]);

    let error = load(&config(Cifar::Ten, 32)).unwrap_err();
    assert_eq!(error, "`data.augment.crop` is 32, but must be less than the images' 32 pixels");
    let error = load(&config(Cifar::Hundred, 4)).unwrap_err();
    assert!(error.contains("cannot read the data file") && error.contains("train.bin"), "{error}");
    write("data_batch_3.bin", &cifar_record(&[3])[..3000]);
    let error = load(&config(Cifar::Ten, 4)).unwrap_err();
    assert!(
        error.contains("data_batch_3.bin: has 3000 bytes, but") && error.ends_with("ends at offset 0"),
        "{error}"
    );
    write("data_batch_3.bin", &[cifar_record(&[3]), cifar_record(&[10])].concat());
    let error = load(&config(Cifar::Ten, 4)).unwrap_err();
    assert!(error.contains("the class at offset 3073 is 10, but must be below 10"), "{error}");
    write("train.bin", &cifar_record(&[19, 99]));
    write("test.bin", &cifar_record(&[3, 42]));
    let splits = load(&config(Cifar::Hundred, 4)).unwrap();
    assert_eq!((rows_of(&splits.train).1, rows_of(&splits.test).1), (vec![99], vec![42]));
}

#[test]
fn a_folder_without_fashion_mnist_is_answered_with_where_it_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    let config = DataConfig::FashionMnist { folder: folder.path().to_path_buf(), augment: None };
    let error = load(&config).unwrap_err();
    for part in
        ["train-images-idx3-ubyte.gz is not there", "t10k-labels-idx1-ubyte.gz", "dataset-fashion-mnist"]
    {
        assert!(error.contains(part), "{error}");
    }
    let images = [&[0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2][..], &[0, 255]].concat();
    for name in ["train-images-idx3-ubyte", "t10k-images-idx3-ubyte"] {
        std::fs::write(folder.path().join(name), &images).unwrap();
    }
    for name in ["train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"] {
        std::fs::write(folder.path().join(name), [0, 0, 8, 1, 0, 0, 0, 1, 9]).unwrap();
    }
    assert_eq!(rows_of(&load(&config).unwrap().train), (vec![0.0, 1.0], vec![9]));
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks().0.iter().map(|&word| u32::from_ne_bytes(word)).collect()
}

fn words_of_first(examples: &Examples) -> u32 {
    let mut batch = Batch::default();
    examples.append(&[0], None, &mut batch).unwrap();
    words(&batch.features[0])[0]
}

/// A folder with nanoGPT's two files.
fn bins(train: &[u8], val: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("train.bin"), train).unwrap();
    std::fs::write(folder.path().join("val.bin"), val).unwrap();
    folder
}

fn token_bins(folder: &tempfile::TempDir, context: usize, vocabulary: usize) -> DataConfig {
    let dtype = TokenType::Uint16;
    DataConfig::TokenBins { folder: folder.path().to_path_buf(), dtype, context, vocabulary }
}

#[test]
fn token_bins_are_windows_at_a_phase_of_each_epoch() {
    let bytes: Vec<u8> = (1000..1100u16).flat_map(u16::to_le_bytes).collect();
    let folder = bins(&bytes, &bytes[..60]);
    let splits = load(&token_bins(&folder, 10, 50257)).unwrap();
    // The last window to judge by has 9 labels.
    assert_eq!((splits.train.len(), splits.test.len(), splits.test.padding(2)), (9, 3, 1));
    assert_eq!(splits.train.example().features[0].to_string(), "u32[10]");
    assert_eq!((splits.train.example().classes, splits.train.bytes_in_memory()), (50257, None));
    let firsts = |seed: u64| {
        let mut batches = Batches::new(9, 9, seed).unwrap();
        let mut of_step = |step| {
            let mut batch = Batch::default();
            batches.append(&splits.train, step, &mut batch).unwrap();
            words(&batch.features[0]).chunks(10).map(|window| window[0]).min().unwrap()
        };
        (0..40).map(&mut of_step).collect::<Vec<u32>>()
    };
    let (one, other) = (firsts(1), firsts(2));
    assert_eq!(one, firsts(1));
    assert_ne!(one, other);
    for phase in 1000..1010 {
        assert!(one.contains(&phase) || other.contains(&phase), "{phase}: {one:?} {other:?}");
    }
    // Held out for tuning, what is learned from and what is judged by stay apart.
    let (picked, rest) = splits.train.partition(3);
    assert_eq!((picked.len(), rest.len(), words_of_first(&rest)), (3, 6, 1010));
    assert!(rest.crops(1, 1, 1, 6).is_none());
}

#[test]
fn text_is_read_by_characters() {
    let (_folder, path) = file("text.txt", "\u{feff}hello, wörld".as_bytes());
    let text = |context, test_fraction| DataConfig::Text {
        path: path.clone(),
        context,
        encoding: Encoding::Characters,
        test_fraction,
    };
    let splits = load(&text(3, 0.5)).unwrap();
    let (Examples::Tokens(train), Examples::Tokens(test)) = (&splits.train, &splits.test) else { panic!() };
    let Some(Tokenizer::Characters(characters)) = train.tokenizer() else { panic!("no characters") };
    assert_eq!((characters.len(), characters.decode(&[0, 1, 2, 99])), (10, " ,d".to_string()));
    assert_eq!(characters.encode("held").map(|tokens| characters.decode(&tokens)), Ok("held".to_string()));
    assert_eq!(characters.encode("hex"), Err('x'));
    let mut batch = Batch::default();
    splits.test.append(&[0], None, &mut batch).unwrap();
    assert_eq!((characters.decode(&words(&batch.features[0])), test.len()), (" wö".to_string(), 2));
    assert_eq!(characters.decode(&words(&batch.labels)), "wör");
    assert_eq!(splits.train.bytes_in_memory(), Some(24));

    for (config, wanted) in [
        (text(3, 1.0), "`data.test_fraction` is 1, but must be above 0 and below 1"),
        (
            text(3, 0.1),
            "the test text has 1 token, but must have at least 2: each is predicted after those before it",
        ),
    ] {
        let error = load(&config).unwrap_err();
        assert!(error.ends_with(wanted), "{error}");
    }
    std::fs::write(&path, b"abc\xffdef").unwrap();
    let error = load(&text(1, 0.5)).unwrap_err();
    assert!(error.ends_with("the byte at offset 3, in line 1, is 0xff, but text must be UTF-8"), "{error}");
}

/// The bytes with some of them changed, cut off or repeated.
fn mutated(bytes: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (changes, any::<prop::sample::Index>(), 0..3).prop_map(move |(changes, cut, how)| {
        let mut bytes = bytes.clone();
        for (at, byte) in changes {
            // Headers are where lies matter most.
            let near = if byte % 2 == 0 { bytes.len().min(16) } else { bytes.len() };
            let at = at.index(near);
            bytes[at] = byte;
        }
        match how {
            0 => bytes.truncate(cut.index(bytes.len() + 1)),
            1 => bytes.extend_from_within(..cut.index(bytes.len())),
            _ => {}
        }
        bytes
    })
}

fn idx_images() -> Vec<u8> {
    [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2][..], &[0, 255, 51, 102]].concat()
}

proptest! {
    #[test]
    fn idx_files_that_lie_are_errors_or_small(
        images in mutated(idx_images()), labels in mutated(vec![0, 0, 8, 1, 0, 0, 0, 2, 1, 9])
    ) {
        let (_a, image_path) = file("images", &images);
        let (_b, label_path) = file("labels", &labels);
        if let Ok(table) = idx::read(&image_path, &label_path) {
            prop_assert!(table.len() <= labels.len() && table.bytes() <= images.len() + 4 * labels.len());
            rows_of(&Examples::Table(table));
        }
    }

    #[test]
    fn token_files_that_lie_are_errors(bytes in mutated((0..40u16).flat_map(u16::to_le_bytes).collect()), context in 0usize..9) {
        let folder = bins(&bytes, &bytes);
        if let Ok(splits) = load(&token_bins(&folder, context, 40)) {
            for examples in [splits.train, splits.test] {
                let all: Vec<u32> = (0..examples.len() as u32).collect();
                let crops = examples.crops(1, 2, 3, all.len());
                // Tokens of the file that are none of the vocabulary are errors.
                let mut batch = Batch::default();
                if examples.append(&all, crops.as_deref(), &mut batch).is_ok() {
                    prop_assert_eq!(batch.labels.len(), 4 * context * all.len());
                }
            }
        }
    }

    #[test]
    fn windows_of_an_epoch_never_overlap(tokens in 2u16..200, context in 1usize..30, seed: u64, epoch: u64) {
        let bytes: Vec<u8> = (0..tokens).flat_map(u16::to_le_bytes).collect();
        let folder = bins(&bytes, &bytes);
        let Ok(splits) = load(&token_bins(&folder, context, 200)) else {
            prop_assert!(usize::from(tokens) <= context);
            return Ok(());
        };
        for examples in [&splits.train, &splits.test] {
            let all: Vec<u32> = (0..examples.len() as u32).collect();
            let mut batch = Batch::default();
            examples.append(&all, examples.crops(seed, epoch, 0, all.len()).as_deref(), &mut batch).unwrap();
            let (mut features, mut labels) = (words(&batch.features[0]), words(&batch.labels));
            labels.truncate(labels.len() - examples.padding(examples.len() - 1));
            features.truncate(labels.len());
            let first = features[0];
            prop_assert!(features.iter().copied().eq(first..first + features.len() as u32));
            prop_assert!(labels.iter().copied().eq(first + 1..=first + features.len() as u32));
            prop_assert!((first as usize) < context);
            // All but less than two windows is learned from, and all is judged by.
            prop_assert!(usize::from(tokens) - 1 - features.len() < 2 * context);
        }
        prop_assert_eq!(words_of_first(&splits.test), 0);
        let judged: usize = (0..splits.test.len()).map(|window| context - splits.test.padding(window)).sum();
        prop_assert_eq!(judged, usize::from(tokens) - 1);
    }

    #[test]
    fn cifar_files_that_lie_are_errors_or_small(bytes in mutated(cifar_record(&[5, 50]))) {
        let folder = tempfile::tempdir().unwrap();
        for name in ["train.bin", "test.bin"] {
            std::fs::write(folder.path().join(name), &bytes).unwrap();
        }
        if let Ok((table, _)) = Cifar::Hundred.read(folder.path()) {
            prop_assert!(table.bytes() <= 2 * bytes.len());
            rows_of(&Examples::Table(table));
        }
    }
}

#[test]
fn an_example_that_is_not_there_is_an_error() {
    let table = Table::new([1], Features::numbers(vec![0.5; 3]), Labels::numbers(vec![1.0, 2.0, 3.0]));
    let error = Examples::Table(table).append(&[2, 3], None, &mut Batch::default()).unwrap_err().to_string();
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
