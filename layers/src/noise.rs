//! How far numbers are from what a model predicts.

use std::borrow::Cow;
use std::fmt;

use natgrad_ir::Expr;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};

use crate::init::Init;
use crate::model::{Model, Task};
use crate::network::Network;

/// The name of the parameter that learned noise is: its logarithm, a number for each output of a row.
pub const LOG_NOISE: &str = "log_noise";

/// The standard deviation of numbers about a model's outputs. In JSON a number, or `"learned"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Noise {
    /// The same of all outputs, and known.
    Given(f64),
    /// One for each output, learned with the weights: its logarithm is the parameter [`LOG_NOISE`], which starts at 0.
    Learned,
}

impl Noise {
    /// Whether it is learned, or a standard deviation.
    pub fn is_sound(self) -> bool {
        match self {
            Noise::Given(noise) => noise.is_finite() && noise > 0.0,
            Noise::Learned => true,
        }
    }
}

impl JsonSchema for Noise {
    fn schema_name() -> Cow<'static, str> {
        "Noise".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"const": "learned"}]})
    }
}

impl From<f64> for Noise {
    fn from(noise: f64) -> Noise {
        Noise::Given(noise)
    }
}

impl fmt::Display for Noise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Noise::Given(noise) => fmt::Debug::fmt(noise, f),
            Noise::Learned => f.write_str("learned"),
        }
    }
}

impl Serialize for Noise {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Noise::Given(noise) => serializer.serialize_f64(*noise),
            Noise::Learned => serializer.serialize_str("learned"),
        }
    }
}

impl<'de> Deserialize<'de> for Noise {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Noise, D::Error> {
        struct Reads;

        impl Visitor<'_> for Reads {
            type Value = Noise;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a standard deviation above 0, or \"learned\"")
            }

            fn visit_f64<E: Error>(self, noise: f64) -> Result<Noise, E> {
                Ok(Noise::Given(noise))
            }

            fn visit_i64<E: Error>(self, noise: i64) -> Result<Noise, E> {
                Ok(Noise::Given(noise as f64))
            }

            fn visit_u64<E: Error>(self, noise: u64) -> Result<Noise, E> {
                Ok(Noise::Given(noise as f64))
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Noise, E> {
                match word {
                    "learned" => Ok(Noise::Learned),
                    other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
                }
            }
        }

        deserializer.deserialize_any(Reads)
    }
}

/// The outputs of a network, and the logarithm of the noise about them where that is learned: `[1]` for outputs `[rows]`.
pub(crate) fn outputs_and_log_noise<'b>(
    model: &dyn Model,
    net: &Network<'b>,
    inputs: &[Expr<'b>],
) -> (Expr<'b>, Option<Expr<'b>>) {
    let outputs = model.outputs(net, inputs);
    let log_noise = match model.task() {
        Task::Numbers { noise: Noise::Learned } => {
            let dims = outputs.dims();
            let of_row = dims.get(1..).filter(|dims| !dims.is_empty()).unwrap_or(&[1]);
            Some(net.param(LOG_NOISE, of_row, Init::Constant(0.0)))
        }
        Task::Numbers { noise: Noise::Given(_) } | Task::Classes | Task::Tokens | Task::Own => None,
    };
    (outputs, log_noise)
}
