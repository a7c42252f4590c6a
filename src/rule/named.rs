//! Rules by the names that configurations give them: natgrad's own, and those that a program registers.

use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Adam, AdamW, Blr, Ivon, RmsProp, Rule, Sgd, Vadam, Vogn, Von};

macro_rules! named_rules {
    ($($(#[$meta:meta])* $variant:ident($rule:ident),)*) => {
        /// The rule of a configuration, `{"kind": "ivon", "lr": 0.2, ...}`.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "kebab-case")]
        #[schemars(tag = "kind")]
        pub enum NamedRule {
            $($(#[$meta])* $variant($rule),)*
            /// One of the program's own.
            #[serde(skip)]
            Own(OwnRule),
        }

        impl NamedRule {
            /// Every rule of natgrad's, with its defaults.
            pub fn all() -> Vec<NamedRule> {
                vec![$(NamedRule::$variant($rule::default()),)*]
            }

            /// The rule.
            pub fn rule(&self) -> &(dyn Rule + 'static) {
                match self {
                    $(NamedRule::$variant(rule) => rule,)*
                    NamedRule::Own(own) => own.rule(),
                }
            }

            /// A rule of natgrad's; none of a program's own.
            fn known(rule: &dyn Any) -> Option<NamedRule> {
                $(if let Some(rule) = rule.downcast_ref::<$rule>() {
                    return Some(NamedRule::$variant(rule.clone()));
                })*
                None
            }
        }
    };
}

// The only list of rules.
named_rules! {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Gradients over the root of their mean square.
    Rmsprop(RmsProp),
    /// Adam with weight decay added to the gradient.
    Adam(Adam),
    /// Adam with decoupled weight decay.
    Adamw(AdamW),
    /// The Bayesian learning rule in natural parameters.
    Blr(Blr),
    /// Variational online Newton.
    Von(Von),
    /// Variational online Gauss-Newton.
    Vogn(Vogn),
    /// Adam by weight perturbation.
    Vadam(Vadam),
    /// Improved variational online Newton.
    Ivon(Ivon),
}

impl NamedRule {
    /// The names of all rules, registered ones included.
    pub fn names() -> Vec<String> {
        let kinds = KINDS.lock().unwrap_or_else(PoisonError::into_inner);
        let own = kinds.iter().map(|(kind, _)| (*kind).to_string());
        NamedRule::all().iter().map(|rule| rule.name().to_string()).chain(own).collect()
    }

    /// The rule of a name with its defaults; none if there is no such rule, or a registered one has fields without defaults.
    pub fn by_name(name: &str) -> Option<NamedRule> {
        let fields = Value::Object(serde_json::Map::new());
        let own = || OwnRule::parse(name, &fields)?.ok().map(NamedRule::Own);
        NamedRule::all().into_iter().find(|rule| rule.name() == name).or_else(own)
    }
}

impl Deref for NamedRule {
    type Target = dyn Rule;

    fn deref(&self) -> &(dyn Rule + 'static) {
        self.rule()
    }
}

/// A rule of natgrad's becomes one that configurations can name, any other one of the program's own: configurations and
/// checkpoints that are loaded can name it only once it is registered ([`register`]).
impl<R: Rule + Serialize + 'static> From<R> for NamedRule {
    fn from(rule: R) -> NamedRule {
        let known = NamedRule::known(&rule);
        known.unwrap_or_else(|| {
            let (kind, fields) = (rule.name().to_string(), serde_json::to_value(&rule).unwrap_or_default());
            NamedRule::Own(OwnRule { kind, rule: Arc::new(rule), fields })
        })
    }
}

/// A rule of a kind of the program's own.
#[derive(Clone)]
pub struct OwnRule {
    kind: String,
    rule: Arc<dyn Rule>,
    fields: Value,
}

impl OwnRule {
    /// The kind in configurations.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The rule.
    pub fn rule(&self) -> &(dyn Rule + 'static) {
        &*self.rule
    }

    /// Its fields, all of them.
    pub fn fields(&self) -> &Value {
        &self.fields
    }

    /// The rule of a registered kind from its fields; none if the kind is not registered.
    ///
    /// # Errors
    /// What is wrong with a field.
    pub(crate) fn parse(kind: &str, fields: &Value) -> Option<serde_json::Result<OwnRule>> {
        let kinds = KINDS.lock().unwrap_or_else(PoisonError::into_inner);
        let &(kind, parse) = kinds.iter().find(|(known, _)| *known == kind)?;
        Some(parse(fields).and_then(|(rule, fields)| {
            // Reports and errors name the rule, and what they name must be what configurations do.
            let name = rule.name().to_string();
            let wrong =
                || serde::de::Error::custom(format!("the rule registered as `{kind}` calls itself `{name}`"));
            if name == kind { Ok(OwnRule { kind: name, rule, fields }) } else { Err(wrong()) }
        }))
    }
}

impl fmt::Debug for OwnRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rule.fmt(f)
    }
}

impl PartialEq for OwnRule {
    fn eq(&self, other: &OwnRule) -> bool {
        (&self.kind, &self.fields) == (&other.kind, &other.fields)
    }
}

/// Makes a rule of its fields, and gives all of them.
type Parse = fn(&Value) -> serde_json::Result<(Arc<dyn Rule>, Value)>;

/// The registered kinds.
static KINDS: Mutex<Vec<(&str, Parse)>> = Mutex::new(Vec::new());

/// A kind that is there already.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rule of the kind `{kind}` is there already")]
pub struct RegisterError {
    /// The kind.
    pub kind: &'static str,
}

/// Lets configurations name a rule of the program's own, by what its [`Rule::name`] gives: `{"kind": "lion", "lr": 1e-4}` from then on, also in checkpoints that
/// are resumed. `#[serde(deny_unknown_fields, default)]` makes the type as strict and as lenient as natgrad's own.
///
/// # Errors
/// There is a rule of this kind.
pub fn register<R>(kind: &'static str) -> Result<(), RegisterError>
where
    R: Rule + Serialize + DeserializeOwned + 'static,
{
    fn parse<R>(fields: &Value) -> serde_json::Result<(Arc<dyn Rule>, Value)>
    where
        R: Rule + Serialize + DeserializeOwned + 'static,
    {
        let rule = R::deserialize(fields)?;
        let fields = serde_json::to_value(&rule)?;
        Ok((Arc::new(rule), fields))
    }
    let mut kinds = KINDS.lock().unwrap_or_else(PoisonError::into_inner);
    let is_natgrads = NamedRule::all().iter().any(|rule| rule.name() == kind);
    if is_natgrads || kinds.iter().any(|(known, _)| *known == kind) {
        return Err(RegisterError { kind });
    }
    kinds.push((kind, parse::<R>));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RunConfig;
    use crate::rule::{Numbers, Update};
    use serde_json::json;

    /// Steps of one length.
    #[derive(Clone, Debug, Default, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Signs {
        lr: f64,
    }

    impl Rule for Signs {
        fn name(&self) -> &str {
            "signs"
        }

        fn numbers(&self, _rows: usize) -> Numbers {
            Numbers::new(self.lr, 0.0)
        }

        fn update(&self, p: &Update<'_>) {
            p.set_mean(p.mean() - p.gradient().sign() * p.lr());
        }
    }

    #[test]
    fn a_registered_rule_is_one_by_name() {
        assert_eq!(register::<Signs>("ivon"), Err(RegisterError { kind: "ivon" }));
        register::<Signs>("signs").unwrap();
        assert_eq!(register::<Signs>("signs"), Err(RegisterError { kind: "signs" }));
        assert!(NamedRule::names().contains(&"signs".to_string()));
        assert_eq!(NamedRule::by_name("signs").unwrap().name(), "signs");
        assert_eq!(NamedRule::by_name("adam"), Some(NamedRule::Adam(Adam::default())));
        assert_eq!(NamedRule::by_name("no such rule"), None);

        register::<Signs>("other").unwrap();
        let other = RunConfig::from_json("a file", json!({"rule": {"kind": "other"}})).unwrap_err();
        assert!(other.to_string().contains("registered as `other` calls itself `signs`"), "{other}");

        let config = RunConfig::from_json("a file", json!({"rule": {"kind": "signs", "lr": 0.5}})).unwrap();
        assert_eq!(config.rule.lr(), 0.5);
        let printed = config.to_json();
        assert_eq!(printed["rule"], json!({"kind": "signs", "lr": 0.5}));
        assert_eq!(RunConfig::from_json("a file", printed).unwrap(), config);
        let set = ["rule.kind=signs".to_string(), "rule.lr=0.25".to_string()];
        assert_eq!(RunConfig::load(None, &set).unwrap().rule.lr(), 0.25);
        let error = RunConfig::load(None, &[set[0].clone(), "rule.rate=1".to_string()]).unwrap_err();
        assert!(error.to_string().contains("rate"), "{error}");
    }
}
