//! Tables of text.

use super::page::escape;

/// A table: the first column, or the first few, are left-aligned, the others right-aligned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextTable {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
    left: usize,
}

impl TextTable {
    /// A table without rows.
    pub fn new<T: Into<String>>(head: impl IntoIterator<Item = T>) -> TextTable {
        TextTable::with_left_columns(head, 1)
    }

    /// A table without rows, whose first so many columns are left-aligned.
    pub fn with_left_columns<T: Into<String>>(head: impl IntoIterator<Item = T>, left: usize) -> TextTable {
        TextTable { head: head.into_iter().map(Into::into).collect(), rows: Vec::new(), left }
    }

    /// Adds a row.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Without the columns, but the first, all of whose cells are `cell`.
    pub fn without_columns_of(self, cell: &str) -> TextTable {
        let keeps = |column: usize| {
            column == 0 || self.rows.iter().any(|row| row.get(column).is_some_and(|other| other != cell))
        };
        let kept: Vec<usize> = (0..self.head.len()).filter(|&column| keeps(column)).collect();
        let left = kept.iter().filter(|&&column| column < self.left).count();
        let pick = |row: &Vec<String>| kept.iter().filter_map(|&column| row.get(column).cloned()).collect();
        TextTable { head: pick(&self.head), rows: self.rows.iter().map(pick).collect(), left }
    }

    /// In columns two spaces apart.
    pub fn text(&self) -> String {
        let lines: Vec<&[String]> = [&self.head].into_iter().chain(&self.rows).map(Vec::as_slice).collect();
        columns(&lines, |column| column >= self.left)
    }

    /// As Markdown.
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let rule: Vec<&str> =
            (0..self.head.len()).map(|column| if column < self.left { "---" } else { "---:" }).collect();
        let mut text = line(&self.head);
        text.push_str(&format!("|{}|\n", rule.join("|")));
        text.extend(self.rows.iter().map(|row| line(row)));
        text
    }

    /// As an HTML element.
    pub fn html(&self) -> String {
        let line = |cells: &[String], tag: &str| {
            let cell = |(column, cell): (usize, &String)| {
                // The first column is always to the left.
                let class = if (1..self.left).contains(&column) { " class=\"left\"" } else { "" };
                // A wide table breaks lines, but not within a percentage or interval.
                let cell = escape(cell).replace(" %", "\u{a0}%").replace(" to ", "\u{a0}to\u{a0}");
                format!("<{tag}{class}>{cell}</{tag}>")
            };
            format!("<tr>{}</tr>\n", cells.iter().enumerate().map(cell).collect::<String>())
        };
        let rows: String = self.rows.iter().map(|row| line(row, "td")).collect();
        format!(
            "<table>\n<thead>{}</thead>\n<tbody>\n{rows}</tbody>\n</table>\n",
            line(&self.head, "th").trim_end()
        )
    }
}

/// Lays out rows in columns two spaces apart, those that `is_right` names right-aligned.
pub fn columns<R: AsRef<[String]>>(rows: &[R], is_right: impl Fn(usize) -> bool) -> String {
    let rows = || rows.iter().map(AsRef::as_ref);
    let count = rows().map(<[String]>::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut text = String::new();
    for row in rows() {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if is_right(column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
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
        assert_eq!(columns(&rows, |column| column > 0), "      accuracy\nivon    95.1 %\n");
    }

    fn table() -> TextTable {
        let mut table = TextTable::new(["rule", "ms"]);
        table.row(["adamw", "15.2"]);
        table.row(["a|<b>", "7"]);
        table
    }

    #[test]
    fn text_is_aligned() {
        assert_eq!(table().text(), "rule     ms\nadamw  15.2\na|<b>     7\n");
    }

    #[test]
    fn columns_that_say_nothing_are_left_out() {
        let mut table = table();
        table.head.push("GB".into());
        table.rows.iter_mut().for_each(|row| row.push("-".into()));
        assert_ne!(table.text(), self::table().text());
        assert_eq!(table.without_columns_of("-"), self::table());
    }

    #[test]
    fn as_many_columns_are_to_the_left_as_are_wanted() {
        let mut table = TextTable::with_left_columns(["stage", "does", "bytes"], 2);
        table.row(["update", "fusion", "7"]);
        assert_eq!(table.text(), "stage   does    bytes\nupdate  fusion      7\n");
        assert!(table.markdown().contains("|---|---|---:|"));
        assert!(table.html().contains("<td>update</td><td class=\"left\">fusion</td><td>7</td>"));
    }

    #[test]
    fn markdown_keeps_bars_in_their_cells() {
        assert_eq!(table().markdown(), "| rule | ms |\n|---|---:|\n| adamw | 15.2 |\n| a\\|<b> | 7 |\n");
    }

    #[test]
    fn html_is_escaped() {
        assert!(table().html().contains("<td>a|&lt;b&gt;</td><td>7</td>"));
    }
}
