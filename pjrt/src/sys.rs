//! The C structs of the PJRT API that are used here, field for field.
//!
//! PJRT grows by appending: functions at the end of the table, fields at the end of an argument struct, each
//! struct carrying its own size. A plugin refuses a struct smaller than the fields it must have and ignores
//! what lies behind the fields it knows, so each struct here is declared as long as the newest header has it
//! and zeroed before use.

use std::ffi::{c_char, c_int, c_void};

/// A function of the table; null where the plugin does not have it.
pub(super) type Function<A> = Option<unsafe extern "C-unwind" fn(*mut A) -> *mut Error>;
/// A function of the table that reports no error.
type Infallible<A> = Option<unsafe extern "C-unwind" fn(*mut A)>;
/// A place in the table for a function that is not called.
type Unused = *const c_void;

/// An argument struct: plain C data that starts with its own size and is valid when zeroed.
///
/// # Safety
/// The type must be `repr(C)`, start with `struct_size: usize` and be valid with every byte zero.
pub(super) unsafe trait Args: Sized {
    /// A zeroed struct with its size filled in.
    fn new() -> Self {
        // SAFETY: implementors promise that all-zero bytes are valid and that a usize comes first.
        unsafe {
            let mut args: Self = std::mem::zeroed();
            (&raw mut args).cast::<usize>().write(size_of::<Self>());
            args
        }
    }
}

macro_rules! opaque {
    ($($name:ident),* $(,)?) => {$(
        #[repr(C)]
        pub(super) struct $name {
            _opaque: [u8; 0],
        }
    )*};
}

opaque!(Error, Event, Client, Device, DeviceDescription, Memory, Executable, LoadedExecutable, Buffer);
opaque!(SerializedExecutable, TopologyDescription);

macro_rules! args {
    ($($name:ident { $($field:ident: $type:ty),* $(,)? })*) => {$(
        #[repr(C)]
        pub(super) struct $name {
            pub(super) struct_size: usize,
            pub(super) extension_start: *mut c_void,
            $(pub(super) $field: $type,)*
        }
        // SAFETY: repr(C), the size first, and only integers, raw pointers, bools, options of function
        // pointers and structs of these, all of which may be zero.
        unsafe impl Args for $name {}
    )*};
}
pub(super) use args;

