//! Compares the step times of rules on the same model and data: in turns, with intervals, until the interval of each ratio is
//! narrow enough; what the parts of a step cost; and a model of what steps cost.

mod case;
mod cost;
mod entrant;
mod fit;
mod include;
mod interval;
mod machine;
mod parts;

mod render;
mod report;
mod server;
mod settle;
pub mod synthetic;
mod turns;
mod work;

use std::time::Duration;

use natgrad_layers::Task;

pub use case::{Case, Cases, Vary};
pub use cost::{Cost, CostModel, Costs, FAR, ModelFit};
pub use entrant::{CompileTimes, Entrant, From, compile_times};
pub use include::{IncludeError, include};
pub use interval::Interval;
pub use machine::machine;
pub use report::{Control, PartCost, Parts, Report, Row, Throughput};
pub use server::{Server, ServerError};
pub use turns::{Budget, Rounds, take_turns};
pub use work::{Work, WorkError};

use crate::compile::{Device, DeviceError};
use crate::config::RunConfig;
use crate::inspect::{DeviceFigures, MeasureError};
use crate::train::TrainError;

/// Why a comparison failed.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A rule cannot be trained on the model, or the device failed.
    #[error("{case} with {rule}: {source}")]
    Entrant {
        /// The configuration and what was changed in it.
        case: String,
        /// The rule.
        rule: String,
        /// The configuration as it is with the rule.
        config: Box<RunConfig>,
        /// What is wrong.
        source: Box<TrainError>,
    },
    /// Another program cannot be timed.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// What the device does at best cannot be measured.
    #[error("measuring the device: {0}")]
    Measure(#[from] MeasureError),
}

impl CompareError {
    fn of(case: &str, config: &RunConfig, source: TrainError) -> CompareError {
        let (rule, config) = (config.rule.name().to_string(), Box::new(config.clone()));
        CompareError::Entrant { case: case.to_string(), rule, config, source: Box::new(source) }
    }
}

/// What to compare, and how long.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// What is compared.
    pub cases: Vec<Case>,
    /// For each case, and for the parts of each of its rules, when to stop.
    pub budget: Budget,
    /// Whether to measure what the parts of a step cost.
    pub parts: bool,
    /// The seed of the order of turns.
    pub seed: u64,
}

/// News of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub enum News<'a> {
    /// An entrant is being compiled.
    Preparing {
        /// The configuration and what was changed in it.
        case: &'a str,
        /// The entrant.
        entrant: &'a str,
    },
    /// A round has ended.
    Round {
        /// The configuration and what was changed in it.
        case: &'a str,
        /// How many there were.
        rounds: usize,
        /// The width of the widest interval, as a part.
        width: f64,
    },
}

/// Told of a comparison's progress.
pub type Observer<'a> = &'a mut dyn FnMut(News);

/// Something that takes turns.
enum Runner<'a> {
    /// natgrad's own step.
    Own(Box<Entrant<'a>>),
    /// Another program's.
    Other { framework: String, rule: String, steps: usize },
}

/// Compares. `server` takes turns where it knows a configuration of which nothing was changed.
///
/// # Errors
/// See [`CompareError`].
pub fn compare(
    device: &Device,
    comparison: &Comparison,
    mut server: Option<&mut Server>,
    observer: Observer,
) -> Result<Report, CompareError> {
    // The bounds of the cost model, which one case has none of.
    let has_model = comparison.cases.len() > 1;
    let measure = || DeviceFigures::measure(device);
    let before = has_model.then(measure).transpose()?;
    let mut report = Report { wanted_width: comparison.budget.width, ..Report::default() };
    for case in &comparison.cases {
        one_case(device, comparison, case, server.as_deref_mut(), observer, &mut report)?;
        if comparison.parts {
            for config in &case.entrants {
                let costs = parts::measure(device, comparison, case, config, observer)?;
                report.parts.push(costs);
            }
        }
    }
    if let Some(before) = before {
        report.model = CostModel::fit(&report.rows, &before.better(&measure()?));
    }
    Ok(report)
}

