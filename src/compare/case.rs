//! What is compared: configurations, each with variations of its fields, under several rules.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config::{ConfigError, RunConfig};
use crate::rule::{NamedRule, Needs};
use crate::step::StatePlan;

/// One model and its data, under several rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The configuration's name: that of its file.
    pub config: String,
    /// What was changed in it.
    pub variation: BTreeMap<String, Value>,
    /// The configuration with each rule, in the order that they were asked for.
    pub entrants: Vec<RunConfig>,
}

/// A field and the values that it takes one after another.
#[derive(Clone, Debug, PartialEq)]
pub struct Vary {
    /// The field's path.
    pub path: String,
    /// Its values.
    pub values: Vec<Value>,
}

/// Which cases.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cases {
    /// The files; the default run if there are none.
    pub configs: Vec<PathBuf>,
    /// Changes of fields, as `PATH=VALUE`.
    pub set: Vec<String>,
    /// Fields of several values: every combination is a case.
    pub vary: Vec<Vary>,
    /// The rules' names.
    pub rules: Vec<String>,
}

impl Cases {
    /// Reads the configurations.
    ///
    /// # Errors
    /// Names the file, the field, its value and what would be right.
    pub fn load(&self) -> Result<Vec<Case>, ConfigError> {
        let files: Vec<Option<&Path>> = match self.configs.is_empty() {
            true => vec![None],
            false => self.configs.iter().map(|path| Some(path.as_path())).collect(),
        };
        let names = self.names();
        let mut cases = Vec::new();
        for (file, config) in files.into_iter().zip(names) {
            for variation in combinations(&self.vary) {
                let entrants = self.rules.iter().map(|rule| self.entrant(file, rule, &variation));
                let entrants = entrants.collect::<Result<_, _>>()?;
                cases.push(Case { config: config.clone(), variation, entrants });
            }
        }
        Ok(cases)
    }

    /// Names of the configurations: those of their files, or their paths where two files have the same name.
    fn names(&self) -> Vec<String> {
        if self.configs.is_empty() {
            return vec!["default".to_string()];
        }
        let stem = |path: &PathBuf| {
            path.file_stem()
                .map_or_else(|| path.display().to_string(), |stem| stem.to_string_lossy().into_owned())
        };
        let stems: Vec<String> = self.configs.iter().map(stem).collect();
        let name =
            |(stem, path): (&String, &PathBuf)| match stems.iter().filter(|other| *other == stem).count() {
                1 => stem.clone(),
                _ => path.display().to_string(),
            };
        stems.iter().zip(&self.configs).map(name).collect()
    }

    fn entrant(
        &self,
        file: Option<&Path>,
        rule: &str,
        variation: &BTreeMap<String, Value>,
    ) -> Result<RunConfig, ConfigError> {
        let varied = variation.iter().map(|(path, value)| format!("{path}={value}"));
        let overrides: Vec<String> = self.set.iter().cloned().chain(varied).collect();
        let mut config = RunConfig::load(file, &overrides)?;
        if config.rule.name() != rule {
            config.rule = NamedRule::by_name(rule).ok_or_else(|| ConfigError::Range {
                source_name: "--rules".to_string(),
                path: "rules".to_string(),
                value: format!("\"{rule}\""),
                wanted: format!("among {}", NamedRule::names().join(", ")),
            })?;
        }
        if !config.rule.samples() {
            // What a rule without samples has no use for, it does without.
            config.step.samples = 1;
            config.step.state = StatePlan::Auto;
        }
        if Needs::of(config.rule.rule()).is_ok_and(|needs| !needs.takes_prior) {
            config.prior = None;
        }
        let source = file.map_or_else(|| "the default run".to_string(), |path| path.display().to_string());
        config.validate(&format!("{source} with {rule}"))?;
        Ok(config)
    }
}

/// Every combination of the fields' values; one without any field if there are none.
fn combinations(vary: &[Vary]) -> Vec<BTreeMap<String, Value>> {
    let mut combinations = vec![BTreeMap::new()];
    for Vary { path, values } in vary {
        combinations = combinations
            .into_iter()
            .flat_map(|so_far: BTreeMap<String, Value>| {
                values.iter().map(move |value| {
                    let mut next = so_far.clone();
                    next.insert(path.clone(), value.clone());
                    next
                })
            })
            .collect();
    }
    combinations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases(rules: &[&str], vary: Vec<Vary>) -> Cases {
        let rules = rules.iter().map(|rule| rule.to_string()).collect();
        Cases { vary, rules, ..Cases::default() }
    }

    fn vary(path: &str, values: &[i64]) -> Vary {
        Vary { path: path.to_string(), values: values.iter().map(|&value| value.into()).collect() }
    }

    #[test]
    fn every_combination_is_a_case() {
        let cases =
            cases(&["adamw", "ivon"], vec![vary("batch", &[8, 16]), vary("step.samples", &[1, 2, 4])]);
        let cases = cases.load().unwrap();
        assert_eq!(cases.len(), 6);
        let last = &cases[5];
        assert_eq!(last.variation["batch"], 16);
        let samples: Vec<u32> = last.entrants.iter().map(|config| config.step.samples).collect();
        assert_eq!(samples, [1, 4], "a rule without samples takes one");
        assert!(last.entrants.iter().all(|config| config.batch == 16));
    }

    #[test]
    fn the_configurations_own_rule_keeps_its_values() {
        let mut cases = cases(&["ivon", "sgd"], Vec::new());
        cases.set = vec!["rule.lr=0.125".to_string()];
        let entrants = &cases.load().unwrap()[0].entrants;
        assert_eq!((entrants[0].rule.lr(), entrants[1].rule.name()), (0.125, "sgd"));
    }

    #[test]
    fn a_prior_is_of_the_rules_that_can_have_one() {
        let mut cases = cases(&["adamw", "ivon", "von"], Vec::new());
        cases.set = vec!["prior.run=\"first\"".to_string()];
        let entrants = &cases.load().unwrap()[0].entrants;
        assert_eq!(entrants.iter().map(|one| one.prior.is_some()).collect::<Vec<_>>(), [false, true, true]);
    }

    #[test]
    fn an_unknown_rule_is_answered_with_the_known_ones() {
        let error = cases(&["adamx"], Vec::new()).load().unwrap_err().to_string();
        assert!(error.contains("adamx") && error.contains("adamw") && error.contains("ivon"), "{error}");
    }
}
