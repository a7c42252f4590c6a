//! Parameter groups: which parameters are frozen, or have a weight decay or learning rate of their own.

use natgrad_layers::Param;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hyper::{Group, Hyper, HyperValues};

/// A group of parameters, by name and rank. In JSON: `{"max_rank": 1, "weight_decay": 0}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ParamGroup {
    /// Patterns of names, `*` standing for any characters; every name if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// The largest rank of its tensors: 1 takes biases and scales. Any if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rank: Option<usize>,
    /// Their weight decay; the rule's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub weight_decay: Option<f64>,
    /// What their learning rate is multiplied by; 1 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub lr_factor: Option<f64>,
    /// Whether they stay as they begin: no gradient, noise or state.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub frozen: bool,
}

/// Where one parameter belongs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Its group.
    pub group: Group,
    /// Whether it is frozen.
    pub frozen: bool,
    /// Whether its group has a learning-rate factor.
    pub scaled: bool,
}

/// What is wrong with groups.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} is {value}, but must be {wanted}")]
pub struct GroupError {
    /// The field, within the list of groups, such as `[1].names`.
    pub path: String,
    /// Its value, printed.
    pub value: String,
    /// What would be right.
    pub wanted: String,
}

/// Whether a name matches a pattern whose `*` stand for any characters. Each part between two `*` is looked for once,
/// where it comes first: what is left for the others is then the longest.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    let between = name.strip_prefix(head).and_then(|name| name.strip_suffix(tail));
    let mut parts = middle.split('*');
    let left = between.and_then(|name| {
        parts.try_fold(name, |name, part| name.find(part).map(|at| &name[at + part.len()..]))
    });
    left.is_some()
}

impl ParamGroup {
    fn takes(&self, param: &Param) -> bool {
        let named = self.names.is_empty() || self.names.iter().any(|pattern| matches(pattern, &param.name));
        named && self.max_rank.is_none_or(|rank| param.shape.rank() <= rank)
    }

    fn check(&self, index: usize, params: &[Param]) -> Result<(), GroupError> {
        let wrong = |field: &str, value: String, wanted: String| {
            Err(GroupError { path: format!("[{index}].{field}"), value, wanted })
        };
        if let Some(decay) = self.weight_decay
            && !(decay.is_finite() && decay >= 0.0)
        {
            return wrong("weight_decay", decay.to_string(), "a number of at least 0".to_string());
        }
        if let Some(factor) = self.lr_factor
            && !(factor.is_finite() && factor >= 0.0)
        {
            return wrong("lr_factor", factor.to_string(), "a number of at least 0".to_string());
        }
        for pattern in &self.names {
            if !params.iter().any(|param| matches(pattern, &param.name)) {
                let names: Vec<&str> = params.iter().map(|param| param.name.as_str()).collect();
                let wanted = format!("patterns that match parameters; there are {}", names.join(", "));
                return wrong("names", format!("{pattern:?}"), wanted);
            }
        }
        Ok(())
    }
}

/// Where every parameter belongs: to the first group that takes it, or to the default one.
///
/// # Errors
/// A field is out of range, a pattern matches nothing, or every parameter is frozen.
pub fn resolve(groups: &[ParamGroup], params: &[Param]) -> Result<Vec<Member>, GroupError> {
    for (index, group) in groups.iter().enumerate() {
        group.check(index, params)?;
    }
    let members: Vec<Member> = params
        .iter()
        .map(|param| match groups.iter().position(|group| group.takes(param)) {
            None => Member::default(),
            Some(index) => Member {
                group: Group(u16::try_from(index + 1).unwrap_or(u16::MAX)),
                frozen: groups[index].frozen,
                scaled: groups[index].lr_factor.is_some(),
            },
        })
        .collect();
    if members.iter().all(|member| member.frozen) {
        return Err(GroupError {
            path: String::new(),
            value: "such that every parameter is frozen".to_string(),
            wanted: "groups that leave something to train".to_string(),
        });
    }
    Ok(members)
}