args! {
    ErrorDestroyArgs { error: *mut Error }
    ErrorMessageArgs { error: *const Error, message: *const c_char, message_size: usize }
    ErrorGetCodeArgs { error: *const Error, code: c_int }

    NamedValue {
        name: *const c_char, name_size: usize, kind: c_int, value: NamedValueUnion, value_size: usize,
    }
    PluginInitializeArgs {}
    PluginAttributesArgs { attributes: *const NamedValue, num_attributes: usize }

    EventArgs { event: *mut Event }
    EventIsReadyArgs { event: *mut Event, is_ready: bool }

    ClientCreateArgs {
        create_options: *const NamedValue, num_options: usize,
        kv_get_callback: *mut c_void, kv_get_user_arg: *mut c_void,
        kv_put_callback: *mut c_void, kv_put_user_arg: *mut c_void,
        client: *mut Client,
        kv_try_get_callback: *mut c_void, kv_try_get_user_arg: *mut c_void,
    }
    ClientDestroyArgs { client: *mut Client }
    ClientStringArgs { client: *mut Client, text: *const c_char, text_size: usize }
    ClientDevicesArgs { client: *mut Client, devices: *const *mut Device, num_devices: usize }
    Program { code: *mut c_char, code_size: usize, format: *const c_char, format_size: usize }
    CompileArgs {
        topology: *const TopologyDescription, program: *const Program,
        compile_options: *const c_char, compile_options_size: usize,
        client: *mut Client, executable: *mut Executable,
    }
    ClientCompileArgs {
        client: *mut Client, program: *const Program,
        compile_options: *const c_char, compile_options_size: usize,
        executable: *mut LoadedExecutable,
    }
    BufferFromHostArgs {
        client: *mut Client, data: *const c_void, element_type: c_int,
        dims: *const i64, num_dims: usize, byte_strides: *const i64, num_byte_strides: usize,
        host_buffer_semantics: c_int, device: *mut Device, memory: *mut Memory,
        device_layout: *mut c_void, done_with_host_buffer: *mut Event, buffer: *mut Buffer,
    }

    DescriptionIdArgs { description: *mut DeviceDescription, id: c_int }
    DescriptionStringArgs { description: *mut DeviceDescription, text: *const c_char, text_size: usize }
    DescriptionAttributesArgs {
        description: *mut DeviceDescription, num_attributes: usize, attributes: *const NamedValue,
    }
    TopologyCreateArgs {
        name: *const c_char, name_size: usize, options: *const NamedValue, num_options: usize,
        topology: *mut TopologyDescription,
    }
    TopologyDestroyArgs { topology: *mut TopologyDescription }
    TopologyStringArgs { topology: *const TopologyDescription, text: *const c_char, text_size: usize }
    TopologyDescriptionsArgs {
        topology: *const TopologyDescription,
        descriptions: *const *mut DeviceDescription, num_descriptions: usize,
    }
    DeviceGetDescriptionArgs { device: *mut Device, description: *mut DeviceDescription }
    DeviceIsAddressableArgs { device: *mut Device, is_addressable: bool }
    DeviceMemoryStatsArgs {
        device: *mut Device, bytes_in_use: i64, peak_bytes_in_use: OptionalInt, num_allocs: OptionalInt,
        largest_alloc_size: OptionalInt, bytes_limit: OptionalInt, bytes_reserved: OptionalInt,
        peak_bytes_reserved: OptionalInt, bytes_reservable_limit: OptionalInt,
        largest_free_block_bytes: OptionalInt, pool_bytes: OptionalInt, peak_pool_bytes: OptionalInt,
    }

    ExecutableDestroyArgs { executable: *mut Executable }
    ExecutableStringArgs { executable: *mut Executable, text: *const c_char, text_size: usize }
    ExecutableCostArgs { executable: *mut Executable, num_properties: usize, properties: *const NamedValue }
    ExecutableProgramArgs { executable: *mut Executable, program: *mut Program }
    ExecutableSerializeArgs {
        executable: *const Executable, bytes: *const c_char, bytes_size: usize,
        owner: *mut SerializedExecutable,
        deleter: Option<unsafe extern "C-unwind" fn(*mut SerializedExecutable)>,
    }
    ExecutableDeserializeArgs {
        client: *mut Client, bytes: *const c_char, bytes_size: usize, executable: *mut LoadedExecutable,
        overridden_options: *const c_char, overridden_options_size: usize,
    }
    ExecutableOutputTypesArgs { executable: *mut Executable, types: *mut c_int, num_types: usize }
    ExecutableOutputDimsArgs {
        executable: *mut Executable, num_outputs: usize, dims: *const i64, dim_sizes: *const usize,
    }
    ExecutableMemoryStatsArgs {
        executable: *mut Executable, generated_code: i64, arguments: i64, outputs: i64, aliased: i64,
        temporaries: i64, host_generated_code: i64, host_arguments: i64, host_outputs: i64,
        host_aliased: i64, host_temporaries: i64, peak: i64, total: i64,
    }

    LoadedDestroyArgs { executable: *mut LoadedExecutable }
    LoadedGetExecutableArgs { loaded: *mut LoadedExecutable, executable: *mut Executable }
    LoadedDevicesArgs {
        executable: *mut LoadedExecutable, devices: *const *mut Device, num_devices: usize,
    }
    ExecuteOptions {
        send_callbacks: *mut c_void, recv_callbacks: *mut c_void, num_send_ops: usize, num_recv_ops: usize,
        launch_id: c_int, non_donatable_input_indices: *const i64, num_non_donatable_input_indices: usize,
        context: *mut c_void, call_location: *const c_char, num_tasks: usize, task_ids: *mut c_int,
        incarnation_ids: *mut i64, multi_slice_config: *mut c_void, major_to_minor_callbacks: bool,
        hlo_output_callbacks: *mut c_void, num_hlo_output_callbacks: usize,
        custom_options: *const c_void, num_custom_options: usize,
    }
    ExecuteArgs {
        executable: *mut LoadedExecutable, options: *mut ExecuteOptions,
        argument_lists: *const *const *mut Buffer, num_devices: usize, num_args: usize,
        output_lists: *const *mut *mut Buffer, device_complete_events: *mut *mut Event,
        execute_device: *mut Device,
    }

    BufferDestroyArgs { buffer: *mut Buffer }
    BufferOnDeviceSizeArgs { buffer: *mut Buffer, bytes: usize }
    BufferReadyEventArgs { buffer: *mut Buffer, event: *mut Event }
    BufferUnsafePointerArgs { buffer: *mut Buffer, pointer: usize }
    TiledLayout {
        minor_to_major: *const i64, minor_to_major_size: usize,
        tile_dims: *const i64, tile_dim_sizes: *const usize, num_tiles: usize,
    }
    MemoryLayout { tiled: TiledLayout, kind: c_int }
    BufferToHostArgs {
        buffer: *mut Buffer, host_layout: *mut MemoryLayout, dst: *mut c_void, dst_size: usize,
        event: *mut Event,
    }
}

impl Program {
    /// A StableHLO module, as text or as bytecode, which must outlive the use of this.
    pub(super) fn stablehlo(module: &[u8]) -> Program {
        let format = "mlir";
        let mut program = Program::new();
        // The API asks for a pointer to mutable bytes, and compilation only reads them.
        program.code = module.as_ptr().cast_mut().cast();
        program.code_size = module.len();
        program.format = format.as_ptr().cast();
        program.format_size = format.len();
        program
    }
}

