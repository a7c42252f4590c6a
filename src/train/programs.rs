//! The programs of a run: all that it runs on its device. They are written here alone, so that what is compiled ahead is what
//! a run asks for.

use natgrad_layers::Task;
use serde_json::Value;

use super::TrainError;
use super::feed::{may_be_on_device, table_on_device};
use crate::compile::{Compiler, Device, DeviceError, ExecutableFacts, Executables, Target};
use crate::config::{ClassWeights, RunConfig, differences};
use crate::data::Examples;
use crate::lower::Loops;
use crate::posterior::{Predictor, PredictorError, PredictorPrograms};
use crate::step::{DeviceTable, Program, Recipe, Slot, StepError};

/// What a session compiles.
pub(super) struct SessionPrograms {
    pub step: Program,
    /// The step for calls of fewer steps, where `step` always runs as many.
    pub rest: Option<Program>,
    pub start: Program,
    /// Where the mean is not kept.
    pub recover: Option<Program>,
}

impl SessionPrograms {
    /// Those for batches of `rows`; `step` writes the step as the device wants it.
    pub(super) fn of(
        recipe: &Recipe,
        rows: usize,
        step: impl FnOnce(&Recipe, usize) -> Result<Program, StepError>,
    ) -> Result<SessionPrograms, StepError> {
        let step = step(recipe, rows)?;
        let counts = step.inputs.contains(&Slot::StepCount);
        let rest = if counts || recipe.plan.per_call == 1 { None } else { Some(recipe.step(rows)?) };
        let start = recipe.start()?;
        let recover = if step.interface.is_implicit() { Some(recipe.recover()?) } else { None };
        Ok(SessionPrograms { step, rest, start, recover })
    }
}

/// All programs of a run, whose predictions are of as many rows at a time as fit.
fn all(config: &RunConfig, target: Target, table: Option<&DeviceTable>) -> Result<Vec<Program>, TrainError> {
    let recipe = config.recipe(target.state_plan());
    let session = Recipe { table: table.cloned(), ..recipe.clone() };
    let SessionPrograms { step, rest, start, recover } =
        SessionPrograms::of(&session, config.batch, |recipe, rows| target.step(recipe, rows))?;
    let mut programs: Vec<Program> = [Some(step), rest, Some(start), recover].into_iter().flatten().collect();
    if config.model.task() != Task::Own {
        let rows = Predictor::rows_at_a_time(config.model.model(), config.batch, usize::MAX);
        let PredictorPrograms { predict, draw } = PredictorPrograms::of(&recipe, rows)?;
        programs.extend([Some(predict), draw].into_iter().flatten());
    }
    Ok(programs)
}

/// Whether the programs of a run on this target depend on its training examples: on their number, where the device holds
/// them, or on how many each class has, where the loss weighs classes so.
pub fn needs_data(config: &RunConfig, target: Target) -> bool {
    may_be_on_device(config, target) || config.loss.class_weights == Some(ClassWeights::Balanced)
}

/// Compiles all programs of a run, for [`Device::with_executables`] of another process or machine. `train` are the training
/// examples, where [`needs_data`] asks for them; `told` hears of each program and the seconds that it took.
///
/// ```no_run
/// use natgrad::compile::{Compiler, Device, Executables};
/// use natgrad::config::RunConfig;
/// use natgrad::train::{Run, compile_run};
///
/// let config = RunConfig::load(None, &["step.data=host".to_string()])?;
/// let compiler = Compiler::open(Some("cuda:h100".parse()?))?;
/// compile_run(&compiler, &config, None, &mut |_, _| {})?.write("step.natgrad")?;
///
/// // Elsewhere:
/// let device = Device::cuda(0)?.with_executables(Executables::read("step.natgrad")?)?;
/// let splits = config.load_data(natgrad::assets::fetch)?;
/// let training = Run::of(config).splits(splits).start(&device)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// A program cannot be built or compiled, or the training examples are missing.
pub fn compile_run(
    compiler: &Compiler,
    config: &RunConfig,
    train: Option<&Examples>,
    told: &mut dyn FnMut(&ExecutableFacts, f64),
) -> Result<Executables, TrainError> {
    let target = compiler.target();
    let mut config = config.clone();
    if needs_data(&config, target) && train.is_none() {
        let reason = "the programs depend on the training rows, and there are none: give them, or set `step.data` to `host` \
                      and `loss.class_weights` to numbers";
        return Err(TrainError::Refused { call: "compile_run", reason: reason.to_string() });
    }
    if let Some(counts) = train.and_then(|train| train.class_counts(config.model.classes())) {
        config.loss.balance(None, &counts);
    }
    let table = train.and_then(|train| table_on_device(&config, target, train));
    let mut executables = Executables::empty(compiler, config.to_json())?.with_table(table.clone());
    for program in all(&config, target, table.as_ref())? {
        let begin = std::time::Instant::now();
        executables.add(compiler, program)?;
        if let Some(facts) = executables.header().programs.last() {
            told(facts, begin.elapsed().as_secs_f64());
        }
    }
    Ok(executables)
}

/// Says why a program is not among the executables that a device was given, where that is the error.
pub(crate) fn explain(
    device: &Device,
    config: &RunConfig,
    table: Option<&DeviceTable>,
    error: TrainError,
) -> TrainError {
    let (program, file) = match error {
        TrainError::Device(DeviceError::NotGiven { program, file })
        | TrainError::Predict(PredictorError::Device(DeviceError::NotGiven { program, file })) => {
            (program, file)
        }
        other => return other,
    };
    let reason = device.executables().map(|given| Given::of(given, device).reason(config, table));
    match reason {
        Some(Ok(reason)) => TrainError::Executables { file, reason },
        Some(Err(error)) => error,
        None => TrainError::Device(DeviceError::NotGiven { program, file }),
    }
}

