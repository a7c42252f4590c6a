//! An object with a list of rows.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::{Cells, Column, Sheet, name_of};

/// The bytes of the file. Numbers have the digits of single precision, so they are not put into a
/// [`serde_json::Value`], which would give them more.
pub(super) fn encode(sheet: &Sheet) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = serde_json::to_vec(sheet)?;
    bytes.push(b'\n');
    Ok(bytes)
}

impl Serialize for Sheet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.samples {
            None => map.serialize_entry("at", "mean")?,
            Some(samples) => map.serialize_entry("samples", &samples)?,
        }
        if let Some(scores) = &self.scores {
            map.serialize_entry("scores", scores)?;
        }
        if !self.class_names.is_empty() {
            map.serialize_entry("class_names", &self.class_names)?;
        }
        map.serialize_entry("rows", &Rows(self))?;
        map.end()
    }
}

struct Rows<'a>(&'a Sheet);
struct Row<'a>(&'a [Column], usize);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.rows))?;
        for row in 0..self.0.rows {
            list.serialize_element(&Row(&self.0.columns, row))?;
        }
        list.end()
    }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Row(columns, row) = *self;
        let mut map = serializer.serialize_map(Some(columns.len()))?;
        for Column { name, cells } in columns {
            match cells {
                Cells::Whole(numbers) => map.serialize_entry(name, &numbers[row])?,
                Cells::Numbers(numbers) => map.serialize_entry(name, &(numbers[row] as f32))?,
                Cells::Words(words) => map.serialize_entry(name, &words[row])?,
                Cells::Classes(classes, names) => {
                    let named = name_of(classes[row], names);
                    match named.parse::<u32>() {
                        Ok(number) if number == classes[row] => map.serialize_entry(name, &number)?,
                        _ => map.serialize_entry(name, &named)?,
                    }
                }
                Cells::Matrix { heads, numbers, .. } => {
                    let width = heads.len();
                    let numbers = numbers[row * width..(row + 1) * width].iter().map(|&number| number as f32);
                    map.serialize_entry(name, &numbers.collect::<Vec<f32>>())?;
                }
            }
        }
        map.end()
    }
}
