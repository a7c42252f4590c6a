//! Reading what is a file and nothing else, and writing files whole or not at all.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Error, ErrorKind, Read as _, Result, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use tempfile::NamedTempFile;

/// Names of files that are being written. Their writer holds a lock on them, which ends with its process.
pub(crate) const UNFINISHED: &str = ".natgrad-";
const SUFFIX: &str = ".tmp";

/// Opens a file to be read. Anything else that has a name is refused before it is opened: that of a pipe would wait for
/// someone who writes to it, and a device may have no end.
///
/// # Errors
/// What the system said, or what it is instead of a file.
pub(crate) fn open(path: &Path) -> Result<File> {
    let kind = fs::metadata(path)?.file_type();
    if !kind.is_file() {
        let reason = format!("is {}, but must be a file", what(kind));
        return Err(Error::new(ErrorKind::InvalidInput, reason));
    }
    File::open(path)
}

/// The whole file, opened as by [`open`].
///
/// # Errors
/// As [`open`].
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The whole file as text in UTF-8, opened as by [`open`].
///
/// # Errors
/// As [`open`].
pub(crate) fn read_to_string(path: &Path) -> Result<String> {
    let mut text = String::new();
    open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// As [`read_to_string`]; none if there is nothing of that name. What is there and cannot be read is an error.
///
/// # Errors
/// As [`open`], but that the file is not there.
pub(crate) fn read_to_string_if_there(path: &Path) -> Result<Option<String>> {
    match read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// Whether the path is that of a folder; not if nothing is there.
///
/// # Errors
/// There is no telling, for instance because a folder on the way may not be looked into.
pub(crate) fn is_folder(path: &Path) -> Result<bool> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        metadata => Ok(metadata?.is_dir()),
    }
}

fn what(kind: fs::FileType) -> &'static str {
    if kind.is_dir() {
        return "a folder";
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if kind.is_fifo() {
            return "a pipe";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
        if kind.is_socket() {
            return "a socket";
        }
    }
    "of an unknown kind"
}

/// Writes a file so that a reader sees either the old content or the new one, also after a crash. What killed writers
/// left in the folder is removed.
///
/// # Errors
/// What the system said; the old content is then still whole.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, |file| file.write_all(bytes), File::sync_all)
}

/// As [`write_atomically`], of a beginning of so many bytes, which `fill` makes when it has put all that is behind it; `before` is
/// called when all is written but the file's name.
pub(crate) fn write_after(
    path: &Path,
    length: usize,
    fill: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<Vec<u8>>,
    before: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let fill = |file: &mut File| {
        // What is no file, such as a pipe, takes all in order.
        if !file.metadata()?.is_file() {
            let mut rest = Vec::new();
            let begin = fill(&mut |part| {
                rest.extend_from_slice(part);
                Ok(())
            })?;
            return file.write_all(&begin).and_then(|()| file.write_all(&rest));
        }
        file.seek(SeekFrom::Start(length as u64))?;
        let begin = fill(&mut |part| file.write_all(part))?;
        if begin.len() != length {
            return Err(Error::other("its beginning has another length than was said"));
        }
        file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&begin))
    };
    write(path, fill, |file| file.sync_all().and_then(|()| before()))
}

/// As [`write_atomically`], of several parts, but after a loss of power the file may be damaged.
pub(crate) fn write_unsynced(path: &Path, parts: &[&[u8]]) -> Result<()> {
    write(path, |file| parts.iter().try_for_each(|part| file.write_all(part)), |_| Ok(()))
}

fn write(
    path: &Path,
    fill: impl FnOnce(&mut File) -> Result<()>,
    sync: impl FnOnce(&File) -> Result<()>,
) -> Result<()> {
    // A file renamed over a device or a pipe would take its place.
    if fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
        return fill(&mut File::options().write(true).open(path)?);
    }
    let no_folder = || Error::new(ErrorKind::InvalidInput, "is no file in a folder");
    let folder = path.parent().ok_or_else(no_folder)?;
    // A name alone has an empty folder, which is where the process runs.
    let folder = if folder == Path::new("") { Path::new(".") } else { folder };
    remove_abandoned(folder);
    let mut file = temporary(folder)?;
    // Errors of the temporary file itself would name it, and nobody knows that name.
    fill(file.as_file_mut())?;
    sync(file.as_file())?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// A new file in the folder, locked.
fn temporary(folder: &Path) -> Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED).suffix(SUFFIX);
    // As readable as the umask lets any file be, which temporary files are not by default.
    let open = |path: &Path| File::options().write(true).create_new(true).open(path);
    loop {
        let file = builder.make_in(folder, open)?;
        // Who holds it takes it for abandoned and removes it. Where files cannot be locked, nobody does.
        file.as_file().lock().ok();
        if file.path().exists() {
            return Ok(file);
        }
    }
}

