//! The examples of a call, on their way to the device.

use std::borrow::Cow;

use super::Session;
use crate::compile::DeviceError;
use crate::pjrt::Buffer;
use crate::step::{Extent, Slot};
use crate::train::TrainError;

/// The examples of a call.
#[derive(Clone, Copy, Debug)]
pub enum CallRows<'a> {
    /// Themselves, row-major.
    Given {
        /// The features, input by input: those of inputs with rows, then those of a linked model's inputs without.
        features: &'a [Vec<u8>],
        /// The labels.
        labels: &'a [u8],
    },
    /// Their numbers among those on the device ([`Session::hold`]).
    Numbered {
        /// Numbers of `u32`.
        rows: &'a [u8],
        /// How each image is changed, where images are: three `u32` each.
        crops: &'a [u8],
    },
    /// On the device already ([`Session::upload`]).
    Uploaded(&'a UploadedRows),
}

/// The examples of a call, on the device.
#[derive(Debug)]
pub struct UploadedRows(pub(super) Vec<(Slot, Buffer)>);

impl Session<'_> {
    /// Puts the examples of a call of so many steps on the device.
    ///
    /// # Errors
    /// The device fails.
    pub fn upload(&self, rows: CallRows, steps: usize) -> Result<UploadedRows, TrainError> {
        let interface = &self.step.program.interface;
        self.upload_by(steps, |slot| match (slot, rows) {
            (Slot::Features(input, _), CallRows::Given { features, .. }) => {
                features.get(input).map(Vec::as_slice)
            }
            (Slot::Whole(input), CallRows::Given { features, .. }) => {
                features.get(interface.features.len() + input).map(Vec::as_slice)
            }
            (Slot::Labels(_), CallRows::Given { labels, .. }) => Some(labels),
            (Slot::Rows(_), CallRows::Numbered { rows, .. }) => Some(rows),
            (Slot::Crops(_), CallRows::Numbered { crops, .. }) => Some(crops),
            _ => None,
        })
    }

    /// Puts the batches of all steps of a call on the device: each input, then the labels if the model takes some.
    ///
    /// # Errors
    /// The device fails.
    pub fn upload_batch(&self, batch: &[&[u8]]) -> Result<UploadedRows, TrainError> {
        let interface = &self.step.program.interface;
        let slots = interface.data(interface.extent());
        let steps = self.steps_per_call();
        self.upload_by(steps, |slot| slots.iter().position(|&known| known == slot).map(|at| batch[at]))
    }

    /// What is not given is left out, for the call to say what it lacks.
    fn upload_by<'b>(
        &self,
        steps: usize,
        given: impl Fn(Slot) -> Option<&'b [u8]>,
    ) -> Result<UploadedRows, TrainError> {
        let interface = &self.step.program.interface;
        let extent = interface.extent();
        let upload = |slot: Slot, bytes: &[u8]| {
            let ty = interface.ty(slot);
            let size = ty.shape.elements() * ty.dtype.size_bytes();
            let mut bytes = Cow::Borrowed(bytes);
            // Rows of a call may be fewer, but of what has no rows nothing may be missing.
            if bytes.len() < size && !matches!(slot, Slot::Whole(_)) {
                bytes.to_mut().resize(size, 0);
            }
            Ok::<_, DeviceError>((slot, self.device.upload(&ty, &bytes)?))
        };
        let mut uploaded = Vec::new();
        for slot in interface.data(extent) {
            if let Some(bytes) = given(slot) {
                uploaded.push(upload(slot, bytes)?);
            }
        }
        let counts = self.program(steps).program.inputs.contains(&Slot::StepCount);
        if extent == Extent::Call && (counts || steps < self.steps_per_call()) {
            uploaded.push(upload(Slot::StepCount, &(steps as u32).to_ne_bytes())?);
        }
        Ok(UploadedRows(uploaded))
    }
}