/// The value of a [`NamedValue`]; which member holds is told by its `kind`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) union NamedValueUnion {
    pub(super) text: *const c_char,
    pub(super) int: i64,
    pub(super) ints: *const i64,
    pub(super) float: f32,
    pub(super) boolean: bool,
}

/// `PJRT_NamedValue_Type`.
pub(super) mod named_value {
    use std::ffi::c_int;
    pub(in super::super) const STRING: c_int = 0;
    pub(in super::super) const INT: c_int = 1;
    pub(in super::super) const INTS: c_int = 2;
    pub(in super::super) const FLOAT: c_int = 3;
    pub(in super::super) const BOOL: c_int = 4;
}

/// A number that a plugin may leave unset; lays out as the C pair `int64_t x; bool x_is_set;`.
#[repr(C)]
pub(super) struct OptionalInt {
    value: i64,
    is_set: bool,
}

impl OptionalInt {
    /// The number, where the plugin set it.
    pub(super) fn get(&self) -> Option<i64> {
        self.is_set.then_some(self.value)
    }
}

/// `PJRT_HostBufferSemantics_kImmutableOnlyDuringCall`: the plugin is done with the host's memory on return.
pub(super) const IMMUTABLE_ONLY_DURING_CALL: c_int = 0;
/// `PJRT_Buffer_MemoryLayout_Type_Tiled`.
pub(super) const LAYOUT_TILED: c_int = 0;

/// `PJRT_Api_Version`.
#[repr(C)]
pub(super) struct ApiVersion {
    struct_size: usize,
    extension_start: *mut c_void,
    pub(super) major: c_int,
    pub(super) minor: c_int,
}

/// `PJRT_Api`, the plugin's table of functions, as far as it is read.
#[repr(C)]
pub(super) struct Api {
    pub(super) struct_size: usize,
    pub(super) extension_start: *mut c_void,
    pub(super) version: ApiVersion,

    pub(super) error_destroy: Infallible<ErrorDestroyArgs>,
    pub(super) error_message: Infallible<ErrorMessageArgs>,
    pub(super) error_get_code: Function<ErrorGetCodeArgs>,
    pub(super) plugin_initialize: Function<PluginInitializeArgs>,
    pub(super) plugin_attributes: Function<PluginAttributesArgs>,
    pub(super) event_destroy: Function<EventArgs>,
    pub(super) event_is_ready: Function<EventIsReadyArgs>,
    _event_error: Unused,
    pub(super) event_await: Function<EventArgs>,
    _event_on_ready: Unused,
    pub(super) client_create: Function<ClientCreateArgs>,
    pub(super) client_destroy: Function<ClientDestroyArgs>,
    pub(super) client_platform_name: Function<ClientStringArgs>,
    _client_process_index: Unused,
    pub(super) client_platform_version: Function<ClientStringArgs>,
    pub(super) client_devices: Function<ClientDevicesArgs>,
    pub(super) client_addressable_devices: Function<ClientDevicesArgs>,
    _client_lookup_device: Unused,
    _client_lookup_addressable_device: Unused,
    _client_addressable_memories: Unused,
    pub(super) client_compile: Function<ClientCompileArgs>,
    _client_default_device_assignment: Unused,
    pub(super) client_buffer_from_host: Function<BufferFromHostArgs>,
    pub(super) description_id: Function<DescriptionIdArgs>,
    _description_process_index: Unused,
    pub(super) description_attributes: Function<DescriptionAttributesArgs>,
    pub(super) description_kind: Function<DescriptionStringArgs>,
    pub(super) description_debug_string: Function<DescriptionStringArgs>,
    _description_to_string: Unused,
    pub(super) device_get_description: Function<DeviceGetDescriptionArgs>,
    pub(super) device_is_addressable: Function<DeviceIsAddressableArgs>,
    _device_local_hardware_id: Unused,
    _device_addressable_memories: Unused,
    _device_default_memory: Unused,
    pub(super) device_memory_stats: Function<DeviceMemoryStatsArgs>,
    _memory: [Unused; 5],
    pub(super) executable_destroy: Function<ExecutableDestroyArgs>,
    pub(super) executable_name: Function<ExecutableStringArgs>,
    _executable_num_replicas: Unused,
    _executable_num_partitions: Unused,
    _executable_num_outputs: Unused,
    _executable_size_of_generated_code: Unused,
    pub(super) executable_cost_analysis: Function<ExecutableCostArgs>,
    _executable_output_memory_kinds: Unused,
    pub(super) executable_optimized_program: Function<ExecutableProgramArgs>,
    pub(super) executable_serialize: Function<ExecutableSerializeArgs>,
    pub(super) loaded_destroy: Function<LoadedDestroyArgs>,
    pub(super) loaded_get_executable: Function<LoadedGetExecutableArgs>,
    pub(super) loaded_addressable_devices: Function<LoadedDevicesArgs>,
    _loaded_delete: Unused,
    _loaded_is_deleted: Unused,
    pub(super) loaded_execute: Function<ExecuteArgs>,
    pub(super) executable_deserialize: Function<ExecutableDeserializeArgs>,
    _loaded_fingerprint: Unused,
    pub(super) buffer_destroy: Function<BufferDestroyArgs>,
    _buffer_shape: [Unused; 5],
    pub(super) buffer_on_device_size: Function<BufferOnDeviceSizeArgs>,
    _buffer_place: [Unused; 5],
    pub(super) buffer_to_host: Function<BufferToHostArgs>,
    _buffer_is_on_cpu: Unused,
    pub(super) buffer_ready_event: Function<BufferReadyEventArgs>,
    pub(super) buffer_unsafe_pointer: Function<BufferUnsafePointerArgs>,
    _buffer_external: [Unused; 3],
    _copy_to_device_stream: [Unused; 5],
    pub(super) topology_create: Function<TopologyCreateArgs>,
    pub(super) topology_destroy: Function<TopologyDestroyArgs>,
    pub(super) topology_platform_name: Function<TopologyStringArgs>,
    pub(super) topology_platform_version: Function<TopologyStringArgs>,
    pub(super) topology_descriptions: Function<TopologyDescriptionsArgs>,
    _topology_serialize: Unused,
    _topology_attributes: Unused,
    pub(super) compile: Function<CompileArgs>,
    pub(super) executable_output_types: Function<ExecutableOutputTypesArgs>,
    pub(super) executable_output_dims: Function<ExecutableOutputDimsArgs>,
    _buffer_copy_to_memory: Unused,
    _client_create_view_of_device_buffer: Unused,
    pub(super) executable_fingerprint: Function<ExecutableStringArgs>,
    _client_topology_description: Unused,
    pub(super) executable_memory_stats: Function<ExecutableMemoryStatsArgs>,
}

