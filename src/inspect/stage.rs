//! Which phase of a program an instruction belongs to, by the name that the frontend gave it.

use std::fmt;

use serde::{Deserialize, Serialize};

pub use crate::step::StageKind as Stage;

/// The scope in which gradients put what they emit, behind the scope of what they differentiate.
const GRADIENT_SCOPE: &str = "grad";
/// The functions of linked models.
const LINKED_FUNCTIONS: [&str; 4] = ["loss_and_gradient", "squared_gradients", "hessian_vector", "predict"];
/// Scopes that say how a value is made rather than of which layer it is.
const INNER_SCOPES: [&str; 5] = [GRADIENT_SCOPE, "noise", "signs", "key", "mask"];

/// How the functions are called that a gradient computes again what it needs in, before a number.
const AGAIN: &str = "again.";

/// How the functions are called that lowering makes of parts of another, such as `main.elements12`, behind its name.
const OF_LOWERING: [&str; 3] = ["elements", "product", "sum"];

/// How the functions are called that copy matrices, before their type.
const TURNED: &str = "turned.";

/// Whether a scope is a function of natgrad's passes: no layer has its name.
fn is_of_pass(scope: &str) -> bool {
    let last = scope.rsplit_once('.').map_or("", |(_, last)| last);
    let kind = last.trim_end_matches(|byte: char| byte.is_ascii_digit());
    let is_part = kind.len() < last.len() && OF_LOWERING.contains(&kind);
    is_part || scope.starts_with(AGAIN) || scope.starts_with(TURNED)
}

/// How JAX's names of operations of the backward pass begin, in linked models.
const JAX_BACKWARD: &str = "transpose(";

/// What is between this beginning of a scope and the bracket at its end.
fn inside<'a>(scope: &'a str, start: &str) -> Option<&'a str> {
    scope.strip_prefix(start)?.strip_suffix(')')
}

/// The layer in a scope of JAX's, such as `dense` in `transpose(jvp(dense))`: none in that of the linked function itself.
fn layer_in_jax(scope: &str) -> &str {
    let name = inside(scope, JAX_BACKWARD).unwrap_or(scope);
    let name = inside(name, "jvp(").unwrap_or(name);
    match inside(name, "jit(") {
        Some(function) if LINKED_FUNCTIONS.contains(&function) => "",
        _ => name,
    }
}

/// A phase of a program, that its costs are counted under: a stage, or a pass of the stage that evaluates the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Phase {
    /// A stage before the loss is evaluated, in its place in the order of [`Stage::ALL`].
    Before(Stage),
    /// The loss.
    Forward,
    /// Its gradient.
    Backward,
    /// A stage after it.
    After(Stage),
    /// Nothing that has a name: what the compiler put in.
    Other,
}

impl Phase {
    /// The phase of a stage; of the one that evaluates the loss, its gradient or not.
    pub fn new(stage: Stage, is_gradient: bool) -> Phase {
        match stage {
            Stage::LossAndGradient if is_gradient => Phase::Backward,
            Stage::LossAndGradient => Phase::Forward,
            stage if stage < Stage::LossAndGradient => Phase::Before(stage),
            stage => Phase::After(stage),
        }
    }

    /// The stage.
    pub fn stage(self) -> Option<Stage> {
        match self {
            Phase::Before(stage) | Phase::After(stage) => Some(stage),
            Phase::Forward | Phase::Backward => Some(Stage::LossAndGradient),
            Phase::Other => None,
        }
    }

    /// Whether it is a pass over the model: the loss or its gradient.
    pub fn is_model(self) -> bool {
        matches!(self, Phase::Forward | Phase::Backward)
    }

