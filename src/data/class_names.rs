//! What classes are called.

use super::{DataConfig, DataError, Examples};

/// Fashion-MNIST's classes, as its authors list them.
const FASHION_MNIST: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

impl DataConfig {
    /// What the classes of the training examples are called, by their number; none where they have no names but their
    /// numbers.
    ///
    /// # Errors
    /// A list of names that is there and cannot be read.
    pub fn class_names(&self, train: &Examples) -> Result<Option<Vec<String>>, DataError> {
        Ok(match (self, train) {
            (_, Examples::Images(images)) => Some(images.classes().to_vec()),
            (DataConfig::FashionMnist { .. }, _) => Some(FASHION_MNIST.map(str::to_string).to_vec()),
            (DataConfig::Cifar { folder, classes, .. }, _) => classes.class_names(folder)?,
            (_, Examples::Table(table)) if !table.facts().class_names.is_empty() => {
                Some(table.facts().class_names.clone())
            }
            (_, Examples::Table(_) | Examples::Tokens(_) | Examples::Arrays(_)) => None,
        })
    }
}
