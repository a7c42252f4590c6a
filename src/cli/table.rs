//! Plain aligned tables.

/// Lays out rows in columns: the first left-aligned, the others right-aligned, two spaces apart.
pub(super) fn render(rows: &[Vec<String>]) -> String {
    lay_out(rows, false)
}

/// Lays out rows in left-aligned columns, two spaces apart.
pub(super) fn render_left(rows: &[Vec<String>]) -> String {
    lay_out(rows, true)
}

fn lay_out(rows: &[Vec<String>], left: bool) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            if column > 0 {
                line.push_str("  ");
            }
            if column == 0 || left {
                line.push_str(&format!("{cell:<width$}"));
            } else {
                line.push_str(&format!("{cell:>width$}"));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
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