fn one_case(
    device: &Device,
    comparison: &Comparison,
    case: &Case,
    mut server: Option<&mut Server>,
    observer: Observer,
    report: &mut Report,
) -> Result<(), CompareError> {
    let name = report::case(&case.config, &case.variation);
    let (mut runners, mut rows) = (Vec::new(), Vec::new());
    for config in &case.entrants {
        let rule = config.rule.name();
        observer(News::Preparing { case: &name, entrant: rule });
        let failed = |source| CompareError::of(&name, config, source);
        let entrant = Entrant::new(device, config, None).map_err(failed)?;
        let times = compile_times(device, entrant.program()).map_err(failed)?;
        rows.push(row(case, config, &entrant, times).map_err(failed)?);
        runners.push(Runner::Own(Box::new(entrant)));
    }
    if let Some(server) = server.as_deref_mut().filter(|_| case.variation.is_empty()) {
        for (framework, rule) in server.entrants(&case.config)? {
            observer(News::Preparing { case: &name, entrant: &format!("{framework} {rule}") });
            let step = server.time((&framework, &rule), &case.config, 1)?;
            let steps = entrant::calls_of_a_turn(step);
            rows.push(Row { framework: Some(framework.clone()), ..Row::unmeasured(case, &rule) });
            runners.push(Runner::Other { framework, rule, steps });
        }
    }

    // The first rule runs twice a round: what it is of itself tells how far ratios can be trusted.
    let control = runners.len();
    let mut turn = |number: usize| -> Result<f64, CompareError> {
        match &mut runners[if number == control { 0 } else { number }] {
            Runner::Own(entrant) => entrant
                .turn(From::Host)
                .map_err(|source| CompareError::of(&name, &case.entrants[number % control], source)),
            Runner::Other { framework, rule, steps } => {
                let server = server.as_deref_mut().ok_or_else(|| ServerError::Start {
                    command: String::new(),
                    reason: "it has ended".to_string(),
                })?;
                let seconds = server.time((framework, rule), &case.config, *steps)?;
                Ok(seconds / *steps as f64)
            }
        }
    };
    let rounds = take_turns(control + 1, comparison.budget, comparison.seed, &mut turn, |rounds| {
        let width = (1..=control).map(|number| rounds.ratio(number, 0).width()).fold(0.0, f64::max);
        observer(News::Round { case: &name, rounds: rounds.count(), width });
        width <= comparison.budget.width
    })?;
    let rules: Vec<String> = case.entrants.iter().map(|config| config.rule.name().to_string()).collect();
    for (number, row) in rows.iter_mut().enumerate() {
        let own = rules.iter().position(|rule| *rule == row.rule).filter(|_| row.framework.is_some());
        row.natgrad_over_it = own.map(|own| rounds.ratio(own, number));
        row.step_ms = rounds.milliseconds(number);
        row.ratio = rounds.ratio(number, 0);
        row.rounds = rounds.count();
        row.steps_per_round = match &runners[number] {
            Runner::Own(entrant) => entrant.steps(),
            Runner::Other { steps, .. } => *steps,
        };
        if let Some(throughput) = &mut row.throughput {
            // Until here it holds what a step works through.
            throughput.per_second *= 1e3 / row.step_ms.median;
        }
    }
    if let Some(server) = server {
        for runner in &runners {
            if let Runner::Other { framework, rule, .. } = runner {
                server.forget((framework, rule), &case.config)?;
            }
        }
    }
    let rule = rows.first().map(|row| row.rule.clone()).unwrap_or_default();
    report.controls.push(Control {
        config: case.config.clone(),
        variation: case.variation.clone(),
        rule,
        ratio: rounds.ratio(control, 0),
    });
    report.rows.extend(rows);
    Ok(())
}

/// A row whose times are not known yet.
fn row(case: &Case, config: &RunConfig, entrant: &Entrant, times: CompileTimes) -> Result<Row, TrainError> {
    let step = entrant.program();
    let stats = step.executable.memory_stats().map_err(DeviceError::from)?;
    let interface = &step.program.interface;
    let (unit, of_row) = match config.model.task() {
        Task::Tokens => ("tokens", interface.labels.shape.elements()),
        Task::Classes | Task::Numbers { noise: _ } | Task::Own
            if interface.features.iter().any(|(_, ty)| ty.rank() == 3) =>
        {
            ("images", 1)
        }
        Task::Classes | Task::Numbers { noise: _ } | Task::Own => ("rows", 1),
    };
    // What a plugin does not tell of its program, the cost model does without.
    let work =
        Work::of(step).map_err(|error| tracing::debug!("the work of a step is not known: {error}")).ok();
    Ok(Row {
        throughput: Some(Throughput {
            unit: unit.to_string(),
            per_second: (config.rows_per_step() * of_row) as f64,
        }),
        peak_bytes: u64::try_from(stats.needed()).ok(),
        compile_ms: Some(times.cold),
        load_ms: Some(times.warm),
        parameters: Some(interface.elements() as u64),
        state_bytes_per_parameter: Some(interface.state_bytes() as f64 / interface.elements().max(1) as f64),
        work,
        ..Row::unmeasured(case, config.rule.name())
    })
}

impl Row {
    /// The row of something that has yet to take its turns.
    fn unmeasured(case: &Case, rule: &str) -> Row {
        Row {
            config: case.config.clone(),
            variation: case.variation.clone(),
            framework: None,
            rule: rule.to_string(),
            step_ms: Interval::UNKNOWN,
            ratio: Interval::UNKNOWN,
            natgrad_over_it: None,
            rounds: 0,
            steps_per_round: 0,
            in_turns: true,
            throughput: None,
            peak_bytes: None,
            compile_ms: None,
            load_ms: None,
            parameters: None,
            state_bytes_per_parameter: None,
            work: None,
        }
    }
}

/// As wide as ratios' intervals may be, as a part, unless another width is asked for.
pub const NARROW: f64 = 0.01;
/// How long a case takes at most, unless another time is asked for.
pub const TIME: Duration = Duration::from_secs(60);
