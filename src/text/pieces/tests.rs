//! Right values are those of Hugging Face's tokenizers in Python.

use serde_json::{Map, json};

use super::*;
use crate::text::{Growing, Tokenizer};

/// Tokens with their numbers.
fn vocabulary(tokens: &str) -> Value {
    tokens
        .split(' ')
        .enumerate()
        .map(|(id, token)| (token.to_string(), id.into()))
        .collect::<Map<_, _>>()
        .into()
}

/// Byte pairs that put a mark instead of a space before each word, as SentencePiece does.
fn metaspace(decoder: Value) -> Value {
    let tokens = "<unk> e f h n o r t u w ▁ ▁t ee fo hr ne one ur wo ▁fo ▁one ▁thr ▁two ▁four ▁three";
    let merges = ["▁ t", "e e", "f o", "h r", "n e", "o ne", "u r", "w o", "▁ fo", "▁ one", "▁t hr", "▁t wo"];
    let merges = merges.into_iter().chain(["▁fo ur", "▁thr ee"]).collect::<Vec<&str>>();
    json!({
        "version": "1.0",
        "added_tokens": [added("<unk>", 0)],
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true},
        "decoder": decoder,
        "model": {"type": "BPE", "unk_token": "<unk>", "vocab": vocabulary(tokens), "merges": merges},
    })
}

fn plain_metaspace() -> Value {
    metaspace(json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true}))
}

fn added(content: &str, id: u64) -> Value {
    json!({
        "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        "special": true
    })
}

/// BERT's way: small letters, no spaces, and pieces that go on after `##`.
fn bert() -> Value {
    json!({
        "version": "1.0",
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
            "lowercase": true
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary("[UNK] one , two . three t ##wo ##e")
        },
    })
}

fn tokenizer(file: Value) -> Tokenizer {
    Tokenizer::Pieces(Box::new(read(file).unwrap()))
}

fn changed(mut file: Value, change: impl FnOnce(&mut Value)) -> Value {
    change(&mut file);
    file
}

#[test]
fn settings_for_other_uses_change_nothing() {
    let text = "one two three four ".repeat(50);
    let wanted = tokenizer(plain_metaspace()).encode(&text).unwrap();
    assert_eq!(wanted[..6], [20, 22, 24, 23, 20, 22]);
    let truncation = |length: u32, stride: u32| json!({"direction": "Right", "max_length": length, "strategy": "LongestFirst", "stride": stride});
    let padding = |strategy: Value, multiple: Value| json!({"strategy": strategy, "direction": "Right", "pad_to_multiple_of": multiple, "pad_id": 0, "pad_type_id": 0, "pad_token": "<unk>"});
    for (field, setting) in [
        ("truncation", truncation(8, 0)),
        // Of these two the tokenizer itself would make a panic.
        ("truncation", truncation(4, 4)),
        ("truncation", truncation(4, 9)),
        ("truncation", json!("none such")),
        ("padding", padding(json!({"Fixed": 9000}), Value::Null)),
        ("padding", padding(json!("BatchLongest"), json!(4096))),
        ("normalizer", json!({"type": "Precompiled", "precompiled_charsmap": ""})),
        ("normalizer", json!({"type": "Precompiled", "precompiled_charsmap": null})),
        (
            "normalizer",
            json!({"type": "Sequence", "normalizers": [{"type": "Precompiled", "precompiled_charsmap": "AAAAAA=="}]}),
        ),
    ] {
        let file = changed(plain_metaspace(), |file| file[field] = setting.clone());
        let tokenizer = tokenizer(file);
        assert_eq!(tokenizer.encode(&text).unwrap(), wanted, "{field} {setting}");
        let kept: Value = serde_json::from_str(&tokenizer.to_json().unwrap()).unwrap();
        assert!(kept["truncation"].is_null() && kept["padding"].is_null());
    }
    // By chance byte pairs would be joined or not, another time each.
    let chance = tokenizer(changed(plain_metaspace(), |file| file["model"]["dropout"] = json!(0.5)));
    assert_eq!(chance.encode(&text).unwrap(), wanted);
}

