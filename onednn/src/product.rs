//! What a product of matrices is, in sizes.

use crate::Element;

/// A product of a matrix of `rows` by `depth` and one of `depth` by `columns`. Matrices lie row by row, the right one perhaps column by
/// column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Product {
    /// The type of operands and result.
    pub element: Element,
    /// Rows of the left matrix and of the result.
    pub rows: usize,
    /// Columns of the left matrix, and rows of the right one.
    pub depth: usize,
    /// Columns of the right matrix and of the result.
    pub columns: usize,
    /// Whether the right matrix lies column by column: as the plain one of `columns` by `depth`.
    pub is_turned: bool,
}

impl Product {
    /// Bytes of both operands and of the result; none where a size is zero, or they are more than any memory has.
    pub fn bytes(&self) -> Option<[usize; 3]> {
        let of = |rows: usize, columns: usize| {
            let bytes = rows.checked_mul(columns)?.checked_mul(self.element.size_bytes())?;
            (1..=isize::MAX as usize).contains(&bytes).then_some(bytes)
        };
        Some([of(self.rows, self.depth)?, of(self.depth, self.columns)?, of(self.rows, self.columns)?])
    }

    /// Multiplications; no more than can be counted.
    pub fn products(&self) -> usize {
        self.rows.saturating_mul(self.depth).saturating_mul(self.columns)
    }

    /// The same of so many rows.
    #[must_use]
    pub fn of(self, rows: usize) -> Product {
        Product { rows, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_have_sizes_that_memory_has() {
        let of = Product { element: Element::F32, rows: 2, depth: 3, columns: 5, is_turned: false };
        assert_eq!(of.bytes(), Some([24, 60, 40]));
        assert_eq!(Product { element: Element::Bf16, ..of }.bytes(), Some([12, 30, 20]));
        assert_eq!(of.of(0).bytes(), None);
        assert_eq!(of.of(usize::MAX / 8).bytes(), None);
        assert_eq!((of.products(), of.of(usize::MAX).products()), (30, usize::MAX));
    }
}
