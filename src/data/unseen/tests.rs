use std::path::PathBuf;

use natgrad_ir::DType;

use super::*;
use crate::data::{Batch, Cifar, Encoding};

/// A model of so many numbers and classes.
fn taught(columns: usize, classes: usize) -> Taught {
    Taught {
        features: TensorType::new(DType::F32, [columns]),
        labels: TensorType::scalar(DType::U32),
        classes,
        class_names: Vec::new(),
        table: None,
        tokenizer: None,
    }
}

fn config(json: &str) -> DataConfig {
    let (kind, fields) = json.split_once(' ').unwrap();
    serde_json::from_str(&format!("{{\"{kind}\": {fields}}}")).unwrap()
}

/// Opens a file with these bytes.
fn open(config: &DataConfig, bytes: &[u8], taught: &Taught) -> Result<Examples, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows");
    std::fs::write(&path, bytes).unwrap();
    let opened = config.open_to_predict(&path, taught);
    opened.map_err(|error| error.to_string().replace(&path.display().to_string(), "rows"))
}

fn rows(source: &Examples) -> (Vec<f32>, Vec<u32>) {
    let mut batch = Batch::default();
    source.append(&(0..source.len() as u32).collect::<Vec<u32>>(), None, &mut batch).unwrap();
    let features = batch.features[0].as_chunks().0.iter().map(|&word| f32::from_ne_bytes(word)).collect();
    (features, batch.labels.as_chunks().0.iter().map(|&word| u32::from_ne_bytes(word)).collect())
}

fn idx(dims: &[u32], elements: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dims.len() as u8];
    bytes.extend(dims.iter().flat_map(|dim| dim.to_be_bytes()));
    [&bytes, elements].concat()
}

fn npy(descr: &str, shape: &str, body: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let length = (header.len() as u16).to_le_bytes();
    [&b"\x93NUMPY\x01\x00"[..], &length, header.as_bytes(), body].concat()
}

