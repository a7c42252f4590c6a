//! Recorded runs of ivon-opt and torch.optim, replayed through the compiled step.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use natgrad::assets;
use natgrad::compile::{Cache, Device, stablehlo};
use natgrad::lower::Loops;
use natgrad::pjrt::{Client, Plugin, TrustedLibrary};
use natgrad::replay::{Deviations, Trajectory, replay, tolerance};
use natgrad::rule::{AdamW, NamedRule};
use natgrad::step::Recipe;
use natgrad_ir::DType;

/// The device of the test process, once for each way in which a CPU's programs are told.
static DEVICES: LazyLock<[Device; 2]> = LazyLock::new(|| {
    let client =
        Client::create(&Plugin::load(&TrustedLibrary::at(assets::cpu_plugin().unwrap())).unwrap(), &[])
            .unwrap();
    let cache = Cache::open(assets::cache_root().unwrap().join("executables"));
    [Loops::Merged, Loops::Chosen].map(|loops| Device::new(client.clone(), cache.clone(), loops))
});

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/trajectories/{name}.json.gz"))
}

fn load(name: &str) -> Trajectory {
    Trajectory::load(&path(name)).unwrap()
}

/// The deviations of the lowering that a user of the CPU gets.
fn deviations(trajectory: &Trajectory, dtype: DType) -> Deviations {
    replay(&DEVICES[0], trajectory, dtype).unwrap()
}

fn passes(name: &str) {
    let trajectory = load(name);
    assert_eq!(trajectory.steps.len(), 25);
    for (device, dtype) in DEVICES.iter().flat_map(|device| [(device, DType::F64), (device, DType::F32)]) {
        let worst = replay(device, &trajectory, dtype).unwrap();
        let loops = device.lowering().loops;
        assert!(worst.within(tolerance(dtype)), "{name} in {dtype}, loops {loops:?}: {worst:?}");
        let has_posterior = trajectory.rule.has_posterior();
        let recorded = (worst.momentum.is_some(), worst.hess.is_some());
        // The authors' VOGN has no momentum.
        assert_eq!(recorded, (has_posterior && name != "vogn", has_posterior), "{name}");
    }
}

/// Were the two ways of telling a program one, the runs above would test one of them twice.
#[test]
fn the_lowerings_are_two() {
    let Trajectory { model, rule, .. } = load("ivon-price");
    let program = Recipe::new(model.model(), rule.rule()).step(1).unwrap();
    let [merged, chosen] = [0, 1].map(|number| stablehlo(&program, DEVICES[number].lowering()).unwrap());
    assert!(merged.contains("mhlo.fusion") && !chosen.contains("mhlo.fusion"));
}

#[test]
fn the_tolerances_are_those_promised() {
    assert_eq!((tolerance(DType::F64), tolerance(DType::F32)), (1e-9, 1e-4));
}

#[test]
fn ivon_with_prices_estimator() {
    passes("ivon-price");
}

#[test]
fn ivon_with_squared_gradients() {
    passes("ivon-gradsq");
}

#[test]
fn ivon_with_clipping() {
    passes("ivon-clip");
    // The radius binds: without it the run is another.
    let mut trajectory = load("ivon-clip");
    let NamedRule::Ivon(ivon) = &mut trajectory.rule else { panic!("not IVON") };
    assert_eq!(ivon.clip_radius.take(), Some(0.05));
    assert!(!deviations(&trajectory, DType::F64).within(1e-3));
}

#[test]
fn ivon_without_debiasing() {
    passes("ivon-no-debias");
}

#[test]
fn ivon_without_rescaling() {
    passes("ivon-no-rescale");
}

#[test]
fn ivon_with_a_schedule() {
    passes("ivon-schedule");
    let rates: Vec<f64> = load("ivon-schedule").steps.iter().map(|step| step.lr).collect();
    assert!(rates.windows(2).all(|pair| pair[0] != pair[1]), "{rates:?}");
}

#[test]
fn adam_and_adamw() {
    passes("adam");
    passes("adamw");
}

