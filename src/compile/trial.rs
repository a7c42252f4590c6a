//! Compiling in another process first what XLA may not survive.
//!
//! natgrad's own programs are known to compile: the tests compile the whole matrix of them. Functions from elsewhere may
//! hold anything, and a failed check of XLA's ends the process. So a program with such functions is compiled by a child,
//! which leaves the executable in the cache. If XLA ends the child, the loops are left to XLA, which was seen to help; if
//! XLA ends that child too, there is an error, and this process goes on.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};
use std::sync::OnceLock;

use super::{Cache, Device, Target};
use crate::lower::Loops;
use crate::pjrt::{self, Plugin, TrustedLibrary};
use crate::size::Size;

/// How a child of this program is started that calls [`answer`].
static CHILD: OnceLock<Vec<OsString>> = OnceLock::new();

/// Has programs with functions from elsewhere tried by a child first, on the CPU: this command, with further arguments,
/// must call [`answer`] with these and end with what it gives. Only the first call counts. Without it such programs are
/// compiled at once.
pub fn try_by(command: Vec<OsString>) {
    CHILD.set(command).ok();
}

/// What became of a trial.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trial {
    /// The child compiled the program, or failed in another way, which this process will see for itself.
    Over,
    /// XLA ended the child, with this last line.
    Ended(String),
}

/// Whether programs with functions from elsewhere are tried for a target.
pub(super) fn is_wanted(target: Target) -> bool {
    // A second client of a GPU would claim its memory.
    target == Target::Cpu && CHILD.get().is_some()
}

/// Compiles a program in a child, which leaves it in the cache.
pub(super) fn of_program(plugin: &Plugin, cache: &Cache, loops: Loops, stablehlo: &str) -> Trial {
    let Some((program, arguments)) = CHILD.get().and_then(|command| command.split_first()) else {
        return Trial::Over;
    };
    let mut command = Command::new(program);
    command.args(arguments).arg(plugin.path()).arg(cache.folder()).arg(cache.max().0.to_string());
    command.arg(match loops {
        Loops::Chosen => "chosen",
        Loops::Merged => "merged",
    });
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = command.spawn().and_then(|mut child| {
        // A child that ends early does not read on, and its end says why.
        let written = child.stdin.take().map(|mut input| input.write_all(stablehlo.as_bytes()));
        drop(written);
        child.wait_with_output()
    });
    match output {
        Ok(output) if was_aborted(&output) => Trial::Ended(last_words(&output.stderr)),
        Ok(_) => Trial::Over,
        Err(error) => {
            tracing::warn!("cannot try the program in a process of its own: {error}");
            Trial::Over
        }
    }
}

/// Whether the process ended as it does by a failed check, an exception or an access to memory that it does not have.
#[cfg(unix)]
fn was_aborted(output: &Output) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    // SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGSEGV.
    output.status.signal().is_some_and(|signal| [4, 6, 7, 8, 11].contains(&signal))
}

#[cfg(not(unix))]
fn was_aborted(_: &Output) -> bool {
    false
}

/// The line of a fatal message, without its time and place in memory.
fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let fatal = text.lines().find(|line| line.starts_with('F') && line.contains(']'));
    let message = fatal.and_then(|line| line.split_once(']')).map(|(_, message)| message.trim());
    let message =
        message.or_else(|| text.lines().find(|line| line.contains("what():"))).unwrap_or("no message");
    message.chars().take(300).collect()
}

/// What the child does: compiles the program on standard input by the plugin, for the cache and with the loops that the
/// arguments name, and leaves it in the cache.
pub fn answer(arguments: &[OsString]) -> ExitCode {
    match compiled(arguments) {
        Some(()) => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    }
}

fn compiled(arguments: &[OsString]) -> Option<()> {
    let [plugin, folder, max, loops] = arguments else { return None };
    let loops = match loops.to_str()? {
        "chosen" => Loops::Chosen,
        "merged" => Loops::Merged,
        _ => return None,
    };
    let text = std::io::read_to_string(std::io::stdin()).ok()?;
    pjrt::quiet_log();
    let plugin = Plugin::load(&TrustedLibrary::at(Path::new(plugin))).ok()?;
    let client = super::open::share(&plugin, &super::DeviceOptions::default()).ok()?;
    let cache = Cache::open(folder).with_max(Size(max.to_str()?.parse().ok()?));
    let device = Device::at(client, 0, cache, loops).ok()?;
    device.compile_text(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_those_of_the_failed_check() {
        let stderr = b"WARNING: All log messages\nF0000 00:00:1795945.3 20229 shape.h:397] Check failed: has_layout() f32[4]\n@ 0x7f (unknown)\n";
        assert_eq!(last_words(stderr), "Check failed: has_layout() f32[4]");
        assert_eq!(last_words(b"killed"), "no message");
    }
}
