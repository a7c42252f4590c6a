use super::*;
use crate::rule::{NamedRule, Span};

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
    let config = load("{}", &["rule.lr=0.002", "batch=8", "rule.kind=adamw", "rule.eps=1e-6"]).unwrap();
    assert_eq!((config.rule.name(), config.rule.lr()), ("adamw", 0.002));
    let config = load("{}", &["rule.kind=adamw", "rule.kind=adam"]).unwrap();
    assert_eq!(config.rule.name(), "adam");
}

#[test]
fn a_section_without_a_kind_is_the_default_runs_but_for_what_it_says() {
    let config = load(
        r#"{"rule": {"lr": 0.05}, "model": {"activation": "tanh"}, "schedule": {"end": 0.5}, "data": {"test_every": 4}}"#,
        &["rule.ess=7"],
    )
    .unwrap();
    let ivon = Ivon { lr: 0.05, ess: Some(7.0), ..Ivon::default() };
    let model = Mlp { sizes: vec![784, 512, 512, 10], activation: Activation::Tanh, noise: None };
    assert_eq!((config.rule, config.model), (ivon.into(), model.into()));
    assert_eq!(config.schedule, Schedule::Cosine { warmup: Span(0.05), end: 0.5 });
    assert_eq!(config.data, DataConfig::MnistSample { test_every: 4 });
    let config = load("{}", &["model.activation=tanh", "model.sizes=[784,10]"]).unwrap();
    assert_eq!(config.model.params().len(), 2);
}