/// Sets the hyperparameters of groups, those that they leave out as the default group's.
pub fn set_values(groups: &[ParamGroup], values: &mut HyperValues) {
    let decay = values.get(Hyper::WeightDecay(Group::DEFAULT));
    for (index, group) in groups.iter().enumerate() {
        let number = Group(u16::try_from(index + 1).unwrap_or(u16::MAX));
        if let Some(decay) = group.weight_decay.or(decay) {
            values.set(Hyper::WeightDecay(number), decay);
        }
        if let Some(factor) = group.lr_factor {
            values.set(Hyper::LrFactor(number), factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use natgrad_layers::{Activation, Mlp, NamedModel};

    fn params() -> Vec<Param> {
        NamedModel::Mlp(Mlp { sizes: vec![3, 4, 2], activation: Activation::Relu, noise: None }).params()
    }

    fn named(names: &[&str]) -> ParamGroup {
        ParamGroup { names: names.iter().map(ToString::to_string).collect(), ..ParamGroup::default() }
    }

    #[test]
    fn patterns() {
        for (pattern, name, wanted) in [
            ("*", "", true),
            ("layers.*.bias", "layers.0.bias", true),
            ("layers.*.bias", "layers.0.weight", false),
            ("*0*", "layers.0.weight", true),
            ("layers.0.weight", "layers.0.weight", true),
            ("layers.0", "layers.0.weight", false),
            ("*.*.*.*", "layers.0.weight", false),
            ("a*", "é", false),
            ("*é", "aé", true),
            ("ab*ba", "aba", false),
            ("ab*ba", "abba", true),
            ("*ab*ab", "xabyab", true),
            ("*ab*ab", "xab", false),
            ("**", "", true),
            ("a**b", "ab", true),
        ] {
            assert_eq!(matches(pattern, name), wanted, "{pattern} {name}");
        }
    }

    #[test]
    fn patterns_of_many_stars_take_no_time() {
        let name = "a".repeat(10_000);
        assert!(!matches(&("*a".repeat(5_000) + "*b"), &name));
        assert!(matches(&("*a".repeat(10_000) + "*"), &name));
        assert!(!matches(&("*a".repeat(10_001) + "*"), &name));
    }

    #[test]
    fn the_first_group_that_takes_a_parameter_has_it() {
        let groups = [
            ParamGroup { frozen: true, ..named(&["layers.0.*"]) },
            ParamGroup { max_rank: Some(1), weight_decay: Some(0.0), lr_factor: Some(2.0), ..named(&[]) },
        ];
        let members = resolve(&groups, &params()).unwrap();
        let frozen = Member { group: Group(1), frozen: true, scaled: false };
        let bias = Member { group: Group(2), frozen: false, scaled: true };
        assert_eq!(members, [frozen, frozen, Member::default(), bias]);

        let mut values = HyperValues::default();
        values.set(Hyper::WeightDecay(Group::DEFAULT), 0.5);
        set_values(&groups, &mut values);
        assert_eq!(values.get(Hyper::WeightDecay(Group(1))), Some(0.5));
        assert_eq!(values.get(Hyper::WeightDecay(Group(2))), Some(0.0));
        assert_eq!(values.get(Hyper::LrFactor(Group(2))), Some(2.0));
    }

    #[test]
    fn mistakes_are_named() {
        let message = |group: ParamGroup| resolve(&[group], &params()).unwrap_err().to_string();
        let unknown = message(named(&["layers.9.*"]));
        assert!(
            unknown.starts_with("[0].names is \"layers.9.*\", but must be patterns that match"),
            "{unknown}"
        );
        assert!(unknown.contains("layers.1.bias"), "{unknown}");
        assert_eq!(
            message(ParamGroup { weight_decay: Some(-1.0), ..named(&[]) }),
            "[0].weight_decay is -1, but must be a number of at least 0"
        );
        assert!(message(ParamGroup { frozen: true, ..named(&[]) }).contains("every parameter is frozen"));
    }
}
