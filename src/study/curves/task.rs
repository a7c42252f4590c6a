//! What the rules of the study learn, and the grids that each of them is tuned over.

use serde_json::{Value, json};

use crate::config::{ConfigError, RunConfig};
use crate::study::sweep::Axis;

/// The rules, of which the first is compared with the second.
pub const RULES: [&str; 2] = ["ivon", "adamw"];

/// Something to learn.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub title: &'static str,
    /// Steps of a run.
    pub steps: u64,
    /// Each of [`RULES`] with its configuration.
    pub contestants: Vec<Contestant>,
}

/// A rule with its grid. Both rules of a task have grids of one size, so that both are tuned with the same number of runs.
#[derive(Clone, Debug)]
pub struct Contestant {
    /// The rule's name.
    pub rule: &'static str,
    /// The configuration but for what the grid sets.
    pub config: RunConfig,
    /// What is tried.
    pub axes: Vec<Axis>,
}

/// How often test rows are looked at on the way, for drawing.
const LOOKS: u64 = 20;

impl Task {
    /// All tasks, with runs of so many steps.
    ///
    /// # Errors
    /// None, as the configurations are the study's own; tests make them.
    pub fn all(steps: u64) -> Result<Vec<Task>, ConfigError> {
        let of = |name, title, steps: u64, base: Value, rules: [(Value, [&str; 2]); 2]| {
            let contestant = |(rule, (set, grid)): (&'static str, (Value, [&str; 2]))| {
                let mut config = base.clone();
                config["rule"] = set;
                config["length"] = json!({"steps": steps});
                config["schedule"] = json!({"kind": "cosine", "warmup": 0.05});
                let axes = grid.map(Axis::parse);
                Ok(Contestant {
                    rule,
                    config: RunConfig::from_json(name, config)?,
                    axes: axes.into_iter().flatten().collect(),
                })
            };
            let contestants =
                RULES.into_iter().zip(rules).map(contestant).collect::<Result<_, ConfigError>>()?;
            Ok(Task { name, title, steps, contestants })
        };
        let images = |data: &str, samples: u32| {
            json!({
                "model": RunConfig::default().to_json()["model"],
                "data": {"kind": data},
                "evaluation": {"samples": samples},
                "validation": {"every": {"steps": steps.div_ceil(LOOKS)}, "examples": 1000, "samples": 8},
            })
        };
        let of_images = || {
            [
                (json!({"kind": "ivon"}), ["rule.lr=0.1,0.3,1,3", "rule.weight_decay=2e-4,2e-3"]),
                (json!({"kind": "adamw"}), ["rule.lr=3e-4,1e-3,3e-3,1e-2", "rule.weight_decay=0.01,0.1"]),
            ]
        };
        let text = json!({
            "model": {
                "kind": "gpt2", "vocabulary": 96, "context": 64, "layers": 2, "heads": 4, "width": 64, "bias": false
            },
            "data": {"kind": "text-sample", "context": 64},
            "batch": 16,
            "step": {"clip_norm": 1},
            "evaluation": {"samples": 4, "examples": 400},
            "validation": {"every": {"steps": steps.div_ceil(LOOKS)}, "examples": 100, "samples": 1},
        });
        // As IVON's authors set it for GPT-2, but for the average of the Hessian, which is tuned.
        let ivon_of_text = json!({
            "kind": "ivon", "rescale_lr": false, "ess": 1e8, "hess_init": 1e-3, "clip_radius": 1e-3, "weight_decay": 1e-6
        });
        let of_text = [
            (ivon_of_text, ["rule.lr=0.5,1,2,4", "rule.beta2=0.98,0.995"]),
            (json!({"kind": "adamw"}), ["rule.lr=1e-3,3e-3,6e-3,1e-2", "rule.weight_decay=0.01,0.1"]),
        ];
        Ok(vec![
            of(
                "digits",
                "5,000 digits of MNIST, a perceptron",
                steps,
                images("mnist-sample", 64),
                of_images(),
            )?,
            of("fashion", "Fashion-MNIST, a perceptron", steps, images("fashion-mnist", 16), of_images())?,
            of(
                "text",
                "characters of the King James Bible, a GPT of 2 layers of width 64",
                steps,
                text,
                of_text,
            )?,
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::sweep::axis::grid;

    #[test]
    fn both_rules_are_tuned_with_as_many_runs() {
        for task in Task::all(100).unwrap() {
            let runs = |contestant: &Contestant| grid(&contestant.axes).unwrap().len();
            let [one, other] = [0, 1].map(|at| runs(&task.contestants[at]));
            assert_eq!((one, other), (8, 8), "{}", task.name);
        }
    }
}
