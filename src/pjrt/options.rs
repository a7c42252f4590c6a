//! Compile options, as the serialized `CompileOptionsProto` (`xla/pjrt/proto/compile_options.proto`).

use std::collections::BTreeMap;

use prost::Message;

use super::types::OptionValue;

/// How a program is compiled: for which device, and with which XLA flags.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CompileOptions {
    device_id: Option<i32>,
    flags: BTreeMap<String, OptionValue>,
}

impl CompileOptions {
    /// Options for the default device, with XLA's default flags.
    pub fn new() -> CompileOptions {
        CompileOptions::default()
    }

    /// Compiles for the device with this [`Device::id`](super::Device::id).
    pub fn device_id(mut self, id: i32) -> CompileOptions {
        self.device_id = Some(id);
        self
    }

    /// Sets an XLA flag (a field of `DebugOptions`, such as `xla_dump_to`) for this compilation. A text serves
    /// for a flag of any type, such as `"true"` or `"2"`. XLA refuses flags it does not know.
    pub fn flag(mut self, name: impl Into<String>, value: impl Into<OptionValue>) -> CompileOptions {
        self.flags.insert(name.into(), value.into());
        self
    }

    /// The flags that are set, by name.
    pub fn flags(&self) -> impl Iterator<Item = (&str, &OptionValue)> {
        self.flags.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The same options without the flags whose names the test refuses.
    pub fn retain_flags(mut self, mut keep: impl FnMut(&str) -> bool) -> CompileOptions {
        self.flags.retain(|name, _| keep(name));
        self
    }

    /// The options in XLA's form; equal options give equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let device_assignment = self.device_id.map(|id| DeviceAssignmentProto {
            replica_count: 1,
            computation_count: 1,
            computation_devices: vec![ComputationDeviceProto { replica_device_ids: vec![i64::from(id)] }],
        });
        let flags = self.flags.iter().map(|(name, value)| (name.clone(), flag_value(value)));
        let proto = CompileOptionsProto {
            executable_build_options: Some(ExecutableBuildOptionsProto {
                device_ordinal: -1,
                num_replicas: 1,
                num_partitions: 1,
                device_assignment,
            }),
            env_option_overrides: flags.collect(),
        };
        proto.encode_to_vec()
    }
}

fn flag_value(value: &OptionValue) -> OptionOverrideProto {
    let value = match value {
        // XLA reads numbers from texts, but truth values only as Python writes them.
        OptionValue::Text(text) if text == "true" => FlagValue::Bool(true),
        OptionValue::Text(text) if text == "false" => FlagValue::Bool(false),
        OptionValue::Text(text) => FlagValue::Text(text.clone()),
        OptionValue::Bool(boolean) => FlagValue::Bool(*boolean),
        OptionValue::Int(int) => FlagValue::Int(*int),
        OptionValue::Float(float) => FlagValue::Float(f64::from(*float)),
        OptionValue::Ints(ints) => {
            FlagValue::Text(ints.iter().map(i64::to_string).collect::<Vec<_>>().join(","))
        }
    };
    OptionOverrideProto { value: Some(value) }
}

#[derive(Clone, PartialEq, Message)]
struct CompileOptionsProto {
    #[prost(message, optional, tag = "3")]
    executable_build_options: Option<ExecutableBuildOptionsProto>,
    #[prost(btree_map = "string, message", tag = "7")]
    env_option_overrides: BTreeMap<String, OptionOverrideProto>,
}

#[derive(Clone, PartialEq, Message)]
struct ExecutableBuildOptionsProto {
    #[prost(int64, tag = "1")]
    device_ordinal: i64,
    #[prost(int64, tag = "4")]
    num_replicas: i64,
    #[prost(int64, tag = "5")]
    num_partitions: i64,
    #[prost(message, optional, tag = "9")]
    device_assignment: Option<DeviceAssignmentProto>,
}

/// Of `xla/xla_data.proto`, as is the next.
#[derive(Clone, PartialEq, Message)]
struct DeviceAssignmentProto {
    #[prost(int32, tag = "1")]
    replica_count: i32,
    #[prost(int32, tag = "2")]
    computation_count: i32,
    #[prost(message, repeated, tag = "3")]
    computation_devices: Vec<ComputationDeviceProto>,
}

#[derive(Clone, PartialEq, Message)]
struct ComputationDeviceProto {
    #[prost(int64, repeated, tag = "1")]
    replica_device_ids: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct OptionOverrideProto {
    #[prost(oneof = "FlagValue", tags = "1, 2, 3, 4")]
    value: Option<FlagValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum FlagValue {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Float(f64),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pjrt::testing;

    #[test]
    fn equal_options_give_equal_bytes_in_any_order() {
        let one = CompileOptions::new().flag("b", true).flag("a", 1).flag("c", "x");
        let other = CompileOptions::new().flag("c", "x").flag("a", 1).flag("b", true);
        assert_eq!(one.to_bytes(), other.to_bytes());
        assert_ne!(one.to_bytes(), one.clone().flag("b", false).to_bytes());
        assert_ne!(one.to_bytes(), one.clone().device_id(0).to_bytes());
        assert_eq!(one.retain_flags(|name| name == "a"), CompileOptions::new().flag("a", 1));
    }

    #[test]
    fn flags_of_every_kind_reach_xla() {
        let client = testing::client();
        let folder = tempfile::tempdir().unwrap();
        let options = CompileOptions::new()
            .flag("xla_dump_to", folder.path().to_str().unwrap())
            .flag("xla_dump_hlo_as_text", true)
            .flag("xla_backend_optimization_level", 1)
            .flag("xla_cpu_parallel_codegen_split_count", "2")
            .flag("xla_cpu_enable_fast_math", "false");
        client.compile(testing::DOUBLE.as_bytes(), &options).unwrap();
        let dumps = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let dumps: Vec<String> = dumps.map(|name| name.into_string().unwrap()).collect();
        assert!(dumps.iter().any(|name| name.ends_with("after_optimizations.txt")), "{dumps:?}");
    }

    #[test]
    fn an_unknown_flag_is_refused_by_name() {
        let options = CompileOptions::new().flag("xla_no_such_flag", true);
        let error = testing::client().compile(testing::DOUBLE.as_bytes(), &options).unwrap_err();
        assert!(error.to_string().contains("xla_no_such_flag"), "{error}");
    }

    #[test]
    fn a_program_runs_on_the_device_it_is_compiled_for() {
        use crate::pjrt::{Arg, Client, ElementType};
        let devices = [("cpu_device_count".to_owned(), OptionValue::Int(2))];
        let client = Client::create(&testing::plugin(), &devices).unwrap();
        let options = CompileOptions::new().device_id(client.devices()[1].id);
        let executable = client.compile(testing::DOUBLE.as_bytes(), &options).unwrap();
        let input =
            client.upload_to(1, ElementType::F32, &[4], &testing::f32s(&[1.0, 2.0, 3.0, 4.0])).unwrap();
        let outputs = executable.execute([Arg::Keep(&input)]).unwrap();
        assert_eq!(outputs[0].to_host().unwrap(), testing::f32s(&[2.0, 4.0, 6.0, 8.0]));
        let elsewhere = client.upload_to(0, ElementType::F32, &[4], &[0; 16]).unwrap();
        assert!(executable.execute([Arg::Keep(&elsewhere)]).is_err());
    }
}
