//! Heat maps: a number by two fields, as coloured cells.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// A map of cells.
#[derive(Clone, Debug, PartialEq)]
pub struct HeatMap {
    /// What the cells are.
    pub title: String,
    /// The field of the columns, and its values.
    pub x: (String, Vec<String>),
    /// The field of the rows, and its values from the top.
    pub y: (String, Vec<String>),
    /// The rows from the top: what is written in a cell, and how good it is, from 0 to 1; none where there is nothing.
    pub cells: Vec<Vec<Option<(String, f64)>>>,
}

const CELL: (i32, i32) = (76, 30);
/// Room for the names of rows and columns.
const LEFT: i32 = 86;
const ABOVE: i32 = 30;
const BELOW: i32 = 48;
const GAP: i32 = 18;
const TEXT: u32 = 14;
const BAD: RGBColor = RGBColor(0xf6, 0xe8, 0xd8);
const GOOD: RGBColor = RGBColor(0x1d, 0x55, 0x8c);

impl HeatMap {
    fn size(&self) -> (i32, i32) {
        let cells = |count: usize, size: i32| i32::try_from(count).unwrap_or(0) * size;
        (LEFT + cells(self.x.1.len(), CELL.0) + GAP, ABOVE + cells(self.y.1.len(), CELL.1) + BELOW)
    }

    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), Box<dyn std::error::Error>> {
        let text =
            |anchor: HPos| ("sans-serif", TEXT).into_font().color(&BLACK).pos(Pos::new(anchor, VPos::Center));
        let size = self.size();
        area.draw(&Text::new(self.title.clone(), (LEFT, ABOVE / 2), text(HPos::Left)))?;
        let at = |column: usize, row: usize| -> Result<(i32, i32), std::num::TryFromIntError> {
            Ok((LEFT + i32::try_from(column)? * CELL.0, ABOVE + i32::try_from(row)? * CELL.1))
        };
        for (row, cells) in self.cells.iter().enumerate() {
            for (column, cell) in cells.iter().enumerate() {
                let (x, y) = at(column, row)?;
                let corners = [(x, y), (x + CELL.0 - 2, y + CELL.1 - 2)];
                let middle = (x + CELL.0 / 2 - 1, y + CELL.1 / 2 - 1);
                let Some((written, good)) = cell else {
                    area.draw(&Rectangle::new(corners, BLACK.mix(0.06).filled()))?;
                    area.draw(&Text::new("-", middle, text(HPos::Center)))?;
                    continue;
                };
                let good = if good.is_finite() { good.clamp(0.0, 1.0) } else { 0.0 };
                area.draw(&Rectangle::new(corners, between(BAD, GOOD, good).filled()))?;
                let colour = if good > 0.55 { WHITE } else { BLACK };
                let style =
                    ("sans-serif", TEXT).into_font().color(&colour).pos(Pos::new(HPos::Center, VPos::Center));
                area.draw(&Text::new(written.clone(), middle, style))?;
            }
        }
        let bottom = size.1 - BELOW;
        for (column, name) in self.x.1.iter().enumerate() {
            let (x, _) = at(column, 0)?;
            area.draw(&Text::new(name.clone(), (x + CELL.0 / 2, bottom + 12), text(HPos::Center)))?;
        }
        for (row, name) in self.y.1.iter().enumerate() {
            let (_, y) = at(0, row)?;
            area.draw(&Text::new(name.clone(), (LEFT - 8, y + CELL.1 / 2), text(HPos::Right)))?;
        }
        let fields = format!("{} across, {} down", self.x.0, self.y.0);
        area.draw(&Text::new(fields, (LEFT, bottom + 32), text(HPos::Left)))?;
        Ok(())
    }
}

/// Maps beside each other, so many in a row, as one SVG element; none if there are none.
pub fn heat_maps(maps: &[HeatMap], across: usize) -> Option<String> {
    let rows: Vec<&[HeatMap]> = maps.chunks(across.max(1)).collect();
    let height = |row: &[HeatMap]| row.iter().map(|map| map.size().1).max().unwrap_or(0);
    let width = rows.iter().map(|row| row.iter().map(|map| map.size().0).sum::<i32>()).max()?;
    let total: i32 = rows.iter().map(|row| height(row)).sum();
    let mut svg = String::new();
    let mut draw = || -> Result<(), Box<dyn std::error::Error>> {
        let size = (u32::try_from(width)?, u32::try_from(total)?);
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE)?;
        let mut top = 0;
        for row in &rows {
            let mut left = 0;
            for map in *row {
                let (width, height) = map.size();
                map.draw(&root.clone().shrink((left, top), (width, height)))?;
                left += width;
            }
            top += height(row);
        }
        root.present()?;
        Ok(())
    };
    draw().ok().map(|()| svg)
}

fn between(from: RGBColor, to: RGBColor, part: f64) -> RGBColor {
    let mix = |from: u8, to: u8| (f64::from(from) + (f64::from(to) - f64::from(from)) * part).round() as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cell_has_its_number_and_colour() {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<String>>();
        let cell = |written: &str, good| Some((written.to_string(), good));
        let map = HeatMap {
            title: "NLL <test>".into(),
            x: ("rule.lr".into(), names(&["0.1", "1"])),
            y: ("rule.ess".into(), names(&["1e4", "1e5"])),
            cells: vec![vec![cell("0.25", 1.0), None], vec![cell("7.5", 0.0), cell("nan", f64::NAN)]],
        };
        let svg = heat_maps(&[map.clone(), map], 1).unwrap();
        assert!(svg.contains("NLL &lt;test&gt;") && svg.contains("rule.lr across, rule.ess down"), "{svg}");
        assert_eq!(svg.matches("\n0.25\n").count(), 2);
        assert_eq!(svg.matches("fill=\"#1D558C\"").count(), 2, "{svg}");
        assert_eq!(heat_maps(&[], 2), None);
    }
}
