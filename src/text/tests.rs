use super::*;

/// `lo`, `low` and `er` joined in this order, after the letters that they are made of.
const RANKS: &str = "bA== 0\nbw== 1\ndw== 2\nZQ== 3\ncg== 4\nIA== 5\nbG8= 6\nbG93 7\nZXI= 8\n";

fn written(name: &str, text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

#[test]
fn ranks_join_the_lowest_pair_first() {
    let (_folder, path) = written("ranks", RANKS);
    let tokenizer = Tokenizer::gpt2(&path).unwrap();
    assert_eq!(tokenizer.vocabulary(), 10);
    // "low", "er", " ", "lo", "l": the space is a piece of its own, as no pair with it is joined.
    assert_eq!(tokenizer.encode("lower lol").unwrap(), [7, 8, 5, 6, 0]);
    assert_eq!(tokenizer.decode(&[7, 8, 5, 6, 0]).unwrap(), "lower lol");
    assert_eq!(tokenizer.encode("low<|endoftext|>").unwrap(), [7, 9]);
    assert_eq!((tokenizer.end(), tokenizer.start()), (Some(9), 9));
    let unknown = tokenizer.encode("lox").unwrap_err().to_string();
    assert_eq!(
        unknown,
        "no token stands for the character 'x', number 3 of the text, counted from 1, in line 1"
    );
}

#[test]
fn a_file_is_read_as_it_was_written() {
    let (folder, path) = written("ranks", RANKS);
    for tokenizer in [Tokenizer::gpt2(&path).unwrap(), Tokenizer::Characters(Characters::of("lower, \nλό"))]
    {
        let text = tokenizer.to_json().unwrap();
        std::fs::write(folder.path().join(FILE_NAME), &text).unwrap();
        let again = Tokenizer::load(folder.path()).unwrap();
        assert_eq!(again.to_json().unwrap(), text);
        assert_eq!(again.vocabulary(), tokenizer.vocabulary());
        let tokens = tokenizer.encode("we lower rower").unwrap();
        assert_eq!(again.encode("we lower rower").unwrap(), tokens);
        assert_eq!(again.decode(&tokens).unwrap(), "we lower rower");
        let same = matches!(
            (&tokenizer, &again),
            (Tokenizer::Characters(_), Tokenizer::Characters(_))
                | (Tokenizer::Pieces(_), Tokenizer::Pieces(_))
        );
        assert!(same);
    }
}

/// Hugging Face's program reads the file of characters as the same tokens.
#[test]
fn characters_are_byte_pairs_without_merges() {
    let characters = Characters::of("hello world\n");
    let json = Tokenizer::Characters(characters.clone()).to_json().unwrap();
    let pieces = Tokenizer::Pieces(Box::new(tokenizers::Tokenizer::from_bytes(json).unwrap()));
    let text = "low\nhell";
    let tokens = characters.encode(text).unwrap();
    assert_eq!(pieces.encode(text).unwrap(), tokens);
    assert_eq!(pieces.decode(&tokens).unwrap(), text);
    assert!(matches!(pieces.encode("low!"), Err(TextError::Unknown { character: '!', place: 4, line: 1 })));
    let start = Tokenizer::Characters(characters.clone()).start();
    assert_eq!(characters.decode(&[start]), "\n");
    assert_eq!(Tokenizer::Characters(Characters::of("ab")).start(), 0);
}

#[test]
fn a_vocabulary_and_merges_are_a_tokenizer() {
    let (folder, _) = written("vocab.json", r#"{"l": 0, "o": 1, "w": 2, "lo": 3, "low": 4, "Ġ": 5}"#);
    std::fs::write(folder.path().join("merges.txt"), "#version: 0.2\nl o\nlo w\n").unwrap();
    let tokenizer = Tokenizer::load(folder.path()).unwrap();
    assert_eq!(tokenizer.encode("low lo").unwrap(), [4, 5, 3]);
    assert_eq!((tokenizer.end(), tokenizer.vocabulary()), (None, 6));
}

#[test]
fn what_is_wrong_with_a_file_is_told() {
    for (text, wanted) in [
        ("bA==\n", "line 1: is no token and number"),
        ("bA== 0\n!A== 1\n", "line 2: the token is not in base 64"),
        ("bA== 1\n", "line 1: the number is 1, but must be 0: the lines count from 0"),
        ("bA== 0\nbA== 1\n", "line 2: the token comes twice"),
        ("bA== 0\nbG8= 1\n", "line 2: the token is not two earlier ones joined"),
    ] {
        let (_folder, path) = written("ranks", text);
        let message = Tokenizer::gpt2(&path).unwrap_err().to_string();
        assert_eq!(message, format!("tokenizer {}: {wanted}", path.display()));
    }
    let (folder, path) = written("tokenizer.json", r#"{"model": {"type": "BPE"}}"#);
    assert!(Tokenizer::load(&path).unwrap_err().to_string().contains("tokenizer.json: "));
    assert!(matches!(Tokenizer::load(&folder.path().join("absent")), Err(TextError::Read { .. })));
    std::fs::remove_file(path).unwrap();
    let message = Tokenizer::load(folder.path()).unwrap_err().to_string();
    assert!(message.ends_with("has neither tokenizer.json nor vocab.json and merges.txt"), "{message}");
}
