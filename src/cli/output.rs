//! Files that a command writes: what must not be replaced is refused by name, before any work.

use std::path::{MAIN_SEPARATOR, Path, PathBuf};

use anyhow::anyhow;

use super::Failure;
use super::out::{CONFIG_FILE, RUN_FILES};
use crate::config::RunConfig;
use crate::train::{BEST_FILE, CHECKPOINT_FILE, METRICS_FILE, kept_checkpoints};

/// Files that are to be written, each with its option.
pub(super) type Outputs<'a> = &'a [(&'a str, Option<&'a Path>)];

/// What a command reads, and how it is called in a sentence.
#[derive(Debug, Default)]
pub(super) struct Inputs(Vec<(String, PathBuf)>);

impl Inputs {
    /// Adds a file or folder, if it is given.
    pub(super) fn with(mut self, name: &str, path: Option<impl AsRef<Path>>) -> Inputs {
        self.0.extend(path.map(|path| (name.to_string(), path.as_ref().to_path_buf())));
        self
    }

    /// Adds the data of a configuration, and the weights that it begins with.
    pub(super) fn with_config(mut self, config: &RunConfig) -> Inputs {
        let data = config.data.paths().into_iter();
        self.0.extend(data.map(|path| ("the run's data".to_string(), path)));
        self.with("`init` of the configuration", config.init.as_ref())
    }

    /// Adds the data of a run, as far as its folder tells.
    pub(super) fn with_run(self, run: &Path) -> Inputs {
        match RunConfig::load(Some(&run.join(CONFIG_FILE)), &[]) {
            Ok(config) => self.with_config(&config),
            Err(_) => self,
        }
    }

    /// What of them would be replaced by a file that is there.
    fn replaced(&self, output: &Path) -> Option<String> {
        let output = output.canonicalize().ok()?;
        self.0.iter().find_map(|(name, input)| {
            let input = input.canonicalize().ok()?;
            match output == input {
                true => Some(name.clone()),
                false if input.is_dir() && !is_run(&input) && output.starts_with(&input) => {
                    Some(format!("a file of {name}"))
                }
                false => None,
            }
        })
    }
}

/// As [`refuse`] does, and tries whether the files can be written. Their folders are made. What is no file, such as a pipe,
/// is not tried.
pub(super) fn check(outputs: Outputs, inputs: &Inputs) -> Result<(), Failure> {
    refuse(outputs, inputs)?;
    for &(option, file) in outputs {
        if let Some(file) = file.filter(|file| file.is_file() || !file.exists()) {
            must_be_writable(option, file)?;
        }
    }
    Ok(())
}

/// Refuses files that would replace what the command reads, a file of a run, or each other.
pub(super) fn refuse(outputs: Outputs, inputs: &Inputs) -> Result<(), Failure> {
    let mut before: Vec<(&str, PathBuf)> = Vec::new();
    for &(option, file) in outputs {
        let Some(file) = file else { continue };
        let refuse = |what: String| Err(Failure::usage(anyhow!("{option} {}: {what}", file.display())));
        if file.is_dir() || file.to_string_lossy().ends_with(['/', MAIN_SEPARATOR]) {
            return refuse("is a folder, but must be a file".to_string());
        }
        if file.exists() && !file.is_file() {
            continue;
        }
        if let Some(name) = inputs.replaced(file) {
            return refuse(format!("is {name}, which would be replaced"));
        }
        if is_of_run(file) {
            let folder = folder(file).display();
            return refuse(format!(
                "is a file of the run in {folder}, which it would replace or be taken for"
            ));
        }
        let place = place(file);
        if let Some((other, _)) = before.iter().find(|(_, written)| *written == place) {
            return refuse(format!("is the file of {other} too"));
        }
        before.push((option, place));
    }
    Ok(())
}

