//! The fuzzer's targets without the fuzzer: its seeds as they are, and changed by chance.

use std::path::Path;

use crate::mutate::{mutations, survive_times};
use crate::targets;

/// Mutations of each seed, unless more are asked for.
const EACH: u64 = 1000;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{target}");
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn run(name: &str, target: fn(&[u8])) {
    let seeds = seeds(name);
    seeds.iter().for_each(|seed| target(seed));
    survive_times(mutations().max(EACH * seeds.len() as u64), name, &seeds, target);
}

#[test]
fn ir_text() {
    run("ir_text", targets::ir_text);
}

#[test]
fn hlo() {
    run("hlo", targets::hlo);
}

#[test]
fn npy() {
    run("npy", targets::npy);
}

#[test]
fn idx() {
    run("idx", targets::idx);
}

#[test]
fn tokens() {
    run("tokens", targets::tokens);
}

#[test]
fn weights() {
    run("weights", targets::weights);
}

#[test]
fn weights_index() {
    run("weights_index", targets::weights_index);
}

/// A target that is not here would not be tested.
#[test]
fn all_targets_are_tested() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["hlo", "idx", "ir_text", "npy", "tokens", "weights", "weights_index"]);
}
