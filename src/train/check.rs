//! Whether data and configuration fit each other, before anything is compiled or written.

use natgrad_ir::{DType, TensorType};
use natgrad_layers::{Model, NamedModel, Task};

use super::TrainError;
use super::motion::too_slow;
use super::prior::overshoots;
use crate::config::{ClassWeights, MAX_STEPS, RunConfig};
use crate::data::shapes::{channels_first, fits};
use crate::data::{Batches, ExampleType, Examples, Note, Splits};

/// Checks that the model takes the data's columns and classes, that there are rows for a batch, and that the steps
/// can be counted. [`super::Run::start`] does so too.
///
/// # Errors
/// Names the field, its value, what the data has and what would be right.
pub fn check(config: &RunConfig, train: &Examples, test: Option<&Examples>) -> Result<(), TrainError> {
    let (inputs, classes) = match &config.model {
        NamedModel::Linear(linear) => {
            (("model.inputs", linear.inputs.to_string()), ("model.classes", linear.classes.to_string()))
        }
        NamedModel::LinearRegression(regression) => {
            (("model.inputs", regression.inputs.to_string()), ("model.kind", "linear-regression".to_string()))
        }
        NamedModel::Mlp(mlp) => {
            let sizes = ("model.sizes", format!("{:?}", mlp.sizes));
            (sizes.clone(), sizes)
        }
        NamedModel::ResNet(resnet) => {
            let outputs = match resnet.noise {
                None => ("model.classes", resnet.classes.to_string()),
                Some(_) => ("model.outputs", resnet.outputs.to_string()),
            };
            (("model.image", format!("{:?}", resnet.image)), outputs)
        }
        NamedModel::Own(own) => {
            let name = ("model", own.0.name().to_string());
            (name.clone(), name)
        }
        NamedModel::Stablehlo(linked) => {
            let name = ("model", linked.name().to_string());
            (name.clone(), name)
        }
        NamedModel::Gpt2(gpt2) => {
            (("model.context", gpt2.context.to_string()), ("model.vocabulary", gpt2.vocabulary.to_string()))
        }
    };
    let wrong = |(field, value): (&'static str, String), found: String, wanted: String| {
        Err(TrainError::Mismatch { field, value, found, wanted })
    };
    let example = train.example();
    let (features, labels) = (config.model.features(DType::F32), config.model.labels(DType::F32));
    let same_number = example.features.len() == features.len();
    if !same_number || !example.features.iter().zip(&features).all(|(found, wanted)| fits(found, wanted)) {
        let wanted = match (&example.features[..], &features[..]) {
            ([found], [wanted]) if channels_first(found, wanted).is_some() => {
                format!("the model takes {wanted}{}", channels_first(found, wanted).unwrap_or_default())
            }
            ([found], [wanted]) if found.dtype == wanted.dtype => {
                let (elements, inputs) = (found.shape.elements(), wanted.shape.elements());
                if elements == inputs {
                    format!("the model must take images of that shape, but takes {wanted}")
                } else {
                    format!("the model must take {elements} inputs")
                }
            }
            _ => format!("the model must take {}, but takes {}", list(&example.features), list(&features)),
        };
        return wrong(inputs, found_features(example), wanted);
    }
    let described = config.model.describe();
    let differ =
        example.labels.dtype != labels.dtype || example.labels.shape.elements() != labels.shape.elements();
    if described.takes_labels && differ {
        let hint = match (&config.model, example.labels.dtype.is_float(), labels.dtype.is_float()) {
            (NamedModel::Mlp(_) | NamedModel::ResNet(_), true, false) => {
                "; with `model.noise` it predicts numbers"
            }
            (NamedModel::Mlp(_) | NamedModel::ResNet(_), false, true) => {
                "; without `model.noise` it predicts classes"
            }
            _ => "",
        };
        let wanted = format!("the model must learn {}, but learns {labels}{hint}", example.labels);
        return wrong(classes, format!("labels {}", example.labels), wanted);
    }
    let found = example.classes.max(test.map_or(0, |test| test.example().classes));
    if config.model.task() != Task::Own && found > described.classes() {
        let what = if config.model.task() == Task::Tokens { "different tokens" } else { "classes" };
        let wanted = format!("the model must have at least {found} {what}");
        return wrong(classes, format!("{found} {what}"), wanted);
    }
    if config.loss.class_weights == Some(ClassWeights::Balanced)
        && let Some(counts) = train.class_counts(config.model.classes())
        && let Some(class) = counts.iter().position(|&count| count == 0)
    {
        let field = ("loss.class_weights", "\"balanced\"".to_string());
        let wanted = "there must be some, or the weights be given as numbers".to_string();
        return wrong(field, format!("no training rows of class {class}"), wanted);
    }
    let (rows, accumulation) = (train.len(), config.step.accumulation);
    if accumulation > 1 && config.batch <= rows && config.rows_per_step() > rows {
        let field = ("step.accumulation", accumulation.to_string());
        let batch = config.batch;
        let wanted = format!("{accumulation} times the `batch` of {batch} must be at most that");
        return wrong(field, format!("{rows} training rows"), wanted);
    }
    let steps_per_epoch = Batches::new(train.len(), config.rows_per_step(), config.seed)?.steps_per_epoch();
    let total = config.total_steps(steps_per_epoch);
    if total > MAX_STEPS {
        let length = ("length", format!("{total} steps"));
        let found = format!("{steps_per_epoch} steps an epoch");
        return wrong(length, found, format!("at most {MAX_STEPS} steps can be counted"));
    }
    Ok(())
}

/// What is worth knowing of a run's data before it is trained: what was decided, and what looks wrong.
pub fn notes(config: &RunConfig, splits: &Splits) -> Vec<Note> {
    let mut notes = config.data.notes(splits);
    let (found, wanted) = (&splits.train.example().features, config.model.features(DType::F32));
    if let ([found], [wanted]) = (&found[..], &wanted[..])
        && let (&[columns], &[height, width, channels]) = (found.shape.dims(), wanted.shape.dims())
    {
        let order = if channels == 1 { "row by row" } else { "row by row, channels last" };
        let image = format!("images of {height} x {width} x {channels}");
        notes.push(Note::Said(format!(
            "{}: {columns} columns are taken as {image}, {order}",
            config.data.name()
        )));
    }
    let per_epoch = Batches::new(splits.train.len(), config.rows_per_step(), config.seed);
    let steps = per_epoch.map(|batches| config.total_steps(batches.steps_per_epoch()));
    notes.extend(steps.ok().and_then(|steps| too_slow(config, steps)).map(Note::Warning));
    notes.extend(overshoots(config).map(Note::Warning));
    notes
}

/// The features in words.
fn found_features(example: &ExampleType) -> String {
    let [features] = &example.features[..] else { return format!("examples of {}", list(&example.features)) };
    match (features.dtype.is_float(), features.shape.dims()) {
        (true, [columns]) => format!("{columns} feature columns"),
        (true, [height, width, channels]) => format!("images of {height} x {width} x {channels}"),
        _ => format!("examples of {features}"),
    }
}

fn list(types: &[TensorType]) -> String {
    types.iter().map(TensorType::to_string).collect::<Vec<_>>().join(" and ")
}
