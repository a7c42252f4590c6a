//! A running PJRT runtime: its devices, compilation, and the way of arrays onto the devices.

use std::fmt;
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock, Weak};

use super::buffer::Buffer;
use super::device_info::{self, DeviceInfo, DeviceMemory};
use super::error::{self, Error, Identity, Result};
use super::event::Event;
use super::executable::Executable;
use super::last_word::{doing, note};
use super::named;
use super::options::{CompileOptions, DebugOptions};
use super::plugin::{Plugin, Session};
use super::sys::{self, Args};
use super::types::{ElementType, OptionValue, Shape};

/// A runtime of a plugin: devices, and what is needed to compile for them. Cheap to clone; the runtime stops
/// when the last clone, executable and buffer are gone.
#[derive(Clone)]
pub struct Client {
    pub(super) inner: Arc<Inner>,
}

/// A client that keeps nothing alive: whether the runtime still runs, and if so, the client of it.
#[derive(Clone)]
pub struct WeakClient(Weak<Inner>);

/// The runtime itself, shared by everything made with it.
pub(super) struct Inner {
    session: Session,
    raw: NonNull<sys::Client>,
    platform_name: String,
    platform_version: String,
    devices: Vec<DeviceInfo>,
    handles: Vec<NonNull<sys::Device>>,
    /// What programs are compiled with by default, once asked for.
    debug_options: OnceLock<DebugOptions>,
}

// SAFETY: a PJRT client locks what it shares (frameworks call one client from many threads); the device handles
// are constants of the client and are only passed back to it.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Inner {
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    pub(super) fn api(&self) -> &'static sys::Api {
        self.session.api()
    }

    pub(super) fn raw(&self) -> *mut sys::Client {
        self.raw.as_ptr()
    }

    /// Calls a function of the plugin.
    ///
    /// # Safety
    /// As [`Session::invoke`], the handles being of this client.
    pub(super) unsafe fn invoke<A: Args>(
        &self,
        function: sys::Function<A>,
        call: &'static str,
        args: &mut A,
    ) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.session.invoke(function, call, args) }
    }

    /// As [`Session::unfit`].
    pub(super) fn unfit(&self, reason: String) -> Error {
        self.session.unfit(reason)
    }

    /// As [`Session::given`].
    pub(super) fn given<T>(&self, handle: *mut T, call: &str) -> Result<NonNull<T>> {
        self.session.given(handle, call)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut args = sys::ClientDestroyArgs::new();
        args.client = self.raw();
        // SAFETY: nothing that was made with the client is left, as all of it holds this Inner.
        let destroyed = unsafe { self.invoke(self.api().client_destroy, "PJRT_Client_Destroy", &mut args) };
        if let Err(error) = destroyed {
            tracing::warn!("{error}");
        }
    }
}

impl Client {
    /// Starts the plugin's runtime. `options` are the platform's own, such as `cpu_device_count` (an integer) for
    /// the CPU; a plugin refuses those it does not know.
    pub fn create(plugin: &Plugin, options: &[(String, OptionValue)]) -> Result<Client> {
        let options = named::lend(options);
        let mut args = sys::ClientCreateArgs::new();
        args.create_options = options.as_ptr();
        args.num_options = options.len();
        let call = "PJRT_Client_Create";
        let session = Session::new(plugin);
        let api = session.api();
        let _word = doing(note(format!("starting the runtime of {}", session.words())));
        // SAFETY: the options borrow from this function's arguments, which outlive the call.
        unsafe { session.invoke(api.client_create, call, &mut args) }?;
        let raw = session.given(args.client, call)?;
        let (platform_name, platform_version) = (String::new(), String::new());
        let (devices, handles, debug_options) = (Vec::new(), Vec::new(), OnceLock::new());
        let mut inner =
            Inner { session, raw, platform_name, platform_version, devices, handles, debug_options };
        inner.platform_name = text(&inner, api.client_platform_name, "PJRT_Client_PlatformName")?;
        inner.platform_version = text(&inner, api.client_platform_version, "PJRT_Client_PlatformVersion")?;
        inner.session = inner.session.clone().on(&inner.platform_name, &inner.platform_version);
        for (handle, device) in device_info::all(&inner)? {
            inner.handles.push(handle);
            inner.devices.push(device);
        }
        Ok(Client { inner: Arc::new(inner) })
    }

    /// The same, without keeping the runtime alive.
    pub fn downgrade(&self) -> WeakClient {
        WeakClient(Arc::downgrade(&self.inner))
    }

    /// The plugin this client runs on.
    pub fn plugin(&self) -> &Plugin {
        &self.inner.session.plugin
    }

    /// Who answers errors: the plugin's path and all its versions.
    pub fn identity(&self) -> &Identity {
        &self.inner.session.identity
    }

    /// The platform, such as `cpu`, `cuda` or `tpu`.
    pub fn platform_name(&self) -> &str {
        &self.inner.platform_name
    }

    /// The platform's own version, a free text.
    pub fn platform_version(&self) -> &str {
        &self.inner.platform_version
    }

