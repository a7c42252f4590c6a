//! Training: sessions on a device, the step loop, metrics, checkpoints.

mod changes;
mod check;
mod checkpoint;
mod diverge;
mod evaluate;
mod feed;
mod files;
mod finite;
mod fit;
mod folder;
mod load;
mod memory;
mod merge;
mod metrics;
mod motion;
mod predict;
mod prepared;
mod prior;
mod programs;
mod progress;
mod run;
mod running_mean;
mod save;
mod save_clock;
mod seal;
mod session;
mod sound;
mod source;
mod stepper;
mod tensorboard;
mod training;
mod tune;
mod validation;

use std::path::PathBuf;

use natgrad_layers::ModelFault;

pub use changes::{MAY_CHANGE, may_change};
pub use check::{check, notes};
pub use checkpoint::{
    BEST_NAME as BEST_FILE, Checkpoint, FILE_NAME as CHECKPOINT_FILE, Header, kept as kept_checkpoints,
};
pub use diverge::{Divergence, Symptom};
pub use evaluate::{Reliability, TestScores};
pub use files::write_atomically;
pub use folder::{FolderError, RunFolder};
pub use memory::check_memory;
pub use merge::merge;
pub use metrics::{ASIDE_NAME as METRICS_UNREAD_FILE, FILE_NAME as METRICS_FILE, Record};
pub use motion::HessMotion;
pub use predict::{At, Prediction};
pub(crate) use prepared::load_ahead;
pub use prior::Prior;
pub(crate) use programs::explain;
pub use programs::{compile_run, needs_data};
pub use progress::{Observer, Progress, RunReport};
pub use run::Run;
pub use session::{CallData, CallRows, HostTensor, PendingSteps, Session, StepScalars, UploadedRows};
pub use source::Source;
pub use stepper::{State, Stepper};
pub use tensorboard::{EventFile, FOLDER as EVENT_FOLDER};
pub use training::Training;
pub use tune::{Trial, best_rate, held_out, held_out_part, rates, rows_to_tune_on, try_rate, with_rate};
pub use validation::{Best, Validated};

use crate::compile::DeviceError;
use crate::data::DataError;
use crate::posterior::PredictorError;
use crate::size::Size;
use crate::step::StepError;
use crate::weights::WeightsError;

/// Why training stopped.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The model has a mistake.
    #[error(transparent)]
    Model(#[from] ModelFault),
    /// A program could not be built.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The data cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The weights to start from cannot be used.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A prediction failed.
    #[error(transparent)]
    Predict(#[from] PredictorError),
    /// A field of the configuration is out of range.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// Arrays do not fit the model.
    #[error(transparent)]
    Arrays(#[from] crate::data::ArrayError),
    /// A call that cannot be done now.
    #[error("`{call}` is refused: {reason}")]
    Refused {
        /// The call.
        call: &'static str,
        /// Why, and what to do.
        reason: String,
    },
    /// The data does not fit the model.
    #[error("`{field}` is {value}, but the data has {found}: {wanted}")]
    Mismatch {
        /// The field of the configuration.
        field: &'static str,
        /// Its value.
        value: String,
        /// What the data has.
        found: String,
        /// What would be right.
        wanted: String,
    },
    /// There is not enough memory for the run's state.
    #[error(
        "the model's {parameters} parameters need at least {needed} for state and initial values, but {place} has \
         {there} for them; choose a smaller `model`, or a `rule` with less state"
    )]
    Memory {
        /// How many parameters the model has.
        parameters: usize,
        /// What is needed at least.
        needed: Size,
        /// Where.
        place: &'static str,
        /// What is there.
        there: Size,
    },
    /// A checkpoint does not fit the run.
    #[error("the checkpoint does not fit the run: {0}")]
    Checkpoint(String),
    /// The run that `prior` names cannot be its prior.
    #[error("`prior.run` is {}, which cannot be the prior: {reason}", run.display())]
    Prior {
        /// The earlier run.
        run: PathBuf,
        /// Why.
        reason: String,
    },
    /// The executables that the device was given are not those of this run.
    #[error("{} was compiled for another run: {reason}", file.display())]
    Executables {
        /// The file.
        file: PathBuf,
        /// What differs.
        reason: String,
    },
    /// The executables cannot be made.
    #[error(transparent)]
    NoExecutables(#[from] crate::compile::ExecutablesError),
    /// The run cannot have its folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A file cannot be written.
    #[error("cannot write {}: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The loss is not a finite number any more.
    #[error("{0}")]
    Diverged(Box<Divergence>),
    /// The run was asked to stop.
    #[error("stopped after step {step} of {total}")]
    Stopped {
        /// Steps done.
        step: u64,
        /// Steps of the whole run.
        total: u64,
        /// Where the run can be continued from; none without an output folder.
        checkpoint: Option<PathBuf>,
    },
}
