//! What the tests share: a folder with a small data set, and the command run in it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use natgrad::assets;
use natgrad::train::Checkpoint;

/// The CPU plugin in natgrad's cache folder, fetched if need be.
pub static PLUGIN: LazyLock<PathBuf> = LazyLock::new(|| assets::cpu_plugin().unwrap());

/// Compiles the tests' model once, so that tests that start together find it in the cache.
static WARM: LazyLock<()> = LazyLock::new(|| {
    LazyLock::force(&PLUGIN);
    Bench::cold().ok(&["train", "run.json", "--steps", "1"]);
});

/// A temporary folder that commands run in, with `run.json` for a small model on `table.csv`.
pub struct Bench {
    folder: tempfile::TempDir,
}

/// What a command did.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Bench {
    /// A folder for commands that train: the tests' programs are in the cache.
    pub fn new() -> Bench {
        LazyLock::force(&WARM);
        Bench::cold()
    }

    /// A folder for commands that end before anything is compiled.
    pub fn cold() -> Bench {
        let bench = Bench { folder: tempfile::tempdir().unwrap() };
        bench.write("table.csv", &table());
        bench.write(
            "run.json",
            r#"{"model": {"kind": "mlp", "sizes": [2, 8, 3]}, "data": {"kind": "csv", "path": "table.csv"},
                "batch": 8, "length": {"steps": 30}, "evaluation": {"samples": 4}}"#,
        );
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_str(&self.read(name)).unwrap()
    }

    /// The names of the files in a folder, sorted.
    pub fn list(&self, name: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(name)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    pub fn checkpoint(&self, folder: &str) -> Checkpoint {
        Checkpoint::load(&self.path(folder)).unwrap()
    }

    pub fn command<A: AsRef<OsStr>>(&self, args: &[A]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_natgrad"));
        command.args(args).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env_remove("NATGRAD_LOG");
        command
    }

    pub fn run<A: AsRef<OsStr>>(&self, args: &[A]) -> Outcome {
        run(&mut self.command(args))
    }

    /// Runs a command that must succeed.
    pub fn ok<A: AsRef<OsStr>>(&self, args: &[A]) -> Outcome {
        let outcome = self.run(args);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        outcome
    }

    /// A cache folder with what is installed, and no executables.
    pub fn cold_cache(&self, name: &str) -> PathBuf {
        let cache = self.path(name);
        std::fs::create_dir(&cache).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(assets::cache_root().unwrap().join("packages"), cache.join("packages"))
            .unwrap();
        cache
    }

    /// Takes out what differs from machine to machine.
    pub fn redact(&self, text: &str) -> String {
        let cache = assets::cache_root().unwrap();
        let folder = self.folder.path();
        let text = text.replace(&cache.display().to_string(), "[cache]");
        text.replace(&folder.display().to_string(), "[folder]")
    }
}

/// That a command ended with this code and said all of these, as a result or beside it.
pub fn said(outcome: &Outcome, code: i32, parts: &[&str]) {
    assert_eq!(outcome.code, Some(code), "{outcome:?}");
    for part in parts {
        let there = outcome.stderr.contains(part) || outcome.stdout.contains(part);
        assert!(there, "{part:?} is not in {outcome:?}");
    }
}

/// Runs a command to its end. None of them may panic, whatever they are given.
pub fn run(command: &mut Command) -> Outcome {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let outcome =
        Outcome { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
    assert!(!outcome.stderr.contains("panicked"), "{outcome:?}");
    outcome
}

/// Waits until something is there, with patience for slow machines.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..60_000 {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("{what} did not come");
}

/// A NumPy array of bytes, of a shape as Python writes it.
pub fn npy(shape: &str, body: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n");
    let length = (header.len() as u16).to_le_bytes();
    [&b"\x93NUMPY\x01\x00"[..], &length, header.as_bytes(), body].concat()
}

/// Whether `path` is there, also as a link that leads nowhere.
pub fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// Sixty points in three overlapping clouds.
fn table() -> String {
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 24) - 0.5
    };
    let mut text = "x,y,class\n".to_string();
    for row in 0..60 {
        let class = row % 3;
        let (x, y) = (f64::from(class) + 1.5 * noise(), f64::from(-class) + 1.5 * noise());
        text.push_str(&format!("{x:.4},{y:.4},{class}\n"));
    }
    text
}
