//! MNIST's IDX format: a big-endian header (type and rank, then the sizes) and unsigned bytes.

use std::path::Path;

use super::Dataset;
use super::error::{DataError, read_file};

/// Reads images, pixels divided by 255, and their labels.
pub(super) fn read(images: &Path, labels: &Path) -> Result<Dataset, DataError> {
    let (image_dims, pixels) = read_array(images, "images [count, height, width]", 3)?;
    let (label_dims, classes) = read_array(labels, "labels [count]", 1)?;
    let rows = image_dims[0];
    if label_dims[0] != rows {
        let reason = format!("{} labels, but {} has {rows} images", label_dims[0], images.display());
        return Err(DataError::content(labels, reason));
    }
    if rows == 0 {
        return Err(DataError::content(images, "has no images".to_string()));
    }
    let labels: Vec<u32> = classes.into_iter().map(u32::from).collect();
    Ok(Dataset {
        features: pixels.into_iter().map(|pixel| f32::from(pixel) / 255.0).collect(),
        rows,
        columns: image_dims[1..].iter().product(),
        classes: labels.iter().max().map_or(0, |&class| class as usize + 1),
        labels,
    })
}

fn read_array(path: &Path, wanted: &str, rank: usize) -> Result<(Vec<usize>, Vec<u8>), DataError> {
    let bytes = read_file(path)?;
    let magic = [0, 0, 0x08, rank as u8];
    let header = 4 + 4 * rank;
    if bytes.len() < header || bytes[..4] != magic {
        let start = &bytes[..bytes.len().min(4)];
        let reason =
            format!("starts with {start:02x?}, but an IDX file of {wanted} starts with {magic:02x?}");
        return Err(DataError::content(path, reason));
    }
    let (sizes, _) = bytes[4..header].as_chunks::<4>();
    let dims: Vec<usize> = sizes.iter().map(|&size| u32::from_be_bytes(size) as usize).collect();
    let count = dims.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim));
    let body = &bytes[header..];
    if count != Some(body.len()) {
        let reason = format!("its header says {dims:?}, but {} bytes follow it", body.len());
        return Err(DataError::content(path, reason));
    }
    Ok((dims, body.to_vec()))
}
