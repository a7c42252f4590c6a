//! Files of tokens, texts and tokenizers as people have them.

use std::io::Write;

use crate::support::{Bench, Outcome};

/// Four words with a mark instead of a space before each, as SentencePiece has them.
const WORDS: &str = r#"{
    "version": "1.0",
    "added_tokens": [{"id": 0, "content": "<unk>", "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true}],
    "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true},
    "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true},
    "model": {"type": "WordLevel", "unk_token": "<unk>",
        "vocab": {"<unk>": 0, "▁one": 1, "▁two": 2, "▁three": 3, "▁four": 4}}
}"#;

/// A tiny model of tokens in the folder `bins`.
const BINS: &str = r#"{
    "model": {"kind": "gpt2", "vocabulary": 50, "context": 8, "layers": 1, "heads": 2, "width": 8},
    "rule": {"kind": "adamw", "lr": 0.01},
    "data": {"kind": "token-bins", "folder": "bins", "context": 8, "vocabulary": 50},
    "batch": 4, "length": {"steps": 40}
}"#;

fn refused(bench: &Bench, args: &[&str], wanted: &str) {
    let outcome = bench.run(args);
    assert_eq!((outcome.code, &*outcome.stdout), (Some(2), ""), "{outcome:?}");
    assert!(outcome.stderr.trim_end().ends_with(wanted), "no `{wanted}` in {outcome:?}");
}

/// A bench with token files: some of `train` and `val`.
fn bins(train: &[u8], val: &[u8]) -> Bench {
    let bench = Bench::cold();
    bench.write("bins.json", BINS);
    std::fs::create_dir(bench.path("bins")).unwrap();
    std::fs::write(bench.path("bins/train.bin"), train).unwrap();
    std::fs::write(bench.path("bins/val.bin"), val).unwrap();
    bench
}

fn narrow(tokens: &[u16]) -> Vec<u8> {
    tokens.iter().flat_map(|token| token.to_le_bytes()).collect()
}

fn wide(tokens: &[u16]) -> Vec<u8> {
    tokens.iter().flat_map(|&token| u32::from(token).to_le_bytes()).collect()
}

fn words(bench: &Bench, name: &str) -> Vec<u16> {
    let bytes = std::fs::read(bench.path(name)).unwrap();
    bytes.as_chunks().0.iter().map(|&token| u16::from_le_bytes(token)).collect()
}

#[test]
fn files_that_are_none_of_such_tokens_are_refused_before_training() {
    let tokens: Vec<u16> = (0..400).map(|at| at % 50).collect();
    let right = narrow(&tokens);
    let train = ["train", "bins.json", "--out", "out"];
    let mut header = wide(&[0; 256]);
    header[..4].copy_from_slice(&20_240_520u32.to_le_bytes());
    header[8..12].copy_from_slice(&400u32.to_le_bytes());
    for (bytes, wanted) in [
        (
            wide(&tokens),
            "looks like 32-bit tokens, as every second 16-bit number is 0: set `data.dtype` to \"uint32\"",
        ),
        (
            [header, right.clone()].concat(),
            "begins with the header of llm.c (magic number 20240520): 1024 bytes before 400 tokens of 16 bits, but must \
             have tokens alone: write the rest to a file of its own, `tail -c +1025 FILE > NEW`",
        ),
        (
            narrow(&[&tokens[..], &[50]].concat()),
            "the token at offset 800 is 50, but must be below `data.vocabulary` 50",
        ),
    ] {
        for (name, bench) in [("train", bins(&bytes, &right)), ("val", bins(&right, &bytes))] {
            refused(&bench, &train, &format!("data file bins/{name}.bin: {wanted}"));
            assert!(!bench.path("out").exists());
        }
    }
    // With its type the file of 32 bits trains as that of 16, and predicts so.
    let test = |bench: &Bench, more: &[&str]| {
        bench.ok(&[&train[..], more].concat());
        bench.json("out/summary.json")["test"].clone()
    };
    let scores = test(&bins(&right, &right), &[]);
    assert!(scores["mean"]["nll"].as_f64().unwrap() < 3.9, "{scores}");
    let bench = bins(&wide(&tokens), &wide(&tokens));
    assert_eq!(test(&bench, &["--set", "data.dtype=uint32"]), scores);
    std::fs::write(bench.path("narrow.bin"), right).unwrap();
    let wanted = "the file looks like 16-bit tokens: `data.dtype` would be \"uint16\"";
    refused(&bench, &["predict", "out", "--data", "narrow.bin"], wanted);
    refused(
        &bench,
        &["train", "bins.json", "--set", "data.dtype=int8"],
        "at `data.dtype`: unknown value `int8`, expected `uint16` or `uint32`",
    );
    refused(
        &bench,
        &["train", "bins.json", "--set", "data.dtype=uint32", "--set", "model.vocabulary=49"],
        "`model.vocabulary` is 49, but the data has 50 different tokens: the model must have at least 50 different tokens",
    );
}

