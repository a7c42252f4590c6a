//! The words that noise is made of, one after another, in three orders.

use clap::ValueEnum;
use natgrad::noise::{Purpose, plain};

/// In which order the elements of a run's noise are visited.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Order {
    /// The 2^26 elements of one tensor, then the same of the next step.
    Elements,
    /// The 64 elements of a small tensor, then the same of the next step.
    Steps,
    /// Element 0 of each of 32 tensors, then element 1 of each, to 2^16 elements; then the next step.
    Tensors,
}

/// The words of a run in one order, without end.
pub struct Words {
    seed: u64,
    tensors: u32,
    elements: u32,
    step: u32,
    element: u32,
    keys: Vec<[u32; 4]>,
}

impl Words {
    pub fn new(order: Order, seed: u64) -> Words {
        let (tensors, elements) = match order {
            Order::Elements => (1, 1 << 26),
            Order::Steps => (1, 64),
            Order::Tensors => (32, 1 << 16),
        };
        let mut words = Words { seed, tensors, elements, step: 0, element: 0, keys: Vec::new() };
        words.key();
        words
    }

    fn key(&mut self) {
        let root = plain::root(self.seed, Purpose::Training, self.step, 0);
        self.keys.clear();
        self.keys.extend((0..self.tensors).map(|tensor| plain::key(root, tensor)));
    }

    /// Adds at least so many words.
    pub fn extend(&mut self, words: &mut Vec<u32>, count: usize) {
        let wanted = words.len() + count;
        while words.len() < wanted {
            let left = (wanted - words.len()).div_ceil(2 * self.keys.len()) as u32;
            let end = self.elements.min(self.element.saturating_add(left));
            for element in self.element..end {
                words.extend(self.keys.iter().flat_map(|&key| plain::words(key, element)));
            }
            self.element = end;
            if end == self.elements {
                self.element = 0;
                self.step = self.step.wrapping_add(1);
                self.key();
            }
        }
    }
}
