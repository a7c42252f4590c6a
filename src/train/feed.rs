//! Where the examples of a run's calls come from: made ready on the host, or picked by number on the device.

use std::ops::Range;

use natgrad_ir::DType;

use super::session::CallRows;
use crate::compile::Target;
use crate::config::RunConfig;
use crate::data::{Batch, Batches, DataConfig, DataError, Examples, Prefetch};
use crate::step::{DeviceTable, Images, Placement};

/// The most bytes of features that are put on a device unless the configuration asks for it, and if it does.
const SMALL: usize = 256 << 20;
const LARGEST: usize = 1 << 30;

/// The most bytes of training examples that are put on the device, if they may be.
fn most_on_device(config: &RunConfig, target: Target) -> Option<usize> {
    match (config.step.data, target.placement()) {
        (Placement::Device, _) => Some(LARGEST),
        (Placement::Auto, Placement::Device) => Some(SMALL),
        (Placement::Host, _) | (Placement::Auto, Placement::Auto | Placement::Host) => None,
    }
}

/// Whether the device may hold the training examples: only the data themselves tell.
pub(super) fn may_be_on_device(config: &RunConfig, target: Target) -> bool {
    let is_table = match config.data {
        DataConfig::MnistSample { .. }
        | DataConfig::Csv(_)
        | DataConfig::Parquet(_)
        | DataConfig::Idx { .. }
        | DataConfig::FashionMnist { .. }
        | DataConfig::Cifar { .. }
        | DataConfig::Npy { .. }
        | DataConfig::Npz { .. } => true,
        DataConfig::Arrays {}
        | DataConfig::ImageFolder { .. }
        | DataConfig::TokenBins { .. }
        | DataConfig::Text { .. }
        | DataConfig::TextSample { .. } => false,
    };
    is_table && most_on_device(config, target).is_some()
}

/// What a run's step must know of the training examples that the device holds, if it does.
pub(super) fn table_on_device(
    config: &RunConfig,
    target: Target,
    examples: &Examples,
) -> Option<DeviceTable> {
    let table = examples.small_table(most_on_device(config, target)?)?;
    let images = match (table.augment(), table.example().features[0].shape.dims()) {
        (Some(_), &[height, width, channels]) => {
            Some(Images { shape: [height, width, channels], black: table.black() })
        }
        _ => None,
    };
    Some(DeviceTable { examples: table.len(), images })
}

/// The examples of calls, in the order of their steps.
#[derive(Debug)]
pub(super) enum Feed {
    /// Themselves.
    Examples(Prefetch),
    /// Their numbers.
    Numbers(ExampleNumbers),
}

/// Numbers of examples that the device holds.
#[derive(Debug)]
pub(super) struct ExampleNumbers {
    examples: Examples,
    batches: Batches,
    steps: Range<u64>,
    per_call: u64,
}

/// The examples of one call.
#[derive(Debug)]
pub(super) enum CallBatch {
    /// Themselves.
    Examples(Batch),
    /// Their numbers, and how images are changed.
    Numbers {
        /// A `u32` each.
        rows: Vec<u8>,
        /// Three `u32` each, where images are changed.
        crops: Vec<u8>,
    },
}

impl CallBatch {
    /// What the call takes.
    pub fn rows(&self) -> CallRows<'_> {
        match self {
            CallBatch::Examples(Batch { features, labels }) => CallRows::Given { features, labels },
            CallBatch::Numbers { rows, crops } => CallRows::Numbered { rows, crops },
        }
    }
}

impl Feed {
    /// The examples of `steps`, `per_call` steps at a time.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn new(
        on_device: bool,
        examples: &Examples,
        batches: &Batches,
        steps: Range<u64>,
        per_call: u64,
    ) -> Result<Feed, DataError> {
        let (examples, batches) = (examples.clone(), batches.clone());
        Ok(match on_device {
            true => Feed::Numbers(ExampleNumbers { examples, batches, steps, per_call }),
            false => Feed::Examples(Prefetch::new(examples, batches, steps, per_call)?),
        })
    }

    /// The examples of the next call; none after the last.
    ///
    /// # Errors
    /// Those of reading that call's examples.
    pub fn next_call(&mut self) -> Result<Option<CallBatch>, DataError> {
        match self {
            Feed::Examples(ahead) => Ok(ahead.next_call()?.map(CallBatch::Examples)),
            Feed::Numbers(numbers) => Ok(numbers.next_call()),
        }
    }

    /// Gives the memory of examples that are not needed any more to later ones.
    pub fn give_back(&mut self, batch: CallBatch) {
        if let (Feed::Examples(ahead), CallBatch::Examples(batch)) = (self, batch) {
            ahead.give_back(batch);
        }
    }
}

impl ExampleNumbers {
    fn next_call(&mut self) -> Option<CallBatch> {
        if self.steps.is_empty() {
            return None;
        }
        let (mut rows, mut crops) = (Vec::new(), Vec::new());
        for step in self.steps.by_ref().take(self.per_call as usize) {
            for crop in self.batches.crops(&self.examples, step).into_iter().flatten() {
                for number in [crop.dy as u32, crop.dx as u32, u32::from(crop.flip)] {
                    crops.extend(number.to_ne_bytes());
                }
            }
            rows.extend(self.batches.rows(step).iter().flat_map(|row| row.to_ne_bytes()));
        }
        Some(CallBatch::Numbers { rows, crops })
    }
}

/// Every example of a table, row-major.
///
/// # Errors
/// Those of reading examples.
pub(super) fn whole(examples: &Examples) -> Result<Batch, DataError> {
    let mut all = Batch::default();
    let rows: Vec<u32> = (0..examples.len() as u32).collect();
    examples.append(&rows, None, &mut all)?;
    debug_assert_eq!(examples.example().features[0].dtype, DType::F32);
    Ok(all)
}
