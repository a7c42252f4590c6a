//! `natgrad config`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::Failure;
use super::out::pretty;
use super::print::print;
use crate::config::{Field, Origin, RunConfig, schema};
use crate::report::columns;

/// Show every field of a configuration, or the schema by which editors check one
#[derive(Debug, Args)]
pub(super) struct ConfigCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the JSON Schema of configurations
    Schema,
    /// Print every field, its value, and whether that is the default or was set
    Show {
        /// The configuration [default: the default run]
        config: Option<PathBuf>,
        /// Set a field of the configuration, e.g. rule.lr=0.1
        #[arg(long = "set", value_name = "PATH=VALUE")]
        set: Vec<String>,
        /// Print the whole configuration as JSON, as a run keeps it
        #[arg(long)]
        json: bool,
    },
}

impl ConfigCommand {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::Schema => print(&pretty(&schema())?)?,
            Command::Show { config, set, json: true } => {
                let config = RunConfig::load(config.as_deref(), &set).map_err(Failure::usage)?;
                print(&pretty(&config.to_json())?)?;
            }
            Command::Show { config, set, json: false } => {
                let fields = RunConfig::fields(config.as_deref(), &set).map_err(Failure::usage)?;
                let file = config.map_or_else(String::new, |path| path.display().to_string());
                let header = vec![["field", "value", "from"].map(str::to_string).to_vec()];
                let rows = fields.iter().map(|field| row(field, &file));
                print(&columns(&header.into_iter().chain(rows).collect::<Vec<_>>(), |_| false))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn row(field: &Field, file: &str) -> Vec<String> {
    let origin = match field.origin {
        Origin::Default => "default",
        Origin::File => file,
        Origin::Override => "--set",
    };
    let value = field.value.as_ref().map_or("-".to_string(), ToString::to_string);
    vec![field.path.clone(), value, origin.to_string()]
}