    /// Every device the runtime sees.
    pub fn devices(&self) -> &[DeviceInfo] {
        &self.inner.devices
    }

    /// What the allocator of a device (a place in [`Client::devices`]) reports; None where the platform, as the
    /// CPU, has no such numbers.
    pub fn device_memory(&self, device: usize) -> Result<Option<DeviceMemory>> {
        device_info::memory(&self.inner, self.device_handle(device)?)
    }

    /// Compiles a StableHLO module, as text or as bytecode.
    pub fn compile(&self, stablehlo: &[u8], options: &CompileOptions) -> Result<Executable> {
        let _word = doing(self.inner.session.compiling(stablehlo, options));
        if options.needs_debug_options() {
            self.compile_with(stablehlo, &options.over(self.debug_options()?), options.in_words())
        } else {
            self.compile_with(stablehlo, &options.to_bytes(), options.in_words())
        }
    }

    /// What the plugin compiles with by default, the user's `XLA_FLAGS` among it: those of a small program.
    fn debug_options(&self) -> Result<DebugOptions> {
        if let Some(known) = self.inner.debug_options.get() {
            return Ok(known.clone());
        }
        let plain = CompileOptions::new();
        let executable = self.compile_with(NOTHING.as_bytes(), &plain.to_bytes(), plain.in_words())?;
        let options = DebugOptions::of_program(&executable.optimized_hlo()?);
        let options = options.ok_or_else(|| {
            self.inner.unfit("an optimized program does not tell its debug options".to_owned())
        })?;
        Ok(self.inner.debug_options.get_or_init(|| options).clone())
    }

    fn compile_with(&self, stablehlo: &[u8], options: &[u8], in_words: String) -> Result<Executable> {
        let inner = &*self.inner;
        let program = sys::Program::stablehlo(stablehlo);
        let mut args = sys::ClientCompileArgs::new();
        args.client = inner.raw();
        args.program = &program;
        args.compile_options = options.as_ptr().cast();
        args.compile_options_size = options.len();
        let call = "PJRT_Client_Compile";
        // SAFETY: program and options outlive the call, and compile only reads the program.
        unsafe { inner.invoke(inner.api().client_compile, call, &mut args) }?;
        Executable::new(self.inner.clone(), inner.given(args.executable, call)?, in_words)
    }

    /// Loads an executable that [`Artifact::serialize`](super::Artifact::serialize) wrote, on the same platform and plugin version. The
    /// bytes are compiled code: take them only from where you would take a program from.
    pub fn deserialize(&self, bytes: &[u8]) -> Result<Executable> {
        let inner = &*self.inner;
        let mut args = sys::ExecutableDeserializeArgs::new();
        args.client = inner.raw();
        args.bytes = bytes.as_ptr().cast();
        args.bytes_size = bytes.len();
        let call = "PJRT_Executable_DeserializeAndLoad";
        let _word = doing(note(format!("loading a compiled program with {}", inner.session.words())));
        // SAFETY: the bytes outlive the call.
        unsafe { inner.invoke(inner.api().executable_deserialize, call, &mut args) }?;
        let options = "the options that it was serialized with".to_owned();
        Executable::new(self.inner.clone(), inner.given(args.executable, call)?, options)
    }

    /// Copies an array, dense and in row-major order, onto the first device this process can use.
    pub fn upload(&self, element_type: ElementType, dims: &[i64], bytes: &[u8]) -> Result<Buffer> {
        let device = self.inner.devices.iter().position(|device| device.addressable);
        let device = device.ok_or_else(|| self.inner.unfit("no device can be used".to_owned()))?;
        self.upload_to(device, element_type, dims, bytes)
    }

    /// Copies an array, dense and in row-major order, onto a device (a place in [`Client::devices`]). `bytes` is
    /// read before this returns.
    pub fn upload_to(
        &self,
        device: usize,
        element_type: ElementType,
        dims: &[i64],
        bytes: &[u8],
    ) -> Result<Buffer> {
        let inner = &*self.inner;
        let shape = Shape { element_type, dims: dims.to_vec() };
        if shape.size_bytes() != Some(bytes.len()) {
            return Err(inner.unfit(match shape.size_bytes() {
                Some(size) => format!("{shape} takes {size} bytes, not the {} given", bytes.len()),
                None => format!("{shape} is not the shape of an array"),
            }));
        }
        let mut args = sys::BufferFromHostArgs::new();
        args.client = inner.raw();
        args.data = bytes.as_ptr().cast();
        args.element_type = element_type.code();
        args.dims = shape.dims.as_ptr();
        args.num_dims = shape.dims.len();
        args.host_buffer_semantics = sys::IMMUTABLE_ONLY_DURING_CALL;
        args.device = self.device_handle(device)?;
        let call = "PJRT_Client_BufferFromHostBuffer";
        // SAFETY: the data has the size that dims and type say, and is only used during the call.
        unsafe { inner.invoke(inner.api().client_buffer_from_host, call, &mut args) }?;
        // The host's memory is free on return, so nobody waits for this event.
        drop(NonNull::new(args.done_with_host_buffer).map(|event| Event::new(self.inner.clone(), event)));
        Ok(Buffer::new(self.inner.clone(), inner.given(args.buffer, call)?, Arc::new(shape)))
    }