#[test]
fn ivon_with_three_samples() {
    passes("ivon-mc3");
    // The order of a step's samples changes nothing but rounding; leaving one out changes the run.
    let mut trajectory = load("ivon-mc3");
    for step in &mut trajectory.steps {
        step.noise.rotate_left(1);
    }
    assert!(deviations(&trajectory, DType::F64).within(tolerance(DType::F64)));
    for step in &mut trajectory.steps {
        step.noise.pop();
    }
    trajectory.samples = 2;
    assert!(!deviations(&trajectory, DType::F64).within(1e-3));
}

#[test]
fn sgd_and_rmsprop() {
    passes("sgd-momentum");
    passes("sgd-nesterov");
    passes("sgd-dampened");
    passes("rmsprop");
    passes("rmsprop-centered");
}

#[test]
fn vadam_and_vogn() {
    passes("vadam");
    passes("vadam-mc2");
    passes("vogn");
}

/// A run that differs by a millionth anywhere, or by a hyperparameter, is not the recorded one.
#[test]
fn small_changes_are_seen() {
    /// Changes the element of largest magnitude, which deviations are relative to.
    fn nudge(tensor: &mut [f64]) {
        let largest = tensor.iter_mut().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap();
        *largest *= 1.0 + 1e-6;
    }
    type Change = fn(&mut Trajectory);
    fn ivon(trajectory: &mut Trajectory) -> &mut natgrad::rule::Ivon {
        let NamedRule::Ivon(ivon) = &mut trajectory.rule else { panic!("not IVON") };
        ivon
    }
    let changes: [(&str, Change); 16] = [
        ("nothing", |_| {}),
        ("params of the first step", |t| nudge(&mut t.steps[0].params[0])),
        ("params of the last step", |t| nudge(&mut t.steps[24].params[3])),
        ("momentum", |t| nudge(&mut t.steps[7].momentum[1])),
        ("hess", |t| nudge(&mut t.steps[24].hess[2])),
        ("init", |t| nudge(&mut t.init[0])),
        ("noise", |t| nudge(&mut t.steps[3].noise[0][2])),
        ("noise of the last step", |t| nudge(&mut t.steps[24].noise[0][0])),
        ("features", |t| nudge(&mut t.features)),
        ("a label", |t| t.labels[0] = (t.labels[0] + 1.0) % 3.0),
        ("lr of a step", |t| t.steps[12].lr *= 1.0 + 1e-6),
        ("ess", |t| ivon(t).ess = ivon(t).ess.map(|ess| ess * (1.0 + 1e-6))),
        ("hess_init", |t| ivon(t).hess_init *= 1.0 + 1e-6),
        ("beta1", |t| ivon(t).beta1 *= 1.0 + 1e-6),
        ("beta2", |t| ivon(t).beta2 *= 1.0 + 1e-6),
        ("weight_decay", |t| ivon(t).weight_decay *= 1.01),
    ];
    for (what, change) in changes {
        let mut trajectory = load("ivon-price");
        change(&mut trajectory);
        let worst = deviations(&trajectory, DType::F64);
        assert_eq!(worst.within(tolerance(DType::F64)), what == "nothing", "{what}: {worst:?}");
    }
}

#[test]
fn options_are_not_interchangeable() {
    for (name, change) in [
        ("ivon-price", ("debias", false)),
        ("ivon-price", ("rescale_lr", false)),
        ("ivon-no-debias", ("debias", true)),
        ("ivon-no-rescale", ("rescale_lr", true)),
    ] {
        let mut trajectory = load(name);
        let NamedRule::Ivon(ivon) = &mut trajectory.rule else { panic!("not IVON") };
        match change {
            ("debias", on) => ivon.debias = on,
            (_, on) => ivon.rescale_lr = on,
        }
        assert!(!deviations(&trajectory, DType::F32).within(1e-2), "{name} {change:?}");
    }
    let mut trajectory = load("adam");
    let NamedRule::Adam(adam) = trajectory.rule.clone() else { panic!("not Adam") };
    trajectory.rule = NamedRule::Adamw(AdamW(adam));
    assert!(!deviations(&trajectory, DType::F64).within(tolerance(DType::F64)));
}
