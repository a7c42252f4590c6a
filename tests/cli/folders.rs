//! Run folders: one run at a time writes to each.

use crate::resume::{ENDLESS, assert_as_if_never_stopped, checkpoint_beyond, end, send, start};
use crate::support::Bench;

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