/// The whole text is judged, as `natgrad predict` judges it token by token.
#[test]
fn the_last_short_window_is_judged_too() {
    let train: Vec<u16> = (0..400).map(|at| at % 50).collect();
    // One window as in training, and five labels that are not.
    let val = [0, 1, 2, 3, 4, 5, 6, 7, 8, 40, 3, 3, 17, 9];
    let bench = bins(&narrow(&train), &narrow(&val));
    let told = bench.ok(&["train", "bins.json", "--out", "out"]).stdout;
    assert!(told.contains("2 test rows"), "{told}");
    bench.ok(&["predict", "out", "--data", "bins/val.bin", "--at", "mean", "--out", "rows.csv"]);
    let rows = bench.read("rows.csv");
    let logs: Vec<f64> =
        rows.lines().skip(1).map(|row| row.rsplit(',').next().unwrap().parse().unwrap()).collect();
    assert_eq!(logs.len(), val.len() - 1, "{rows}");
    let mean = -logs.iter().sum::<f64>() / logs.len() as f64;
    let nll = bench.json("out/summary.json")["test"]["mean"]["nll"].as_f64().unwrap();
    assert!((nll - mean).abs() < 1e-6, "{nll} is not {mean}");
    let whole = -logs[..8].iter().sum::<f64>() / 8.0;
    assert!(nll > whole + 0.1, "{nll} is near {whole}, that of the whole window");
}

#[test]
fn a_text_goes_on_with_the_spaces_of_its_tokenizer() {
    let bench = Bench::cold();
    bench.write("text.txt", &["one two three four"; 600].join(" "));
    bench.write("words.json", WORDS);
    bench.write(
        "run.json",
        r#"{"model": {"kind": "gpt2", "vocabulary": 5, "context": 8, "layers": 1, "heads": 2, "width": 16},
            "rule": {"kind": "adamw", "lr": 0.02}, "batch": 8, "length": {"steps": 80},
            "data": {"kind": "text", "path": "text.txt", "context": 8, "encoding": {"tokenizer": "words.json"}}}"#,
    );
    bench.ok(&["train", "run.json", "--out", "out"]);
    let generate = ["generate", "out", "--prompt", "one two", "--tokens", "6", "--temperature", "0"];
    assert_eq!(bench.ok(&generate).stdout, "one two three four one two three four\n");
    bench.write("new.txt", "one two three");
    bench.ok(&["predict", "out", "--data", "new.txt", "--at", "mean", "--out", "rows.csv"]);
    let texts: Vec<String> =
        bench.read("rows.csv").lines().map(|row| row.split(',').nth(3).unwrap().to_string()).collect();
    assert_eq!(texts, ["text", "two", " three"]);
    refused(
        &bench,
        &["train", "run.json", "--set", "model.vocabulary=4"],
        "`model.vocabulary` is 4, but the data has 5 different tokens: the model must have at least 5 different tokens",
    );
}

