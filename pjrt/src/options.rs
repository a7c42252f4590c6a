//! Compile options, as the serialized `CompileOptionsProto` (`xla/pjrt/proto/compile_options.proto`).

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;

use super::types::OptionValue;

/// How a program is compiled: for which device, and with which XLA flags.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CompileOptions {
    device_id: Option<i32>,
    flags: BTreeMap<String, OptionValue>,
    backend_options: BTreeMap<String, String>,
}

impl CompileOptions {
    /// Options for the default device, with XLA's default flags.
    pub fn new() -> CompileOptions {
        CompileOptions::default()
    }

    /// Compiles for the device with this [`DeviceInfo::id`](super::DeviceInfo::id).
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

    /// Sets an option of a backend: an entry of the map `xla_backend_extra_options`, such as
    /// `xla_cpu_use_multi_output_fusion`. One that the user has given in `XLA_FLAGS` stays as it is. XLA passes over those
    /// that it does not know. XLA:CPU hands names that do not begin with `xla_` to LLVM, with the dash that they begin with; LLVM ends
    /// the process over one that it does not know.
    pub fn backend_option(mut self, name: impl Into<String>, value: impl Into<String>) -> CompileOptions {
        self.backend_options.insert(name.into(), value.into());
        self
    }

    /// The options of a backend that are set, by name.
    pub fn backend_options(&self) -> impl Iterator<Item = (&str, &str)> {
        self.backend_options.iter().map(|(name, value)| (name.as_str(), value.as_str()))
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

    /// The options by themselves; equal options give equal bytes, others give others.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.over(DebugOptions::default())
    }

    /// All flags and options that are set, in one line.
    pub(super) fn in_words(&self) -> String {
        let flags = self.flags().map(|(name, value)| format!("{name}={value}"));
        let words: Vec<String> =
            flags.chain(self.backend_options().map(|(name, value)| format!("{name}={value}"))).collect();
        if words.is_empty() { "no options".to_owned() } else { words.join(" ") }
    }

    /// Whether a plugin must be asked for its debug options, for [`CompileOptions::over`].
    pub(super) fn needs_debug_options(&self) -> bool {
        !self.backend_options.is_empty()
    }

    /// The options in the form that XLA reads, over those of the plugin.
    ///
    /// A flag goes by its name and leaves the others as they are. A map has no such way: it is a part of the debug
    /// options, and XLA takes those whole.
    pub(super) fn over(&self, debug_options: DebugOptions) -> Vec<u8> {
        let device_assignment = self.device_id.map(|id| DeviceAssignmentProto {
            replica_count: 1,
            computation_count: 1,
            computation_devices: vec![ComputationDeviceProto { replica_device_ids: vec![i64::from(id)] }],
        });
        let flags = self.flags.iter().map(|(name, value)| (name.clone(), flag_value(value)));
        let proto = CompileOptionsProto {
            executable_build_options: Some(ExecutableBuildOptionsProto {
                device_ordinal: -1,
                debug_options: self.needs_debug_options().then(|| debug_options.with(&self.backend_options)),
                num_replicas: 1,
                num_partitions: 1,
                device_assignment,
            }),
            env_option_overrides: flags.collect(),
        };
        proto.encode_to_vec()
    }
}

/// All of XLA's debug options (`DebugOptions` in `xla/xla.proto`), as a plugin wrote them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct DebugOptions(Vec<u8>);

impl DebugOptions {
    /// Those that a program was compiled with, from its `HloModuleProtoWithConfig`; none where it tells none.
    pub(super) fn of_program(optimized_hlo: &[u8]) -> Option<DebugOptions> {
        let module = ModuleWithConfig::decode(optimized_hlo).ok()?;
        module.config?.debug_options.map(DebugOptions)
    }

    /// The same, as bytes, with these options of a backend where it has no others of their names.
    fn with(self, backend_options: &BTreeMap<String, String>) -> Vec<u8> {
        // What cannot be read is for XLA to refuse.
        let given = BackendOptions::decode(&*self.0).unwrap_or_default().map;
        // LLVM takes its options with one dash or two, and ends the process over one that is given twice.
        let plain = |name: &str| name.trim_start_matches('-').to_owned();
        let known: BTreeSet<String> = given.keys().map(|name| plain(name)).collect();
        let added = backend_options.iter().filter(|(name, _)| !known.contains(&plain(name)));
        let added =
            BackendOptions { map: added.map(|(name, value)| (name.clone(), value.clone())).collect() };
        // Messages one after the other are one message with the fields of both.
        [self.0, added.encode_to_vec()].concat()
    }
}