    /// Whether it is of the optimizer: what a step does beside the loss, its gradient and making ready its data.
    pub fn is_optimizer(self) -> bool {
        match self.stage() {
            None
            | Some(
                Stage::LossAndGradient
                | Stage::MaskKey
                | Stage::Gather
                | Stage::Predict
                | Stage::Next
                | Stage::Extend
                | Stage::Distribution
                | Stage::Ranking,
            ) => false,
            Some(
                Stage::Key
                | Stage::Recover
                | Stage::Probe
                | Stage::Further
                | Stage::Product
                | Stage::Offset
                | Stage::Accumulate
                | Stage::Average
                | Stage::ClipNorm
                | Stage::Estimate
                | Stage::Update
                | Stage::Resample
                | Stage::Metrics
                | Stage::Start
                | Stage::Draw,
            ) => true,
        }
    }

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Before(stage) | Phase::After(stage) => stage.name(),
            Phase::Forward => "forward",
            Phase::Backward => "backward",
            Phase::Other => "other",
        }
    }

    /// The phase of this name in reports.
    pub fn from_name(name: &str) -> Option<Phase> {
        let stages = Stage::ALL.into_iter().map(|stage| Phase::new(stage, true));
        stages.chain([Phase::Forward, Phase::Other]).find(|phase| phase.name() == name)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl From<Phase> for String {
    fn from(phase: Phase) -> String {
        phase.name().to_owned()
    }
}

impl TryFrom<String> for Phase {
    type Error = String;

    fn try_from(name: String) -> Result<Phase, String> {
        Phase::from_name(&name).ok_or_else(|| format!("`{name}` is no part of a program"))
    }
}

/// Where an operation comes from: the phase of the program, and the layer or parameter of the model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The phase.
    #[serde(rename = "part")]
    pub phase: Phase,
    /// The scope in it, e.g. `layers.0` or, in an update, `layers.0.weight`; empty where there is none.
    pub layer: String,
}

impl Origin {
    /// The origin that an operation's name tells: its path has the stage, the scopes in it and the operation.
    ///
    /// XLA may put components before it, and joins the names of operations that it merged with `;`; the first that has
    /// a stage counts.
    ///
    /// ```
    /// use natgrad::inspect::{Origin, Phase};
    ///
    /// let origin = Origin::of("jit(main)/loss_and_gradient/layers.0/grad/dot").unwrap();
    /// assert_eq!((origin.phase, origin.layer.as_str()), (Phase::Backward, "layers.0"));
    /// assert_eq!(Origin::of("jit(main)/convert"), None);
    /// ```
    pub fn of(op_name: &str) -> Option<Origin> {
        op_name.split(';').find_map(|name| {
            let path: Vec<&str> = name.split('/').collect();
            let (at, stage) = path.iter().enumerate().find_map(|(at, component)| {
                Stage::ALL.into_iter().find(|stage| stage.name() == *component).map(|stage| (at, stage))
            })?;
            let scopes = &path[at + 1..path.len().max(at + 2) - 1];
            let layer: Vec<&str> = scopes
                .iter()
                .copied()
                .filter(|scope| !INNER_SCOPES.contains(scope) && !is_of_pass(scope))
                .map(layer_in_jax)
                .filter(|scope| !scope.is_empty())
                .collect();
            let is_gradient =
                scopes.iter().any(|scope| *scope == GRADIENT_SCOPE || scope.starts_with(JAX_BACKWARD));
            let phase = Phase::new(stage, is_gradient);
            Some(Origin { phase, layer: layer.join("/") })
        })
    }
}

/// The stage in an operation's name, as [`Origin::of`] finds it.
///
/// ```
/// use natgrad::inspect::{Stage, stage_of};
///
/// assert_eq!(stage_of("jit(main)/update/layers.0.weight/mul"), Some(Stage::Update));
/// assert_eq!(stage_of("jit(main)/convert"), None);
/// ```
pub fn stage_of(op_name: &str) -> Option<Stage> {
    Origin::of(op_name)?.phase.stage()
}

/// Whether an operation's name says that it is one of those that make noise, before it is scaled.
pub(super) fn is_noise(op_name: &str) -> bool {
    op_name.split(['/', ';']).any(|component| matches!(component, "noise" | "signs"))
}