    fn device_handle(&self, device: usize) -> Result<*mut sys::Device> {
        let handle = self.inner.handles.get(device).map(|handle| handle.as_ptr());
        handle.ok_or_else(|| {
            let count = self.inner.handles.len();
            self.inner.unfit(format!("there is no device {device}; the client has {count}"))
        })
    }
}

impl WeakClient {
    /// The client, unless the runtime has stopped.
    pub fn upgrade(&self) -> Option<Client> {
        Some(Client { inner: self.0.upgrade()? })
    }
}

impl fmt::Debug for WeakClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WeakClient").field(&self.upgrade()).finish()
    }
}

/// The smallest program.
const NOTHING: &str = r#"module @nothing {
  "func.func"() ({
  ^bb0(%a: tensor<i1>):
    "func.return"(%a) : (tensor<i1>) -> ()
  }) {function_type = (tensor<i1>) -> tensor<i1>, sym_name = "main"} : () -> ()
}"#;

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("identity", self.identity())
            .field("devices", &self.inner.devices)
            .finish()
    }
}

fn text(
    client: &Inner,
    function: sys::Function<sys::ClientStringArgs>,
    call: &'static str,
) -> Result<String> {
    let mut args = sys::ClientStringArgs::new();
    args.client = client.raw();
    // SAFETY: the client is alive.
    unsafe { client.invoke(function, call, &mut args) }?;
    // SAFETY: the text is the client's.
    client.session().told(unsafe { error::text(args.text, args.text_size) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, fake};

    #[test]
    fn the_cpu_shows_as_many_devices_as_asked_for() {
        let options = [("cpu_device_count".to_owned(), OptionValue::Int(3))];
        let client = Client::create(&testing::plugin(), &options).unwrap();
        assert_eq!(client.platform_name(), "cpu");
        assert_eq!(client.devices().iter().map(|device| device.id).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(client.devices().iter().all(|device| device.addressable && !device.kind.is_empty()));
        assert_eq!(client.device_memory(0).unwrap(), None);
        let error = client.device_memory(3).unwrap_err().to_string();
        assert!(error.contains("no device 3; the client has 3"), "{error}");

        let buffer = client.upload_to(2, ElementType::U8, &[2], &[7, 9]).unwrap();
        assert_eq!(buffer.to_host().unwrap(), [7, 9]);
    }

    #[test]
    fn malformed_stablehlo_gives_the_words_of_xla() {
        let client = testing::client();
        let error = client.compile(b"module { what }", &CompileOptions::new()).unwrap_err();
        assert!(matches!(error, Error::Xla { call: "PJRT_Client_Compile", .. }));
        let text = error.to_string();
        assert!(text.contains(client.plugin().path().to_str().unwrap()), "{text}");
        assert!(text.contains(&format!("API {}", client.plugin().api_version())), "{text}");
        assert!(text.contains("platform cpu"), "{text}");
        assert!(text.contains("custom op 'what' is unknown"), "{text}");
    }

    #[test]
    fn uploads_of_the_wrong_size_are_refused() {
        let client = testing::client();
        let error = client.upload(ElementType::F32, &[2, 3], &[0; 23]).unwrap_err().to_string();
        assert!(error.contains("tensor<2x3xf32> takes 24 bytes, not the 23 given"), "{error}");
        let error = client.upload(ElementType::F32, &[-1], &[]).unwrap_err().to_string();
        assert!(error.contains("not the shape of an array"), "{error}");
    }

    #[test]
    fn what_an_upload_gives_is_destroyed_where_the_buffer_is_missing() {
        let client = fake::client();
        fake::state(|state| state.upload = false);
        let error = client.upload(ElementType::U8, &[2], &[1, 2]).unwrap_err().to_string();
        assert!(error.contains("PJRT_Client_BufferFromHostBuffer gave no handle"), "{error}");
        assert_eq!((fake::live("event"), fake::live("buffer")), (0, 0));
    }

    #[test]
    fn a_device_without_a_description_is_refused() {
        let plugin = fake::plugin();
        fake::state(|state| state.description = false);
        let error = Client::create(&plugin, &[]).unwrap_err().to_string();
        assert!(error.contains("PJRT_Device_GetDescription gave no handle"), "{error}");
        assert_eq!(fake::live("client"), 0);
    }

    #[test]
    fn a_weak_client_lives_as_long_as_what_was_made_with_it() {
        let client = testing::client();
        let weak = client.downgrade();
        let buffer = client.upload(ElementType::U8, &[1], &[7]).unwrap();
        drop(client);
        assert_eq!(weak.upgrade().unwrap().platform_name(), "cpu");
        drop(buffer);
        assert!(weak.upgrade().is_none());
    }

    #[test]
    fn garbage_is_not_an_executable() {
        let error = testing::client().deserialize(b"garbage").unwrap_err();
        assert!(matches!(error, Error::Xla { call: "PJRT_Executable_DeserializeAndLoad", .. }), "{error}");
    }
}