#[test]
fn decoding_need_not_give_the_text_back() {
    let bert = tokenizer(bert());
    assert_eq!(bert.encode("One, two.\nThree\n").unwrap(), [1, 2, 3, 4, 5]);
    assert_eq!(bert.decode(&[1, 2, 3, 4, 5]).unwrap(), "one, two. three");
    assert_eq!(bert.encode("xyz one").unwrap(), [0, 1]);
    assert_eq!(bert.encode("\n \n").unwrap(), [0; 0]);
    // Byte pairs after a normalizer and a cut that lose letters' sizes and spaces.
    let lower = changed(plain_metaspace(), |file| {
        file["normalizer"] = json!({"type": "Lowercase"});
        file["pre_tokenizer"] = json!({"type": "WhitespaceSplit"});
        file["model"]["unk_token"] = Value::Null;
    });
    let lower = tokenizer(lower);
    assert_eq!(lower.encode("ONE  tWo\n").unwrap(), [16, 7, 18]);
    // But what is left and has no token is an error, the first of it.
    let error = lower.encode("One\ntwo zwei\nx").unwrap_err().to_string();
    assert_eq!(
        error,
        "no token stands for the character 'z', number 9 of the text, counted from 1, in line 2"
    );
    // Other encodings say themselves what they lack, and natgrad where.
    let words = json!({"type": "WordLevel", "vocab": {"<unk>": 0, "one": 1}, "unk_token": "[UNK]"});
    let words = changed(plain_metaspace(), |file| {
        file["model"] = words;
        file["pre_tokenizer"] = json!({"type": "WhitespaceSplit"});
    });
    let error = tokenizer(words).encode("one\none\none two\nthree").unwrap_err().to_string();
    assert_eq!(
        error,
        "the tokenizer: line 3 of the text: WordLevel error: Missing [UNK] token from the vocabulary"
    );
}

