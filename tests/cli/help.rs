//! What the command says of itself.

use crate::support::Bench;

#[test]
fn help() {
    let bench = Bench::cold();
    for command in [
        "",
        "train",
        "predict",
        "posterior",
        "compare",
        "study",
        "sweep",
        "suggest",
        "compile",
        "generate",
        "export",
        "tokenize",
        "inspect",
        "opt",
        "plugin",
        "cache",
        "replay",
        "runs",
        "plot",
        "report",
        "completions",
        "man",
        "config",
        "init",
    ] {
        let args: Vec<&str> = [command, "--help"].into_iter().filter(|word| !word.is_empty()).collect();
        let name = format!("help_{}", if command.is_empty() { "natgrad" } else { command });
        insta::assert_snapshot!(name, bench.ok(&args).stdout);
    }
    insta::assert_snapshot!("help_cache_prune", bench.ok(&["cache", "prune", "--help"]).stdout);
    insta::assert_snapshot!("help_config_show", bench.ok(&["config", "show", "--help"]).stdout);
    insta::assert_snapshot!("help_runs_diff", bench.ok(&["runs", "diff", "--help"]).stdout);
    insta::assert_snapshot!("help_plugin_install", bench.ok(&["plugin", "install", "--help"]).stdout);
    insta::assert_snapshot!("help_study_dynamics", bench.ok(&["study", "dynamics", "--help"]).stdout);
    insta::assert_snapshot!("help_study_overhead", bench.ok(&["study", "overhead", "--help"]).stdout);
}

#[test]
#[cfg(target_os = "linux")]
fn help_that_cannot_be_told_is_a_failure() {
    let bench = Bench::cold();
    for args in [&["--help"][..], &["train", "--help"], &["--version"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let outcome = crate::support::run(bench.command(args).stdout(full));
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert!(outcome.stderr.starts_with("error: cannot write to standard output: "), "{outcome:?}");
    }
}

#[test]
fn only_results_are_told_where_that_is_asked_for() {
    let bench = Bench::new();
    let outcome = bench.ok(&["-q", "train", "run.json", "--out", "out"]);
    assert!(outcome.stdout.starts_with("\ntest ") && outcome.stderr.is_empty(), "{outcome:?}");
    assert_eq!(outcome.stdout.trim().lines().count(), 3, "{outcome:?}");
    let outcome = bench.ok(&["predict", "out", "--out", "rows.csv", "--quiet"]);
    assert!(outcome.stdout.starts_with("accuracy ") && outcome.stderr.is_empty(), "{outcome:?}");
    let outcome = bench.run(&["-q", "predict", "none"]);
    assert!(outcome.code == Some(2) && outcome.stderr.starts_with("error: "), "{outcome:?}");
    assert_eq!(bench.run(&["-q", "-v", "plugin"]).code, Some(2));
}

#[test]
fn more_is_told_where_that_is_asked_for() {
    let bench = Bench::new();
    let told = bench.ok(&["train", "-v", "run.json", "--out", "out"]).stderr;
    for wanted in [
        "data table.csv: 48 training rows, 12 test rows, read in ",
        "PJRT's C interface ",
        "platform cpu ",
        "program step is there: ",
        "checkpoint of step 30: out/checkpoint.safetensors, ",
    ] {
        assert!(told.contains(wanted), "no `{wanted}` in {told}");
    }
    // Colours are for terminals.
    assert!(!told.contains('\u{1b}'), "{told}");
}

#[test]
fn nothing_to_do_is_wrong_usage() {
    let bench = Bench::cold();
    let outcome = bench.run::<&str>(&[]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("Usage: natgrad [OPTIONS] <COMMAND>"), "{outcome:?}");
    for args in [
        &["frobnicate"][..],
        &["train", "--steps", "3", "--epochs", "4"],
        &["train", "--against", "nonsense"],
    ] {
        assert_eq!(bench.run(args).code, Some(2), "{args:?}");
    }
}