/// Removes the temporary files that no living process holds. One that cannot be looked at is left where it is.
fn remove_abandoned(folder: &Path) {
    let is_temporary = |name: &OsStr| {
        name.to_str().is_some_and(|name| name.starts_with(UNFINISHED) && name.ends_with(SUFFIX))
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !is_temporary(&entry.file_name()) || !entry.file_type().is_ok_and(|ty| ty.is_file()) {
            continue;
        }
        let path = entry.path();
        if let Ok(file) = File::open(&path)
            && file.try_lock().is_ok()
            && let Err(error) = fs::remove_file(&path)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!("{}: what a killed process left is not removed: {error}", path.display());
        }
    }
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('?');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_killed_writers_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in [".natgrad-Ab12.tmp", ".natgrad-notes", "mine.tmp", ".natgrad-Cd34.tmp"] {
            fs::write(at(name), "left").unwrap();
        }
        fs::create_dir(at(".natgrad-folder.tmp")).unwrap();
        let living = File::open(at(".natgrad-Cd34.tmp")).unwrap();
        living.lock().unwrap();
        write_atomically(&at("result"), b"whole").unwrap();
        let kept = [".natgrad-Cd34.tmp", ".natgrad-folder.tmp", ".natgrad-notes", "mine.tmp", "result"];
        assert_eq!(names(folder.path()), kept);
        drop(living);
        write_unsynced(&at("result"), &[b"who", b"le"]).unwrap();
        assert_eq!(names(folder.path()), kept[1..]);
        assert_eq!(fs::read(at("result")).unwrap(), b"whole");
    }

    /// Each would remove what another is about to write, if it could.
    #[test]
    fn writers_in_one_folder_do_not_disturb_each_other() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for writer in 0..8u8 {
                let path = folder.path().join(writer.to_string());
                scope.spawn(move || {
                    for _ in 0..200 {
                        write_unsynced(&path, &[&[writer; 100]]).unwrap();
                    }
                    assert_eq!(fs::read(path).unwrap(), [writer; 100]);
                });
            }
        });
        assert_eq!(names(folder.path()), ["0", "1", "2", "3", "4", "5", "6", "7"]);
    }

    #[test]
    #[cfg(unix)]
    fn what_is_no_file_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, wanted) in [
            (pipe.as_path(), "is a pipe, but must be a file"),
            (Path::new("/dev/zero"), "is a device, but must be a file"),
            (folder.path(), "is a folder, but must be a file"),
            (&socket, "is a socket, but must be a file"),
        ] {
            assert_eq!(read(path).unwrap_err().to_string(), wanted);
            assert_eq!(read_to_string(path).unwrap_err().to_string(), wanted);
        }
        assert_eq!(open(&folder.path().join("none")).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn devices_and_pipes_are_written_to_and_not_replaced() {
        use std::os::unix::fs::FileTypeExt as _;
        let folder = tempfile::tempdir().unwrap();
        let full = folder.path().join("full");
        std::os::unix::fs::symlink("/dev/full", &full).unwrap();
        let error = write_atomically(&full, b"text").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert!(fs::metadata(&full).unwrap().file_type().is_char_device());
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let read = std::thread::scope(|scope| {
            let reader = scope.spawn(|| fs::read(&pipe).unwrap());
            write_atomically(&pipe, b"text").unwrap();
            reader.join().unwrap()
        });
        assert_eq!(read, b"text");
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
        assert_eq!(names(folder.path()), ["full", "pipe"]);
    }

    /// A link to itself cannot be followed, not even by root.
    #[test]
    #[cfg(unix)]
    fn what_cannot_be_looked_at_is_not_taken_for_missing() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink("loop", at("loop")).unwrap();
        fs::write(at("file"), "text").unwrap();
        assert_eq!(read_to_string_if_there(&at("none")).unwrap(), None);
        assert_eq!(read_to_string_if_there(&at("file")).unwrap().as_deref(), Some("text"));
        let error = read_to_string_if_there(folder.path()).unwrap_err();
        assert_eq!(error.to_string(), "is a folder, but must be a file");
        read_to_string_if_there(&at("loop")).unwrap_err();
        assert!(is_folder(folder.path()).unwrap());
        assert!(!is_folder(&at("file")).unwrap() && !is_folder(&at("none")).unwrap());
        is_folder(&at("loop")).unwrap_err();
    }
}