/// Tries whether a file can be written, and makes its folder.
fn must_be_writable(option: &str, file: &Path) -> Result<(), Failure> {
    let folder = folder(file);
    let failed = |what: String, error: &std::io::Error| {
        Failure::output(error, format!("{option} {}: {what}{error}", file.display()))
    };
    std::fs::create_dir_all(folder)
        .map_err(|error| failed(format!("cannot make the folder {}: ", folder.display()), &error))?;
    tempfile::tempfile_in(folder).map(drop).map_err(|error| failed(String::new(), &error))
}

/// The folder of a file. A name alone has an empty one, which is where the command runs.
fn folder(file: &Path) -> &Path {
    file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// A file that need not be there, by one name only.
fn place(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default();
    folder(file).canonicalize().map_or_else(|_| file.to_path_buf(), |folder| folder.join(name))
}

fn is_run(folder: &Path) -> bool {
    [CHECKPOINT_FILE, BEST_FILE, METRICS_FILE].iter().any(|name| folder.join(name).is_file())
}

/// Refuses a file that the run that is to be in the folder writes itself.
pub(super) fn refuse_own(option: &str, file: &Path, run: &Path) -> Result<(), Failure> {
    let is_own = file.file_name().is_some_and(|name| RUN_FILES.iter().any(|own| name == *own));
    match is_own
        && folder(file).canonicalize().is_ok_and(|folder| run.canonicalize().is_ok_and(|run| folder == run))
    {
        true => Err(Failure::usage(anyhow!("{option} {}: is a file of the run itself", file.display()))),
        false => Ok(()),
    }
}

/// Whether a run's folder has, or may come to have, a file of its own there.
fn is_of_run(file: &Path) -> bool {
    let file = place(file);
    let (folder, name) = (folder(&file), file.file_name().unwrap_or_default());
    is_run(folder)
        && (RUN_FILES.iter().any(|own| name == *own)
            || kept_checkpoints(folder).iter().any(|(_, kept)| kept.file_name() == Some(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(outputs: Outputs, inputs: &Inputs) -> String {
        match check(outputs, inputs) {
            Err(Failure::Usage(error) | Failure::Failed(error)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_would_be_lost_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("images/cat")).unwrap();
        std::fs::create_dir_all(at("run")).unwrap();
        for name in ["table.csv", "images/cat/1.png", "run/checkpoint.safetensors", "run/notes.txt"] {
            std::fs::write(at(name), "").unwrap();
        }
        let inputs = Inputs::default()
            .with("the --data", Some(at("table.csv")))
            .with("the run's data", Some(at("images")))
            .with("the run", Some(at("run")));
        let said = |name: &str, wanted: &str| {
            let told = refused(&[("--out", Some(&at(name)))], &inputs);
            assert_eq!(told, format!("--out {}: {wanted}", at(name).display()));
        };
        said("table.csv", "is the --data, which would be replaced");
        said("images/../table.csv", "is the --data, which would be replaced");
        said("images/cat/1.png", "is a file of the run's data, which would be replaced");
        for name in
            ["run/checkpoint.safetensors", "run/config.json", "run/summary.json", "run/best.safetensors"]
        {
            let run = at("run");
            let run = run.display();
            said(name, &format!("is a file of the run in {run}, which it would replace or be taken for"));
        }
        said("images", "is a folder, but must be a file");
        said("none/", "is a folder, but must be a file");
        assert!(!at("none").exists());
        // What belongs to nobody may be replaced, and folders are made.
        let fine = ["run/notes.txt", "run/page.html", "config.json", "new/deep/page.html", "images/new.csv"];
        for name in fine {
            assert!(check(&[("--out", Some(&at(name)))], &inputs).is_ok(), "{name}");
        }
        let told = refused(&[("--out", Some(&at("table.csv/below")))], &Inputs::default());
        assert!(told.contains(": cannot make the folder ") && told.contains("table.csv: "), "{told}");
        let (one, same) = (at("one.json"), at("images/../one.json"));
        let twice: Outputs = &[("--json", Some(&one)), ("--html", Some(&same))];
        assert!(refused(twice, &inputs).ends_with("one.json: is the file of --json too"));
    }
}
