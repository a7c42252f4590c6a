//! `natgrad cache`: what is kept of runs, checked and dropped.

use std::process::Command;

use crate::support::{Bench, Outcome, PLUGIN, run};

/// A command with a cache folder of its own.
fn command(bench: &Bench, args: &[&str]) -> Command {
    let mut command = bench.command(args);
    command.env("NATGRAD_CACHE", bench.path("cache")).env("NATGRAD_PJRT_PLUGIN", &*PLUGIN);
    command
}

fn ok(command: &mut Command) -> Outcome {
    let outcome = run(command);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    outcome
}

#[test]
fn programs_are_listed_checked_and_dropped() {
    let bench = Bench::cold();
    let train = ["train", "run.json", "--steps", "1", "--out", "out", "--force"];
    let cache = |args: &[&str]| command(&bench, &[&["cache"], args].concat());
    assert_eq!(ok(&mut cache(&["ls"])).stdout.lines().count(), 1);

    let logged = ok(command(&bench, &train).env("NATGRAD_LOG", "info")).stderr;
    assert!(logged.contains("executable cache: program step is compiled: there is no entry"), "{logged}");
    let logged = ok(command(&bench, &train).env("NATGRAD_LOG", "info")).stderr;
    assert!(logged.contains("executable cache: program step is there: "), "{logged}");
    assert_eq!(logged.matches("INFO the first step was done ").count(), 1, "{logged}");
    // A thread may begin after the others have ended.
    let ends = [", some of them side by side", ", the rest "];
    assert!(logged.contains(" after the start: ") && ends.iter().any(|end| logged.contains(end)), "{logged}");
    let flags = "--xla_cpu_enable_fast_min_max=true";
    let logged = ok(command(&bench, &train).env("NATGRAD_LOG", "info").env("XLA_FLAGS", flags)).stderr;
    assert!(
        logged.contains("program step is compiled: there is an entry with other options only"),
        "{logged}"
    );

    let listed = ok(&mut cache(&["ls"])).stdout;
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[0].starts_with("program ") && lines[0].ends_with("last use  target"), "{listed}");
    assert!(lines[1..9].iter().all(|line| line.ends_with(" s  cpu") && line.contains(" kB ")), "{listed}");
    assert_eq!(lines[1..9].iter().filter(|line| line.starts_with("step ")).count(), 2, "{listed}");
    assert!(lines[9].starts_with("8 programs in ") && lines[9].ends_with(", of at most 10.0 GB"), "{listed}");
    let verified = ok(&mut cache(&["verify"])).stdout;
    assert_eq!(verified, "8 programs and 0 packages are as they were written\n");

    let names = bench.list("cache/executables");
    let entry = bench.path("cache/executables").join(&names[0]);
    let mut bytes = std::fs::read(&entry).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&entry, bytes).unwrap();
    let outcome = run(&mut cache(&["verify"]));
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""));
    let wanted = format!("error: {}: its checksum does not match\n", entry.display());
    assert!(outcome.stderr.starts_with(&wanted), "{outcome:?}");

    assert_eq!(ok(&mut cache(&["prune"])).stdout, "dropped 0 programs, 0 bytes\n");
    let pruned = ok(cache(&["prune"]).env("NATGRAD_CACHE_MAX", "100kB")).stdout;
    assert!(pruned.starts_with("dropped ") && !pruned.contains(" 0 programs"), "{pruned}");
    ok(&mut cache(&["prune", "--max", "0"]));
    assert_eq!(ok(&mut cache(&["ls"])).stdout.lines().count(), 1);
    ok(command(&bench, &train).env("NATGRAD_CACHE_MAX", "1"));
    let cleared = ok(&mut cache(&["clear", "--all"])).stdout;
    assert_eq!(cleared, "dropped 0 programs, 0 bytes; 0 packages, 0 bytes\n");
    assert_eq!(bench.list("cache/executables"), [""; 0]);

    for outcome in [
        run(&mut cache(&["prune", "--max", "much"])),
        run(cache(&["ls"]).env("NATGRAD_CACHE_MAX", "much")),
        run(command(&bench, &train).env("NATGRAD_CACHE_MAX", "much")),
    ] {
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains("`much` is no size, such as 500MB or 10GB"), "{outcome:?}");
    }
}
