//! Training examples on the device: the step takes rows by their numbers, and makes of them what the host would.

use crate::support::Bench;

fn same_run(bench: &Bench, sets: &[&str]) {
    for (out, place) in [("host", "step.data=host"), ("device", "step.data=device")] {
        let mut args = vec!["train", "run.json", "--out", out, "--force", "--set", place];
        sets.iter().for_each(|set| args.extend(["--set", set]));
        bench.ok(&args);
    }
    assert_eq!(bench.checkpoint("device").tensors, bench.checkpoint("host").tensors, "{sets:?}");
    let program = ["inspect", "run.json", "--what", "ir"];
    assert!(!bench.ok(&program).stdout.contains("table/features"));
}

#[test]
fn rows_of_a_table_are_the_same() {
    let bench = Bench::new();
    same_run(&bench, &["length.steps=12"]);
    same_run(&bench, &["length.steps=11", "step.per_call=3", "step.accumulation=2", "step.samples=2"]);
}

/// Two classes of images of 6 x 5 pixels, which are moved and mirrored.
#[test]
fn images_are_moved_and_mirrored_alike() {
    let bench = Bench::new();
    let header = |magic: u32, dims: &[u32]| -> Vec<u8> {
        [magic].iter().chain(dims).flat_map(|number| number.to_be_bytes()).collect()
    };
    let images = |count: u32| {
        let mut bytes = header(2051, &[count, 6, 5]);
        bytes.extend((0..count * 30).map(|index| (index * 97 % 251) as u8));
        bytes
    };
    let labels = |count: u32| {
        let mut bytes = header(2049, &[count]);
        bytes.extend((0..count).map(|index| (index % 2) as u8));
        bytes
    };
    for (name, bytes) in
        [("x", images(40)), ("y", labels(40)), ("test_x", images(10)), ("test_y", labels(10))]
    {
        std::fs::write(bench.path(name), bytes).unwrap();
    }
    bench.write(
        "run.json",
        r#"{"model": {"kind": "linear", "inputs": 30, "classes": 2}, "batch": 8, "length": {"steps": 9},
            "data": {"kind": "idx", "images": "x", "labels": "y", "test_images": "test_x", "test_labels": "test_y",
                     "augment": {"crop": 2, "flip": true}},
            "evaluation": {"samples": 2}}"#,
    );
    same_run(&bench, &[]);
}