#[test]
fn a_text_grows_with_the_spaces_between_its_words() {
    let llama = json!({"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    ]});
    for file in [plain_metaspace(), metaspace(llama)] {
        let tokenizer = tokenizer(file);
        let prompt = tokenizer.encode("one two").unwrap();
        let mut growing = Growing::new(&tokenizer, &prompt).unwrap();
        let told = [24, 23, 20, 14].map(|token| growing.push(token).unwrap());
        assert_eq!(told, [" three", " four", " one", "hr"]);
        assert_eq!(growing.end().unwrap(), "");
        assert_eq!(tokenizer.decode_after(&[], &[20, 22]).unwrap(), "one two");
    }
    let bert = tokenizer(bert());
    let mut growing = Growing::new(&bert, &[1]).unwrap();
    let told = [2, 6, 7, 4, 3].map(|token| growing.push(token).unwrap());
    assert_eq!(told, [",", " t", "wo", ".", " two"]);
}

#[test]
fn a_character_in_several_tokens_is_told_when_it_has_ended() {
    let bytes = crate::text::format::byte_characters();
    let tokens: Vec<String> = bytes.iter().map(char::to_string).collect();
    let vocab: Map<String, Value> =
        tokens.iter().enumerate().map(|(id, token)| (token.clone(), id.into())).collect();
    let tokenizer = tokenizer(crate::text::format::byte_level(vocab, &[]));
    let mut growing = Growing::new(&tokenizer, &tokenizer.encode("é").unwrap()).unwrap();
    let told = [0x20, 0xe2, 0x82, 0xac, 0xe2].map(|token| growing.push(token).unwrap());
    assert_eq!(told, [" ", "", "", "€", ""]);
    assert_eq!(growing.end().unwrap(), "\u{fffd}");
}

#[test]
fn files_that_lie_are_errors() {
    let wrong = |change: &dyn Fn(&mut Value)| read(changed(plain_metaspace(), change)).unwrap_err();
    let gap = wrong(&|file| file["added_tokens"] = json!([added("<unk>", 0), added("<a>", 30)]));
    assert_eq!(
        gap,
        "the added token \"<a>\" has `id` 30, but must have 25: its number in `model.vocab`, or the next one after the \
         tokens before it"
    );
    let twice = wrong(&|file| file["added_tokens"] = json!([added("one", 3)]));
    assert!(twice.starts_with("the added token \"one\" has `id` 3, but must have 16"), "{twice}");
    assert!(wrong(&|file| file["added_tokens"] = json!([added("<a>", 1 << 32)])).contains("expected u32"));
    let large = wrong(&|file| file["model"]["vocab"]["z"] = json!(1u64 << 32));
    assert!(large.contains("u32") || large.contains("model"), "{large}");
    let merges = |merge: &str| wrong(&|file| file["model"]["merges"] = json!([merge]));
    assert!(merges("q x").contains("Token `q` out of vocabulary"));
    assert!(merges("u u").contains("Token `uu` out of vocabulary"));
    assert!(
        wrong(&|file| file["model"]["merges"] = json!(["a b c"]))
            .contains("Merges text file invalid at line 1")
    );
    // Panics of Hugging Face's code.
    assert!(wrong(&|file| file["model"]["continuing_subword_prefix"] = json!("##########")).contains('t'));
    assert!(
        wrong(&|file| file["normalizer"] = json!({"type": "Precompiled", "precompiled_charsmap": "AA"}))
            .len()
            > 5
    );

    // Added tokens have the numbers of the file in any order.
    let file = changed(plain_metaspace(), |file| {
        file["added_tokens"] = json!([added("<b>", 26), added("<a>", 25), added("<unk>", 0)]);
    });
    let ordered = tokenizer(file);
    assert_eq!(ordered.encode("one<a><b>").unwrap(), [20, 25, 26]);
    assert_eq!(ordered.vocabulary(), 27);
    let huge = tokenizer(changed(plain_metaspace(), |file| file["model"]["vocab"]["z"] = json!(u32::MAX)));
    assert_eq!((huge.vocabulary(), huge.encode("z").unwrap()), (1 << 32, vec![10, u32::MAX]));
    // What fails only when a text is read.
    for (field, value, wanted) in [
        (
            "normalizer",
            json!({"type": "Precompiled", "precompiled_charsmap": "BAAAAAAAAAA="}),
            "index out of bounds",
        ),
        ("pre_tokenizer", json!({"type": "FixedLength", "length": 0}), "chunk size must be non-zero"),
    ] {
        let tokenizer = tokenizer(changed(plain_metaspace(), |file| file[field] = value.clone()));
        let error = tokenizer.encode("one").unwrap_err().to_string();
        assert!(
            error.starts_with("the tokenizer: line 1 of the text: ") && error.contains(wanted),
            "{error}"
        );
    }
}

#[test]
fn nothing_is_waited_for_without_end() {
    let letters = "a".repeat(40) + "b";
    let cut = |pattern: Value| json!({"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": false});
    for (field, value) in [
        ("pre_tokenizer", cut(json!({"String": ""}))),
        ("pre_tokenizer", cut(json!({"Regex": "a*"}))),
        ("pre_tokenizer", cut(json!({"Regex": "(a+)+$"}))),
        ("pre_tokenizer", cut(json!({"Regex": "(?=(a+)+$)"}))),
        ("normalizer", json!({"type": "Replace", "pattern": {"String": ""}, "content": "x"})),
        ("added_tokens", json!([added("<unk>", 0), added("", 25)])),
    ] {
        let begun = std::time::Instant::now();
        if let Ok(pieces) = read(changed(plain_metaspace(), |file| file[field] = value.clone())) {
            // Tokens or an error: what counts is the end.
            encode(&pieces, &letters).map(drop).unwrap_or_default();
        }
        assert!(begun.elapsed().as_secs() < 20, "{field} {value}");
    }
}