/// Of `xla/service/hlo.proto` and `xla/xla.proto`, as far as needed.
#[derive(Clone, PartialEq, Message)]
struct ModuleWithConfig {
    #[prost(message, optional, tag = "2")]
    config: Option<ModuleConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct ModuleConfig {
    #[prost(bytes = "vec", optional, tag = "14")]
    debug_options: Option<Vec<u8>>,
}

/// The map of the debug options.
#[derive(Clone, PartialEq, Message)]
struct BackendOptions {
    #[prost(btree_map = "string, string", tag = "500")]
    map: BTreeMap<String, String>,
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
    #[prost(bytes = "vec", optional, tag = "3")]
    debug_options: Option<Vec<u8>>,
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
    use crate::testing;

    #[test]
    fn equal_options_give_equal_bytes_in_any_order() {
        let one = CompileOptions::new().flag("b", true).flag("a", 1).flag("c", "x");
        let other = CompileOptions::new().flag("c", "x").flag("a", 1).flag("b", true);
        assert_eq!(one.to_bytes(), other.to_bytes());
        assert_ne!(one.to_bytes(), one.clone().flag("b", false).to_bytes());
        assert_ne!(one.to_bytes(), one.clone().device_id(0).to_bytes());
        assert_ne!(one.to_bytes(), one.clone().backend_option("b", "1").to_bytes());
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
    fn options_of_a_backend_join_those_of_the_plugin() {
        const DUMP: &str = "xla_dump_hlo_as_text";
        let client = testing::client();
        let compiled = |options: CompileOptions| {
            let executable = client.compile(testing::DOUBLE.as_bytes(), &options).unwrap();
            DebugOptions::of_program(&executable.optimized_hlo().unwrap()).unwrap()
        };
        let map = |options: &DebugOptions| BackendOptions::decode(&*options.0).unwrap().map;
        let plain = compiled(CompileOptions::new().flag(DUMP, true));
        let one = compiled(CompileOptions::new().flag(DUMP, true).backend_option("xla_cpu_an_option", "1"));
        let mut wanted = map(&plain);
        wanted.insert("xla_cpu_an_option".to_owned(), "1".to_owned());
        assert_eq!(map(&one), wanted);
        // Everything else is what it was, the flag among it.
        let option = BackendOptions { map: [("xla_cpu_an_option".to_owned(), "1".to_owned())].into() };
        assert_eq!(one.0.len(), plain.0.len() + option.encoded_len());
        assert_ne!(plain, compiled(CompileOptions::new()));
    }

    #[test]
    fn what_the_user_gave_a_backend_stays() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let given =
            DebugOptions(BackendOptions { map: map(&[("a", "user"), ("b", "user")]) }.encode_to_vec());
        let both = given.with(&map(&[("a", "program"), ("c", "program")]));
        let both = BackendOptions::decode(&*both).unwrap().map;
        assert_eq!(both, map(&[("a", "user"), ("b", "user"), ("c", "program")]));
    }

    /// LLVM takes both spellings, and ends the process over an option that is given twice.
    #[test]
    fn an_option_of_llvm_is_given_once() {
        let map = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let given = BackendOptions { map: map("--unroll-full-max-count", "4") };
        let given = DebugOptions(given.encode_to_vec());
        let both = given.with(&map("-unroll-full-max-count", "8"));
        assert_eq!(BackendOptions::decode(&*both).unwrap().map, map("--unroll-full-max-count", "4"));
    }

    #[test]
    fn an_unknown_flag_is_refused_by_name() {
        let options = CompileOptions::new().flag("xla_no_such_flag", true);
        let error = testing::client().compile(testing::DOUBLE.as_bytes(), &options).unwrap_err();
        assert!(error.to_string().contains("xla_no_such_flag"), "{error}");
    }

    #[test]
    fn a_program_runs_on_the_device_it_is_compiled_for() {
        use crate::{Arg, Client, ElementType};
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
