//! A line of names, then a line each row.

use super::{Sheet, single};

/// The bytes of the file.
pub(super) fn encode(sheet: &Sheet) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(sheet.columns.iter().flat_map(|column| column.heads()))?;
    for row in 0..sheet.rows {
        writer.write_record(sheet.columns.iter().flat_map(|column| column.texts(row, &single)))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}
