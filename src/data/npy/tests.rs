use std::io::Write;

use proptest::prelude::*;

use super::array::{Header, MAGIC};
use super::*;
use crate::data::{Batch, Examples};

/// An array as NumPy writes it.
fn npy(descr: &str, shape: &str, body: &[u8]) -> Vec<u8> {
    ordered(descr, "False", shape, body)
}

fn ordered(descr: &str, fortran: &str, shape: &str, body: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
    while !(10 + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let length = (header.len() as u16).to_le_bytes();
    [&MAGIC[..], &[1, 0], &length, header.as_bytes(), body].concat()
}

fn floats() -> Vec<u8> {
    let body: Vec<u8> = [0.5f32, 1.0, -2.0, 3.0, 4.0, 8.0].into_iter().flat_map(f32::to_le_bytes).collect();
    npy("<f4", "(3, 2)", &body)
}

fn classes() -> Vec<u8> {
    let body: Vec<u8> = [2i64, 0, 1].into_iter().flat_map(i64::to_le_bytes).collect();
    npy("<i8", "(3,)", &body)
}

fn load(features: &[u8], labels: &[u8]) -> Result<Table, String> {
    let folder = tempfile::tempdir().unwrap();
    let (x, y) = (folder.path().join("x.npy"), folder.path().join("y.npy"));
    std::fs::write(&x, features).unwrap();
    std::fs::write(&y, labels).unwrap();
    read(&x, &y, ImageLayout::ChannelsLast).map_err(|error| error.to_string())
}

fn features(table: Table) -> Vec<f32> {
    let mut batch = Batch::default();
    let all: Vec<u32> = (0..table.len() as u32).collect();
    Examples::Table(table).append(&all, None, &mut batch).unwrap();
    batch.features[0].as_chunks().0.iter().map(|&bytes| f32::from_ne_bytes(bytes)).collect()
}

#[test]
fn arrays_are_read_in_their_types() {
    let table = load(&floats(), &classes()).unwrap();
    assert_eq!(table.labels(), &Labels::classes(vec![2, 0, 1]));
    assert_eq!((table.example().features[0].to_string(), table.example().classes), ("f32[2]".to_string(), 3));
    assert_eq!(features(table), [0.5, 1.0, -2.0, 3.0, 4.0, 8.0]);

    let big: Vec<u8> = [1.5f64, -2.5, 1e30].into_iter().flat_map(f64::to_be_bytes).collect();
    let images = npy("|u1", "(3, 1, 2)", &[0, 255, 51, 102, 153, 204]);
    let table = load(&images, &npy(">f8", "(3, 1)", &big)).unwrap();
    assert_eq!(table.labels(), &Labels::numbers(vec![1.5, -2.5, 1e30]));
    assert_eq!(table.example().features[0].to_string(), "f32[1,2,1]");
    assert_eq!(features(table), [0.0, 1.0, 0.2, 0.4, 0.6, 0.8]);

    let signed = npy("<i2", "(1, 2)", &[0xff, 0xff, 7, 0]);
    assert_eq!(features(load(&signed, &npy("|u1", "(1,)", &[9])).unwrap()), [-1.0, 7.0]);
}

#[test]
fn archives_have_their_arrays_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.npz");
    let mut archive = zip::ZipWriter::new(File::create(&path).unwrap());
    for (name, array) in [("x.npy", floats()), ("y.npy", classes())] {
        archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(&array).unwrap();
    }
    archive.finish().unwrap();
    assert_eq!(
        read_archive(&path, "x", "y", ImageLayout::ChannelsLast).unwrap(),
        load(&floats(), &classes()).unwrap()
    );
    let error = read_archive(&path, "x", "z", ImageLayout::ChannelsLast).unwrap_err().to_string();
    assert!(
        error.contains("the array `z` cannot be read") && error.ends_with("there are `x`, `y`"),
        "{error}"
    );
    let error = read_archive(&path, "y", "y", ImageLayout::ChannelsLast).unwrap_err().to_string();
    assert!(error.contains("the array `y` has the shape [3], but features must have"), "{error}");
}

