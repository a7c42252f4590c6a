//! Reads a checkpoint: each tensor once, into the place where it stays, while the checksum is computed of those before it.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::{OnceLock, mpsc};
use std::thread;

use natgrad_ir::{DType, TensorType};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::checkpoint::{Checkpoint, HEADER_KEY, Header, parsed};
use super::save::to_safetensors;
use super::seal;
use super::session::HostTensor;
use crate::weights::MAX_HEADER;

/// Bytes of the header's length.
const LENGTH: usize = 8;

/// The checkpoint in a file, whose tensors are sorted by name.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn load(path: &Path) -> Result<Checkpoint, String> {
    let mut file = crate::files::open(path).map_err(|error| error.to_string())?;
    let size = file.metadata().map_err(|error| error.to_string())?.len();
    let (begin, metadata) = read_begin(&mut file, size)
        .map_err(|reason| format!("not a safetensors file, or cut off: {reason}"))?;
    let names = metadata.offset_keys();
    let infos: Vec<&TensorInfo> = names.iter().filter_map(|name| metadata.info(name)).collect();
    let no_notes = HashMap::new();
    let notes = metadata.metadata().as_ref().unwrap_or(&no_notes);
    let stored = notes.get(seal::KEY);
    let checksum = stored.and_then(|stored| seal::Sum::begin(begin, stored));
    let (parts, found) = read_parts(&mut file, &infos, checksum).map_err(|error| error.to_string())?;
    if stored.is_some() && stored != found.as_ref() {
        return Err("it is damaged: its bytes are not those that were saved, by its checksum".to_string());
    }
    let header = header(notes, path)?;
    let mut tensors = Vec::new();
    for ((name, info), bytes) in names.into_iter().zip(infos).zip(parts) {
        let dtype = from_safetensors(info.dtype)
            .ok_or_else(|| format!("tensor `{name}` has element type {:?}", info.dtype))?;
        tensors.push(HostTensor { name, ty: TensorType::new(dtype, &*info.shape), bytes });
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Checkpoint { header, tensors })
}

/// How a file of so many bytes begins, and what that says: of tensors that fill the rest of the file.
fn read_begin(file: &mut File, size: u64) -> Result<(Vec<u8>, Metadata), String> {
    let mut length = [0; LENGTH];
    file.read_exact(&mut length).map_err(|_| format!("it has {size} bytes"))?;
    let mut begin = length.to_vec();
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER || size.checked_sub(LENGTH as u64).is_none_or(|rest| length > rest) {
        return Err(format!("it has {size} bytes, but its header would have {length}"));
    }
    begin.resize(LENGTH + length as usize, 0);
    file.read_exact(&mut begin[LENGTH..]).map_err(|error| error.to_string())?;
    // Shapes, types and places then agree with each other, and nothing is between tensors.
    let metadata: Metadata =
        serde_json::from_slice(&begin[LENGTH..]).map_err(|error| format!("its header: {error}"))?;
    let (found, wanted) = (size - begin.len() as u64, metadata.data_len());
    if found != wanted as u64 {
        return Err(format!("it has {found} bytes of tensors, but must have {wanted}"));
    }
    Ok((begin, metadata))
}

/// The bytes of the tensors, and the checksum with them, if one is wanted.
fn read_parts(
    file: &mut File,
    infos: &[&TensorInfo],
    checksum: Option<seal::Sum>,
) -> std::io::Result<(Vec<Vec<u8>>, Option<String>)> {
    let parts: Vec<OnceLock<Vec<u8>>> = infos.iter().map(|_| OnceLock::new()).collect();
    let found = thread::scope(|scope| {
        let (read, is_read) = mpsc::channel::<&OnceLock<Vec<u8>>>();
        let with = |checksum: seal::Sum, part: &OnceLock<Vec<u8>>| {
            checksum.with(part.get().map_or(&[], Vec::as_slice))
        };
        let adding = checksum.map(|checksum| move || is_read.into_iter().fold(checksum, with).hex());
        let adding = adding.map(|adding| thread::Builder::new().spawn_scoped(scope, adding)).transpose()?;
        for (info, part) in infos.iter().zip(&parts) {
            let mut bytes = vec![0; info.data_offsets.1 - info.data_offsets.0];
            file.read_exact(&mut bytes)?;
            part.get_or_init(|| bytes);
            // Nobody listens where no checksum is wanted.
            read.send(part).ok();
        }
        drop(read);
        let joined = |adding: thread::ScopedJoinHandle<'_, String>| {
            adding.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        Ok::<_, std::io::Error>(adding.map(joined))
    })?;
    Ok((parts.into_iter().map(|part| part.into_inner().unwrap_or_default()).collect(), found))
}

/// The header among what a file says beside its tensors, if its checksum holds.
fn header(notes: &HashMap<String, String>, path: &Path) -> Result<Header, String> {
    let header = parsed(notes)?;
    // A damaged `sha256` must not pass for a file that never had one.
    if let Some(key) = notes.keys().find(|key| ![HEADER_KEY, seal::KEY].contains(&key.as_str())) {
        return Err(format!("`{key}` is in its metadata, which natgrad does not write: it is damaged"));
    }
    if !notes.contains_key(seal::KEY) {
        let path = path.display();
        tracing::warn!("{path}: of an older natgrad, without a checksum: damage to it would not be seen");
    }
    Ok(header)
}

fn from_safetensors(dtype: Dtype) -> Option<DType> {
    DType::ALL.into_iter().find(|&known| to_safetensors(known) == dtype)
}
