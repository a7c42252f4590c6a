//! What the device at hand can do at best, by three small programs.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Instant, SystemTime};

use natgrad_ir::{BuildErrors, Builder, DType, DotDims, Module, TensorType, Value, Violations, verify};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::roofline::{DeviceFigures, Measured as Measurement};
use crate::compile::{Device, DeviceError};
use crate::files::hex;
use crate::lower::{Donation, LowerError, Lowering, Materialization, to_stablehlo};
use crate::phase::{self, Phase};
use crate::pjrt::{self, Arg, Buffer};
use crate::report::date;
use crate::train::write_atomically;

/// Why a device could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// A program was built wrongly.
    #[error("building a program to measure with: {0}")]
    Build(#[from] BuildErrors),
    /// A program breaks an invariant of the IR.
    #[error("building a program to measure with: {0}")]
    Invalid(#[from] Violations),
    /// A program could not be lowered.
    #[error("lowering a program to measure with: {0}")]
    Lower(#[from] LowerError),
    /// A program gives back nothing.
    #[error("a program to measure with gave no result")]
    NoResult,
    /// The device failed.
    #[error(transparent)]
    Pjrt(#[from] pjrt::Error),
    /// No array could be put on the device.
    #[error(transparent)]
    Device(Box<DeviceError>),
}

/// Elements of the array that is read and written: no cache holds it.
const STREAMED: usize = 1 << 25;
/// Elements of one that caches hold, which takes longer than a call.
const CACHED: usize = 1 << 20;
/// Rows of square matrices; of the larger ones where a device is done with the smaller before it is well at work.
const ROWS: [usize; 2] = [1024, 4096];
/// Seconds that a product is to take at least.
const WELL_AT_WORK: f64 = 1e-3;
/// Elements that are computed on, which caches hold.
const COMPUTED: usize = 1 << 17;
/// Multiplications and additions of each of them: so few that a processor has several elements' under way.
const ROUNDS: usize = 16;
/// Rounds of a device that is measured once and for all.
const MEASURED_IN: usize = 5;
/// Runs, of which the fastest counts: others may have been held up. At least so many, and for so many seconds.
const RUNS: usize = 5;
const SECONDS: f64 = 0.1;
/// A run is as many calls, one after another, as take so many seconds, but no more than so many: what it takes to make a call and to
/// await it does not count where calls are short.
const RUN_SECONDS: f64 = 5e-3;
const CALLS: usize = 64;

impl DeviceFigures {
    /// Measures a device: how fast it adds one to a large array and to one that caches hold,
    /// multiplies matrices of each type, and computes on a small array. Takes a second or two on a processor of a few cores.
    ///
    /// # Errors
    /// See [`MeasureError`].
    pub fn measure(device: &Device) -> Result<DeviceFigures, MeasureError> {
        let _measuring = phase::begin(Phase::Measuring);
        let measured = Measured { device };
        let array = |elements| TensorType::new(DType::F32, [elements]);
        let moved = |elements| -> Result<f64, MeasureError> {
            let seconds = measured.fastest(&array(elements), Memory::Same, |b, x| b.add_const(x, 1.0))?;
            Ok(2.0 * array(elements).size_bytes() as f64 / seconds)
        };
        let (bandwidth, cached) = (moved(STREAMED)?, moved(CACHED)?);
        let computing = measured.fastest(&array(COMPUTED), Memory::Same, |b, x| {
            (0..ROUNDS).fold(x, |y, _| {
                let product = b.mul(y, x);
                b.add(product, x)
            })
        })?;
        let mut products = BTreeMap::new();
        for dtype in [DType::F32, DType::BF16] {
            products.insert(dtype.name().to_owned(), measured.products(dtype)?);
        }
        Ok(DeviceFigures {
            name: format!("this {}, as measured", device.client().platform_name()),
            bandwidth,
            cached: Some(cached.max(bandwidth)),
            products,
            elementwise: (2 * COMPUTED * ROUNDS) as f64 / computing,
            measured: None,
        })
    }

    /// The figures of a device as they were measured before, or else now, in several rounds: a folder keeps them, so that least
    /// times do not differ from one report to the next. With `anew` they are measured in any case.
    ///
    /// # Errors
    /// See [`MeasureError`]. A folder that cannot be used is no error: it is warned of.
    pub fn known(device: &Device, folder: &Path, anew: bool) -> Result<DeviceFigures, MeasureError> {
        let described = device.described();
        let hash: String = hex(&Sha256::digest(described.as_bytes())).chars().take(16).collect();
        let path = folder.join(format!("{}-{hash}.json", device.client().platform_name()));
        let kept = if anew { None } else { read(&path) };
        if let Some(kept) = kept.filter(|kept| kept.device == described) {
            return Ok(kept.figures);
        }
        let figures = DeviceFigures::measure_well(device)?;
        let kept = Kept { device: described, figures };
        let json = serde_json::to_vec_pretty(&kept).map_err(|error| error.to_string());
        let made = std::fs::create_dir_all(folder).map_err(|error| error.to_string());
        let written =
            made.and(json).and_then(|json| write_atomically(&path, &json).map_err(|error| error.to_string()));
        match written {
            Ok(()) => tracing::info!("the device was measured: {}", path.display()),
            Err(reason) => tracing::warn!("{}: what was measured is not kept: {reason}", path.display()),
        }
        Ok(kept.figures)
    }

    /// Measures a device in several rounds, of which the best counts: others may have been held up.
    fn measure_well(device: &Device) -> Result<DeviceFigures, MeasureError> {
        let first = DeviceFigures::measure(device)?;
        let (mut best, mut worst) = (first.clone(), first);
        for _ in 1..MEASURED_IN {
            let next = DeviceFigures::measure(device)?;
            worst = worst.combined(&next, f64::min);
            best = best.combined(&next, f64::max);
        }
        let date = date(SystemTime::now());
        let measured = Measurement { date, rounds: MEASURED_IN, worst: Box::new(worst) };
        Ok(DeviceFigures { measured: Some(measured), ..best })
    }

    /// The better of two measurements of one device: the machine may have been busy during one of them.
    #[must_use]
    pub fn better(self, other: &DeviceFigures) -> DeviceFigures {
        self.combined(other, f64::max)
    }

    /// One of each two figures.
    fn combined(mut self, other: &DeviceFigures, choose: fn(f64, f64) -> f64) -> DeviceFigures {
        for (ty, &rate) in &other.products {
            let mine = self.products.entry(ty.clone()).or_insert(rate);
            *mine = choose(*mine, rate);
        }
        let cached = [self.cached, other.cached].into_iter().flatten().reduce(choose);
        DeviceFigures {
            bandwidth: choose(self.bandwidth, other.bandwidth),
            cached,
            elementwise: choose(self.elementwise, other.elementwise),
            ..self
        }
    }
}

/// What is kept of a device.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// What tells it from others.
    device: String,
    figures: DeviceFigures,
}

/// What is kept in a file; nothing if it is not there or is of another natgrad.
fn read(path: &Path) -> Option<Kept> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Where the result of a program lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Memory {
    /// In that of its operand, so that no call has to get any.
    Same,
    /// In some other.
    Other,
}

/// What is measured.
#[derive(Clone, Copy, Debug)]
struct Measured<'a> {
    device: &'a Device,
}

impl Measured<'_> {
    /// Floating-point operations a second in products of matrices.
    fn products(self, dtype: DType) -> Result<f64, MeasureError> {
        let mut rate = 0.0_f64;
        for rows in ROWS {
            let ty = TensorType::new(dtype, [rows, rows]);
            let dims = DotDims { lhs_contract: vec![1], rhs_contract: vec![0], ..DotDims::default() };
            let seconds = self.fastest(&ty, Memory::Other, |b, x| b.dot(x, x, dims))?;
            rate = rate.max(2.0 * (rows as f64).powi(3) / seconds);
            if seconds >= WELL_AT_WORK {
                break;
            }
        }
        Ok(rate)
    }

    /// The least seconds of a call of a program that makes an array of another of its type.
    fn fastest(
        self,
        ty: &TensorType,
        memory: Memory,
        compute: impl FnOnce(&mut Builder, Value) -> Value,
    ) -> Result<f64, MeasureError> {
        let mut b = Builder::new("main");
        let operand = b.param("x", ty.clone());
        let result = compute(&mut b, operand);
        let mut module = Module::new("measure");
        module.push(b.finish(&[result])?);
        let output = match memory {
            Memory::Same => Some(0),
            Memory::Other => None,
        };
        let donation = Donation { aliases: vec![output] };
        let text = to_stablehlo(&verify(module)?, &donation, Lowering::chosen(Materialization::Barrier))?;
        let executable = self.device.client().compile(text.as_bytes(), self.device.options())?;
        // Each call works on what the one before it made.
        let run = |mut array: Buffer, calls: usize| -> Result<(Buffer, f64), MeasureError> {
            let begin = Instant::now();
            for _ in 0..calls {
                array = executable.execute([Arg::Donate(array)])?.pop().ok_or(MeasureError::NoResult)?;
            }
            array.wait()?;
            Ok((array, begin.elapsed().as_secs_f64() / calls as f64))
        };
        let array = self
            .device
            .upload(ty, &vec![0; ty.size_bytes()])
            .map_err(|error| MeasureError::Device(Box::new(error)))?;
        // The first call also gets memory.
        let (array, _) = run(array, 1)?;
        let (mut array, seconds) = run(array, 1)?;
        let calls = ((RUN_SECONDS / seconds).ceil() as usize).clamp(1, CALLS);
        let (begin, mut runs, mut least) = (Instant::now(), 0, f64::INFINITY);
        while runs < RUNS || begin.elapsed().as_secs_f64() < SECONDS {
            let (after, seconds) = run(array, calls)?;
            (array, runs, least) = (after, runs + 1, least.min(seconds));
        }
        Ok(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_of_two_measurements_is_taken_figure_by_figure() {
        let figures = |bandwidth, cached, f32s, elementwise| DeviceFigures {
            name: "toy".to_owned(),
            bandwidth,
            cached,
            products: [("f32".to_owned(), f32s)].into(),
            elementwise,
            measured: None,
        };
        let better = figures(1.0, Some(8.0), 3.0, 4.0).better(&figures(2.0, None, 5.0, 3.0));
        assert_eq!(better, figures(2.0, Some(8.0), 5.0, 4.0));
    }

    #[test]
    fn a_device_is_measured_once_and_known_from_then_on() {
        let folder = tempfile::tempdir().unwrap();
        let device = Device::cpu().unwrap();
        let known = |anew| DeviceFigures::known(&device, &folder.path().join("devices"), anew).unwrap();
        let first = known(false);
        let measured = first.measured.clone().unwrap();
        assert!(
            measured.rounds == MEASURED_IN && measured.date.len() == "2026-01-01 00:00".len(),
            "{measured:?}"
        );
        assert!(
            measured.worst.bandwidth <= first.bandwidth && measured.worst.elementwise <= first.elementwise
        );
        assert_eq!(known(false), first);
        let path = std::fs::read_dir(folder.path().join("devices")).unwrap().next().unwrap().unwrap().path();
        std::fs::write(&path, "{").unwrap();
        assert!(known(false).measured.is_some(), "a damaged file is replaced");
        assert!(read(&path).is_some());
    }

    #[test]
    fn the_device_at_hand_is_measured() {
        let figures = DeviceFigures::measure(&Device::cpu().unwrap()).unwrap();
        let rates = figures.products.values().copied().chain([figures.bandwidth, figures.elementwise]);
        assert!(rates.into_iter().all(|rate| rate.is_finite() && rate > 0.0), "{figures:?}");
        assert!(figures.cached >= Some(figures.bandwidth), "{figures:?}");
    }
}
