//! The configurations that are compiled.

use std::fmt;

use natgrad_layers::NamedModel;
use serde_json::{Value, json};

use super::own_models::{Meter, Reader, named};
use super::own_rules::OWN;
use super::pairs::all_pairs;

/// A configuration.
#[derive(Clone, Debug)]
pub struct Chosen {
    pub json: Value,
    /// A model of one's own instead of the configuration's.
    pub own: Option<NamedModel>,
    /// Whether its loops are merged, as for a user of natgrad's own CPU plugin, or XLA's choice.
    pub merged: bool,
    /// Whether all programs of a run are compiled, or the step alone.
    pub all_programs: bool,
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} loops", self.json, if self.merged { "merged" } else { "chosen" })?;
        self.own.as_ref().map_or(Ok(()), |own| write!(f, ", {own:?}"))
    }
}

/// A rule, and whether it takes gradients at samples.
fn rules() -> Vec<(Value, bool)> {
    let mut rules: Vec<(Value, bool)> =
        ["sgd", "rmsprop", "adam", "adamw"].map(|kind| (json!({"kind": kind}), false)).into();
    rules.extend(["vogn", "vadam"].map(|kind| (json!({"kind": kind}), true)));
    for kind in ["ivon", "von", "blr"] {
        for estimator in ["price", "gradsq", "per-example", "hessian-vector"] {
            rules.push((json!({"kind": kind, "estimator": estimator}), true));
        }
    }
    rules.extend(OWN.iter().zip([false, true]).map(|(kind, samples)| (json!({"kind": kind}), samples)));
    rules.push((json!({"kind": "von", "estimator": "hessian-vector", "sampling": false}), false));
    rules.push((json!({"kind": "vogn", "sampling": false}), false));
    rules
}

/// Whether the posterior of an earlier run can be the rule's prior.
fn takes_prior(rule: &Value) -> bool {
    ["ivon", "von", "vogn", "vadam", "blr"].iter().any(|kind| rule["kind"] == *kind)
}

fn gpt2() -> Value {
    json!({"kind": "gpt2", "layers": 1, "width": 8, "heads": 2, "context": 4, "vocabulary": 12})
}

/// A GPT-2 by every rule and estimator, with 1, 2 and 4 samples where it takes samples, in both lowerings. (The pairs have 3.)
pub fn gpt2_in_small() -> Vec<Chosen> {
    let mut all = Vec::new();
    for (rule, samples) in rules() {
        for &samples in if samples { &[1, 2, 4][..] } else { &[1] } {
            let json = json!({"model": gpt2(), "rule": rule, "step": {"samples": samples}, "batch": 2});
            all.extend([true, false].map(|merged| Chosen {
                json: json.clone(),
                own: None,
                merged,
                all_programs: false,
            }));
        }
    }
    all
}

/// Models of one's own by every rule and estimator in both lowerings, once in each type; samples, micro-batches, steps a
/// call and state take turns.
pub fn own_models() -> Vec<Chosen> {
    let models = [
        named(Reader { rate: 0.4, own_loss: false }),
        named(Meter { rate: 0.4 }),
        named(Reader { rate: 0.0, own_loss: true }),
    ];
    let mut all = Vec::new();
    for (turn, (rule, samples)) in rules().into_iter().enumerate() {
        for merged in [true, false] {
            let compute = if merged == (turn % 2 == 0) { "f32" } else { "bf16" };
            let mut step =
                json!({"compute": compute, "accumulation": turn / 2 % 2 + 1, "per_call": turn % 2 + 1});
            if samples {
                step["samples"] = json!(turn % 3 + 1);
                step["state"] = json!(if turn % 4 == 0 { "implicit" } else { "explicit" });
            }
            let prior =
                if takes_prior(&rule) && turn % 3 == 0 { json!({"run": "earlier"}) } else { Value::Null };
            let json = json!({"rule": rule, "step": step, "prior": prior, "batch": 2});
            let own = Some(models[all.len() % models.len()].clone());
            all.push(Chosen { json, own, merged, all_programs: turn % 8 == 0 });
        }
    }
    all
}

/// Configurations in which every two choices come together.
pub fn pairs_of_choices() -> Vec<Chosen> {
    let models = [
        json!({"kind": "mlp", "sizes": [3, 4, 2]}),
        json!({"kind": "mlp", "sizes": [3, 1, 2], "activation": "tanh"}),
        json!({"kind": "linear", "inputs": 3, "classes": 2}),
        json!({"kind": "linear-regression", "inputs": 3}),
        json!({"kind": "resnet", "depth": 8, "image": [8, 8, 1], "classes": 3}),
        gpt2(),
    ];
    let rules = rules();
    let (accumulations, calls) = ([1, 2, 3], [1, 3]);
    let types = ["f32", "bf16"];
    let remats = ["none", "cheap", "blocks"];
    let states = ["explicit", "implicit"];
    let grades = ["fast", "exact", "philox"];
    let groups = [
        json!([]),
        json!([{"max_rank": 1, "weight_decay": 1e-3, "lr_factor": 0.5}]),
        json!([{"max_rank": 1, "frozen": true}]),
    ];
    let clips = [Value::Null, json!(1.0)];
    let schedules = ["constant", "cosine"];
    let placements = ["host", "device"];
    let priors = [Value::Null, json!({"run": "earlier"})];
    let (most_samples, flags) = (4, [false, true]);
    let counts = [
        models.len(),
        rules.len(),
        most_samples,
        accumulations.len(),
        calls.len(),
        types.len(),
        states.len(),
        grades.len(),
        groups.len(),
        clips.len(),
        schedules.len(),
        placements.len(),
        flags.len(),
        flags.len(),
        priors.len(),
        remats.len(),
    ];
    // A rule without samples has one sample, and no sample to recover the mean from.
    let sampled = |row: &[Option<usize>]| match row[1] {
        Some(rule) if !rules[rule].1 => {
            row[2].is_none_or(|samples| samples == 0) && row[6].is_none_or(|state| state == 0)
        }
        _ => true,
    };
    let has_prior = |row: &[Option<usize>]| match (row[1], row[14]) {
        (Some(rule), Some(1)) => takes_prior(&rules[rule].0),
        _ => true,
    };
    let allowed = |row: &[Option<usize>]| sampled(row) && has_prior(row);
    let chosen = |row: Vec<usize>| {
        let mut step = json!({
            "samples": row[2] + 1,
            "accumulation": accumulations[row[3]],
            "per_call": calls[row[4]],
            "compute": types[row[5]],
            "remat": remats[row[15]],
            "state": states[row[6]],
            "noise": grades[row[7]],
            "data": placements[row[11]],
            "diagnostics": flags[row[12]],
        });
        if !clips[row[9]].is_null() {
            step["clip_norm"] = clips[row[9]].clone();
        }
        let json = json!({
            "model": models[row[0]],
            "rule": rules[row[1]].0,
            "step": step,
            "groups": groups[row[8]],
            "schedule": {"kind": schedules[row[10]]},
            "prior": priors[row[14]],
            "batch": 2,
        });
        Chosen { json, own: None, merged: flags[row[13]], all_programs: true }
    };
    all_pairs(&counts, allowed).into_iter().map(chosen).collect()
}
