//! `natgrad completions` and `natgrad man`.

use crate::support::Bench;

#[test]
fn shells_are_told_of_every_command() {
    let bench = Bench::cold();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = bench.ok(&["completions", shell]).stdout;
        for word in ["train", "plot", "against-set", "tensorboard"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    bench.write("natgrad.bash", &bench.ok(&["completions", "bash"]).stdout);
    let mut bash = std::process::Command::new("bash");
    let asked = "source natgrad.bash; COMP_WORDS=(natgrad pl); COMP_CWORD=1; _natgrad natgrad pl natgrad; echo ${COMPREPLY[@]}";
    let output = bash.args(["-c", asked]).current_dir(bench.path(".")).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "plot plugin\n");
    assert_eq!(bench.run(&["completions", "cmd"]).code, Some(2));
}

#[test]
fn every_command_has_a_manual_page() {
    let bench = Bench::cold();
    bench.ok(&["man", "share/man1"]);
    let pages = bench.list("share/man1");
    for page in ["natgrad.1", "natgrad-train.1", "natgrad-runs-diff.1", "natgrad-completions.1"] {
        assert!(pages.contains(&page.to_string()), "{pages:?}");
    }
    // What is not for users is not told.
    assert!(!pages.iter().any(|page| page.contains("trial")), "{pages:?}");
    let page = bench.read("share/man1/natgrad-train.1");
    assert!(page.contains("\\-\\-tensorboard") && page.contains(".SH OPTIONS"), "{page}");
    let outcome = bench.run(&["man", "run.json"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("cannot write manual pages into run.json"), "{outcome:?}");
}
