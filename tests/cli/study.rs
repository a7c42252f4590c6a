//! `natgrad study`.

use std::collections::HashSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::Bench;

const STUDY: [&str; 6] = ["study", "convex", "--steps", "20", "--seeds", "1"];
/// Three problems, five rules; five rates by two seeds, and a seed of the results. Then Adam, and Vadam with four sizes.
const RUNS: usize = 3 * 5 * (5 * 2 + 1) + 5;

fn lines(bench: &Bench) -> Vec<String> {
    lines_of(bench, "convex")
}

fn lines_of(bench: &Bench, study: &str) -> Vec<String> {
    std::fs::read_to_string(bench.path(&format!("study-{study}/runs.jsonl")))
        .map(|text| text.lines().map(str::to_string).collect())
        .unwrap_or_default()
}

#[test]
fn a_study_tells_what_held_and_makes_no_run_twice() {
    let bench = Bench::cold();
    let files = ["--json", "found.json", "--html", "found.html"];
    let first = bench.ok(&[&STUDY[..], &files, &["-v"]].concat());
    assert_eq!(lines(&bench).len(), 1 + RUNS);
    // Rates, sizes and seeds are inputs of the programs.
    assert_eq!(first.stderr.matches("program step is ").count(), 3 * 5 + 2, "{}", first.stderr);
    let found = bench.json("found.json");
    let claims = found["claims"].as_array().unwrap();
    let held = claims.iter().filter(|claim| claim["held"] == true).count();
    assert!(
        first.stdout.contains(&format!("\n{held} of {} claims held\n", claims.len())),
        "{}",
        first.stdout
    );
    for problem in found["problems"].as_array().unwrap() {
        assert!(problem["error"].as_f64().unwrap() < 1e-9, "{}", problem["name"]);
        let runs = problem["rules"][2]["runs"][0]["points"].as_array().unwrap();
        assert_eq!((runs.len(), runs[20]["step"].as_u64()), (21, Some(20)));
    }
    let page = bench.read("found.html");
    assert_eq!(page.matches("<svg").count(), 3 * 3, "three drawings a problem");

    let again = bench.ok(&[&STUDY[..], &["--json", "again.json"]].concat());
    assert!(again.stdout.contains(&format!("0 runs were made, {RUNS} are kept")), "{}", again.stdout);
    assert_eq!(bench.json("again.json"), found);

    let other = bench.run(&["study", "convex", "--steps", "30", "--seeds", "1"]);
    let wanted =
        "study-convex/runs.jsonl: holds a study with steps 20, and this one has 30: choose another folder";
    assert!(other.code == Some(2) && other.stderr.contains(wanted), "{other:?}");
    let lost = bench.run(&[&STUDY[..], &["--json", "study-convex/runs.jsonl"]].concat());
    assert!(lost.code == Some(2) && lost.stderr.contains("would be replaced"), "{lost:?}");
    assert_eq!(bench.run(&["study", "convex", "--steps", "0"]).code, Some(2));
    assert_eq!(bench.run(&["study", "concave"]).code, Some(2));
}

