//! Arrays as examples of a model.

use std::sync::Arc;

use natgrad_ir::{DType, TensorType};

use crate::data::fingerprint::Digest;
use crate::data::{Batch, ExampleType};

/// Rows that fit a model. A clone shares the data.
#[derive(Clone, Debug)]
pub struct ArrayExamples {
    pub(super) example: ExampleType,
    pub(super) rows: usize,
    /// Each input's bytes, row-major.
    pub(super) features: Vec<Arc<Vec<u8>>>,
    pub(super) labels: Arc<Vec<u8>>,
    pub(super) is_labelled: bool,
}

impl ArrayExamples {
    /// The class of each row; none where no classes are predicted.
    pub(in crate::data) fn classes_of_rows(&self) -> Option<impl Iterator<Item = u32> + '_> {
        let is_class = self.example.labels == TensorType::scalar(DType::U32);
        is_class.then(|| self.labels.as_chunks().0.iter().map(|&bytes| u32::from_ne_bytes(bytes)))
    }

    /// Features and labels.
    pub(in crate::data) fn digest(&self, digest: &mut Digest) {
        self.features.iter().chain([&self.labels]).for_each(|bytes| digest.bytes(bytes));
    }

    /// What one example is.
    pub fn example(&self) -> &ExampleType {
        &self.example
    }

    /// The same examples as if their labels were not known.
    pub(in crate::data) fn without_labels(self) -> ArrayExamples {
        ArrayExamples { is_labelled: false, ..self }
    }

    /// Whether the labels were given; else they are zeros.
    pub fn is_labelled(&self) -> bool {
        self.is_labelled
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// All rows as one batch.
    pub(crate) fn into_batch(self) -> Batch {
        let features = self.features.into_iter().map(Arc::unwrap_or_clone).collect();
        Batch { features, labels: Arc::unwrap_or_clone(self.labels) }
    }

    /// Bytes in memory.
    pub(in crate::data) fn bytes(&self) -> usize {
        self.features.iter().map(|input| input.len()).sum::<usize>() + self.labels.len()
    }

    pub(in crate::data) fn append(&self, number: usize, out: &mut Batch) {
        let of = |width: usize| number * width..(number + 1) * width;
        for (index, (input, ty)) in self.features.iter().zip(&self.example.features).enumerate() {
            out.input(index).extend_from_slice(&input[of(ty.size_bytes())]);
        }
        out.labels.extend_from_slice(&self.labels[of(self.example.labels.size_bytes())]);
    }

    /// The examples whose number is picked, and the others.
    pub(in crate::data) fn divide(
        &self,
        is_picked: &dyn Fn(usize) -> bool,
    ) -> (ArrayExamples, ArrayExamples) {
        let pick = |wanted: bool| {
            let rows = (0..self.rows).filter(|&row| is_picked(row) == wanted);
            let mut batch = Batch::default();
            let count = rows.map(|row| self.append(row, &mut batch)).count();
            let features = batch.features.into_iter().map(Arc::new).collect();
            let example = self.example.clone();
            let labels = Arc::new(batch.labels);
            ArrayExamples { example, rows: count, features, labels, is_labelled: self.is_labelled }
        };
        (pick(true), pick(false))
    }
}
