//! A plugin without a device, made of functions of this program. It gives numbers as handles, knows which of them are
//! still to be destroyed, and answers as a test tells it to: as no plugin should, too.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::c_int;
use std::mem;
use std::path::Path;
use std::ptr;
use std::sync::OnceLock;

use super::freed;
use crate::{Client, Plugin, plugin, sys};

/// How many outputs its programs have, each a number.
pub(crate) const OUTPUTS: usize = 3;

/// What the plugin is to do, and what it has seen. Each thread, and so each test, has one.
pub(crate) struct State {
    /// Which outputs a run gives.
    pub outputs: [bool; OUTPUTS],
    /// Whether running fails.
    pub run_fails: bool,
    /// Whether an upload gives a buffer.
    pub upload: bool,
    /// Whether a copy to the host gives an event.
    pub copy_event: bool,
    /// Whether waiting fails.
    pub await_fails: bool,
    /// Whether what is waited for has ended even so.
    pub has_ended: bool,
    /// Whether telling the code of an error fails.
    pub code_fails: bool,
    /// Whether devices are described.
    pub description: bool,
    /// The dimensions of each output, none of which is told.
    pub ranks: [usize; OUTPUTS],
    /// How often an event was waited for.
    pub awaits: usize,
    /// Where the last copy to the host goes, and how many bytes; by the copy's end they are sevens.
    pub destination: (*mut u8, usize),
    /// The handles that are to be destroyed, with what they are of.
    live: BTreeMap<usize, &'static str>,
    last: usize,
}

impl State {
    /// All is as it should be, and nothing was seen.
    const fn new() -> State {
        State {
            outputs: [true; OUTPUTS],
            run_fails: false,
            upload: true,
            copy_event: true,
            await_fails: false,
            has_ended: true,
            code_fails: false,
            description: true,
            ranks: [0; OUTPUTS],
            awaits: 0,
            destination: (ptr::null_mut(), 0),
            live: BTreeMap::new(),
            last: 0,
        }
    }
}

thread_local! {
    static STATE: RefCell<State> = const { RefCell::new(State::new()) };
}

/// Reads and changes the state of this thread's plugin.
pub(crate) fn state<T>(change: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(change)
}

/// How many handles of a kind are still to be destroyed: `buffer`, `event`, `error`, `client`, `loaded`, `executable`.
pub(crate) fn live(kind: &str) -> usize {
    state(|state| state.live.values().filter(|&&known| known == kind).count())
}

/// A client of the plugin, which does as it should until it is told otherwise.
pub(crate) fn client() -> Client {
    Client::create(&plugin(), &[]).unwrap()
}

/// The plugin, which does as it should until it is told otherwise.
pub(crate) fn plugin() -> Plugin {
    static TABLE: OnceLock<&'static sys::Api> = OnceLock::new();
    state(|state| *state = State { live: mem::take(&mut state.live), last: state.last, ..State::new() });
    let table: &'static sys::Api = TABLE.get_or_init(|| Box::leak(Box::new(table())));
    // SAFETY: the table is never freed, and its functions keep to the API but for what a test asks for.
    unsafe { plugin::of_table(Path::new("fake.so"), table) }.unwrap()
}

fn table() -> sys::Api {
    // SAFETY: the table has numbers, raw pointers and options of function pointers, all of which may be zero.
    let mut api: sys::Api = unsafe { mem::zeroed() };
    api.struct_size = size_of::<sys::Api>();
    (api.version.major, api.version.minor) = (sys::API_MAJOR, sys::API_MINOR_MIN);
    api.plugin_initialize = Some(nothing);
    api.plugin_attributes = Some(nothing);
    api.error_message = Some(error_message);
    api.error_get_code = Some(error_get_code);
    api.error_destroy = Some(error_destroy);
    api.event_await = Some(event_await);
    api.event_is_ready = Some(event_is_ready);
    api.event_destroy = Some(event_destroy);
    api.client_create = Some(client_create);
    api.client_destroy = Some(client_destroy);
    api.client_platform_name = Some(nothing);
    api.client_platform_version = Some(nothing);
    api.client_devices = Some(client_devices);
    api.client_compile = Some(client_compile);
    api.client_buffer_from_host = Some(client_buffer_from_host);
    api.device_get_description = Some(device_get_description);
    api.device_is_addressable = Some(device_is_addressable);
    api.description_id = Some(nothing);
    api.description_kind = Some(nothing);
    api.description_debug_string = Some(nothing);
    api.loaded_get_executable = Some(loaded_get_executable);
    api.loaded_addressable_devices = Some(loaded_addressable_devices);
    api.loaded_execute = Some(loaded_execute);
    api.loaded_destroy = Some(loaded_destroy);
    api.executable_name = Some(nothing);
    api.executable_output_types = Some(executable_output_types);
    api.executable_output_dims = Some(executable_output_dims);
    api.executable_destroy = Some(executable_destroy);
    api.buffer_to_host = Some(buffer_to_host);
    api.buffer_destroy = Some(buffer_destroy);
    api
}

/// A new handle, which is never followed.
fn give<T>(kind: &'static str) -> *mut T {
    let handle = state(|state| {
        state.last += 1;
        state.live.insert(state.last, kind);
        state.last
    });
    ptr::without_provenance_mut(handle)
}