#[test]
fn a_study_that_was_killed_goes_on() {
    let bench = Bench::cold();
    let mut child = bench.command(&STUDY).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begin = Instant::now();
    while lines(&bench).len() < 20 && child.try_wait().unwrap().is_none() {
        assert!(begin.elapsed() < Duration::from_secs(300), "no runs");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let kept = lines(&bench);
    assert!(kept.len() >= 20 && kept.len() <= RUNS, "{}", kept.len());
    let outcome = bench.ok(&STUDY);
    let all = lines(&bench);
    assert_eq!(all.len(), 1 + RUNS);
    // The last line may have been half written.
    assert_eq!(all[..kept.len() - 1], kept[..kept.len() - 1]);
    let key = |line: &String| serde_json::from_str::<serde_json::Value>(line).unwrap()["key"].to_string();
    assert_eq!(all[1..].iter().map(key).collect::<HashSet<_>>().len(), RUNS);
    assert!(outcome.stdout.contains(" finished runs are kept in study-convex"), "{}", outcome.stdout);
}

#[test]
fn ivon_and_adamw_are_tuned_with_as_many_runs_and_compared() {
    let bench = Bench::cold();
    let study = ["study", "curves", "--tasks", "digits", "--steps", "10", "--seeds", "1"];
    let found = bench.ok(&[&study[..], &["--json", "found.json", "--html", "found.html"]].concat());
    assert!(found.stdout.contains(" of 3 claims held\n"), "{}", found.stdout);
    assert!(found.stdout.contains("18 runs were made"), "{}", found.stdout);
    let rules = bench.json("found.json")["tasks"][0]["rules"].clone();
    for rule in rules.as_array().unwrap() {
        let tried = rule["tried"].as_array().unwrap();
        let nll = |tried: &serde_json::Value| tried[1].as_f64().unwrap_or(f64::INFINITY);
        let best = tried.iter().min_by(|a, b| nll(a).total_cmp(&nll(b))).unwrap();
        assert_eq!((tried.len(), &best[0]), (8, &rule["set"]));
        for run in rule["runs"].as_array().unwrap() {
            assert_eq!(run["key"]["set"], rule["set"]);
            assert!(run["valid"].as_array().is_some_and(|valid| valid.len() > 1), "{run}");
        }
    }
    assert_eq!(bench.read("found.html").matches("<svg").count(), 2);
    // More seeds are added to what is there.
    let more = bench.ok(&[&study[..6], &["--seeds", "2"]].concat());
    assert!(more.stdout.contains("2 runs were made, 20 are kept"), "{}", more.stdout);
}

#[test]
fn updates_are_compared_with_the_natural_gradient() {
    let study = ["study", "dynamics", "--updates", "4", "--pairs", "4", "--seeds", "1"];
    let bench = Bench::cold();
    let first = bench.ok(&[&study[..], &["--json", "found.json", "--html", "found.html"]].concat());
    // Of each subject two points, four estimators, few and many samples; two rules watched with four decays; a training each. And two
    // rules from each exact posterior.
    let runs = 4 * (2 * 4 * 2 + 2 * 4 * 2 + 2) + 3 * 2;
    assert_eq!(lines_of(&bench, "dynamics").len(), 1 + runs);
    let found = bench.json("found.json");
    let at = |number: usize| &found["at"][number];
    assert_eq!(found["at"].as_array().unwrap().len(), 4 * 2 * 4 * 2);
    assert_eq!((at(1)["subject"].as_str(), at(1)["samples"].as_u64()), (Some("quadratic"), Some(16)));
    let cosine = at(1)["mean"]["cosine"]["median"].as_f64().unwrap();
    assert!((0.9..1.0).contains(&cosine), "of 64 samples: {cosine}");
    // The least that an update leaves is a half by theory, whatever the noise.
    let watched = found["watched"].as_array().unwrap();
    let least = |of: &serde_json::Value| of["least"]["median"].as_f64().unwrap();
    let of_rule = |rule: &'static str| watched.iter().filter(move |of| of["rule"] == rule);
    assert!(of_rule("ivon").all(|of| of["gone"] == 0 && least(of) > 0.5 - 1e-9));
    assert!(of_rule("von").any(|of| of["gone"] == 1 && least(of) < 0.0));
    assert_eq!(bench.read("found.html").matches("<svg").count(), 6);

    // Of a file that was cut, what is left is kept.
    let all = lines_of(&bench, "dynamics");
    bench.write("study-dynamics/runs.jsonl", &(all[..runs - 3].join("\n") + "\n"));
    let again = bench.ok(&[&study[..], &["--json", "again.json"]].concat());
    assert!(again.stdout.contains(&format!("4 runs were made, {runs} are kept")), "{}", again.stdout);
    assert_eq!((bench.json("again.json"), lines_of(&bench, "dynamics")), (found, all));
    assert!(first.stdout.contains(" claims held\n"), "{}", first.stdout);
}

#[test]
fn overheads_are_of_steps_that_take_turns() {
    let bench = Bench::new();
    let study = ["study", "overhead", "run.json", "--sittings", "1"];
    let out = bench.ok(&[&study[..], &["--json", "found.json", "--html", "found.html"]].concat()).stdout;
    assert!(out.contains("IVON, 4 samples") && out.contains(" of 2 claims held\n"), "{out}");
    let found = bench.json("found.json");
    let variants = found["variants"].as_array().unwrap();
    assert_eq!((variants.len(), variants[0]["ratio"]["median"].as_f64()), (11, Some(1.0)));
    assert!(variants.iter().all(|of| of["step_ms"]["low"].as_f64().unwrap() > 0.0), "{found}");
    assert_eq!(found["runs"][0]["rounds"].as_array().unwrap().len(), 6);
    assert_eq!(bench.read("found.html").matches("<table").count(), 2);
    let again = bench.ok(&[&study[..], &["--json", "again.json"]].concat());
    assert!(again.stdout.contains("0 runs were made, 1 are kept"), "{}", again.stdout);
    assert_eq!(bench.json("again.json"), found);
    for (more, wanted) in [
        (["--set", "batch=4"], "holds a study with batch 8, and this one has 4"),
        (["--json", "run.json"], "is the configuration, which would be replaced"),
        (["--set", "rule.lr=-1"], "`rule.lr` is -1"),
    ] {
        let refused = bench.run(&[&study[..], &more].concat());
        assert!(refused.code == Some(2) && refused.stderr.contains(wanted), "{refused:?}");
    }
}
