//! What the summary and the search for noise say of programs of XLA for CPU, GPU and TPU.

use std::path::Path;

use natgrad::inspect::{
    BufferRole, CopySource, FusionKind, HloModule, MURMUR3_FINALIZER, Opcode, Stage, Summary,
    hashed_elements, noise_buffers, noise_sites,
};

fn module(name: &str) -> HloModule {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("hlo/tests/fixtures/{name}.pb"));
    HloModule::decode(&std::fs::read(path).expect("a fixture")).expect("an HLO module")
}

/// Elements of the parameter that the step's fixtures update.
const PARAMETERS: u64 = 64 * 32;
/// Bytes of each of its arrays.
const BYTES: u64 = 4 * PARAMETERS;

#[test]
fn summary_of_a_step_on_a_gpu() {
    insta::assert_snapshot!(Summary::of(&module("gpu_step_with_config")));
}

#[test]
fn summary_of_a_step_on_a_cpu() {
    insta::assert_snapshot!(Summary::of(&module("cpu_step_with_config")));
}

#[test]
fn summary_of_a_gradient_step() {
    insta::assert_snapshot!(Summary::of(&module("cpu_mlp_sgd")));
}

#[test]
fn a_step_hashes_each_element_once_and_keeps_no_noise() {
    for (name, stage) in
        [("cpu_step_with_config", Stage::Resample), ("gpu_step_with_config", Stage::Resample)]
    {
        let sites = noise_sites(&module(name), &MURMUR3_FINALIZER);
        assert_eq!(hashed_elements(&sites), PARAMETERS, "{name}");
        assert_eq!(sites.iter().map(|site| site.constant).collect::<Vec<_>>(), MURMUR3_FINALIZER, "{name}");
        for site in &sites {
            assert!(site.writes_only_state(), "{name}: {site:?}");
            assert_eq!(
                (site.evaluations, site.trips, site.stage),
                (PARAMETERS, Some(1), Some(stage)),
                "{name}"
            );
            assert_eq!(site.producer, site.entry, "{name}");
        }
    }
}

#[test]
fn a_step_is_one_fusion_on_a_gpu_that_moves_36_bytes_a_parameter() {
    let summary = Summary::of(&module("gpu_step_with_config"));
    assert_eq!(summary.fusions, [(FusionKind::Loop, 1)].into());
    assert_eq!(summary.copies, []);
    let [fusion] = summary.instructions.as_slice() else { panic!("{:?}", summary.instructions) };
    assert_eq!(fusion.stages, [Stage::Estimate, Stage::Update, Stage::Resample].into());
    // The scalars: learning rate and key.
    assert_eq!(fusion.traffic.total(), 9 * BYTES + 8);
}

#[test]
fn a_stored_noise_is_found() {
    for name in ["cpu_noise_buffer", "gpu_noise_buffer_with_config"] {
        let sites = noise_sites(&module(name), &MURMUR3_FINALIZER);
        assert_eq!(hashed_elements(&sites), PARAMETERS, "{name}");
        assert!(sites.iter().all(|site| !site.writes_only_state()), "{name}");
        let roles: Vec<&BufferRole> =
            noise_buffers(&sites).into_iter().map(|(_, output)| &output.role).collect();
        assert!(roles.contains(&&BufferRole::Output { output: vec![2] }), "{name}: {roles:?}");
    }
}

#[test]
fn noise_that_a_broadcast_repeats_is_found() {
    let sites = noise_sites(&module("cpu_noise_broadcast"), &MURMUR3_FINALIZER);
    let first: Vec<_> = sites.iter().filter(|site| site.first_round).collect();
    let [site] = first.as_slice() else { panic!("{first:?}") };
    assert_eq!((site.elements, site.evaluations), (32, 16 * 32));
}

#[test]
fn noise_in_a_loop_is_followed_to_the_state() {
    let sites = noise_sites(&module("cpu_noise_while"), &MURMUR3_FINALIZER);
    assert_eq!(hashed_elements(&sites), PARAMETERS);
    for site in &sites {
        assert_eq!(site.trips, Some(3));
        assert_eq!((&site.entry.opcode, &site.producer.opcode), (&Opcode::While, &Opcode::Fusion));
        assert_eq!(site.producer.outputs[0].role, BufferRole::State { output: vec![], parameter: 0 });
    }
}

#[test]
fn noise_in_a_call_is_followed_to_what_becomes_of_it() {
    let state = BufferRole::State { output: vec![0], parameter: 1 };
    for (name, role) in
        [("cpu_call_with_config", BufferRole::Temporary), ("cpu_call_to_state_with_config", state)]
    {
        let sites = noise_sites(&module(name), &MURMUR3_FINALIZER);
        assert_eq!(hashed_elements(&sites), PARAMETERS, "{name}");
        for site in &sites {
            assert_eq!(site.stage, Some(Stage::Draw), "{name}");
            assert_eq!(
                (&site.entry.opcode, &site.producer.opcode),
                (&Opcode::Call, &Opcode::Fusion),
                "{name}"
            );
            assert_eq!(
                (&site.entry.outputs[0].role, &site.producer.outputs[0].role),
                (&role, &role),
                "{name}"
            );
        }
    }
}

#[test]
fn two_chained_hashes_count_once() {
    let sites = noise_sites(&module("tpu_update"), &MURMUR3_FINALIZER);
    assert_eq!(sites.len(), 4);
    assert_eq!(hashed_elements(&sites), PARAMETERS);
    assert_eq!(noise_sites(&module("tpu_update"), &[MURMUR3_FINALIZER[0]]).len(), 2);
}

#[test]
fn other_programs_have_no_noise() {
    assert_eq!(noise_sites(&module("cpu_mlp_sgd"), &MURMUR3_FINALIZER), []);
}

#[test]
fn copies_of_parameters_are_told_from_others() {
    let summary = Summary::of(&module("cpu_mlp_sgd"));
    let sources: Vec<&CopySource> = summary.copies.iter().map(|copy| &copy.source).collect();
    assert_eq!(sources, [&CopySource::Parameter(2), &CopySource::Parameter(3)]);
    let summary = Summary::of(&module("cpu_noise_while"));
    assert!(matches!(summary.copies[0].source, CopySource::Value(_)), "{:?}", summary.copies);
}

#[test]
fn damaged_modules_never_panic() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("hlo/tests/fixtures/constants_64_bit.pb");
    let bytes = std::fs::read(path).expect("a fixture");
    for position in 0..bytes.len() {
        for value in [0x00, 0x01, 0x7f, 0xff, bytes[position] ^ 0x08] {
            let mut damaged = bytes.clone();
            damaged[position] = value;
            let _ = HloModule::decode(&damaged).map(|module| Summary::of(&module).to_string());
        }
    }
}
