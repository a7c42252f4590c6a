//! Disks that are full, folders that take no files, and many processes at once.
#![cfg(target_os = "linux")]

use std::process::{Command, Stdio};

use crate::support::{Bench, Outcome, PLUGIN, exists, run, wait_for};

/// A model whose checkpoint is larger than everything else that a run writes.
const MODEL: &str = r#"model={"kind": "mlp", "sizes": [2, 2048, 3]}"#;

/// The command in a shell that allows no file of more than so many blocks of 512 or 1024 bytes: to the writer it is as if
/// the disk were full.
fn with_little_room(bench: &Bench, blocks: u32, args: &[&str]) -> Outcome {
    let natgrad = bench.command(args);
    let mut command = Command::new("sh");
    // Else the system ends a process that writes more.
    command.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\""), "sh"]);
    command.arg(natgrad.get_program()).args(args).current_dir(bench.path("")).env_remove("NATGRAD_LOG");
    run(command.stdin(Stdio::null()))
}

/// The command as a user whom the permissions of files bind: root is not bound by them, and is made so here. None where
/// that cannot be done.
fn bound_by_permissions(bench: &Bench, args: &[&str]) -> Option<Command> {
    let folder = bench.path("permissions");
    let try_it = "rm -rf \"$0\" && mkdir \"$0\" && chmod 555 \"$0\" && ! touch \"$0/file\"";
    let mut wrappers = [vec![], vec!["setpriv", "--bounding-set=-all", "--inh-caps=-all"]].into_iter();
    let wrapper = wrappers.find(|words| {
        let mut words = words.iter().copied().chain(["sh", "-c", try_it]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).arg(&folder).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    });
    let Some(wrapper) = wrapper else {
        println!("skipped: this user is not bound by permissions, and setpriv cannot change that");
        return None;
    };
    let natgrad = bench.command(args);
    let program = natgrad.get_program().to_str().unwrap().to_string();
    let mut words = wrapper.into_iter().chain([program.as_str()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(args).current_dir(bench.path("")).stdin(Stdio::null());
    command.env_remove("NATGRAD_LOG");
    Some(command)
}

fn make_read_only(bench: &Bench, folder: &str, is_so: bool) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(if is_so { 0o555 } else { 0o755 });
    std::fs::set_permissions(bench.path(folder), mode).unwrap();
}

#[test]
fn a_full_disk_leaves_the_last_checkpoint_whole() {
    let bench = Bench::new();
    let first = ["train", "run.json", "--set", MODEL, "--out", "out", "--set", "checkpoint.every_steps=7"];
    let endless = [&first[..], &["--steps", "2000000000", "--set", "schedule.kind=constant"]].concat();
    let stopped_after_a_checkpoint = |args: &[&str], step: u64| {
        let mut child = bench.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for("a checkpoint", || {
            let is_there = exists(&bench.path("out/checkpoint.safetensors"));
            (is_there && bench.checkpoint("out").header.step > step).then_some(())
        });
        child.kill().unwrap();
        child.wait().unwrap();
    };
    stopped_after_a_checkpoint(&endless, 0);
    let before = bench.checkpoint("out");
    let outcome = with_little_room(&bench, 64, &["train", "--resume", "out"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let wanted = "error: cannot write out/checkpoint.safetensors: File too large";
    assert!(outcome.stderr.starts_with(wanted), "{outcome:?}");
    assert!(bench.checkpoint("out") == before);
    stopped_after_a_checkpoint(&["train", "--resume", "out"], before.header.step);
    // Killed among its steps, it may leave what the next one removes.
    let outcome = with_little_room(&bench, 64, &["train", "--resume", "out"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert_eq!(bench.list("out"), ["checkpoint.safetensors", "config.json", "metrics.jsonl"]);
}

#[test]
fn outputs_that_find_no_room_are_named_and_not_left_half_written() {
    let bench = Bench::new();
    bench.ok(&["train", "run.json", "--out", "out"]);
    bench.write("text.txt", "A text of some letters.\n");
    // With room for the tokens' package, where it is not in the cache.
    bench.ok(&["tokenize", "text.txt", "--out", "fetched"]);
    for (args, file) in [
        (&["predict", "out", "--data", "table.csv", "--out", "rows.csv"][..], "rows.csv"),
        (&["predict", "out", "--data", "table.csv", "--out", "rows.npz"], "rows.npz"),
        (&["predict", "out", "--data", "table.csv", "--out", "rows.json"], "rows.json"),
        (&["export", "out", "--out", "weights.safetensors"], "weights.safetensors"),
        (&["inspect", "run.json", "--html", "page.html"], "page.html"),
        (&["tokenize", "text.txt", "--out", "tokens"], "tokens/train.bin"),
        (&["train", "run.json", "--out", "other"], "other/checkpoint.safetensors"),
    ] {
        let outcome = with_little_room(&bench, 0, args);
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        let wanted = format!("{file}: File too large");
        assert!(outcome.stderr.contains(&wanted), "no `{wanted}` in {outcome:?}");
        assert!(!exists(&bench.path(file)), "{file}");
    }
    assert!(!exists(&bench.path("other")));
    let before = (bench.list("out"), bench.checkpoint("out"));
    let outcome = with_little_room(&bench, 0, &["train", "run.json", "--out", "out", "--force"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!((bench.list("out"), bench.checkpoint("out")) == before);
    assert!(bench.list(".").iter().all(|name| !name.starts_with(".natgrad-")), "{:?}", bench.list("."));
    let outcome = bench.run(&["inspect", "run.json", "--html", "/dev/full"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("cannot write /dev/full: No space left on device"), "{outcome:?}");
}

#[test]
fn a_run_folder_that_takes_no_files_is_named_and_stays_as_it_is() {
    let bench = Bench::new();
    bench.ok(&["train", "run.json", "--out", "out"]);
    let Some(mut command) = bound_by_permissions(&bench, &["train", "--resume", "out"]) else { return };
    let before = (bench.list("out"), bench.checkpoint("out"));
    make_read_only(&bench, "out", true);
    let outcome = run(&mut command);
    make_read_only(&bench, "out", false);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.starts_with("error: output folder out: Permission denied"), "{outcome:?}");
    assert!((bench.list("out"), bench.checkpoint("out")) == before);
}

#[test]
fn a_cache_folder_that_takes_no_files_costs_time_and_no_run() {
    let bench = Bench::new();
    // Another plugin than natgrad's own, as it says, has programs of its own.
    let straight = ["train", "run.json", "--out", "straight"];
    assert_eq!(run(bench.command(&straight).env("NATGRAD_PJRT_PLUGIN", &*PLUGIN)).code, Some(0));
    std::fs::create_dir(bench.path("cache")).unwrap();
    bench.write("cache-file", "");
    let args = ["train", "run.json", "--out", "out"];
    let below_a_file = (bench.command(&args), "cache-file/below");
    let read_only = bound_by_permissions(&bench, &args).map(|command| (command, "cache"));
    make_read_only(&bench, "cache", true);
    for (mut command, cache) in [below_a_file].into_iter().chain(read_only) {
        command.env("NATGRAD_CACHE", bench.path(cache)).env("NATGRAD_PJRT_PLUGIN", &*PLUGIN);
        let outcome = run(&mut command);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let wanted = format!("executable cache {}", bench.path(cache).join("executables").display());
        assert!(outcome.stderr.contains(&wanted), "no `{wanted}` in {outcome:?}");
        assert!(bench.checkpoint("out").tensors == bench.checkpoint("straight").tensors, "{cache}");
        std::fs::remove_dir_all(bench.path("out")).unwrap();
    }
    make_read_only(&bench, "cache", false);
    assert_eq!(bench.list("cache"), [""; 0]);
}

#[test]
fn eight_that_start_at_once_on_an_empty_cache_end_with_the_same_bits() {
    let bench = Bench::cold();
    let with_cache = |args: &[&str]| {
        let mut command = bench.command(args);
        command.env("NATGRAD_CACHE", bench.path("cache")).env("NATGRAD_PJRT_PLUGIN", &*PLUGIN);
        command
    };
    let outs: Vec<String> = (0..8).map(|number| format!("out-{number}")).collect();
    let start = |out: &String| {
        let mut command = with_cache(&["-q", "train", "run.json", "--out", out]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = outs.iter().map(start).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""));
    }
    let end = |out: &String| (bench.checkpoint(out).tensors, bench.json(&format!("{out}/summary.json")));
    let (tensors, summary) = end(&outs[0]);
    for out in &outs[1..] {
        let (others, other) = end(out);
        assert!(others == tensors, "{out}");
        assert_eq!(other["test"], summary["test"], "{out}");
    }
    let outcome = run(&mut with_cache(&["cache", "verify"]));
    assert_eq!(outcome.stdout, "4 programs and 0 packages are as they were written\n", "{outcome:?}");
    // Four programs, and the hash of the plugin.
    assert_eq!(bench.list("cache/executables").len(), 5);
}