#[test]
fn a_kind_that_is_set_keeps_the_fields_that_it_has_and_refuses_the_others() {
    let ivon = r#"{"rule": {"kind": "ivon", "lr": 0.25, "ess": 10}, "schedule": {"kind": "cosine", "warmup": 0.125}}"#;
    let config = load(ivon, &["schedule.kind=linear"]).unwrap();
    assert_eq!(config.schedule, Schedule::Linear { warmup: Span(0.125), end: 0.0 });
    let leftover = "run.json: at `rule.ess`: unknown field `ess`, expected one of `lr`, `beta1`, `beta2`, `eps`, \
                    `weight_decay`; --set rule.kind=adamw keeps the other fields of run.json; for the defaults of \
                    `adamw` write --set 'rule={\"kind\": \"adamw\"}'";
    assert_eq!(load(ivon, &["rule.kind=adamw"]).unwrap_err(), leftover);
    // As the file itself would be, were it edited so.
    let edited = load(r#"{"rule": {"kind": "adamw", "lr": 0.25, "ess": 10}}"#, &[]).unwrap_err();
    assert!(leftover.starts_with(&edited), "{edited}");
    assert_eq!(load(ivon, &["rule.kind=vadam"]).unwrap().rule.lr(), 0.25);
    assert_eq!(load(ivon, &["rule={\"kind\": \"adamw\"}"]).unwrap().rule.lr(), 1e-3);
    let data = r#"{"data": {"kind": "csv", "path": "a.csv", "label": "y"}}"#;
    let config = load(data, &["data.kind=parquet"]).unwrap();
    assert_eq!(config.data.name(), "a.csv");
    let error = load(data, &["data.kind=text", "data.context=8"]).unwrap_err();
    assert!(error.starts_with("run.json: at `data.label`: unknown field `label`"), "{error}");

    // Of a configuration that is read already, what is its kind's default counts as left out.
    let set = |config: &RunConfig, text: &str| {
        config
            .changed(Overrides { flag: "--set", texts: &[text.to_string()] })
            .map_err(|error| error.to_string())
    };
    let config = RunConfig::default();
    assert_eq!(set(&config, "rule.kind=adamw").unwrap(), load("{}", &["rule.kind=adamw"]).unwrap());
    assert_eq!(set(&config, "rule.kind=ivon").unwrap(), config);
    let config = load(r#"{"rule": {"lr": 0.25}}"#, &[]).unwrap();
    assert_eq!(set(&config, "rule.kind=adamw").unwrap().rule.lr(), 0.25);
    let config = load(r#"{"rule": {"hess_init": 0.25}}"#, &[]).unwrap();
    let error = set(&config, "rule.kind=adamw").unwrap_err();
    assert!(error.starts_with("the configuration: at `rule.hess_init`: unknown field"), "{error}");
}

#[test]
fn comments_and_a_last_comma_are_passed_over() {
    let text = r#"// What editors read:
        {"$schema": "./natgrad.schema.json", /* two
        lines */ "batch": 7, // "seed": 1,
        "groups": [],
        "init": "a//b /* c */,",
        }"#;
    let config = load(text, &[]).unwrap();
    assert_eq!((config.batch, config.seed), (7, 0));
    assert_eq!(config.init.as_deref(), Some(Path::new("a//b /* c */,")));
    for (text, wanted) in [
        ("{\n/* é\n\n*/ \"batch\": ? }", "expected value at line 4 column 13"),
        ("{ // é\n\"batch\": 3 / 2 }", "expected `,` or `}` at line 2 column 12"),
        ("{ /", "key must be a string at line 1 column 3"),
        ("{} /", "trailing characters at line 1 column 4"),
        ("{} /* no end", "trailing characters at line 1 column 12"),
        ("{ // a\n\"batch: 3}", "EOF while parsing a string at line 2 column 10"),
        ("{\"batch\": 3,, }", "key must be a string at line 1 column 13"),
    ] {
        let error = load(text, &[]).unwrap_err();
        assert!(error.contains(wanted), "{text}: {error}");
    }
}

#[test]
fn errors_name_the_path_and_what_would_be_right() {
    let nested = "[".repeat(50_000) + &"]".repeat(50_000);
    let cases: &[(&str, &[&str], &str)] = &[
        ("{", &[], "run.json is not valid JSON"),
        ("[]", &[], "run.json: at `.`: a configuration is a JSON object"),
        (r#"{"bach": 5}"#, &[], "run.json: at `bach`: unknown field `bach`, expected one of `model`"),
        (
            r#"{"batch": "many"}"#,
            &[],
            "run.json: at `batch`: invalid type: string \"many\", expected a whole number",
        ),
        (r#"{"rule": {"kind": "ivon", "rate": 1}}"#, &[], "run.json: at `rule.rate`: unknown field `rate`"),
        (r#"{"rule": {"kind": "ivon", "lr": "x"}}"#, &[], "run.json: at `rule.lr`: invalid type"),
        (
            r#"{"rule": {"kind": "sophia"}}"#,
            &[],
            "run.json: at `rule.kind`: unknown kind `sophia`, expected one of",
        ),
        (
            r#"{"rule": {"knd": "adamw"}}"#,
            &[],
            "run.json: at `rule.knd`: unknown field `knd`, expected one of `lr`, `ess`, `hess_init`, `beta1`, `beta2`, \
             `weight_decay`, `clip_radius`, `hess_clip`, `estimator`, `debias`, `rescale_lr`, `sampling`; without a `kind`, `rule` is \
             of the kind `ivon`",
        ),
        (r#"{"rule": {"kind": null}}"#, &[], "run.json: at `rule.kind`: null must be a string"),
        (r#"{"$schema": 1}"#, &[], "run.json: at `$schema`: 1 must be a string"),
        ("{}", &["rule.ess=0"], "--set rule.ess=0: `rule.ess` is 0, but must be a number above 0"),
        (
            "{}",
            &["rule.hess_init=-1"],
            "--set rule.hess_init=-1: `rule.hess_init` is -1, but must be a number above 0",
        ),
        ("{}", &["rule.beta1=1"], "--set rule.beta1=1: `rule.beta1` is 1, but must be in [0, 1)"),
        ("{}", &["rule.beta2=-0.1"], "--set rule.beta2=-0.1: `rule.beta2` is -0.1, but must be in [0, 1)"),
        (
            "{}",
            &["model.sizes=[784]"],
            "--set model.sizes=[784]: `model.sizes` is [784], but must be at least two widths",
        ),
        ("{}", &["batch=0"], "--set batch=0: `batch` is 0, but must be from 1 to"),
        ("{}", &["schedule.warmup=1.5"], "--set schedule.warmup=1.5: `schedule.warmup` is 1.5, but must be"),
        ("{}", &["rule.lr"], "--set rule.lr: must be PATH=VALUE"),
        (
            "{}",
            &["batch.x=1", "batch.y.z=2"],
            "--set batch.y.z=2: at `batch`: invalid type: map, expected a whole",
        ),
        (r#"{"length": 5}"#, &[], "run.json: at `length`: 5 must be {\"epochs\": N} or {\"steps\": N}"),
        ("{}", &["length={}"], "--set length={}: at `length`: {} must be"),
        ("{}", &["length.hours=5"], "--set length.hours=5: at `length`: unknown kind `hours`"),
        (r#"{"rule": {"kind": "ivon", "lr": 1e300}}"#, &["batch=5"], "run.json: `rule.lr` is 1e300, but"),
        ("{}", &["rule.hess_init=1e-300"], "--set rule.hess_init=1e-300: `rule.hess_init` is 1e-300, but"),
        (
            "{}",
            &["rule.ess=1e999"],
            "--set rule.ess=1e999: at `rule.ess`: invalid type: string \"1e999\", expected a number",
        ),
        (
            "{}",
            &["device.visible_devices=2"],
            "--set device.visible_devices=2: at `device.visible_devices`: invalid type: integer `2`, expected a list such as [2]",
        ),
        (
            "{}",
            &["model.sizes=[784,1e3,10]"],
            "--set model.sizes=[784,1e3,10]: at `model.sizes[1]`: invalid type",
        ),
        (
            "{}",
            &["model.sizes=[9,99999999999,2]"],
            "--set model.sizes=[9,99999999999,2]: `model` is one of 1199",
        ),
        (
            "{}",
            &["evaluation.bins=10000000"],
            "--set evaluation.bins=10000000: `evaluation.bins` is 10000000, but",
        ),
        (
            "{}",
            &["checkpoint.every_steps=0"],
            "--set checkpoint.every_steps=0: `checkpoint.every_steps` is 0, but",
        ),
        ("{}", &[&format!("{}=1", ["a"; 60_000].join("."))], "--set: at `a.a.a.a"),
        (&nested, &[], "run.json is not valid JSON: recursion limit exceeded"),
        ("{}", &[&format!("rule.lr={nested}")], "--set rule.lr=[[["),
        (r#"{"batch": 5}"#, &["batch.x=1"], "--set batch.x=1: at `batch`: is not a section"),
    ];
    let schema = jsonschema::validator_for(&schema()).unwrap();
    let mut refused = 0;
    for (json, overrides, wanted) in cases {
        let error = load(json, overrides).unwrap_err();
        assert!(error.starts_with(wanted), "{json} {overrides:?}: {error}");
        // What is misspelt or of a wrong type the schema refuses too, and what is out of a simple range.
        let texts: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        let Ok(mut value) = serde_json::from_str(json) else { continue };
        if json::apply(&mut value, Overrides { flag: "--set", texts: &texts }).is_ok() {
            let beyond = ["1e3,", "1e300", "1e-300", "schedule.warmup", "99999999999"];
            let is_beyond = beyond.iter().any(|part| wanted.contains(part));
            assert!(is_beyond || !schema.is_valid(&value), "{json} {overrides:?}");
            refused += usize::from(!is_beyond);
        }
    }
    assert!(refused > 20, "{refused}");
}

#[test]
fn numbers_survive_printing_and_reading() {
    for text in ["0.1", "0.9999999999999999", "0.30000000000000004", "1.7976931348623157e-10"] {
        let config = load("{}", &[&format!("rule.weight_decay={text}")]).unwrap();
        let NamedRule::Ivon(ivon) = &config.rule else { panic!("not IVON") };
        assert_eq!(ivon.weight_decay, text.parse::<f64>().unwrap());
        let printed = serde_json::to_string(&config.to_json()).unwrap();
        assert_eq!(load(&printed, &[]).unwrap(), config);
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = RunConfig::load(Some(Path::new("no/such.json")), &[]).unwrap_err().to_string();
    assert!(error.starts_with("cannot read the configuration no/such.json:"), "{error}");
}

#[test]
fn networks_are_chosen_by_kind() {
    let resnet = r#"{"model": {"kind": "resnet", "depth": 20, "image": [32, 32, 3], "classes": 10}}"#;
    let config = load(resnet, &["model.width=4"]).unwrap();
    let NamedModel::ResNet(model) = &config.model else { panic!("{:?}", config.model) };
    assert_eq!((model.depth, model.width), (20, Some(4)));
    assert_eq!(load(&config.to_json().to_string(), &[]).unwrap().model, config.model);

    let config =
        load(r#"{"model": {"kind": "gpt2", "layers": 2}}"#, &["model.activation=gelu-tanh"]).unwrap();
    let NamedModel::Gpt2(model) = &config.model else { panic!("{:?}", config.model) };
    assert_eq!((model.layers, model.width, model.activation), (2, 768, Activation::GeluTanh));
    let error = load(r#"{"model": {"kind": "gpt2", "heads": 5}}"#, &[]).unwrap_err();
    assert_eq!(error, "run.json: `model.width` is 768, but must be a multiple of the number of heads");
}
