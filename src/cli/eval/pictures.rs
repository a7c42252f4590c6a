//! Rows that are images, as pictures: those that a model is surest of, and least.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{ExtendedColorType, ImageEncoder as _, codecs::png::PngEncoder};

use super::Predicted;
use super::data::Sets;
use crate::cli::Failure;
use crate::data::{Batch, Examples, Taught};
use crate::eval::ClassRows;
use crate::report::escape;

/// Pictures of a group.
const PICTURES: usize = 10;

/// Groups of pictures.
pub(super) struct Pictures {
    groups: Vec<(String, Vec<Picture>)>,
}

struct Picture {
    /// As base64.
    png: String,
    caption: String,
}

impl Pictures {
    /// Those of rows that are images; none of others.
    pub fn of(sets: &Sets, predicted: &Predicted, taught: &Taught) -> Result<Option<Pictures>, Failure> {
        let mut groups = Vec::new();
        let mut add = |title: &str, examples: &Examples, rows: &ClassRows, picked: &[usize]| {
            if picked.is_empty() {
                return Ok(());
            }
            let pictures = pictures(examples, rows, picked, taught)?;
            if !pictures.is_empty() {
                groups.push((title.to_string(), pictures));
            }
            Ok::<(), Failure>(())
        };
        let (least, most) = ordered(&predicted.rows, |_| true);
        add("Least sure", &sets.rows, &predicted.rows, &least)?;
        add("Surest", &sets.rows, &predicted.rows, &most)?;
        if let Some(labels) = &predicted.rows.labels {
            let classes = predicted.rows.predicted();
            let (_, wrong) = ordered(&predicted.rows, |row| classes[row].0 != labels[row]);
            add("Surest of the wrong ones", &sets.rows, &predicted.rows, &wrong)?;
        }
        if let (Some((name, examples)), Some(rows)) = (&sets.foreign, &predicted.foreign) {
            let (least, most) = ordered(rows, |_| true);
            add(&format!("Surest of {name}"), examples, rows, &most)?;
            add(&format!("Least sure of {name}"), examples, rows, &least)?;
        }
        Ok((!groups.is_empty()).then_some(Pictures { groups }))
    }

    /// As HTML.
    pub fn html(&self) -> String {
        let picture = |picture: &Picture| {
            format!(
                "<figure><img alt=\"\" src=\"data:image/png;base64,{}\"><figcaption>{}</figcaption></figure>\n",
                picture.png,
                escape(&picture.caption)
            )
        };
        let group = |(title, pictures): &(String, Vec<Picture>)| {
            let pictures: String = pictures.iter().map(picture).collect();
            format!("<h3>{}</h3>\n<div class=\"pictures\">\n{pictures}</div>\n", escape(title))
        };
        self.groups.iter().map(group).collect()
    }
}

/// Styles of pictures.
pub(super) const STYLES: &str = "\
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
.pictures { display: flex; flex-wrap: wrap; gap: .6rem; }
figure { margin: 0; width: 84px; font-size: .8em; line-height: 1.3; text-align: center; }
figure img { width: 84px; image-rendering: pixelated; display: block; }
";

/// The rows of the largest entropy, and those of the smallest, each the outermost first; of equals the first in order.
fn ordered(rows: &ClassRows, keeps: impl Fn(usize) -> bool) -> (Vec<usize>, Vec<usize>) {
    let entropies = rows.entropies();
    let mut kept: Vec<usize> = (0..rows.len()).filter(|&row| keeps(row)).collect();
    kept.sort_by(|&a, &b| entropies[a].total_cmp(&entropies[b]));
    let least = kept.iter().rev().take(PICTURES).copied().collect();
    (least, kept.into_iter().take(PICTURES).collect())
}

fn pictures(
    examples: &Examples,
    rows: &ClassRows,
    picked: &[usize],
    taught: &Taught,
) -> Result<Vec<Picture>, Failure> {
    let own = &examples.example().features[0].shape;
    let is_image = |dims: &[usize]| matches!(dims, &[height, width, 1 | 3] if height.min(width) > 1);
    // Of flat rows the model may know better.
    let Some(&[height, width, channels]) =
        [own.dims(), taught.features.shape.dims()].into_iter().find(|dims| is_image(dims))
    else {
        return Ok(Vec::new());
    };
    let name =
        |class: u32| taught.class_names.get(class as usize).cloned().unwrap_or_else(|| class.to_string());
    let predicted = rows.predicted();
    let mut found = Vec::new();
    for &row in picked {
        let mut batch = Batch::default();
        examples.append(&[row as u32], None, &mut batch).map_err(Failure::usage)?;
        let numbers: Vec<f32> =
            batch.input(0).as_chunks().0.iter().map(|bytes| f32::from_ne_bytes(*bytes)).collect();
        let (class, confidence) = predicted[row];
        let label = rows.labels.as_ref().map(|labels| labels[row]);
        let is_right = label.is_none_or(|label| label == class);
        let instead = if is_right { String::new() } else { format!(", is {}", name(label.unwrap_or(class))) };
        found.push(Picture {
            png: STANDARD.encode(png(&numbers, [height, width, channels])?),
            caption: format!("{} {:.1} %{instead}", name(class), 100.0 * confidence),
        });
    }
    Ok(found)
}

/// A picture of numbers from 0 to 1; others are stretched to that.
fn png(numbers: &[f32], [height, width, channels]: [usize; 3]) -> Result<Vec<u8>, Failure> {
    let (low, high) = numbers.iter().fold((0.0f32, 1.0f32), |(low, high), &x| (low.min(x), high.max(x)));
    let bytes: Vec<u8> = numbers.iter().map(|x| (255.0 * (x - low) / (high - low)).round() as u8).collect();
    let colour = if channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let mut png = Vec::new();
    PngEncoder::new(&mut png).write_image(&bytes, width as u32, height as u32, colour)?;
    Ok(png)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_pixels() {
        let pixels = |numbers: &[f32]| {
            let png = png(numbers, [2, 2, 1]).ok().unwrap();
            image::load_from_memory(&png).unwrap().into_luma8().into_raw()
        };
        assert_eq!(pixels(&[0.0, 0.2, 0.4, 1.0]), [0, 51, 102, 255]);
        assert_eq!(pixels(&[-2.0, 0.0, 2.0, 3.0]), [0, 102, 204, 255]);
    }

    #[test]
    fn the_outermost_rows_come_first() {
        let logs = [0.9f64, 0.1, 0.5, 0.5, 0.99, 0.01].map(f64::ln).to_vec();
        let rows = ClassRows { classes: 2, logs, ..ClassRows::default() };
        assert_eq!(ordered(&rows, |_| true), (vec![1, 0, 2], vec![2, 0, 1]));
        assert_eq!(ordered(&rows, |row| row > 0).0, [1, 2]);
    }
}
