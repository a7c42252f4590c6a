//! What the user sees while something is fetched: a bar on a terminal, else a line for each step.

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

/// Where messages go.
#[derive(Debug)]
pub(super) enum Say {
    /// To the user.
    Stderr,
    /// To a test.
    #[cfg(test)]
    Kept(std::sync::Mutex<Vec<String>>),
}

impl Say {
    /// One line.
    pub(super) fn line(&self, line: &str) {
        match self {
            // A closed stderr is no reason to stop.
            Say::Stderr => drop(writeln!(io::stderr(), "{line}")),
            #[cfg(test)]
            Say::Kept(lines) => lines.lock().unwrap().push(line.to_owned()),
        }
    }

    /// A bar over `bytes`, hidden where nobody would see it move.
    pub(super) fn bar(&self, message: &str, bytes: u64) -> ProgressBar {
        if !(matches!(self, Say::Stderr) && io::stderr().is_terminal()) {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(bytes).with_message(message.to_owned());
        match ProgressStyle::with_template("{msg} {wide_bar} {decimal_bytes_per_sec} {eta}") {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    }
}

/// The size in bytes of the largest file under `folder`: pip copies the wheel at the end, so a sum would be too much.
pub(super) fn largest_file(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => largest_file(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_file_is_found_in_the_folders_below() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(largest_file(folder.path()), 0);
        fs::create_dir_all(folder.path().join("pip-unpack/deep")).unwrap();
        fs::write(folder.path().join("pip-unpack/deep/wheel"), [0; 70]).unwrap();
        fs::write(folder.path().join("certificates"), [0; 50]).unwrap();
        assert_eq!(largest_file(folder.path()), 70);
        assert_eq!(largest_file(&folder.path().join("absent")), 0);
    }
}