#[test]
fn tables_have_the_runs_scale() {
    let config = config(r#"csv {"path": "x.csv", "scale": 2}"#);
    let source = open(&config, b"2,4\n6,8\n", &taught(2, 3)).unwrap();
    assert_eq!((rows(&source).0, source.is_labelled()), (vec![1.0, 2.0, 3.0, 4.0], false));
    let source = open(&config, b"a,b,class\n2,4,2\n", &taught(2, 3)).unwrap();
    assert_eq!((rows(&source), source.is_labelled()), ((vec![1.0, 2.0], vec![2]), true));
    let (picked, rest) = open(&config, b"2,4\n6,8\n", &taught(2, 3)).unwrap().partition(2);
    assert!(!picked.is_labelled() && !rest.is_labelled());
}

#[test]
fn images_have_the_labels_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(r#"fashion-mnist {}"#);
    let images = folder.path().join("my-images-idx3-ubyte");
    std::fs::write(&images, idx(&[2, 1, 2], &[0, 255, 51, 102])).unwrap();
    let open = |taught: &Taught| config.open_to_predict(&images, taught).map_err(|error| error.to_string());
    let source = open(&taught(2, 10)).unwrap();
    assert_eq!((rows(&source).0, source.is_labelled()), (vec![0.0, 1.0, 0.2, 0.4], false));
    let error = open(&taught(784, 10)).unwrap_err();
    assert!(error.ends_with("a row of it is f32[1,2,1], but the model takes f32[784]"), "{error}");
    std::fs::write(folder.path().join("my-labels-idx1-ubyte"), idx(&[2], &[7, 9])).unwrap();
    let source = open(&taught(2, 10)).unwrap();
    assert_eq!((rows(&source).1, source.is_labelled()), (vec![7, 9], true));
    let error = open(&taught(2, 8)).unwrap_err();
    assert!(
        error.ends_with("the label of row 1, counted from 0, is 9, but the model's classes are 0 to 7"),
        "{error}"
    );
}

#[test]
fn records_of_cifar_may_have_labels() {
    let cifar = DataConfig::Cifar { folder: PathBuf::new(), classes: Cifar::Ten, augment: None };
    let image: Vec<u8> = (0..3072).map(|pixel| (pixel / 1024 * 100) as u8).collect();
    let taught = taught(3072, 10);
    let with = open(&cifar, &[&[3], &image[..], &[4], &image].concat(), &taught).unwrap();
    let without = open(&cifar, &[&image[..], &image].concat(), &taught).unwrap();
    assert_eq!((with.is_labelled(), without.is_labelled()), (true, false));
    assert_eq!((rows(&with).1, rows(&with).0), (vec![3, 4], rows(&without).0));
    let error = open(&cifar, &[0; 99], &taught).unwrap_err();
    let wanted = "has 99 bytes, but must have 3073 for each image with labels, or 3072 without";
    assert_eq!(error, format!("data file rows: {wanted}"));
    assert!(open(&cifar, &[], &taught).unwrap_err().contains("has 0 bytes"));
}

#[test]
fn arrays_come_alone_or_in_archives() {
    let body: Vec<u8> = [0.5f32, 1.0, -2.0, 3.0].into_iter().flat_map(f32::to_le_bytes).collect();
    let features = npy("<f4", "(2, 2)", &body);
    let separate =
        config(r#"npy {"features": "a", "labels": "b", "test_features": "c", "test_labels": "d"}"#);
    let source = open(&separate, &features, &taught(2, 3)).unwrap();
    assert_eq!((rows(&source).0, source.is_labelled()), (vec![0.5, 1.0, -2.0, 3.0], false));
    let error = open(&separate, &features, &taught(3, 3)).unwrap_err();
    assert_eq!(error, "data file rows: a row of it is f32[2], but the model takes f32[3]");
    let error = open(&separate, &npy("<f4", "(0, 2)", &[]), &taught(2, 3)).unwrap_err();
    assert!(error.contains("has the shape [0, 2], but must have some elements"), "{error}");

    let archive = |names: &[&str]| {
        let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for name in names {
            archive.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
            let array = if name.starts_with('x') { features.clone() } else { npy("|u1", "(2,)", &[1, 2]) };
            std::io::Write::write_all(&mut archive, &array).unwrap();
        }
        archive.finish().unwrap().into_inner()
    };
    let together = config(r#"npz {"path": "a", "arrays": ["x", "y", "x2", "y2"]}"#);
    for (config, names) in [(&separate, ["x_test", "y_test"]), (&together, ["x2", "y2"])] {
        let source = open(config, &archive(&names), &taught(2, 3)).unwrap();
        assert_eq!((rows(&source).1, source.is_labelled()), (vec![1, 2], true));
        assert!(!open(config, &archive(&names[..1]), &taught(2, 3)).unwrap().is_labelled());
    }
    let error = open(&together, &archive(&["x"]), &taught(2, 3)).unwrap_err();
    assert!(error.contains("the array `x2` cannot be read") && error.ends_with("there are `x`"), "{error}");
    let numbers = Taught { labels: TensorType::scalar(DType::F32), ..taught(2, 1) };
    let error = open(&separate, &archive(&["x_test", "y_test"]), &numbers).unwrap_err();
    assert!(error.contains("its labels are u32[], but the model learned f32[]"), "{error}");
}

#[test]
fn tokens_are_read_to_the_last_one() {
    let ty = TensorType::new(DType::U32, [3]);
    let taught = Taught { features: ty.clone(), labels: ty, classes: 9, ..taught(3, 9) };
    let bins = config(r#"token-bins {"folder": "f", "context": 3, "vocabulary": 9}"#);
    let bytes = |tokens: &[u16]| tokens.iter().flat_map(|token| token.to_le_bytes()).collect::<Vec<u8>>();
    let source = open(&bins, &bytes(&[1, 2, 3, 4, 5]), &taught).unwrap();
    let mut batch = Batch::default();
    source.append(&[0, 1], None, &mut batch).unwrap();
    let words =
        |bytes: &[u8]| bytes.as_chunks().0.iter().map(|&word| u32::from_ne_bytes(word)).collect::<Vec<_>>();
    assert_eq!(
        (words(&batch.features[0]), words(&batch.labels)),
        (vec![1, 2, 3, 4, 5, 0], vec![2, 3, 4, 5, 0, 0])
    );
    assert_eq!((source.len(), source.padding(0), source.padding(1)), (2, 0, 2));
    // The last window is full.
    let source = open(&bins, &bytes(&[1, 2, 3, 4]), &taught).unwrap();
    assert_eq!((source.len(), source.padding(0)), (1, 0));
    let error = open(&bins, &bytes(&[1]), &taught).unwrap_err();
    assert_eq!(
        error,
        "data file rows: has 1 token, but must have at least 2: each is predicted after those before it"
    );

    let text = DataConfig::TextSample { context: 3, encoding: Encoding::Characters, test_fraction: 0.1 };
    let error = open(&text, b"text", &taught).unwrap_err();
    assert_eq!(error, "data file rows: cannot be read as tokens: the run has no tokenizer of its own");
}

#[test]
fn classes_have_the_names_that_a_data_set_lists() {
    let folder = tempfile::tempdir().unwrap();
    let cifar = DataConfig::Cifar { folder: folder.path().into(), classes: Cifar::Ten, augment: None };
    let source = Examples::Table(Table::unlabelled([1], crate::data::Features::numbers(vec![0.0]), 1));
    assert_eq!(cifar.class_names(&source).unwrap(), None);
    std::fs::write(folder.path().join("batches.meta.txt"), "a\nb\n").unwrap();
    assert_eq!(cifar.class_names(&source).unwrap(), None);
    std::fs::write(folder.path().join("batches.meta.txt"), "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n").unwrap();
    assert_eq!(cifar.class_names(&source).unwrap().unwrap()[9], "j");
    let names = config("fashion-mnist {}").class_names(&source).unwrap().unwrap();
    assert_eq!((names.len(), names[9].as_str()), (10, "Ankle boot"));
    assert_eq!(DataConfig::default().class_names(&source).unwrap(), None);

    // A list that is there and cannot be read is no list that is missing.
    let list = folder.path().join("batches.meta.txt");
    std::fs::remove_file(&list).unwrap();
    std::fs::create_dir(&list).unwrap();
    let error = cifar.class_names(&source).unwrap_err().to_string();
    let wanted = format!("cannot read the data file {}: is a folder, but must be a file", list.display());
    assert_eq!(error, wanted);
}
