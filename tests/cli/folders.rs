//! Run folders: one run at a time writes to each, and none is replaced unasked.

use crate::resume::{ENDLESS, assert_as_if_never_stopped, checkpoint_beyond, end, send, start};
use crate::support::{Bench, exists};

/// Neither the same command again, nor another run, nor one that goes on writes where a run is being written.
#[test]
#[cfg(unix)]
fn two_processes_never_write_one_run() {
    let bench = Bench::new();
    let child = start(&bench, &ENDLESS);
    checkpoint_beyond(&bench, 0);
    let before = bench.read("out/config.json");
    for args in [&ENDLESS[..], &["train", "run.json", "--out", "out/../out"], &["train", "--resume", "out"]] {
        let outcome = bench.run(args);
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        let wanted = ": another run is writing to this folder, so nothing was touched: wait until it has ended, \
                      or choose another folder with --out";
        assert!(outcome.stderr.starts_with("error: out"), "{outcome:?}");
        assert!(outcome.stderr.contains(wanted), "{outcome:?}");
        assert_eq!(bench.read("out/config.json"), before);
    }
    // Who only reads may.
    bench.ok(&["export", "out", "--out", "weights.safetensors"]);
    send("TERM", &child);
    assert_eq!(end(child).code, Some(143));
    assert_eq!(bench.list("out"), ["checkpoint.safetensors", "config.json", "metrics.jsonl"]);
    assert_as_if_never_stopped(&bench);
}

#[test]
fn a_run_is_replaced_only_when_asked_for() {
    let bench = Bench::new();
    let train = ["train", "run.json", "--out", "out"];
    bench.ok(&train);
    let first = bench.checkpoint("out");
    let other = [&train[..], &["--seed", "1"]].concat();
    for args in [&train[..], &other] {
        let outcome = bench.run(args);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        let wanted = "error: output folder out holds a run already (checkpoint.safetensors, metrics.jsonl, \
                      summary.json, config.json): --resume out goes on with it, --force replaces it, and another \
                      --out keeps it\n";
        assert_eq!(outcome.stderr, wanted);
    }
    assert!(bench.checkpoint("out") == first);
    bench.ok(&[&other[..], &["--force"]].concat());
    assert_eq!(bench.json("out/config.json")["seed"], 1);
    assert!(bench.checkpoint("out").tensors != first.tensors);
    assert_eq!(bench.run(&["train", "--resume", "out", "--force"]).code, Some(2));

    // Hugging Face's description of a model is as little asked for, but other files may be there.
    for (name, code) in [("config.json", Some(2)), ("notes.txt", Some(0))] {
        std::fs::create_dir(bench.path(name).with_extension("d")).unwrap();
        let folder = name.split('.').next().unwrap().to_string() + ".d";
        bench.write(&format!("{folder}/{name}"), "mine");
        let outcome = bench.run(&["train", "run.json", "--out", &folder]);
        assert_eq!(outcome.code, code, "{outcome:?}");
        assert!(!outcome.stderr.contains("--resume"), "{outcome:?}");
        assert_eq!(bench.read(&format!("{folder}/{name}")), "mine");
    }
}

/// As often as the first command of the README is repeated.
#[test]
fn the_default_folder_is_the_first_that_is_free() {
    let bench = Bench::new();
    let train = ["train", "run.json", "--steps", "1"];
    let written = |folder: &str, args: &[&str]| {
        let outcome = bench.ok(args);
        assert!(outcome.stdout.contains(&format!("written to {folder}: ")), "{outcome:?}");
        outcome.stdout
    };
    let text = written("runs/table.csv-ivon-0", &train);
    assert!(!text.contains("holds another run"), "{text}");
    let text = written("runs/table.csv-ivon-0-2", &train);
    let line = "runs/table.csv-ivon-0 holds another run, so this one goes to runs/table.csv-ivon-0-2\n";
    assert!(text.starts_with(line), "{text}");
    written("runs/table.csv-ivon-0", &[&train[..], &["--force"]].concat());
    // What a killed process left is no run.
    std::fs::create_dir(bench.path("runs/table.csv-ivon-0-3")).unwrap();
    bench.write("runs/table.csv-ivon-0-3/.natgrad-lock", "");
    written("runs/table.csv-ivon-0-3", &train);
    assert_eq!(bench.list("runs").len(), 3);
}

