//! Images to predict, whose classes need not be known.

use std::path::Path;
use std::sync::Arc;

use super::{Entry, ImageFolder, image_name, names};
use crate::data::DataError;
use crate::data::error::is_folder;

/// Images to predict, as images of `size` by `size`: one file; the files of a folder, without classes; or those in its
/// folders, which must then be `classes` of the run, of whose numbers the names are known.
///
/// # Errors
/// A file or folder that cannot be read or has no images, files beside folders, or a folder that is no class.
pub(in crate::data) fn open_to_predict(
    path: &Path,
    size: u32,
    classes: &[String],
) -> Result<ImageFolder, DataError> {
    let read = |source| DataError::Read { path: path.to_path_buf(), source };
    if !std::fs::metadata(path).map_err(read)?.is_dir() {
        let (folder, name) = (path.parent().unwrap_or(path), path.file_name().unwrap_or_default());
        let name = image_name(folder, name.to_string_lossy().into_owned())?;
        return Ok(ImageFolder::unlabelled(folder, vec![name], size));
    }
    let (mut folders, mut files) = (Vec::new(), Vec::new());
    for name in names(path)? {
        if is_folder(&path.join(&name))? { folders.push(name) } else { files.push(name) }
    }
    if folders.is_empty() {
        let files = files.into_iter().map(|name| image_name(path, name)).collect::<Result<Vec<_>, _>>()?;
        if files.is_empty() {
            return Err(DataError::content(path, "has no images".to_string()));
        }
        return Ok(ImageFolder::unlabelled(path, files, size));
    }
    if let Some(file) = files.first() {
        let reason =
            format!("has the folder {} and beside it the file {file}; images must be either", folders[0]);
        return Err(DataError::content(path, format!("{reason} all in it or all in folders of classes")));
    }
    if let Some(unknown) = folders.iter().find(|folder| !classes.contains(folder)) {
        let known = if classes.is_empty() {
            "the run does not say what its classes are called".to_string()
        } else {
            format!("the run's classes are {}", classes.join(", "))
        };
        let reason = format!("is the name of no class: {known}; without folders, images need no classes");
        return Err(DataError::content(&path.join(unknown), reason));
    }
    ImageFolder::new(path.to_path_buf(), Arc::new(classes.to_vec()), size, false)
}

impl ImageFolder {
    /// Images of a folder whose classes are not known.
    fn unlabelled(folder: &Path, names: Vec<Box<str>>, size: u32) -> ImageFolder {
        let files = names.into_iter().map(|name| Entry { class: 0, name }).collect();
        let nameless = Arc::new(vec![String::new()]);
        let images = ImageFolder::of_files(folder.to_path_buf(), nameless, files, size, false);
        ImageFolder { is_labelled: false, ..images }
    }
}
