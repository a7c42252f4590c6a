//! Which parameters of the entry give their memory to which outputs, and what lowering can refuse.

use natgrad_ir::pass::PassError;
use natgrad_ir::{Function, TensorType};

/// Which parameters of the entry are donated: the program writes the output over the parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Donation {
    /// For each parameter, in order, the index of the output that takes over its memory. Parameters past the end
    /// are not donated.
    pub aliases: Vec<Option<usize>>,
}

impl Donation {
    /// No parameter is donated.
    pub fn none() -> Donation {
        Donation::default()
    }

    /// Donates a parameter to an output, besides what is donated already.
    #[must_use]
    pub fn donate(mut self, param: usize, output: usize) -> Donation {
        if self.aliases.len() <= param {
            self.aliases.resize(param + 1, None);
        }
        self.aliases[param] = Some(output);
        self
    }

    /// The output that takes over a parameter's memory, if it is donated.
    pub fn output_of(&self, param: usize) -> Option<usize> {
        self.aliases.get(param).copied().flatten()
    }

    /// Checks that the donation fits the entry.
    pub(super) fn check(&self, entry: &Function) -> Result<(), LowerError> {
        let mut donors: Vec<Option<usize>> = vec![None; entry.results.len()];
        for (param, output) in self.aliases.iter().enumerate() {
            let Some(output) = *output else { continue };
            let Some(&value) = entry.params.get(param) else {
                let params = entry.params.len();
                return Err(LowerError::NoSuchParam { function: entry.name.clone(), param, params });
            };
            let name = entry.label(value);
            let Some(&result) = entry.results.get(output) else {
                let outputs = entry.results.len();
                return Err(LowerError::NoSuchOutput {
                    function: entry.name.clone(),
                    param: name,
                    output,
                    outputs,
                });
            };
            let (donated, written) = (entry.ty(value), entry.ty(result));
            if donated != written {
                return Err(LowerError::DonatedType {
                    function: entry.name.clone(),
                    param: name,
                    donated: donated.clone(),
                    output,
                    written: written.clone(),
                });
            }
            if let Some(first) = donors[output].replace(param) {
                return Err(LowerError::DonatedTwice {
                    function: entry.name.clone(),
                    output,
                    first: entry.label(entry.params[first]),
                    second: name,
                });
            }
        }
        Ok(())
    }
}

/// Why a module cannot be lowered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LowerError {
    /// There is nothing to run.
    #[error("module `{module}` has no functions, so no entry to run")]
    NoEntry {
        /// The module.
        module: String,
    },
    /// The name of the entry in the lowered module is taken.
    #[error(
        "module `{module}`: function `main` is not the entry; only the last function may be called `main`"
    )]
    MainTaken {
        /// The module.
        module: String,
    },
    /// A donated parameter does not exist.
    #[error("entry `{function}`: parameter {param} is donated, but there are {params} parameters")]
    NoSuchParam {
        /// The entry.
        function: String,
        /// The index of the parameter.
        param: usize,
        /// How many parameters there are.
        params: usize,
    },
    /// A parameter is donated to an output that does not exist.
    #[error(
        "entry `{function}`: parameter {param} is donated to output {output}, but there are {outputs} outputs"
    )]
    NoSuchOutput {
        /// The entry.
        function: String,
        /// The parameter, as it is written.
        param: String,
        /// The index of the output.
        output: usize,
        /// How many outputs there are.
        outputs: usize,
    },
    /// A parameter is donated to an output of another type.
    #[error(
        "entry `{function}`: parameter {param} of type {donated} is donated to output {output} of type {written}; \
         the types must be equal"
    )]
    DonatedType {
        /// The entry.
        function: String,
        /// The parameter, as it is written.
        param: String,
        /// The type of the parameter.
        donated: TensorType,
        /// The index of the output.
        output: usize,
        /// The type of the output.
        written: TensorType,
    },
    /// Two parameters are donated to one output.
    #[error("entry `{function}`: parameters {first} and {second} are both donated to output {output}")]
    DonatedTwice {
        /// The entry.
        function: String,
        /// The index of the output.
        output: usize,
        /// One of the parameters, as it is written.
        first: String,
        /// The other.
        second: String,
    },
    /// A value is used that the sink gave no handle for.
    #[error("function `{function}`: the sink gave no handle for {value}")]
    NoHandle {
        /// The function.
        function: String,
        /// The value, as it is written.
        value: String,
    },
    /// A pass that shapes the module for the target is at fault.
    #[error(transparent)]
    Pass(#[from] PassError),
}
