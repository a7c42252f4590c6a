//! Runs that end before their last step, and go on as if they had not.

use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use natgrad::assets;
use natgrad::compile::{Cache, Device};
use natgrad::config::RunConfig;
use natgrad::data::{self, DataConfig};
use natgrad::lower::Loops;
use natgrad::pjrt::{Client, Plugin, TrustedLibrary};
use natgrad::train::{Checkpoint, Progress, Run};

use crate::support::{Bench, Outcome, PLUGIN, run, wait_for};

/// A run of more steps than anyone waits for. Its learning rate does not depend on their number.
pub const ENDLESS: [&str; 10] = [
    "train",
    "run.json",
    "--out",
    "out",
    "--set",
    "schedule.kind=constant",
    "--set",
    "checkpoint.every_steps=7",
    "--steps",
    "2000000000",
];

pub fn start(bench: &Bench, args: &[&str]) -> Child {
    bench.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub fn send(signal: &str, child: &Child) {
    let script = format!("kill -{signal} {}", child.id());
    assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
}

pub fn end(child: Child) -> Outcome {
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Outcome { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Waits for a checkpoint beyond a step; what is there before must be whole whenever it is looked at.
pub fn checkpoint_beyond(bench: &Bench, step: u64) {
    wait_for("a checkpoint", || {
        bench
            .path("out/checkpoint.safetensors")
            .exists()
            .then(|| bench.checkpoint("out").header.step)
            .filter(|&saved| saved > step)
    });
}

/// The checkpoint in `out` is that of a run which had so many steps to begin with.
pub fn assert_as_if_never_stopped(bench: &Bench) -> u64 {
    let checkpoint = bench.checkpoint("out");
    let steps = checkpoint.header.step.to_string();
    let constant = ["--set", "schedule.kind=constant"];
    bench.ok(&[&["train", "run.json", "--out", "straight", "--steps", &steps], &constant[..]].concat());
    assert_eq!(bench.checkpoint("straight").tensors, checkpoint.tensors);
    checkpoint.header.step
}

/// The one device of the runs in this process.
static DEVICE: LazyLock<Device> = LazyLock::new(|| {
    let client = Client::create(&Plugin::load(&TrustedLibrary::at(&*PLUGIN)).unwrap(), &[]).unwrap();
    Device::new(client, Cache::open(assets::cache_root().unwrap().join("executables")), Loops::Merged)
});

/// Runs the configuration in `straight`, into `part`, and puts there the checkpoint that was the last one when the
/// record of a step was written.
fn stop_in_the_middle(bench: &Bench, at_record: u64) -> Checkpoint {
    let config = RunConfig::from_json("config.json", bench.json("straight/config.json")).unwrap();
    let path = bench.path("table.csv");
    let table = DataConfig::Csv(data::TableFile::new(path));
    let splits = table.load(assets::fetch).unwrap();
    let out = bench.path("part");
    std::fs::create_dir_all(&out).unwrap();
    let mut middle = None;
    let mut observer = |progress: Progress| {
        if let Progress::Record { record } = progress
            && record.step == at_record
        {
            middle = Some(Checkpoint::load(&out).unwrap());
        }
    };
    let run = Run::of(config).splits(splits).out(&out);
    run.start(&DEVICE).unwrap().fit_until(&mut observer, &|| false).unwrap();
    let middle = middle.unwrap();
    middle.save(&out).unwrap();
    middle
}

/// With a schedule that depends on the run's length, continued from a checkpoint in its middle.
#[test]
fn a_continued_run_ends_as_one_that_never_stopped() {
    let bench = Bench::new();
    bench.ok(&["train", "run.json", "--out", "straight", "--set", "checkpoint.every_steps=7"]);
    let middle = stop_in_the_middle(&bench, 20);
    assert_eq!((middle.header.step, middle.header.total_steps), (14, 30));
    let outcome = bench.ok(&["train", "--resume", "part"]);
    assert!(outcome.stdout.contains("continuing after step 14\n"), "{outcome:?}");
    let (straight, continued) = (bench.checkpoint("straight"), bench.checkpoint("part"));
    assert_eq!(continued.tensors, straight.tensors);
    assert_eq!(continued.header.step, 30);
    let test = |folder: &str| bench.json(&format!("{folder}/summary.json"))["test"].clone();
    assert_eq!(test("part"), test("straight"));

    // Once more there is nothing left to do but to judge the model: not even a checkpoint is written.
    let saved = || std::fs::metadata(bench.path("part/checkpoint.safetensors")).unwrap().modified().unwrap();
    let before = saved();
    let outcome = bench.ok(&["train", "--resume", "part/checkpoint.safetensors"]);
    assert_eq!(saved(), before);
    assert!(outcome.stdout.contains("continuing after step 30\n"), "{outcome:?}");
    assert_eq!(test("part"), test("straight"));
    assert_eq!(bench.checkpoint("part").tensors, straight.tensors);
}

/// At its start a run writes what it begins with, and no state: that follows from the configuration.
#[test]
fn a_run_that_ends_before_its_first_step_is_saved_begins_anew() {
    let bench = Bench::new();
    bench.ok(&["train", "run.json", "--out", "straight"]);
    let config = RunConfig::from_json("config.json", bench.json("straight/config.json")).unwrap();
    let splits = DataConfig::Csv(data::TableFile::new(bench.path("table.csv"))).load(assets::fetch).unwrap();
    let out = bench.path("out");
    let run = Run::of(config).splits(splits).out(&out);
    let mut training = run.start(&DEVICE).unwrap();
    training.save_out().unwrap();
    let state = training.state().unwrap();
    drop(training);
    let start = Checkpoint::load(&out).unwrap();
    assert!(start.is_of_start(), "{start:?}");
    // In a program of one's own it is a run at step 0.
    assert_eq!(Run::load(&out).unwrap().start(&DEVICE).unwrap().state().unwrap(), state);
    for command in [
        &["predict", "out", "--data", "table.csv"][..],
        &["eval", "out"],
        &["posterior", "out"],
        &["export", "out", "--out", "weights.safetensors"],
        &["train", "run.json", "--out", "next", "--set", "prior.run=out"],
        &["train", "run.json", "--out", "next", "--set", "init=out"],
    ] {
        let outcome = bench.run(command);
        let told = outcome.stderr.contains("none of its steps is saved yet: wait for a checkpoint, or go on");
        assert!(outcome.code == Some(2) && told, "{command:?}: {outcome:?}");
    }
    assert!(bench.ok(&["runs", "out"]).stdout.contains("0 of 30"));
    bench.ok(&["train", "--resume", "out"]);
    assert_eq!(bench.checkpoint("out").tensors, bench.checkpoint("straight").tensors);
}

/// Every rule, with samples, micro-batches and loops of three steps, which a run of 20 steps does not divide into; the
/// checkpoints are at the ends of loops, of which the last is cut short.
#[test]
fn every_rule_continues_bit_for_bit_in_a_new_process() {
    let kinds = [
        "sgd",
        "rmsprop",
        "adam",
        "adamw",
        "blr",
        "von",
        "vogn",
        "vadam",
        "ivon",
        "ivon implicit",
        "ivon bf16",
    ];
    for kind in kinds {
        let bench = Bench::new();
        let (kind, variant) = kind.split_once(' ').unwrap_or((kind, ""));
        let mut settings = vec![
            format!("rule.kind={kind}"),
            "step.accumulation=2".to_string(),
            "step.per_call=3".to_string(),
            "schedule.kind=linear".to_string(),
            "checkpoint.every_steps=4".to_string(),
            "batch=4".to_string(),
            r#"groups=[{"max_rank": 1, "weight_decay": 0}]"#.to_string(),
        ];
        let samples = matches!(kind, "blr" | "von" | "vogn" | "vadam" | "ivon");
        if samples {
            settings.push("step.samples=2".to_string());
        }
        if kind == "vadam" {
            settings.push("groups=[]".to_string());
        }
        match variant {
            "implicit" => settings.push("step.state=implicit".to_string()),
            "bf16" => settings.push("step.compute=bf16".to_string()),
            _ => {}
        }
        let mut args = vec!["train", "run.json", "--out", "straight", "--steps", "20"];
        args.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        bench.ok(&args);
        let middle = stop_in_the_middle(&bench, 10);
        assert_eq!(middle.header.step, 9, "{kind}");
        assert!(middle.tensors.iter().any(|tensor| tensor.name == "mean/layers.0.weight"), "{kind}");
        let outcome = bench.ok(&["train", "--resume", "part"]);
        assert!(outcome.stdout.contains("continuing after step 9\n"), "{outcome:?}");
        let (straight, continued) = (bench.checkpoint("straight"), bench.checkpoint("part"));
        assert_eq!(continued.header.step, 20, "{kind}");
        assert!(continued.tensors == straight.tensors, "{kind}");
        let test = |folder: &str| bench.json(&format!("{folder}/summary.json"))["test"].clone();
        assert_eq!(test("part"), test("straight"), "{kind}");
    }
}

#[test]
#[cfg(unix)]
fn a_killed_run_leaves_a_whole_checkpoint() {
    let bench = Bench::new();
    let mut child = start(&bench, &ENDLESS);
    checkpoint_beyond(&bench, 0);
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None);
    let step = assert_as_if_never_stopped(&bench);
    assert_eq!(step % 7, 0);
}

#[test]
#[cfg(unix)]
fn an_interrupted_run_is_saved_and_continues() {
    let bench = Bench::new();
    let stopped = |child: Child, signal: &str, code: i32| {
        send(signal, &child);
        let outcome = end(child);
        assert_eq!(outcome.code, Some(code), "{outcome:?}");
        let step = bench.checkpoint("out").header.step;
        let wanted =
            format!("stopped after step {step} of 2000000000; continue with: natgrad train --resume out\n");
        assert_eq!(outcome.stderr, wanted);
        step
    };
    let child = start(&bench, &ENDLESS);
    checkpoint_beyond(&bench, 0);
    let first = stopped(child, "INT", 130);
    let child = start(&bench, &["train", "--resume", "out"]);
    checkpoint_beyond(&bench, first);
    let second = stopped(child, "TERM", 143);
    assert!(first > 0 && second > first);
    assert_eq!(assert_as_if_never_stopped(&bench), second);

    let metrics = bench.read("out/metrics.jsonl");
    let step =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["step"].as_u64().unwrap();
    let steps: Vec<u64> = metrics.lines().map(step).collect();
    assert!(steps.windows(2).all(|pair| pair[0] < pair[1]), "{steps:?}");
    assert_eq!(steps.last(), Some(&second));
    assert!(steps.contains(&first));
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let bench = Bench::new();
    bench.ok(&["train", "run.json", "--out", "out"]);
    let good = bench.checkpoint("out");
    let refused = |change: &dyn Fn(&mut Checkpoint), wanted: &str| {
        let mut changed = good.clone();
        change(&mut changed);
        changed.save(&bench.path("out")).unwrap();
        let outcome = run(&mut bench.command(&["train", "--resume", "out"]));
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.starts_with("error: ") && outcome.stderr.contains(wanted), "{outcome:?}");
    };
    let does_not_fit = "the checkpoint does not fit the run: ";
    refused(
        &|c| c.header.total_steps = 31,
        &format!("{does_not_fit}it is of a run of 31 steps, but this run has 30"),
    );
    refused(
        &|c| c.tensors.retain(|tensor| tensor.name != "hess/layers.0.bias"),
        &format!("{does_not_fit}the tensor `hess/layers.0.bias` is missing"),
    );
    refused(&|c| c.header.config["model"]["sizes"][1] = 9.into(), does_not_fit);
    refused(&|c| c.header.config["batch"] = 0.into(), "out: `batch` is 0, but must be from 1");
    let mut later = good.clone();
    later.header.version = 2;
    later.save(&bench.path("out")).unwrap();
    let outcome = bench.run(&["train", "--resume", "out"]);
    assert!(outcome.stderr.contains("header version 2, but this natgrad reads version 1"), "{outcome:?}");

    let bytes = std::fs::read(bench.path("out/checkpoint.safetensors")).unwrap();
    std::fs::write(bench.path("out/checkpoint.safetensors"), &bytes[..bytes.len() - 1]).unwrap();
    let outcome = bench.run(&["train", "--resume", "out"]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("not a safetensors file, or cut off"), "{outcome:?}");
}

/// Whether the case is refused by every command that reads a checkpoint, with the same words.
fn refused_by_all(bench: &Bench, wanted: &str) {
    for args in [
        &["train", "--resume", "out"][..],
        &["predict", "out", "--data", "table.csv"],
        &["export", "out", "--out", "weights.safetensors"],
        &["generate", "out"],
    ] {
        let outcome = bench.run(args);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains(wanted), "no `{wanted}` in {outcome:?}");
        assert!(outcome.stderr.contains("out/checkpoint.safetensors"), "{outcome:?}");
    }
}

