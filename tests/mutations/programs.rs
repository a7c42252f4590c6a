//! Programs: natgrad's own as text, and XLA's as protobuf.

use std::path::Path;

use natgrad::config::RunConfig;
use natgrad::inspect::{
    HloModule, MURMUR3_FINALIZER, Memory, Summary, hashed_elements, kernels, noise_buffers, noise_sites,
    stage_costs,
};
use natgrad::step::StatePlan;
use natgrad_ir::{text, verify};

use crate::mutate::survive;

/// The text of steps of small models.
pub fn texts() -> Vec<Vec<u8>> {
    let models = [
        r#"{"kind": "mlp", "sizes": [2, 3, 2]}"#,
        r#"{"kind": "resnet", "depth": 8, "width": 2, "image": [8, 8, 1], "classes": 2}"#,
        r#"{"kind": "gpt2", "vocabulary": 5, "context": 4, "layers": 1, "heads": 1, "width": 2}"#,
    ];
    let of = |model: &str| {
        let config = RunConfig::load(None, &[format!("model={model}")]).unwrap();
        let recipe = config.recipe(StatePlan::Explicit);
        let mut programs = vec![recipe.step(2).unwrap(), recipe.predict(2).unwrap()];
        programs.extend(recipe.next(2).unwrap());
        programs
            .into_iter()
            .map(|program| text::print(program.module.module()).into_bytes())
            .collect::<Vec<_>>()
    };
    models.into_iter().flat_map(of).collect()
}

#[test]
fn texts_of_programs() {
    survive("texts", &texts(), |bytes| {
        let Ok(module) = text::parse(&String::from_utf8_lossy(bytes)) else { return };
        let printed = text::print(&module);
        if let Ok(verified) = verify(module.clone()) {
            assert_eq!(text::parse(&printed).as_ref(), Ok(verified.module()));
            natgrad_ir::flops(verified.module());
        }
    });
}

#[test]
fn programs_of_xla() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("hlo/tests/fixtures");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut originals: Vec<Vec<u8>> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "pb"))
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    originals.sort();
    survive("hlo", &originals, |bytes| {
        let Ok(module) = HloModule::decode(bytes) else { return };
        let _ = (module.to_text(), Summary::of(&module).to_string());
        let sites = noise_sites(&module, &MURMUR3_FINALIZER);
        let _ = (noise_buffers(&sites), hashed_elements(&sites));
        let _ = (stage_costs(&kernels(&module)), Memory::of(&module, None));
    });
}