/// Destroys a handle. One that is not alive ends the process: a panic cannot leave a function of C.
fn destroy<T>(kind: &'static str, handle: *const T) -> *mut sys::Error {
    let known = state(|state| state.live.remove(&handle.addr()));
    assert_eq!(known, Some(kind), "destroyed twice, or never given");
    ptr::null_mut()
}

fn error_if(fails: bool) -> *mut sys::Error {
    if fails { give("error") } else { ptr::null_mut() }
}

/// Succeeds, and leaves the answer as it is: zeros.
unsafe extern "C-unwind" fn nothing<A>(_: *mut A) -> *mut sys::Error {
    ptr::null_mut()
}

macro_rules! functions {
    ($($name:ident($args:ident: $type:ident) $body:block)*) => {$(
        unsafe extern "C-unwind" fn $name(args: *mut sys::$type) -> *mut sys::Error {
            // SAFETY: callers give a struct of their own that is filled in.
            let $args = unsafe { &mut *args };
            $body
        }
    )*};
}

unsafe extern "C-unwind" fn error_message(_: *mut sys::ErrorMessageArgs) {}

unsafe extern "C-unwind" fn error_destroy(args: *mut sys::ErrorDestroyArgs) {
    // SAFETY: callers give a struct of their own that is filled in.
    destroy("error", unsafe { (*args).error });
}

functions! {
    error_get_code(args: ErrorGetCodeArgs) {
        args.code = 13;
        error_if(state(|state| state.code_fails))
    }
    event_await(_args: EventArgs) {
        let (fails, (start, size)) = state(|state| {
            state.awaits += 1;
            (state.await_fails, state.destination)
        });
        if !fails && !start.is_null() {
            // SAFETY: the caller keeps the destination of a copy until its event.
            unsafe { start.write_bytes(7, size) };
        }
        error_if(fails)
    }
    event_is_ready(args: EventIsReadyArgs) {
        args.is_ready = state(|state| state.has_ended);
        ptr::null_mut()
    }
    event_destroy(args: EventArgs) { destroy("event", args.event) }
    client_create(args: ClientCreateArgs) {
        args.client = give("client");
        ptr::null_mut()
    }
    client_destroy(args: ClientDestroyArgs) { destroy("client", args.client) }
    client_devices(args: ClientDevicesArgs) {
        static DEVICES: [usize; 1] = [1];
        args.devices = DEVICES.as_ptr().cast();
        args.num_devices = DEVICES.len();
        ptr::null_mut()
    }
    device_get_description(args: DeviceGetDescriptionArgs) {
        args.description = ptr::without_provenance_mut(usize::from(state(|state| state.description)));
        ptr::null_mut()
    }
    device_is_addressable(args: DeviceIsAddressableArgs) {
        args.is_addressable = true;
        ptr::null_mut()
    }
    client_compile(args: ClientCompileArgs) {
        args.executable = give("loaded");
        ptr::null_mut()
    }
    client_buffer_from_host(args: BufferFromHostArgs) {
        args.done_with_host_buffer = give("event");
        if state(|state| state.upload) {
            args.buffer = give("buffer");
        }
        ptr::null_mut()
    }
    loaded_get_executable(args: LoadedGetExecutableArgs) {
        args.executable = give("executable");
        ptr::null_mut()
    }
    loaded_addressable_devices(args: LoadedDevicesArgs) {
        args.num_devices = 1;
        ptr::null_mut()
    }
    loaded_execute(args: ExecuteArgs) {
        if state(|state| state.run_fails) {
            return give("error");
        }
        // SAFETY: there is one device, whose list has room for the outputs.
        let outputs = unsafe { std::slice::from_raw_parts_mut(*args.output_lists, OUTPUTS) };
        for (output, given) in outputs.iter_mut().zip(state(|state| state.outputs)) {
            *output = if given { give("buffer") } else { ptr::null_mut() };
        }
        ptr::null_mut()
    }
    loaded_destroy(args: LoadedDestroyArgs) { destroy("loaded", args.executable) }
    executable_output_types(args: ExecutableOutputTypesArgs) {
        // Single precision.
        static TYPES: [c_int; OUTPUTS] = [11; OUTPUTS];
        args.types = TYPES.as_ptr().cast_mut();
        args.num_types = OUTPUTS;
        ptr::null_mut()
    }
    executable_output_dims(args: ExecutableOutputDimsArgs) {
        args.num_outputs = OUTPUTS;
        // As long as the process lives, which is longer than the executable.
        args.dim_sizes = Box::leak(Box::new(state(|state| state.ranks))).as_ptr();
        ptr::null_mut()
    }
    executable_destroy(args: ExecutableDestroyArgs) { destroy("executable", args.executable) }
    buffer_to_host(args: BufferToHostArgs) {
        state(|state| state.destination = (args.dst.cast(), args.dst_size));
        freed::watch(args.dst.cast());
        if state(|state| state.copy_event) {
            args.event = give("event");
        }
        ptr::null_mut()
    }
    buffer_destroy(args: BufferDestroyArgs) { destroy("buffer", args.buffer) }
}
