//! What the command says of itself.

use crate::support::Bench;

#[test]
fn help() {
    let bench = Bench::cold();
    for command in [
        "",
        "train",
        "predict",
        "compare",
        "generate",
        "export",
        "tokenize",
        "inspect",
        "plugin",
        "cache",
        "replay",
        "runs",
        "plot",
        "report",
        "completions",
        "man",
    ] {
        let args: Vec<&str> = [command, "--help"].into_iter().filter(|word| !word.is_empty()).collect();
        let name = format!("help_{}", if command.is_empty() { "natgrad" } else { command });
        insta::assert_snapshot!(name, bench.ok(&args).stdout);
    }
    insta::assert_snapshot!("help_cache_prune", bench.ok(&["cache", "prune", "--help"]).stdout);
    insta::assert_snapshot!("help_runs_diff", bench.ok(&["runs", "diff", "--help"]).stdout);
    insta::assert_snapshot!("help_plugin_install", bench.ok(&["plugin", "install", "--help"]).stdout);
}

#[test]
fn nothing_to_do_is_wrong_usage() {
    let bench = Bench::cold();
    let outcome = bench.run::<&str>(&[]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("Usage: natgrad <COMMAND>"), "{outcome:?}");
    for args in
        [&["frobnicate"][..], &["train", "--steps", "3", "--epochs", "4"], &["train", "--against", "sgd"]]
    {
        assert_eq!(bench.run(args).code, Some(2), "{args:?}");
    }
}
