//! What a run began with, its data and initial weights, which a run that goes on must find as they were.

use natgrad_layers::Linked;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::TrainError;
use crate::config::RunConfig;
use crate::data::{DataError, Examples, Fingerprint, Splits};
use crate::files::hex;
use crate::phase::{self, Phase};
use crate::weights;

/// What tells a run's data and initial weights from others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The training data; absent where a loop of one's own gives the rows, and from older checkpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Fingerprint>,
    /// The data to judge by; absent where a run has none, and from older checkpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Fingerprint>,
    /// The data to judge by while training; absent where a run has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Fingerprint>,
    /// The SHA-256 of the file of initial weights, if they are from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<String>,
    /// The SHA-256 of the run that is the prior, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior: Option<String>,
    /// The SHA-256 of the functions of a model that comes as StableHLO.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

impl Source {
    /// That of a run.
    pub(super) fn of(
        config: &RunConfig,
        [train, validation, test]: [Option<&Examples>; 3],
    ) -> Result<Source, TrainError> {
        let begin = std::time::Instant::now();
        let _hashing = phase::begin(Phase::Hashing);
        let fingerprint = |examples: Option<&Examples>| examples.map(Examples::fingerprint).transpose();
        let (data, validation, test) = (fingerprint(train)?, fingerprint(validation)?, fingerprint(test)?);
        // A run that goes on does not need the file, so it may be gone.
        let digest = |path: &std::path::PathBuf| {
            let failed =
                |error: std::io::Error| TrainError::Read { path: path.clone(), reason: error.to_string() };
            let found = path.try_exists().map_err(failed)?;
            Ok::<_, TrainError>(if found { Some(weights::digest(path)?) } else { None })
        };
        let init = config.init.as_ref().map(digest).transpose()?.flatten();
        let prior = config.prior.as_ref().map(|prior| digest(&prior.run)).transpose()?.flatten();
        tracing::info!("data hashed in {:.2} s", begin.elapsed().as_secs_f64());
        Ok(Source { data, test, validation, init, prior, model: config.model.linked().map(functions) })
    }

    /// Whether nothing is known.
    pub(super) fn is_unknown(&self) -> bool {
        *self == Source::default()
    }

    /// What is different now, if anything is that is known of both.
    pub(super) fn change(&self, now: &Source) -> Option<String> {
        let of = |then: &Option<Fingerprint>, now: &Option<Fingerprint>, what| {
            then.as_ref().zip(now.as_ref()).and_then(|(then, now)| then.change(now, what))
        };
        let data = of(&self.data, &now.data, "training")
            .or_else(|| of(&self.validation, &now.validation, "validation"))
            .or_else(|| of(&self.test, &now.test, "test"));
        let init = self.init.as_ref().zip(now.init.as_ref()).filter(|(then, now)| then != now);
        let prior = self.prior.as_ref().zip(now.prior.as_ref()).filter(|(then, now)| then != now);
        let model = self.model.as_ref().zip(now.model.as_ref()).filter(|(then, now)| then != now);
        let model =
            model.map(|_| "the functions in the model's folder, `model.path`, are others now".to_string());
        data.or(model)
            .or_else(|| init.map(|_| "the file of initial weights, `init`, is another one now".to_string()))
            .or_else(|| prior.map(|_| "the run of the prior, `prior.run`, is another one now".to_string()))
    }

    /// What is different in these data, if anything is that is known of a run's.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn change_of_data(&self, now: &Splits) -> Result<Option<String>, DataError> {
        let all = [
            (&self.data, Some(&now.train), "training"),
            (&self.validation, now.validation.as_ref(), "validation"),
            (&self.test, Some(&now.test), "test"),
        ];
        let _hashing = phase::begin(Phase::Hashing);
        for (then, now, what) in all {
            if let (Some(then), Some(now)) = (then, now)
                && let Some(change) = then.change(&now.fingerprint()?, what)
            {
                return Ok(Some(change));
            }
        }
        Ok(None)
    }

    /// What is known now, and of what is not known now what was then.
    pub(super) fn or(self, then: &Source) -> Source {
        Source {
            data: self.data.or_else(|| then.data.clone()),
            test: self.test.or_else(|| then.test.clone()),
            validation: self.validation.or_else(|| then.validation.clone()),
            init: self.init.or_else(|| then.init.clone()),
            prior: self.prior.or_else(|| then.prior.clone()),
            model: self.model.or_else(|| then.model.clone()),
        }
    }
}

/// The SHA-256 of a linked model's functions.
fn functions(linked: &Linked) -> String {
    let further = linked.predict.iter().chain(&linked.squared_gradients).chain(&linked.hessian_vector);
    let all = [&linked.loss_and_gradient].into_iter().chain(further);
    let mut hash = Sha256::new();
    for function in all {
        hash.update(function.foreign.locations.as_bytes());
        hash.update(function.foreign.text.as_bytes());
    }
    hex(&hash.finalize())
}