#[test]
fn a_damaged_checkpoint_is_refused_everywhere() {
    let bench = Bench::new();
    bench.ok(&["train", "run.json", "--out", "out"]);
    let good = bench.checkpoint("out");
    let path = bench.path("out/checkpoint.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    refused_by_all(&bench, "it is damaged: its bytes are not those that were saved, by its checksum");

    let mut changed = good.clone();
    let tensor = changed.tensors.iter_mut().find(|tensor| tensor.name == "hess/layers.0.bias").unwrap();
    tensor.bytes[8..12].copy_from_slice(&f32::NAN.to_ne_bytes());
    changed.save(&bench.path("out")).unwrap();
    refused_by_all(&bench, "the tensor `hess/layers.0.bias` has NaN at element 2, counted from 0");

    let mut changed = good.clone();
    changed.header.step = 29;
    changed.save(&bench.path("out")).unwrap();
    refused_by_all(&bench, "its header says step 29, but its tensor `step` says 30");

    let mut changed = good;
    changed.tensors.iter_mut().find(|tensor| tensor.name == "mean/layers.0.bias").unwrap().name =
        "mean/layers.9.bias".to_string();
    changed.save(&bench.path("out")).unwrap();
    refused_by_all(&bench, "its tensor `mean/layers.9.bias` is of no parameter of the model");
}

/// Twice the rows, as many other rows, another file of weights: each is seen, and accepted only when asked for.
#[test]
fn changed_data_and_weights_are_refused_or_accepted() {
    let bench = Bench::new();
    let table = bench.read("table.csv");
    bench.ok(&["train", "run.json", "--out", "first", "--steps", "1"]);
    bench.ok(&["export", "first", "--out", "start.safetensors"]);
    let length = r#"length={"epochs": 4}"#;
    // The path is whole, as it is read by this process too.
    let init = format!("init={}", bench.path("start.safetensors").display());
    let init = ["--set", &init, "--set", length, "--set", "checkpoint.every_steps=7"];
    bench.ok(&[&["train", "run.json", "--out", "straight"], &init[..]].concat());
    stop_in_the_middle(&bench, 20);
    let refused = |wanted: &str| {
        let before = bench.read("part/config.json");
        let outcome = bench.run(&["train", "--resume", "part"]);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        let start =
            format!("error: the checkpoint does not fit the run: {wanted}; to go on all the same, add");
        assert!(outcome.stderr.starts_with(&start), "{outcome:?}");
        assert_eq!(bench.read("part/config.json"), before);
    };
    // As it was, but for a line that shows whether it is written again.
    std::fs::write(bench.path("part/config.json"), bench.read("straight/config.json") + "\n").unwrap();
    let (head, rows) = table.split_once('\n').unwrap();
    bench.write("table.csv", &format!("{head}\n{rows}{rows}"));
    refused("the training data had 48 rows, and have 96 now");
    bench.write("table.csv", &format!("{head}\n{}", rows.replace("0.1", "0.2")));
    refused("the training data have 48 rows as before, but not the same ones");
    bench.write("table.csv", &table);
    bench.ok(&["export", "straight", "--out", "other.safetensors"]);
    std::fs::rename(bench.path("other.safetensors"), bench.path("start.safetensors")).unwrap();
    refused("the file of initial weights, `init`, is another one now");

    // What is accepted keeps the number of labels and steps, and is then what the run is about.
    bench.write("table.csv", &format!("{head}\n{rows}{rows}"));
    bench.ok(&["train", "--resume", "part", "--data-changed"]);
    let header = bench.checkpoint("part").header;
    assert_eq!((header.labels, header.step, header.total_steps), (Some(48), 24, 24));
    assert_eq!(header.source.data.as_ref().unwrap().rows, 96);
    bench.ok(&["train", "--resume", "part"]);
    assert_eq!(bench.checkpoint("part").header.labels, Some(48));

    // Initial weights are not needed any more.
    std::fs::remove_file(bench.path("start.safetensors")).unwrap();
    bench.ok(&["train", "--resume", "part"]);
}

/// Files of their own, which no training row tells of.
#[test]
fn changed_test_data_are_refused_or_accepted() {
    let bench = Bench::new();
    let idx = |header: &[u8], body: &[u8]| [&[0, 0, 8], header, body].concat();
    let images = |pixel: u8| idx(&[3, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 2], &[pixel; 16]);
    let labels = idx(&[1, 0, 0, 0, 8], &[0, 1, 2, 0, 1, 2, 0, 1]);
    let write = |name: &str, bytes: &[u8]| std::fs::write(bench.path(name), bytes).unwrap();
    for (name, bytes) in [("images", &images(1)), ("test", &images(2)), ("labels", &labels)] {
        write(name, bytes);
    }
    let data = r#"data={"kind": "idx", "images": "images", "labels": "labels", "test_images": "test",
        "test_labels": "labels"}"#;
    bench.ok(&["train", "run.json", "--set", data, "--out", "out"]);
    bench.ok(&["train", "--resume", "out"]);
    write("test", &images(3));
    let outcome = bench.run(&["train", "--resume", "out"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    let wanted = "the test data have 8 rows as before, but not the same ones; to go on all the same, add --data-changed";
    assert!(outcome.stderr.contains(wanted), "{outcome:?}");
    let before = bench.checkpoint("out");
    bench.ok(&["train", "--resume", "out", "--data-changed"]);
    let after = bench.checkpoint("out");
    assert_eq!(after.tensors, before.tensors);
    assert_ne!(after.header.source.test, before.header.source.test);
    bench.ok(&["train", "--resume", "out"]);
}

/// The variable that says how often a run is killed in [`killed_runs_leave_nothing_and_lose_nothing`].
const KILLS: &str = "NATGRAD_KILLS";

/// Chains of runs that are killed at any time, over the ways to hold the state: each ends with the bits of a run that was
/// never stopped, and leaves no file behind.
#[test]
#[cfg(unix)]
fn killed_runs_leave_nothing_and_lose_nothing() {
    let kills = std::env::var(KILLS).map_or(12, |kills| kills.parse::<u64>().unwrap());
    let plans: [&[&str]; 5] = [
        &["step.state=explicit"],
        &["step.state=implicit"],
        &["step.state=explicit", "step.per_call=3", "step.samples=2"],
        &["rule.kind=adamw", "step.accumulation=2", "batch=4"],
        &["step.compute=bf16"],
    ];
    let count = plans.len() as u64;
    for (number, plan) in plans.iter().enumerate() {
        let bench = Bench::new();
        let mut args = ENDLESS.to_vec();
        args.extend(plan.iter().flat_map(|setting| ["--set", setting]));
        args.extend(["--set", "checkpoint.every_steps=3"]);
        let mut child = start(&bench, &args);
        checkpoint_beyond(&bench, 0);
        let chain = kills / count + u64::from((number as u64) < kills % count);
        for kill in 0..chain {
            // In turns among its steps, between and within checkpoints, and anywhere since its start.
            let most = if kill % 2 == 0 { 20 } else { 400 };
            if kill % 2 == 0 {
                let step = bench.checkpoint("out").header.step;
                checkpoint_beyond(&bench, step);
            }
            std::thread::sleep(std::time::Duration::from_millis(kill * 7919 % most));
            child.kill().unwrap();
            assert_eq!(child.wait().unwrap().code(), None, "{plan:?}");
            child = start(&bench, &["train", "--resume", "out"]);
        }
        let step = bench.checkpoint("out").header.step;
        checkpoint_beyond(&bench, step);
        send("TERM", &child);
        assert_eq!(end(child).code, Some(143), "{plan:?}");
        let wanted = ["checkpoint.safetensors", "config.json", "metrics.jsonl"];
        assert_eq!(bench.list("out"), wanted, "{plan:?}");
        let last = bench.checkpoint("out");
        let steps = last.header.step.to_string();
        let at = args.len() - 2 * plan.len() - 3;
        assert_eq!(args[at], "2000000000");
        let mut straight = args.clone();
        (straight[at], straight[3]) = (&steps, "straight");
        bench.ok(&straight);
        assert_eq!(bench.checkpoint("straight").tensors, last.tensors, "{plan:?}");
    }
}

/// The bits are promised for the same plugin, processor and threads alone.
#[test]
fn what_bits_depend_on_is_told_where_it_is_different() {
    let bench = Bench::new();
    let straight = ["train", "run.json", "--set", "schedule.kind=constant", "--out", "out"];
    let threads = |count: &str, args: &[&str]| run(bench.command(args).env("NPROC", count));
    assert_eq!(threads("1", &straight).code, Some(0));
    let same = threads("1", &["train", "--resume", "out", "--steps", "40"]);
    assert_eq!((same.code, same.stderr.as_str()), (Some(0), ""), "{same:?}");
    let other = threads("2", &["train", "--resume", "out", "--steps", "50"]);
    let wanted =
        "from step 40 on the bits may be others than those of a run that was never stopped: threads 1 -> 2\n";
    assert!(other.code == Some(0) && other.stderr.ends_with(wanted), "{other:?}");
}