#[test]
fn wrong_arrays_are_answered_with_what_is_wrong() {
    let cases = [
        (b"PK".to_vec(), classes(), "starts with [50, 4b], but an npy array starts with"),
        (npy("<c8", "(1, 1)", &[0; 8]), classes(), "its `descr` is `<c8`, but must be of whole numbers"),
        (
            npy("<f4", "(3, 3)", &[0; 24]),
            classes(),
            "says [3, 3] elements of 4 bytes, but 24 bytes follow it",
        ),
        (
            npy("<f4", "(3, 1)", &[0; 24]),
            classes(),
            "says [3, 1] elements of 4 bytes, but more bytes follow it",
        ),
        (
            npy("<f4", "(99999999999, 99999999999, 99999999999)", &[]),
            classes(),
            "says [99999999999, 99999999999, 99999999999] elements",
        ),
        (npy("<f4", "(3, x)", &[]), classes(), "its `shape` has `x`, which must be a size"),
        (floats(), npy("|u1", "(2,)", &[0, 1]), "has the shape [2], but the 3 rows have [3] labels"),
        (
            npy("<f4", "(1, 1)", &f32::NAN.to_le_bytes()),
            npy("|u1", "(1,)", &[0]),
            "its element 0 is NaN, but must be a finite number",
        ),
        (
            npy("<f4", "(1, 1)", &[0; 4]),
            npy("<i4", "(1,)", &[255; 4]),
            "its element 0 is -1, but classes are from 0 to 65535",
        ),
        (
            npy("<f4", "(0, 2)", &[]),
            npy("|u1", "(0,)", &[]),
            "has the shape [0, 2], but must have some elements",
        ),
    ];
    for (features, labels, wanted) in cases {
        let error = load(&features, &labels).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    }
    let error = Header::parse("{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}").unwrap_err();
    assert!(error.contains("`fortran_order` must be True or False"), "{error}");
}

#[test]
fn fortrans_order_half_precision_and_booleans_are_read() {
    let body: Vec<u8> = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0].into_iter().flat_map(f32::to_le_bytes).collect();
    let table = load(&ordered("<f4", "True", "(3, 2)", &body), &classes()).unwrap();
    assert_eq!(features(table), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    // numpy.asfortranarray(numpy.arange(12, dtype="u1").reshape(2, 2, 3)).tobytes("A")
    let images = ordered("|u1", "True", "(2, 2, 3)", &[0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11]);
    let table = load(&images, &npy("|b1", "(2,)", &[0, 1])).unwrap();
    assert_eq!(table.labels(), &Labels::classes(vec![0, 1]));
    assert_eq!(features(table), (0..12u8).map(|pixel| f32::from(pixel) / 255.0).collect::<Vec<f32>>());
    let half: Vec<u8> = [0x3c00u16, 0xc100, 0x0001].into_iter().flat_map(u16::to_be_bytes).collect();
    let table = load(&npy(">f2", "(3, 1)", &half), &classes()).unwrap();
    assert_eq!(features(table), [1.0, -2.5, 5.960_464_5e-8]);
    // Booleans are numbers, not pixels.
    let table = load(&npy("|b1", "(3, 1)", &[1, 0, 1]), &classes()).unwrap();
    assert_eq!(features(table), [1.0, 0.0, 1.0]);
}

#[test]
fn channels_can_come_first() {
    let folder = tempfile::tempdir().unwrap();
    let (x, y) = (folder.path().join("x.npy"), folder.path().join("y.npy"));
    let body: Vec<u8> = (0..24i16).flat_map(i16::to_le_bytes).collect();
    std::fs::write(&x, npy("<i2", "(2, 3, 2, 2)", &body)).unwrap();
    std::fs::write(&y, npy("|u1", "(2,)", &[0, 1])).unwrap();
    let table = read(&x, &y, ImageLayout::ChannelsFirst).unwrap();
    assert_eq!(table.example().features[0].to_string(), "f32[2,2,3]");
    assert_eq!(features(table)[..12], [0.0, 4.0, 8.0, 1.0, 5.0, 9.0, 2.0, 6.0, 10.0, 3.0, 7.0, 11.0]);
}

proptest! {
    #[test]
    fn arrays_that_lie_are_errors_or_small(
        changes in proptest::collection::vec((0usize..160, any::<u8>()), 0..5), cut in 0usize..160
    ) {
        let mut bytes = floats();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len() - cut / 2 % bytes.len());
        if let Ok(table) = load(&bytes, &classes()) {
            prop_assert!(table.bytes() <= 8 * bytes.len());
            features(table);
        }
    }
}

/// No more of it is unpacked than the header says.
#[test]
fn an_array_of_an_archive_that_unpacks_to_more_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.npz");
    let mut archive = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    let options = zip::write::SimpleFileOptions::default();
    for (name, array, more) in [("x.npy", floats(), 50), ("y.npy", classes(), 0)] {
        archive.start_file(name, options).unwrap();
        archive.write_all(&array).unwrap();
        (0..more).for_each(|_| archive.write_all(&[0; 1 << 20]).unwrap());
    }
    archive.finish().unwrap();
    let error = read_archive(&path, "x", "y", ImageLayout::ChannelsLast).unwrap_err().to_string();
    assert!(error.contains("says [3, 2] elements of 4 bytes, but more bytes follow it"), "{error}");
}
