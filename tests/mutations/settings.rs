//! Configurations, and what overrides set.

use std::path::Path;

use natgrad::config::RunConfig;

use crate::mutate::survive;

/// Every configuration that natgrad comes with, and one with every section.
pub fn originals() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut originals: Vec<Vec<u8>> =
        files.filter(|path| path.is_file()).map(|path| std::fs::read(path).unwrap()).collect();
    originals.sort();
    originals.push(RunConfig::default().to_json().to_string().into_bytes());
    originals.push(
        br#"{"model": {"kind": "mlp", "sizes": [2, 8, 3], "activation": "gelu"}, "rule": {"kind": "adamw", "lr": 0.01},
            "schedule": {"kind": "cosine", "warmup": 0.1}, "groups": [{"names": ["*.bias", "layers.*.w*"], "frozen": true},
            {"max_rank": 1, "weight_decay": 0.5}], "batch": 8, "length": {"steps": 30}, "seed": 7,
            "data": {"kind": "npz", "path": "a.npz", "arrays": ["a", "b", "c", "d"], "augment": {"crop": 2, "flip": true}},
            "step": {"samples": 2, "accumulation": 2}, "evaluation": {"samples": 4}, "checkpoint": {"every_steps": 5}}"#
            .to_vec(),
    );
    originals
}

#[test]
fn configurations() {
    let folder = tempfile::tempdir().unwrap();
    survive("configurations", &originals(), move |bytes| {
        let path = folder.path().join("run.json");
        std::fs::write(&path, bytes).unwrap();
        let Ok(config) = RunConfig::load(Some(&path), &[]) else { return };
        assert_eq!(RunConfig::from_json("printed", config.to_json()).unwrap(), config);
    });
}

#[test]
fn overrides() {
    let originals = [
        "rule.lr=0.1",
        "rule.kind=adamw",
        "model={\"kind\": \"mlp\", \"sizes\": [2, 3]}",
        "length.epochs=3",
        "groups=[{\"names\": [\"*\"]}]",
        "data.kind=csv",
        "a.b.c.d.e=[]",
    ];
    let originals: Vec<Vec<u8>> = originals.iter().map(|text| text.as_bytes().to_vec()).collect();
    survive("overrides", &originals, |bytes| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        RunConfig::load(None, &[text.clone(), text]).ok();
    });
}
