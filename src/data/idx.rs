//! MNIST's IDX format: a big-endian header (type and rank, then the sizes) and unsigned bytes.

use std::io::{Read, copy, sink};
use std::path::Path;

use super::error::{DataError, is_there, open_file};
use super::{Features, Labels, Table};

/// Reads images `[height, width, 1]`, pixels divided by 255, and their labels.
pub(super) fn read(images: &Path, labels: &Path) -> Result<Table, DataError> {
    let (rows, shape, pixels) = read_images(images)?;
    let (label_dims, classes) = read_array::<1>(labels, "labels [count]")?;
    if label_dims[0] != rows {
        let reason = format!("{} labels, but {} has {rows} images", label_dims[0], images.display());
        return Err(DataError::content(labels, reason));
    }
    Ok(Table::new(shape, pixels, Labels::classes(classes.into_iter().map(u32::from).collect())))
}

/// Reads images, and their labels if the file of MNIST's name for them is beside: `x-labels-idx1-ubyte` beside
/// `x-images-idx3-ubyte`.
pub(super) fn read_to_predict(images: &Path) -> Result<Table, DataError> {
    let name = images.file_name().unwrap_or_default().to_string_lossy();
    let labels = images.with_file_name(name.replace("images", "labels").replace("idx3", "idx1"));
    if labels != images && is_there(&labels)? {
        return read(images, &labels);
    }
    let (rows, shape, pixels) = read_images(images)?;
    Ok(Table::unlabelled(shape, pixels, rows))
}

/// How many images there are, the shape of each, and their pixels.
fn read_images(path: &Path) -> Result<(usize, [usize; 3], Features), DataError> {
    let ([rows, height, width], pixels) = read_array::<3>(path, "images [count, height, width]")?;
    if pixels.is_empty() {
        let reason = format!("has {rows} images of {height} x {width} pixels, but must have some");
        return Err(DataError::content(path, reason));
    }
    Ok((rows, [height, width, 1], Features::pixels(pixels, &[0.0], &[1.0])))
}

/// Sizes and elements.
type Array<const RANK: usize> = ([usize; RANK], Vec<u8>);

/// No more is kept than the header says.
fn read_array<const RANK: usize>(path: &Path, wanted: &str) -> Result<Array<RANK>, DataError> {
    let failed = |source| DataError::Read { path: path.to_path_buf(), source };
    let mut from = open_file(path)?;
    let mut take = |count: usize| {
        let mut bytes = Vec::new();
        from.by_ref().take(count as u64).read_to_end(&mut bytes).map(|_| bytes).map_err(failed)
    };
    let magic = [0, 0, 0x08, RANK as u8];
    let header = 4 + 4 * RANK;
    let bytes = take(header)?;
    if bytes.len() < header || bytes[..4] != magic {
        let start = &bytes[..bytes.len().min(4)];
        let length = bytes.len() as u64 + copy(&mut from, &mut sink()).map_err(failed)?;
        let reason = format!(
            "starts with {start:02x?} and has {length} bytes, but an IDX file of {wanted} starts with {magic:02x?} and \
             has at least {header}"
        );
        return Err(DataError::content(path, reason));
    }
    let dims: [usize; RANK] = std::array::from_fn(|axis| {
        let at = 4 + 4 * axis;
        u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize
    });
    let count = dims.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim));
    let body = take(count.unwrap_or(0))?;
    let follow = body.len() as u64 + copy(&mut from, &mut sink()).map_err(failed)?;
    if count.map(|count| count as u64) != Some(follow) {
        let reason = format!("its header says {dims:?}, but {follow} bytes follow it at offset {header}");
        return Err(DataError::content(path, reason));
    }
    Ok((dims, body))
}
