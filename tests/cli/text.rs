//! Text that models learn from and write, and weights that go in and out.

use natgrad::train::Checkpoint;
use natgrad::weights;
use natgrad_layers::{Gpt2, NamedModel};

use crate::support::Bench;

const TEXT: &str = "the cat sat on the mat, and the dog sat on the cat.\n";

/// A bench with a tiny model of characters, trained in the folder `out`.
fn trained(more: &[&str]) -> Bench {
    let bench = Bench::cold();
    bench.write("text.txt", &TEXT.repeat(20));
    bench.write(
        "chars.json",
        r#"{"model": {"kind": "gpt2", "vocabulary": 15, "context": 8, "layers": 1, "heads": 2, "width": 8},
            "rule": {"kind": "ivon", "hess_init": 0.5}, "data": {"kind": "text", "path": "text.txt", "context": 8},
            "batch": 8, "length": {"steps": 20}, "evaluation": {"samples": 2, "examples": 8}}"#,
    );
    bench.ok(&[&["train", "chars.json", "--out", "out"], more].concat());
    bench
}

fn means(checkpoint: &Checkpoint, model: &NamedModel) -> Vec<Vec<f32>> {
    let of = |param: natgrad_layers::Param| {
        let name = format!("mean/{}", param.name);
        let tensor = checkpoint.tensors.iter().find(|tensor| tensor.name == name).unwrap();
        tensor.numbers().into_iter().map(|number| number as f32).collect()
    };
    model.params().into_iter().map(of).collect()
}

#[test]
fn text_is_written_with_the_runs_own_characters() {
    let bench = trained(&[]);
    let generate = |more: &[&str]| {
        bench.run(&[&["generate", "out", "--prompt", "the ", "--tokens", "20"], more].concat())
    };
    let first = generate(&[]);
    assert_eq!(first.code, Some(0), "{first:?}");
    assert!(first.stdout.starts_with("the "), "{first:?}");
    assert_eq!(first.stdout.strip_suffix('\n').unwrap().chars().count(), 24);
    assert!(first.stdout.chars().all(|character| TEXT.contains(character)), "{first:?}");
    assert_eq!(generate(&[]).stdout, first.stdout);
    assert_ne!(generate(&["--seed", "1"]).stdout, first.stdout);
    let averaged = generate(&["--samples", "2"]);
    assert_eq!(averaged.code, Some(0), "{averaged:?}");
    assert_eq!(generate(&["--samples", "2"]).stdout, averaged.stdout);
    let greedy = generate(&["--temperature", "0"]).stdout;
    assert_eq!(generate(&["--top-k", "1", "--seed", "9"]).stdout, greedy);

    // Of a prompt that is longer than the context the last characters count.
    let long = bench.ok(&["generate", "out", "--prompt", "mat, and the dog", "--tokens", "5"]).stdout;
    let short = bench.ok(&["generate", "out", "--prompt", " the dog", "--tokens", "5"]).stdout;
    assert_eq!(long.strip_prefix("mat, and"), Some(&*short));
    // Without a prompt it goes on after a new line, which is not printed.
    let empty = bench.ok(&["generate", "out", "--tokens", "9"]).stdout;
    let line = bench.ok(&["generate", "out", "--prompt", "\n", "--tokens", "9"]).stdout;
    assert_eq!(line.strip_prefix('\n'), Some(&*empty));
    assert_eq!(bench.ok(&["generate", "out", "--prompt", "dog", "--tokens", "0"]).stdout, "dog\n");

    for (args, wanted) in [
        (&["--prompt", "the fox"][..], "no token stands for the character 'f', number 5 of the text"),
        (&["--temperature", "-1"], "--temperature -1: must be a number of at least 0"),
        (&["--temperature", "nan"], "--temperature NaN: must be a number of at least 0"),
        (&["--top-k", "0"], "0 is not in 1.."),
        (&["--tokenizer", "absent.json"], "cannot read the tokenizer absent.json"),
    ] {
        let outcome = bench.run(&[&["generate", "out"], args].concat());
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains(wanted), "no `{wanted}` in {outcome:?}");
    }
}

/// Writes the tensors of a safetensors file in turns into two files of a folder, with their index.
fn shard(bench: &Bench, whole: &str, folder: &str) {
    let bytes = std::fs::read(bench.path(whole)).unwrap();
    let whole = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    std::fs::create_dir(bench.path(folder)).unwrap();
    let mut map = serde_json::Map::new();
    for (turn, name) in ["a.safetensors", "b.safetensors"].into_iter().enumerate() {
        let tensors: Vec<_> = whole.tensors().into_iter().skip(turn).step_by(2).collect();
        map.extend(tensors.iter().map(|(tensor, _)| (tensor.clone(), name.into())));
        let bytes = safetensors::serialize(tensors, None).unwrap();
        std::fs::write(bench.path(folder).join(name), bytes).unwrap();
    }
    let index = serde_json::json!({"weight_map": map}).to_string();
    bench.write(&format!("{folder}/model.safetensors.index.json"), &index);
}