/// Whether an operation's name says that it makes keys of noise, a few words for each tensor.
pub(super) fn is_key(op_name: &str) -> bool {
    op_name.split(['/', ';']).any(|component| component == "key")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(op_name: &str) -> Option<(Phase, String)> {
        Origin::of(op_name).map(|origin| (origin.phase, origin.layer))
    }

    #[test]
    fn the_outermost_component_decides() {
        assert_eq!(stage_of("main/update/layers.0.weight/mul"), Some(Stage::Update));
        assert_eq!(stage_of("jit(f)/main/loss_and_gradient/draw/dot"), Some(Stage::LossAndGradient));
        assert_eq!(stage_of("jit(f)/add;jit(f)/resample/w/add"), Some(Stage::Resample));
    }

    #[test]
    fn parts_of_components_do_not_count() {
        assert_eq!(stage_of("jit(update)/updates/update.1/mul"), None);
        assert_eq!(stage_of(""), None);
    }

    #[test]
    fn gradients_are_the_backward_pass_of_their_layer() {
        let layer = "layers.0".to_owned();
        assert_eq!(origin("main/loss_and_gradient/layers.0/dot"), Some((Phase::Forward, layer.clone())));
        assert_eq!(origin("main/loss_and_gradient/layers.0/grad/dot"), Some((Phase::Backward, layer)));
        assert_eq!(origin("loss_and_gradient/grad/add"), Some((Phase::Backward, String::new())));
        assert_eq!(
            origin("resample/blocks.1.bias/noise/mul"),
            Some((Phase::After(Stage::Resample), "blocks.1.bias".to_owned()))
        );
        assert_eq!(origin("main/update"), Some((Phase::After(Stage::Update), String::new())));
        assert_eq!(origin("main/loss_and_gradient/a/b/dot"), Some((Phase::Forward, "a/b".to_owned())));
        let product = "main/loss_and_gradient/conv/grad/loss_and_gradient.product347/dot";
        assert_eq!(origin(product), Some((Phase::Backward, "conv".to_owned())));
        let sum = "main/loss_and_gradient/frn1/grad/loss_and_gradient.sum3/reduce_sum";
        assert_eq!(origin(sum), Some((Phase::Backward, "frn1".to_owned())));
        let turned = "main/loss_and_gradient/c_fc/grad/turned.1024x64.bf16/transpose";
        assert_eq!(origin(turned), Some((Phase::Backward, "c_fc".to_owned())));
        let elements = "main/key/main.elements12/slice";
        assert_eq!(origin(elements), Some((Phase::Before(Stage::Key), String::new())));
        assert_eq!(
            origin("main/update/net.product.weight/mul"),
            Some((Phase::After(Stage::Update), "net.product.weight".to_owned()))
        );
    }

    #[test]
    fn passes_of_linked_models_are_known_by_the_names_of_jax() {
        let of = |name: &str| origin(&format!("main/loss_and_gradient/jit(loss_and_gradient)/{name}"));
        let is = |phase: Phase, layer: &str| Some((phase, layer.to_owned()));
        assert_eq!(of("jvp()/mul"), is(Phase::Forward, ""));
        assert_eq!(of("transpose(jvp())/mul"), is(Phase::Backward, ""));
        assert_eq!(of("jvp(dense)/jit(relu)/max"), is(Phase::Forward, "dense/jit(relu)"));
        assert_eq!(of("transpose(jvp(dense))/dot_general"), is(Phase::Backward, "dense"));
        assert_eq!(of("transpose(jvp(mlp))/dense/dot_general"), is(Phase::Backward, "mlp/dense"));
        assert_eq!(of("jvp(dense"), is(Phase::Forward, ""));
    }

    #[test]
    fn parts_are_in_the_order_of_a_step_and_known_by_their_names() {
        let mut phases: Vec<Phase> = Stage::ALL.into_iter().map(|stage| Phase::new(stage, true)).collect();
        phases.extend([Phase::Forward, Phase::Other]);
        for &phase in &phases {
            assert_eq!(Phase::from_name(phase.name()), Some(phase));
        }
        assert_eq!(Phase::from_name("loss_and_gradient"), None);
        phases.sort();
        let names: Vec<&str> = phases.iter().map(|phase| phase.name()).collect();
        let first =
            ["key", "recover", "probe", "mask_key", "gather", "forward", "backward", "further_sample"];
        assert_eq!(names[..8], first);
        assert_eq!(names.last(), Some(&"other"));
    }

    #[test]
    fn noise_is_known_by_its_scope() {
        assert!(is_noise("main/resample/layers.0.weight/noise/mul"));
        assert!(!is_noise("main/resample/layers.0.weight/add"));
    }
}
