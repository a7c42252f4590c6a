//! Plain aligned tables.

use crate::report::columns;

/// Lays out rows in columns: the first left-aligned, the others right-aligned, two spaces apart.
pub(super) fn render(rows: &[Vec<String>]) -> String {
    columns(rows, |column| column > 0)
}

/// Lays out rows in left-aligned columns, two spaces apart.
pub(super) fn render_left(rows: &[Vec<String>]) -> String {
    columns(rows, |_| false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [["", "accuracy"], ["ivon", "95.1 %"]].map(|row| row.map(String::from).to_vec());
        assert_eq!(render(&rows), "      accuracy\nivon    95.1 %\n");
    }
}