#[test]
fn weights_go_out_and_in_bit_for_bit() {
    let bench = trained(&[]);
    let gpt2 = Gpt2 { vocabulary: 15, context: 8, layers: 1, heads: 2, width: 8, ..Gpt2::default() };
    let model = NamedModel::Gpt2(gpt2);
    bench.ok(&["export", "out", "--out", "mean/model.safetensors"]);
    assert_eq!(bench.list("mean"), ["config.json", "model.safetensors", "tokenizer.json"]);
    let read = |name: &str| weights::read(&bench.path(name), &model).unwrap();
    let mean = means(&bench.checkpoint("out"), &model);
    assert_eq!(read("mean"), mean);

    // A sample is the same each time, and another for another number or seed.
    let sample = |out: &str, more: &[&str]| {
        bench.ok(&[&["export", "out", "--out", &format!("{out}/model.safetensors")], more].concat());
        read(out)
    };
    let first = sample("a", &["--sample", "0"]);
    assert_eq!(sample("b", &["--sample", "0", "--seed", "0"]), first);
    assert_ne!(sample("c", &["--sample", "1"]), first);
    assert_ne!(sample("d", &["--sample", "0", "--seed", "1"]), first);
    assert_ne!(first, mean);

    // A rate that changes no bit leaves the weights that a run started from.
    let still = ["--set", r#"rule={"kind": "sgd", "lr": 1e-30}"#, "--set", "schedule.kind=constant"];
    let args = ["train", "chars.json", "--set", "init=mean", "--steps", "1", "--out", "again"];
    bench.ok(&[&args[..], &still].concat());
    assert_eq!(means(&bench.checkpoint("again"), &model), mean);
    // So do the same weights in several files; an index is named by its path or found in its folder.
    shard(&bench, "mean/model.safetensors", "shards");
    let args = ["train", "chars.json", "--set", "init=shards", "--steps", "1", "--out", "sharded"];
    bench.ok(&[&args[..], &still].concat());
    assert_eq!(means(&bench.checkpoint("sharded"), &model), mean);
    let index = "shards/model.safetensors.index.json";
    std::fs::remove_file(bench.path("shards/b.safetensors")).unwrap();
    let outcome = bench.run(&["train", "chars.json", "--set", &format!("init={index}")]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    let wanted =
        format!("shards/b.safetensors: No such file or directory (os error 2); {index} puts the tensor");
    assert!(outcome.stderr.contains(&wanted), "{outcome:?}");
    // It can be continued without them.
    std::fs::remove_dir_all(bench.path("mean")).unwrap();
    bench.ok(&["train", "--resume", "again"]);

    let outcome = bench.run(&["train", "chars.json", "--set", "init=a", "--set", "model.heads=1"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("`model.heads` is 1, but a/config.json has `n_head` 2"), "{outcome:?}");
    // A run's own folder says as much of its model, and of its tokens.
    let again =
        bench.ok(&[&["train", "chars.json", "--set", "init=out", "--out", "same"], &still[..]].concat());
    assert!(!again.stderr.contains("other tokens"), "{again:?}");
    bench.write("other.txt", &bench.read("text.txt").replace('e', "3"));
    let other = ["train", "chars.json", "--set", "init=out", "--set", "data.path=other.txt"];
    let outcome = bench.ok(&[&other[..], &still[..], &["--out", "other"]].concat());
    assert!(outcome.stderr.contains("the run of `init`, out, made other tokens of its text"), "{outcome:?}");
    let kept = ["--set", "data.encoding.tokenizer=out/tokenizer.json", "--out", "kept"];
    let outcome = bench.ok(&[&["train", "chars.json", "--set", "init=out"], &still[..], &kept].concat());
    assert!(!outcome.stderr.contains("other tokens"), "{outcome:?}");
    let outcome = bench.run(&["train", "chars.json", "--set", "init=out", "--set", "model.heads=1"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    let wanted = "`model.heads` is 1, but out/checkpoint.safetensors has 2";
    assert!(outcome.stderr.contains(wanted), "{outcome:?}");
    let outcome = bench.run(&["export", "out", "--out", "out/model.safetensors"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("config.json: it is there already"), "{outcome:?}");
    let outcome = bench.run(&["export", "again", "--sample", "0"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("--sample: a run with sgd has no posterior to sample"), "{outcome:?}");
}

#[test]
fn text_becomes_token_files_that_a_run_reads() {
    let bench = trained(&["--steps", "1"]);
    let outcome = bench.ok(&["tokenize", "text.txt", "--tokenizer", "out/tokenizer.json", "--out", "bins"]);
    let told = "936 and 104 tokens of 15 different ones written to bins: train.bin, val.bin\n";
    assert_eq!(outcome.stdout, told);
    let bytes = std::fs::read(bench.path("bins/train.bin")).unwrap();
    let characters = natgrad::text::Characters::of(TEXT);
    let tokens: Vec<u32> =
        bytes.as_chunks().0.iter().map(|&bytes| u32::from(u16::from_le_bytes(bytes))).collect();
    assert_eq!(characters.decode(&tokens), TEXT.repeat(18));
    std::fs::copy(bench.path("out/tokenizer.json"), bench.path("kept.json")).unwrap();
    let data = r#"data={"kind": "token-bins", "folder": "bins", "context": 8, "vocabulary": 15}"#;
    bench.ok(&["train", "chars.json", "--steps", "2", "--set", data, "--out", "out", "--force"]);
    // The run is not of text any more, and its vocabulary is not GPT-2's.
    let outcome = bench.run(&["generate", "out"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("the run has no tokenizer of its own"), "{outcome:?}");
    bench.ok(&["generate", "out", "--tokens", "2", "--tokenizer", "kept.json"]);
}

#[test]
fn a_text_is_chosen_by_minimum_bayes_risk() {
    let bench = trained(&[]);
    let adamw = r#"rule={"kind": "adamw", "lr": 0.01}"#;
    bench.ok(&["train", "chars.json", "--set", adamw, "--steps", "1", "--out", "adamw"]);
    let args =
        ["generate", "out", "--prompt", "the ", "--tokens", "20", "--candidates", "5", "--json", "c.json"];
    let outcome = bench.ok(&args);
    let found = bench.json("c.json");
    let candidates = found["candidates"].as_array().unwrap();
    let texts: Vec<&str> = candidates.iter().map(|one| one["text"].as_str().unwrap()).collect();
    assert_eq!(texts.len(), 5);
    let risk = natgrad::eval::BayesRisk::of(&texts).unwrap();
    for (candidate, (one, utility)) in candidates.iter().zip(&risk.utilities).enumerate() {
        assert!((one["expected_chrf"].as_f64().unwrap() - utility).abs() < 1e-9);
        assert_eq!(one["sample"], candidate);
        assert_eq!(one["text"].as_str().unwrap().chars().count(), 20);
    }
    assert_eq!(found["chosen"], risk.chosen);
    assert_eq!(outcome.stdout, format!("the {}\n", texts[risk.chosen]));
    let best = risk.utilities[risk.chosen];
    let wanted = format!(
        "chosen of 5 candidates by 5 samples of the posterior: its expected chrF is {best:.2}, that of all"
    );
    assert!(outcome.stderr.contains(&wanted) && outcome.stderr.contains("written to c.json"), "{outcome:?}");
    // The same seed writes the same, and fewer samples write in turn.
    assert_eq!(bench.ok(&args).stdout, outcome.stdout);
    assert_ne!(texts[0], texts[1]);
    bench.ok(&[&args[..], &["--samples", "2"]].concat());
    let fewer = bench.json("c.json");
    let samples: Vec<&serde_json::Value> =
        fewer["candidates"].as_array().unwrap().iter().map(|one| &one["sample"]).collect();
    assert_eq!(samples, [0, 1, 0, 1, 0]);
    assert_eq!(
        fewer["candidates"][1],
        serde_json::json!({
            "text": texts[1], "sample": 1, "expected_chrf": fewer["candidates"][1]["expected_chrf"],
        })
    );
    // Each is told where that is asked for.
    let told = bench.ok(&[&["-v"], &args[..]].concat()).stderr;
    assert_eq!(told.matches(", expected chrF ").count(), 5, "{told}");
    // Without a posterior the mean writes all of them.
    let outcome = bench.ok(&["generate", "adamw", "--tokens", "9", "--candidates", "2"]);
    assert!(outcome.stderr.contains("chosen of 2 candidates by the mean"), "{outcome:?}");
    for (args, wanted) in [
        (&["out", "--candidates", "1"][..], "1 is not in 2..=1000"),
        (&["out", "--json", "c.json"], "--candidates <N>"),
        (&["out", "--candidates", "2", "--json", "out"], "out: is a folder, but must be a file"),
        (
            &["adamw", "--candidates", "2", "--samples", "2"],
            "--samples: a run with adamw has no posterior to sample",
        ),
    ] {
        let outcome = bench.run(&[&["generate"], args].concat());
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains(wanted), "no `{wanted}` in {outcome:?}");
    }
}
