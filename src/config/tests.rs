use super::*;

fn load(json: &str, overrides: &[&str]) -> Result<RunConfig, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    std::fs::write(&path, json).unwrap();
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    RunConfig::load(Some(&path), &overrides)
        .map_err(|error| error.to_string().replace(&path.display().to_string(), "run.json"))
}

#[test]
fn the_default_run_round_trips() {
    let config = RunConfig::default();
    let text = serde_json::to_string(&config.to_json()).unwrap();
    assert_eq!(load(&text, &[]).unwrap(), config);
    assert_eq!(load("{}", &[]).unwrap(), config);
    assert_eq!(config.to_json()["rule"]["kind"], "ivon");
}

#[test]
fn overrides_reach_into_sections() {
    let config = load("{}", &["rule.lr=0.5", "batch=8", "length.steps=7"]).unwrap();
    assert_eq!(config.rule.lr(), 0.5);
    assert_eq!(config.batch, 8);
    assert_eq!(config.length, Length::Steps(7));
    let config = load("{}", &["rule.kind=adamw", "rule.lr=0.002"]).unwrap();
    assert_eq!(config.rule.name(), "adamw");
    assert_eq!(config.rule.lr(), 0.002);
    let config = load(r#"{"rule": {"kind": "ivon", "ess": 10}}"#, &["rule.kind=adamw"]).unwrap();
    assert_eq!(config.rule.name(), "adamw");
}

#[test]
fn errors_name_the_path_and_what_would_be_right() {
    let cases: &[(&str, &[&str], &str)] = &[
        ("{", &[], "run.json is not valid JSON"),
        ("[]", &[], "run.json: at `.`: a configuration is a JSON object"),
        (r#"{"bach": 5}"#, &[], "run.json: at `bach`: unknown field `bach`, expected one of `model`"),
        (r#"{"batch": "many"}"#, &[], "run.json: at `batch`: invalid type: string \"many\", expected usize"),
        (r#"{"rule": {"kind": "ivon", "rate": 1}}"#, &[], "run.json: at `rule.rate`: unknown field `rate`"),
        (r#"{"rule": {"kind": "ivon", "lr": "x"}}"#, &[], "run.json: at `rule.lr`: invalid type"),
        (
            r#"{"rule": {"kind": "sophia"}}"#,
            &[],
            "run.json: at `rule.kind`: unknown kind `sophia`, expected one of",
        ),
        (r#"{"rule": {"lr": 1}}"#, &[], "run.json: at `rule`: has no `kind`"),
        ("{}", &["rule.ess=0"], "run.json: `rule.ess` is 0, but must be a number above 0"),
        ("{}", &["rule.hess_init=-1"], "run.json: `rule.hess_init` is -1, but must be a number above 0"),
        ("{}", &["rule.beta1=1"], "run.json: `rule.beta1` is 1, but must be in [0, 1)"),
        ("{}", &["rule.beta2=-0.1"], "run.json: `rule.beta2` is -0.1, but must be in [0, 1)"),
        ("{}", &["model.sizes=[784]"], "run.json: `model.sizes` is [784], but must be at least two widths"),
        ("{}", &["batch=0"], "run.json: `batch` is 0, but must be at least 1"),
        ("{}", &["schedule.warmup=1.5"], "run.json: `schedule.warmup` is 1.5, but must be"),
        ("{}", &["rule.lr"], "--set rule.lr: must be PATH=VALUE"),
        ("{}", &["batch.x=1", "batch.y.z=2"], "run.json: at `batch`: invalid type: map, expected usize"),
        (r#"{"batch": 5}"#, &["batch.x=1"], "--set batch.x=1: at `batch`: is not a section"),
    ];
    for (json, overrides, wanted) in cases {
        let error = load(json, overrides).unwrap_err();
        assert!(error.starts_with(wanted), "{json} {overrides:?}: {error}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = RunConfig::load(Some(Path::new("no/such.json")), &[]).unwrap_err().to_string();
    assert!(error.starts_with("cannot read the configuration no/such.json:"), "{error}");
}
