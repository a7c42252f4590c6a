//! The family as a table: a line a rule, a column an axis.

use super::point::{
    Curvature, Decay, GradientAt, Momentum, Point, Posterior, PrecisionUpdate, RootOffset, Scaling,
};
use super::{Estimator, Rule};

/// The axes, as the table names them.
const AXES: [&str; 7] =
    ["posterior", "gradient at", "curvature", "moves by", "momentum", "direction over", "decay"];

/// The table in Markdown, of every rule with its defaults.
pub fn table() -> String {
    let mut lines = vec![row("rule", AXES.map(str::to_string)), row("---", AXES.map(|_| "---".to_string()))];
    lines.extend(Rule::all().iter().map(|rule| row(rule.name(), axes(rule))));
    lines.join("\n") + "\n"
}

fn row(first: &str, cells: [String; 7]) -> String {
    format!("| {first} | {} |", cells.join(" | "))
}

fn axes(rule: &Rule) -> [String; 7] {
    let Point { posterior, gradient_at, curvature, precision, momentum, scaling, decay, clipped, .. } =
        rule.point();
    let posterior = match posterior {
        Posterior::Point => "point",
        Posterior::Gaussian => "diagonal Gaussian",
    };
    let gradient_at = match (posterior, gradient_at) {
        ("point", _) => "point",
        (_, GradientAt::Mean) => "mean",
        (_, GradientAt::Sample) => "samples, or mean",
    };
    let precision = match precision {
        PrecisionUpdate::None => "-",
        PrecisionUpdate::MovingAverage => "moving average",
        PrecisionUpdate::Riemannian => "moving average, kept positive",
    };
    let momentum = match momentum {
        Momentum::None => "-".to_string(),
        Momentum::Average { debias } => with("moving average", &[(debias, "debiased")]),
        Momentum::HeavyBall { .. } => "heavy ball, or Nesterov's".to_string(),
    };
    let scaling = match scaling {
        Scaling::None => "1".to_string(),
        Scaling::Inverse => with("h + delta", &[(clipped, "clipped")]),
        Scaling::Natural => "S', of natural parameters".to_string(),
        Scaling::Root { offset, debias, .. } => {
            let offset = match offset {
                RootOffset::Epsilon => "eps",
                RootOffset::WeightDecay => "delta",
            };
            with(&format!("sqrt(h) + {offset}"), &[(debias, "debiased")])
        }
    };
    let decay = match decay {
        Decay::Coupled => "in the gradient",
        Decay::Decoupled => "beside the step",
        Decay::Prior => "prior, after the momentum",
    };
    let curvature = match has_choice(rule) {
        Some(default) => format!("{default}, or another estimator"),
        None => describe(curvature).to_string(),
    };
    [
        posterior.to_string(),
        gradient_at.to_string(),
        curvature,
        precision.to_string(),
        momentum,
        scaling,
        decay.to_string(),
    ]
}

/// The default estimator of a rule that has a choice.
fn has_choice(rule: &Rule) -> Option<&'static str> {
    let estimator = match rule {
        Rule::Blr(blr) => blr.estimator,
        Rule::Von(von) => von.estimator,
        Rule::Ivon(ivon) => ivon.estimator,
        Rule::Sgd(_) | Rule::Rmsprop(_) | Rule::Adam(_) | Rule::Adamw(_) | Rule::Vogn(_) | Rule::Vadam(_) => {
            return None;
        }
    };
    Some(match estimator {
        Estimator::Price => "Price's",
        Estimator::Gradsq => "squared gradient",
        Estimator::PerExample => "examples' squared gradients",
        Estimator::HessianVector => "Hessian-vector",
    })
}

fn describe(curvature: Curvature) -> &'static str {
    match curvature {
        Curvature::None => "-",
        Curvature::SquaredMean | Curvature::Squared { .. } => "squared gradient",
        Curvature::PerExample => "examples' squared gradients",
        Curvature::Price => "Price's",
        Curvature::HessianVector => "Hessian-vector",
    }
}

fn with(words: &str, options: &[(bool, &str)]) -> String {
    let chosen = options.iter().filter(|(chosen, _)| *chosen).map(|(_, option)| *option);
    std::iter::once(words).chain(chosen).collect::<Vec<&str>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_this_table() {
        let text = include_str!("../../docs/rules.md");
        assert!(text.contains(&table()), "docs/rules.md must have\n\n{}", table());
    }
}