/// Executables of a device.
struct Given<'a> {
    executables: &'a Executables,
    target: Target,
    loops: Loops,
}

impl<'a> Given<'a> {
    fn of(executables: &'a Executables, device: &Device) -> Given<'a> {
        Given { executables, target: device.target(), loops: device.lowering().loops }
    }

    /// Whether all programs of a run are there, with the training examples that they were compiled for.
    fn fits(&self, config: &RunConfig) -> Result<bool, TrainError> {
        let table = self.executables.header().table.as_ref();
        for program in all(config, self.target, table)? {
            if !self.executables.has(self.target, self.loops, &program)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The first thing in which a run differs so that its programs are others.
    fn reason(&self, now: &RunConfig, table: Option<&DeviceTable>) -> Result<String, TrainError> {
        let header = self.executables.header();
        // Of another natgrad's file fields may be missing, or be unknown.
        let then = RunConfig::from_json("the executables", header.run.clone());
        let then = then.map_or_else(|_| header.run.clone(), |then| then.to_json());
        let now = now.to_json();
        let found = differences(&then, &now);
        for difference in &found {
            // A choice of another kind has other fields: it is taken whole.
            let whole = difference.path.strip_suffix(".kind").unwrap_or(&difference.path);
            let Ok(mixed) = RunConfig::from_json("the run", with(&then, &now, whole)) else {
                return Ok(told(&difference.path, &difference.then, &difference.now));
            };
            if !self.fits(&mixed)? {
                return Ok(told(&difference.path, &difference.then, &difference.now));
            }
        }
        let rows = |table: Option<&DeviceTable>| {
            table.map_or("none".to_string(), |table| table.examples.to_string())
        };
        if header.table.as_ref() != table {
            let (then, now) = (rows(header.table.as_ref()), rows(table));
            return Ok(format!(
                "one with {then} of its training rows on the device, and this run has {now} there (`step.data`)"
            ));
        }
        let own = env!("CARGO_PKG_VERSION");
        if header.natgrad != own {
            let then = &header.natgrad;
            return Ok(format!(
                "natgrad {then} wrote its programs, and this is natgrad {own}: compile it again"
            ));
        }
        let paths: Vec<&str> = found.iter().map(|difference| &*difference.path).collect();
        Ok(match paths[..] {
            [] => "natgrad writes its programs otherwise now: compile it again".to_string(),
            _ => format!("{} together make other programs", paths.join(", ")),
        })
    }
}

fn told(path: &str, then: &Value, now: &Value) -> String {
    let of = |value: &Value| match value {
        Value::Null => "none".to_string(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    format!("one with `{path}` {}, and this run has {}", of(then), of(now))
}

/// The one configuration with a field of the other.
fn with(then: &Value, now: &Value, path: &str) -> Value {
    let mut mixed = then.clone();
    let (mut to, mut from) = (&mut mixed, now);
    let keys: Vec<&str> = path.split('.').collect();
    for (at, key) in keys.iter().enumerate() {
        let value = from.get(key);
        let Some(object) = to.as_object_mut() else { break };
        match value {
            None => {
                object.remove(*key);
                break;
            }
            Some(value) if at + 1 == keys.len() || !object.get(*key).is_some_and(Value::is_object) => {
                object.insert((*key).to_string(), value.clone());
                break;
            }
            Some(value) => from = value,
        }
        let Some(next) = object.get_mut(*key) else { break };
        to = next;
    }
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(set: &Value) -> RunConfig {
        let mut value = json!({"model": {"kind": "mlp", "sizes": [2, 3, 2]}, "batch": 4});
        value.as_object_mut().unwrap().extend(set.as_object().unwrap().clone());
        RunConfig::from_json("the test", value).unwrap()
    }

    #[test]
    fn a_run_has_these_programs() {
        let names = |set: &Value, target| {
            let programs = all(&config(set), target, None).unwrap();
            let names = programs.iter().map(|program| program.module.module().name.clone());
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(&json!({}), Target::Cpu), "step start predict draw");
        assert_eq!(names(&json!({"rule": {"kind": "adamw"}}), Target::Cpu), "step start predict");
        // The last call may have fewer steps.
        let several = json!({"step": {"per_call": 4}});
        assert_eq!(names(&several, Target::Cpu), "step start predict draw");
        assert_eq!(names(&several, Target::Gpu), "step step start recover predict draw");
    }

    #[test]
    fn programs_depend_on_data_where_the_device_holds_them_or_classes_are_balanced() {
        let needs = |set: &Value, target| needs_data(&config(set), target);
        assert!(!needs(&json!({}), Target::Cpu) && needs(&json!({}), Target::Gpu));
        assert!(!needs(&json!({"step": {"data": "host"}}), Target::Gpu));
        assert!(needs(&json!({"loss": {"class_weights": "balanced"}}), Target::Cpu));
    }

    #[test]
    fn a_field_is_taken_from_the_other() {
        let then = json!({"a": {"b": 1, "c": 2}, "d": 3});
        let now = json!({"a": {"b": 4}, "d": 3, "e": {"f": 5}});
        assert_eq!(with(&then, &now, "a.b"), json!({"a": {"b": 4, "c": 2}, "d": 3}));
        assert_eq!(with(&then, &now, "a.c"), json!({"a": {"b": 1}, "d": 3}));
        assert_eq!(with(&then, &now, "e"), json!({"a": {"b": 1, "c": 2}, "d": 3, "e": {"f": 5}}));
        assert_eq!(with(&then, &now, "a"), json!({"a": {"b": 4}, "d": 3}));
    }
}