/// The major version of the API these structs follow; another one has another layout.
pub(super) const API_MAJOR: i32 = 0;
/// The oldest minor version that is tested.
pub(super) const API_MINOR_MIN: i32 = 81;

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn functions_sit_where_the_header_puts_them() {
        let at = |index: usize| 40 + 8 * index;
        assert_eq!(offset_of!(Api, error_destroy), at(0));
        assert_eq!(offset_of!(Api, client_create), at(10));
        assert_eq!(offset_of!(Api, client_compile), at(20));
        assert_eq!(offset_of!(Api, device_memory_stats), at(34));
        assert_eq!(offset_of!(Api, executable_serialize), at(49));
        assert_eq!(offset_of!(Api, loaded_execute), at(55));
        assert_eq!(offset_of!(Api, buffer_to_host), at(70));
        assert_eq!(offset_of!(Api, buffer_unsafe_pointer), at(73));
        assert_eq!(offset_of!(Api, topology_create), at(82));
        assert_eq!(offset_of!(Api, topology_descriptions), at(86));
        assert_eq!(offset_of!(Api, compile), at(89));
        assert_eq!(offset_of!(Api, executable_output_types), at(90));
        assert_eq!(offset_of!(Api, executable_memory_stats), at(96));
    }

    #[test]
    fn structs_are_as_long_as_the_header_has_them() {
        assert_eq!(size_of::<NamedValue>(), 56);
        assert_eq!(size_of::<ClientCreateArgs>(), 88);
        assert_eq!(size_of::<ClientCompileArgs>(), 56);
        assert_eq!(size_of::<CompileArgs>(), 64);
        assert_eq!(size_of::<TopologyCreateArgs>(), 56);
        assert_eq!(size_of::<TopologyStringArgs>(), 40);
        assert_eq!(size_of::<TopologyDescriptionsArgs>(), 40);
        assert_eq!(size_of::<DescriptionAttributesArgs>(), 40);
        assert_eq!(size_of::<BufferFromHostArgs>(), 120);
        assert_eq!(size_of::<DeviceMemoryStatsArgs>(), 192);
        assert_eq!(size_of::<ExecutableSerializeArgs>(), 56);
        assert_eq!(size_of::<ExecutableDeserializeArgs>(), 64);
        assert_eq!(size_of::<ExecutableMemoryStatsArgs>(), 120);
        assert_eq!(size_of::<ExecuteArgs>(), 80);
        assert_eq!(size_of::<ExecuteOptions>(), 160);
        assert_eq!(size_of::<TiledLayout>(), 56);
        assert_eq!(size_of::<MemoryLayout>(), 80);
        assert_eq!(size_of::<BufferToHostArgs>(), 56);
    }
}
