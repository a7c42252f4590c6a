//! The hash of a plugin's file, remembered in the cache folder: plugins have hundreds of megabytes.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::assets::Stamp;
use crate::files;

/// The file a hash was taken of, as it was then, and the hash.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    path: String,
    file: Stamp,
    sha256: [u8; 32],
}

/// The SHA-256 of the file at `path`, a canonical path, from `folder` where it is remembered there for the file
/// as it is now.
pub(super) fn sha256_of(path: &Path, folder: &Path) -> io::Result<[u8; 32]> {
    let stamp = Stamp::of(&fs::metadata(path)?)?;
    let shown = path.to_string_lossy();
    let name = files::hex(&Sha256::digest(path.as_os_str().as_encoded_bytes())[..8]);
    let remembered_at = folder.join(format!("plugin-{name}.json"));
    if let Ok(text) = fs::read(&remembered_at)
        && let Ok(remembered) = serde_json::from_slice::<Remembered>(&text)
        && (remembered.path == shown && remembered.file == stamp)
    {
        return Ok(remembered.sha256);
    }

    let sha256 = hash(path)?;
    // A file replaced while it was read must not be remembered under either stamp.
    if Stamp::of(&fs::metadata(path)?)? == stamp
        && let Err(error) = remember(&remembered_at, &Remembered { path: shown.into(), file: stamp, sha256 })
    {
        tracing::warn!("{}: the plugin's hash is not remembered: {error}", remembered_at.display());
    }
    Ok(sha256)
}

fn hash(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(count) => hash.update(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn remember(path: &Path, remembered: &Remembered) -> io::Result<()> {
    files::write_unsynced(path, &[&serde_json::to_vec(remembered)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_remembered_until_the_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let cache = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugin.so");
        fs::write(&path, "one").unwrap();
        let one = sha256_of(&path, cache.path()).unwrap();
        assert_eq!(one[..], Sha256::digest("one")[..]);

        // What is remembered is believed, so a changed note shows that the file was not read again.
        let note = fs::read_dir(cache.path()).unwrap().next().unwrap().unwrap().path();
        let mut remembered: Remembered = serde_json::from_slice(&fs::read(&note).unwrap()).unwrap();
        remembered.sha256 = [7; 32];
        fs::write(&note, serde_json::to_vec(&remembered).unwrap()).unwrap();
        assert_eq!(sha256_of(&path, cache.path()).unwrap(), [7; 32]);

        fs::write(&path, "three").unwrap();
        assert_eq!(sha256_of(&path, cache.path()).unwrap()[..], Sha256::digest("three")[..]);
        fs::write(&note, "broken").unwrap();
        assert_eq!(sha256_of(&path, cache.path()).unwrap()[..], Sha256::digest("three")[..]);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugin.so");
        fs::write(&path, "one").unwrap();
        let hash = sha256_of(&path, &folder.path().join("no such folder")).unwrap();
        assert_eq!(hash[..], Sha256::digest("one")[..]);
    }
}
