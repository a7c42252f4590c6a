//! Other programs that take turns with natgrad: each answers commands on its standard input with a line of JSON.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;

/// Why another program cannot be timed.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It cannot be started.
    #[error("--with {command}: cannot be started: {reason}")]
    Start {
        /// The command.
        command: String,
        /// What the system said.
        reason: String,
    },
    /// It ended, or closed its output.
    #[error("--with {command}: it ended when asked `{asked}`; what it wrote to standard error is above")]
    Ended {
        /// The command.
        command: String,
        /// What it was asked.
        asked: String,
    },
    /// It answered with an error.
    #[error("--with {command}: asked `{asked}`, it answered: {reason}")]
    Refused {
        /// The command.
        command: String,
        /// What it was asked.
        asked: String,
        /// Its answer.
        reason: String,
    },
    /// Its answer makes no sense.
    #[error("--with {command}: asked `{asked}`, it answered {line:?}, not {wanted}")]
    Answer {
        /// The command.
        command: String,
        /// What it was asked.
        asked: String,
        /// Its answer.
        line: String,
        /// What would be right.
        wanted: &'static str,
    },
}

/// A program that was started, and ends with this value.
#[derive(Debug)]
pub struct Server {
    command: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

/// What it can time: the answer to `entrants WORKLOAD`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Entrants {
    entrants: Vec<(String, String)>,
}

/// The answer to `time FRAMEWORK WORKLOAD RULE STEPS`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Timed {
    seconds: f64,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl Server {
    /// Starts a command, which is split at spaces.
    ///
    /// # Errors
    /// [`ServerError::Start`].
    pub fn start(command: &str) -> Result<Server, ServerError> {
        let failed = |reason: String| ServerError::Start { command: command.to_string(), reason };
        let mut words = command.split_whitespace();
        let program = words.next().ok_or_else(|| failed("it is empty".to_string()))?;
        let mut child = Command::new(program)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or_else(|| failed("it has no standard output".to_string()))?;
        Ok(Server { command: command.to_string(), child, stdin, stdout: BufReader::new(stdout) })
    }

    /// The frameworks and rules that it can time on a workload; none if it does not know it.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub fn entrants(&mut self, workload: &str) -> Result<Vec<(String, String)>, ServerError> {
        let wanted = "{\"entrants\": [[FRAMEWORK, RULE], ...]}";
        self.ask::<Entrants>(&format!("entrants {workload}"), wanted).map(|answer| answer.entrants)
    }

    /// Runs steps and gives the seconds of all together. The first time it builds the step, and makes two that do not count.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub fn time(
        &mut self,
        (framework, rule): (&str, &str),
        workload: &str,
        steps: usize,
    ) -> Result<f64, ServerError> {
        let asked = format!("time {framework} {workload} {rule} {steps}");
        self.ask::<Timed>(&asked, "{\"seconds\": NUMBER}").map(|answer| answer.seconds)
    }

    /// Lets it free a step.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub fn forget(&mut self, (framework, rule): (&str, &str), workload: &str) -> Result<(), ServerError> {
        let asked = format!("drop {framework} {workload} {rule}");
        self.ask::<serde_json::Value>(&asked, "JSON").map(drop)
    }

    fn ask<T: for<'de> Deserialize<'de>>(
        &mut self,
        asked: &str,
        wanted: &'static str,
    ) -> Result<T, ServerError> {
        let (command, asked) = (self.command.clone(), asked.to_string());
        let mut line = String::new();
        let sent = self.stdin.as_mut().map(|stdin| writeln!(stdin, "{asked}").and_then(|()| stdin.flush()));
        let read = match sent {
            Some(Ok(())) => self.stdout.read_line(&mut line).unwrap_or(0),
            Some(Err(_)) | None => 0,
        };
        if read == 0 {
            return Err(ServerError::Ended { command, asked });
        }
        if let Ok(Refusal { error }) = serde_json::from_str(&line) {
            return Err(ServerError::Refused { command, asked, reason: error });
        }
        serde_json::from_str(&line).map_err(|_| {
            let line = line.trim_end().to_string();
            ServerError::Answer { command, asked, line, wanted }
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Without its standard input it ends by itself; what does not is stopped.
        drop(self.stdin.take());
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.child.kill().ok();
        }
        self.child.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server whose answers are these lines.
    fn server(lines: &[&str]) -> (tempfile::TempDir, Server) {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("server.sh");
        let answers: String = lines.iter().map(|line| format!("read asked; echo '{line}'\n")).collect();
        std::fs::write(&script, answers).unwrap();
        let server = Server::start(&format!("sh {}", script.display())).unwrap();
        (folder, server)
    }

    #[test]
    fn answers_are_read() {
        let (_folder, mut server) =
            server(&[r#"{"entrants": [["jax", "ivon"]]}"#, r#"{"seconds": 0.25}"#, "{}"]);
        assert_eq!(server.entrants("mlp").unwrap(), [("jax".to_string(), "ivon".to_string())]);
        assert_eq!(server.time(("jax", "ivon"), "mlp", 3).unwrap(), 0.25);
        server.forget(("jax", "ivon"), "mlp").unwrap();
    }

    #[test]
    fn what_goes_wrong_names_the_command_and_what_it_was_asked() {
        let (_folder, mut refusing) = server(&[r#"{"error": "no jax here"}"#, "nonsense"]);
        let message = refusing.time(("jax", "ivon"), "mlp", 3).unwrap_err().to_string();
        assert!(message.contains("server.sh") && message.contains("time jax mlp ivon 3"), "{message}");
        assert!(message.contains("no jax here"), "{message}");
        let message = refusing.entrants("mlp").unwrap_err().to_string();
        assert!(message.contains("nonsense") && message.contains("FRAMEWORK"), "{message}");
        let message = refusing.entrants("mlp").unwrap_err().to_string();
        assert!(message.contains("ended"), "{message}");
        let message = Server::start("/no/such/program serve").unwrap_err().to_string();
        assert!(message.contains("/no/such/program"), "{message}");
    }
}