#[test]
fn texts_are_tokenized_as_they_are_trained_on() {
    let bench = Bench::cold();
    let truncating =
        r#""truncation": {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 8}"#;
    bench.write("words.json", &WORDS.replacen('{', &format!("{{{truncating},"), 1));
    let tokenize = |bench: &Bench, file: &str, out: &str| -> Outcome {
        bench.run(&["tokenize", file, "--out", out, "--tokenizer", "words.json"])
    };
    let text = ["one two three four"; 100].join(" ");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    std::fs::write(bench.path("text.gz"), gzip.finish().unwrap()).unwrap();
    bench.write("marked.txt", &format!("\u{feff}{text}"));
    bench.write("text.txt", &text);
    for file in ["text.txt", "text.gz", "marked.txt"] {
        let outcome = tokenize(&bench, file, file.split_once('.').unwrap().1);
        let told = "360 and 40 tokens of 5 different ones written to ";
        assert!(outcome.stdout.starts_with(told), "{outcome:?}");
        let read = words(&bench, &format!("{}/train.bin", file.split_once('.').unwrap().1));
        assert_eq!(read, [1, 2, 3, 4].repeat(90), "{file}");
    }
    std::fs::write(bench.path("bad.txt"), b"one\ntwo \xfe three").unwrap();
    for (name, text, wanted) in [
        (
            "bad.txt",
            None,
            "data file bad.txt: the byte at offset 8, in line 2, is 0xfe, but text must be UTF-8",
        ),
        ("empty.txt", Some(""), "data file empty.txt: is empty, but must have text"),
        (
            "short.txt",
            Some("one two three four"),
            "short.txt: with --test-fraction 0.1, val.bin would have none of its 4 tokens, but must have some",
        ),
        ("absent.txt", None, "cannot read the data file absent.txt: No such file or directory (os error 2)"),
    ] {
        if let Some(text) = text {
            bench.write(name, text);
        }
        refused(&bench, &["tokenize", name, "--out", "none", "--tokenizer", "words.json"], wanted);
        assert!(!bench.path("none").exists());
    }
    // Tokens that 16 bits do not tell apart take 32.
    bench.write("words.json", &WORDS.replace("\"▁four\": 4", "\"▁four\": 70000"));
    let outcome = tokenize(&bench, "text.txt", "wide");
    let told = "360 and 40 tokens of 70001 different ones written to wide: train.bin, val.bin, in 32 bits: `data.dtype` is \
                \"uint32\"\n";
    assert_eq!(outcome.stdout, told, "{outcome:?}");
    assert_eq!(words(&bench, "wide/val.bin")[..8], [1, 0, 2, 0, 3, 0, 4464, 1]);
    // A tokenizer that does not give the text back, and one that makes nothing of it.
    let mut lower: serde_json::Value = serde_json::from_str(WORDS).unwrap();
    lower["normalizer"] = serde_json::json!({"type": "Lowercase"});
    lower["pre_tokenizer"] = serde_json::json!({"type": "WhitespaceSplit"});
    lower["decoder"] = serde_json::Value::Null;
    lower["model"]["vocab"] = serde_json::json!({"<unk>": 0, "one": 1, "two": 2, "three": 3, "four": 4});
    bench.write("words.json", &lower.to_string());
    bench.write("text.txt", &text.to_uppercase().replace(' ', "\n"));
    assert!(tokenize(&bench, "text.txt", "lower").stdout.starts_with("360 and 40 tokens"));
    bench.write("spaces.txt", "\n \n");
    let wanted = "data file spaces.txt: the tokenizer makes no token of its text, 3 characters long";
    refused(&bench, &["tokenize", "spaces.txt", "--out", "none", "--tokenizer", "words.json"], wanted);
}