/// At once, as the case `same-out` has it: of the same command, each has a folder of its own.
#[test]
fn runs_that_start_together_end_in_folders_of_their_own() {
    let bench = Bench::new();
    let rates = ["0.1", "0.2", "0.3", "0.4"];
    let begin = |rate: &&str| start(&bench, &["train", "run.json", "--set", &format!("rule.lr={rate}")]);
    let children: Vec<_> = rates.iter().map(begin).collect();
    for child in children {
        assert_eq!(end(child).code, Some(0));
    }
    let runs = bench.list("runs");
    let rate = |run: &String| {
        let rate = &bench.json(&format!("runs/{run}/config.json"))["rule"]["lr"];
        let header = bench.checkpoint(&format!("runs/{run}")).header;
        assert_eq!((&header.config["rule"]["lr"], header.step), (rate, 30), "{run}");
        assert_eq!(bench.json(&format!("runs/{run}/summary.json"))["steps"], 30);
        assert_eq!(bench.read(&format!("runs/{run}/metrics.jsonl")).lines().count(), 3);
        rate.to_string()
    };
    let mut seen: Vec<String> = runs.iter().map(rate).collect();
    seen.sort();
    assert_eq!(seen, rates);
}

#[test]
fn a_run_that_cannot_begin_leaves_no_folder() {
    let bench = Bench::new();
    for setting in ["batch=1000", "data.path=none.csv", "rule.hess_init=2e-38"] {
        let outcome = bench.run(&["train", "run.json", "--set", "rule.ess=2e-38", "--set", setting]);
        assert!(matches!(outcome.code, Some(1 | 2)), "{outcome:?}");
        assert!(!exists(&bench.path("runs")), "{setting}");
    }
}

/// Numbers that depend on nothing but the seed.
#[cfg(unix)]
struct Draws(u64);

#[cfg(unix)]
impl Draws {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Two processes start, go on and end in one folder, at any moments: what is in it then belongs to one run, which goes on as if it
/// had never been stopped. `NATGRAD_INTERLEAVINGS` says how often; CI takes a few.
#[test]
#[cfg(unix)]
fn what_is_in_a_folder_belongs_together() {
    let count = std::env::var("NATGRAD_INTERLEAVINGS").map_or(3, |count| count.parse().unwrap());
    for interleaving in 0..count {
        let bench = Bench::new();
        let mut draws = Draws(interleaving);
        let mut children = Vec::new();
        for _ in 0..8 {
            let seed = draws.below(3).to_string();
            let act = draws.below(6);
            match act {
                0 => children.push(start(&bench, &[&ENDLESS[..], &["--seed", &seed]].concat())),
                1 | 2 => {
                    children.push(start(&bench, &[&ENDLESS[..], &["--seed", &seed, "--force"]].concat()))
                }
                3 => children.push(start(&bench, &["train", "--resume", "out"])),
                _ if children.is_empty() => {}
                _ => {
                    let child = children.swap_remove(draws.below(children.len() as u64) as usize);
                    send(["INT", "TERM", "KILL"][draws.below(3) as usize], &child);
                    end(child);
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(draws.below(600)));
        }
        for child in children {
            send(["INT", "KILL"][draws.below(2) as usize], &child);
            end(child);
        }
        assert_belongs_together(&bench, interleaving);
    }
}

/// Of one run: configuration, records, scores and checkpoint in `out`.
#[cfg(unix)]
fn assert_belongs_together(bench: &Bench, interleaving: u64) {
    let there = |name: &str| exists(&bench.path("out").join(name));
    if !there("checkpoint.safetensors") {
        let left = ["config.json", "metrics.jsonl", "summary.json"].map(there);
        assert_eq!(left, [false; 3], "interleaving {interleaving}");
        return;
    }
    let header = bench.checkpoint("out").header;
    if there("config.json") {
        assert_eq!(bench.json("out/config.json"), header.config, "interleaving {interleaving}");
    }
    assert!(!there("summary.json"), "interleaving {interleaving}: no run has ended");
    // It goes on, and ends with the bits and records of a run that was never stopped.
    let steps = (header.step + 5).to_string();
    let seed = header.config["seed"].to_string();
    bench.ok(&["train", "--resume", "out", "--steps", &steps]);
    let run =
        [&ENDLESS[..2], &ENDLESS[4..8], &["--steps", &steps, "--seed", &seed, "--out", "straight"]].concat();
    bench.ok(&run);
    assert!(
        bench.checkpoint("out").tensors == bench.checkpoint("straight").tensors,
        "interleaving {interleaving}"
    );
    let [config, straight] = ["out/config.json", "straight/config.json"].map(|name| bench.json(name));
    assert_eq!(config, straight, "interleaving {interleaving}");
    let steps = |folder: &str| -> Vec<u64> {
        let file = bench.read(&format!("{folder}/metrics.jsonl"));
        let records = file.lines().map(|line| serde_json::from_str::<natgrad::train::Record>(line).unwrap());
        records.map(|record| record.step).filter(|step| step.is_multiple_of(10)).collect()
    };
    assert_eq!(steps("out"), steps("straight"), "interleaving {interleaving}");
    let [out, straight] =
        ["out", "straight"].map(|name| bench.json(&format!("{name}/summary.json"))["test"].clone());
    assert_eq!(out, straight, "interleaving {interleaving}");
}
