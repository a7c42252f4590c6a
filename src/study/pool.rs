//! Runs of configurations, several at a time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};

use super::runs::{Runs, StudyError};
use super::trained::{Job, Trained};
use crate::compile::{Device, Target};
use crate::config::RunConfig;
use crate::train::TrainError;

/// Makes those of the jobs that are not kept, `workers` at a time, and gives the runs of all in the jobs' order. Runs do not
/// depend on how many go on at a time: each draws its own numbers by its seed.
///
/// # Errors
/// A run fails or cannot be kept: those under way are given up. A run that diverges is no failure.
pub fn run_all(
    device: &Device,
    runs: &mut Runs<'_, Trained>,
    jobs: Vec<Job>,
    workers: usize,
) -> Result<Vec<Trained>, StudyError> {
    // Loading a program takes as long as a hundred steps of a small one.
    device.keep_programs();
    let mut found: Vec<Option<Trained>> = Vec::new();
    for job in &jobs {
        found.push(runs.kept(&job.key));
    }
    let open: Vec<(usize, Mutex<Option<Job>>)> = (0..)
        .zip(jobs)
        .filter(|(place, _)| found[*place].is_none())
        .map(|(place, job)| (place, Mutex::new(Some(job))))
        .collect();
    let (next, given_up) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (finished, results) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..workers.clamp(1, open.len().max(1)) {
            let finished = finished.clone();
            let (open, next, given_up) = (&open, &next, &given_up);
            scope.spawn(move || {
                while let Some((place, job)) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let job = job.lock().ok().and_then(|mut job| job.take());
                    let Some(job) = job else { continue };
                    // Nobody listens once a run has failed.
                    if finished.send((*place, job.run(device, given_up))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(finished);
        let keep = |(place, done): (usize, Result<Trained, TrainError>)| {
            found[place] = Some(runs.add(done?)?);
            Ok(())
        };
        results
            .into_iter()
            .try_for_each(keep)
            .inspect_err(|_: &StudyError| given_up.store(true, Ordering::Relaxed))
    })?;
    Ok(found.into_iter().flatten().collect())
}

/// Steps of larger models, in parameters, fill all cores by themselves, and several would need their memory several times.
const SMALL: usize = 2_000_000;

/// How many runs go on at a time where nothing else is said: on CPUs one a core, if their models are small. What a step of a
/// small model leaves idle of one core another run takes.
pub fn workers<'a>(target: Target, mut configs: impl Iterator<Item = &'a RunConfig>) -> usize {
    let size =
        |config: &RunConfig| config.model.params().iter().map(|param| param.shape.elements()).sum::<usize>();
    match target {
        Target::Cpu if configs.all(|config| size(config) <= SMALL) => {
            std::thread::available_parallelism().map_or(1, usize::from)
        }
        Target::Cpu | Target::Gpu | Target::Tpu | Target::Other => 1,
    }
}
