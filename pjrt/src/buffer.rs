//! Arrays on a device.

use std::fmt;
use std::mem::{self, ManuallyDrop};
use std::ptr::NonNull;
use std::sync::Arc;

use super::client;
use super::error::Result;
use super::event::Event;
use super::sys::{self, Args};
use super::types::{ElementType, Shape};

/// An array on a device. It may still be being computed; reading it waits.
pub struct Buffer {
    client: Arc<client::Inner>,
    raw: NonNull<sys::Buffer>,
    shape: Arc<Shape>,
}

// SAFETY: a PJRT buffer guards its device memory with a lock and reference counts; frameworks read and pass one
// buffer from several threads. Donation, which ends it, takes the Buffer by value.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// Takes over a buffer that the client's plugin just gave.
    pub(super) fn new(client: Arc<client::Inner>, raw: NonNull<sys::Buffer>, shape: Arc<Shape>) -> Buffer {
        Buffer { client, raw, shape }
    }

    pub(super) fn raw(&self) -> *mut sys::Buffer {
        self.raw.as_ptr()
    }

    pub(super) fn belongs_to(&self, client: &Arc<client::Inner>) -> bool {
        Arc::ptr_eq(&self.client, client)
    }

    /// The shape of the array.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The type of the elements.
    pub fn element_type(&self) -> ElementType {
        self.shape.element_type
    }

    /// The sizes of the dimensions, outermost first; none for a scalar.
    pub fn dims(&self) -> &[i64] {
        &self.shape.dims
    }

    /// The bytes the array takes on its device, padding included.
    pub fn size_bytes(&self) -> Result<usize> {
        let mut args = sys::BufferOnDeviceSizeArgs::new();
        args.buffer = self.raw();
        let call = "PJRT_Buffer_OnDeviceSizeInBytes";
        // SAFETY: the buffer is alive.
        unsafe { self.client.invoke(self.client.api().buffer_on_device_size, call, &mut args) }?;
        Ok(args.bytes)
    }

    /// Where the array lies in its device's memory, to tell whether two buffers share it. Waits until the array
    /// is computed.
    pub fn address(&self) -> Result<usize> {
        self.wait()?;
        let mut args = sys::BufferUnsafePointerArgs::new();
        args.buffer = self.raw();
        let call = "PJRT_Buffer_UnsafePointer";
        // SAFETY: the buffer is alive; the address is never dereferenced.
        unsafe { self.client.invoke(self.client.api().buffer_unsafe_pointer, call, &mut args) }?;
        Ok(args.pointer)
    }

    /// Whether the array is computed, or its computation has failed.
    pub fn ready(&self) -> Result<bool> {
        self.ready_event()?.is_ready()
    }

    /// Waits until the array is computed; gives the error of the computation, if it failed.
    pub fn wait(&self) -> Result<()> {
        self.ready_event()?.wait()
    }

    fn ready_event(&self) -> Result<Event> {
        let mut args = sys::BufferReadyEventArgs::new();
        args.buffer = self.raw();
        let call = "PJRT_Buffer_ReadyEvent";
        // SAFETY: the buffer is alive.
        unsafe { self.client.invoke(self.client.api().buffer_ready_event, call, &mut args) }?;
        Ok(Event::new(self.client.clone(), self.client.given(args.event, call)?))
    }

    /// Copies the array to the host, dense and in row-major order. Waits until it is computed.
    pub fn to_host(&self) -> Result<Vec<u8>> {
        self.start_to_host()?.wait()
    }

    /// Starts a copy of the array to the host and returns at once; the copy happens once the array is computed.
    /// The buffer may be dropped or donated meanwhile.
    pub fn start_to_host(&self) -> Result<PendingRead> {
        let size = self.shape.size_bytes();
        let size = size.ok_or_else(|| self.client.unfit(format!("{} has no size", self.shape)))?;
        self.client.session().told(super::error::check_count::<u8>(size))?;
        let mut bytes = vec![0_u8; size];
        let minor_to_major: Vec<i64> = (0..self.shape.dims.len() as i64).rev().collect();
        let mut layout = sys::MemoryLayout::new();
        layout.kind = sys::LAYOUT_TILED;
        layout.tiled.struct_size = size_of::<sys::TiledLayout>();
        layout.tiled.minor_to_major = minor_to_major.as_ptr();
        layout.tiled.minor_to_major_size = minor_to_major.len();
        let mut args = sys::BufferToHostArgs::new();
        args.buffer = self.raw();
        args.host_layout = &mut layout;
        args.dst = bytes.as_mut_ptr().cast();
        args.dst_size = size;
        let call = "PJRT_Buffer_ToHostBuffer";
        // SAFETY: the layout outlives the call, and the destination is not freed before the end of the copy is known.
        unsafe { self.client.invoke(self.client.api().buffer_to_host, call, &mut args) }?;
        // The copy is under way. Without an event nobody could tell when it ends, so then the bytes are never freed.
        let bytes = ManuallyDrop::new(bytes);
        let event = Event::new(self.client.clone(), self.client.given(args.event, call)?);
        Ok(PendingRead { event, bytes, awaited: false })
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut args = sys::BufferDestroyArgs::new();
        args.buffer = self.raw();
        // SAFETY: the buffer is not used after this; PJRT keeps its memory as long as running work needs it.
        let destroyed =
            unsafe { self.client.invoke(self.client.api().buffer_destroy, "PJRT_Buffer_Destroy", &mut args) };
        if let Err(error) = destroyed {
            tracing::warn!("{error}");
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({})", self.shape)
    }
}

/// A copy to the host under way. Dropping it waits for the end of the copy.
pub struct PendingRead {
    event: Event,
    /// The destination, which the plugin writes to until the event.
    bytes: ManuallyDrop<Vec<u8>>,
    /// Whether the event was waited for.
    awaited: bool,
}

impl PendingRead {
    /// Whether [`PendingRead::wait`] would return at once.
    pub fn is_ready(&self) -> Result<bool> {
        self.event.is_ready()
    }

    /// Waits for the end of the copy and gives the bytes, or the error of the computation that should have made
    /// them.
    pub fn wait(mut self) -> Result<Vec<u8>> {
        self.end()
    }

    /// Waits for the end of the copy and takes the bytes. If waiting fails before that, they are never freed, as the plugin
    /// may still write to them.
    fn end(&mut self) -> Result<Vec<u8>> {
        self.awaited = true;
        let waited = self.event.wait();
        // An error is that of the computation, or that of waiting itself.
        let has_ended = waited.is_ok() || matches!(self.event.is_ready(), Ok(true));
        let bytes = if has_ended { mem::take(&mut *self.bytes) } else { Vec::new() };
        waited.map(|()| bytes)
    }
}

impl Drop for PendingRead {
    fn drop(&mut self) {
        // The bytes must outlive the copy. How it ended nobody asks who drops it.
        if !self.awaited {
            self.end().ok();
        }
    }
}

impl fmt::Debug for PendingRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PendingRead")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, fake, freed};

    fn round_trip(element_type: ElementType, dims: &[i64], bytes: &[u8]) {
        let buffer = testing::client().upload(element_type, dims, bytes).unwrap();
        assert_eq!((buffer.element_type(), buffer.dims()), (element_type, dims));
        assert_eq!(buffer.to_host().unwrap(), bytes, "{element_type}");
        assert!(buffer.ready().unwrap());
    }

    #[test]
    fn arrays_of_every_type_come_back() {
        for &element_type in ElementType::ALL {
            let size = element_type.size_bytes();
            let bytes: Vec<u8> = match element_type {
                ElementType::Bool => vec![0, 1, 1, 0, 1, 0],
                _ => (0..6 * size as u8).collect(),
            };
            round_trip(element_type, &[2, 3], &bytes);
            round_trip(element_type, &[], &bytes[size..2 * size]);
            round_trip(element_type, &[3, 0, 2], &[]);
        }
    }

    #[test]
    fn a_buffer_knows_its_size() {
        let buffer = testing::client().upload(ElementType::F32, &[2, 3], &[0; 24]).unwrap();
        assert_eq!(buffer.size_bytes().unwrap(), 24);
    }

    #[test]
    fn host_memory_is_free_after_an_upload() {
        let mut bytes = vec![1_u8; 1 << 16];
        let buffer = testing::client().upload(ElementType::U8, &[1 << 16], &bytes).unwrap();
        bytes.fill(2);
        assert!(buffer.to_host().unwrap().iter().all(|&byte| byte == 1));
    }

    /// Bytes of no common size, on the plugin that fails as told.
    fn odd_buffer() -> Buffer {
        fake::client().upload(ElementType::U8, &[1000], &[0; 1000]).unwrap()
    }

    #[test]
    fn a_copy_without_an_event_keeps_its_destination() {
        let buffer = odd_buffer();
        fake::state(|state| state.copy_event = false);
        let error = buffer.start_to_host().unwrap_err().to_string();
        assert!(error.contains("PJRT_Buffer_ToHostBuffer gave no handle"), "{error}");
        assert!(!freed::watched_is_freed());
    }

    #[test]
    fn a_read_is_waited_for_once() {
        let buffer = odd_buffer();
        drop(buffer.start_to_host().unwrap());
        assert_eq!((fake::state(|state| state.awaits), fake::live("event")), (1, 0));
        assert!(freed::watched_is_freed());
        assert_eq!(buffer.to_host().unwrap(), [7; 1000]);
        assert_eq!((fake::state(|state| state.awaits), fake::live("event")), (2, 0));
    }

    #[test]
    fn a_read_that_fails_is_waited_for_once() {
        let buffer = odd_buffer();
        fake::state(|state| state.await_fails = true);
        assert!(buffer.to_host().is_err());
        assert_eq!(fake::state(|state| state.awaits), 1);
        assert_eq!((fake::live("event"), fake::live("error")), (0, 0));
        assert!(freed::watched_is_freed());
    }

    #[test]
    fn a_read_whose_end_cannot_be_waited_for_keeps_its_destination() {
        let buffer = odd_buffer();
        fake::state(|state| (state.await_fails, state.has_ended) = (true, false));
        assert!(buffer.to_host().is_err());
        assert!(!freed::watched_is_freed());
        drop(buffer.start_to_host().unwrap());
        assert!(!freed::watched_is_freed());
        assert_eq!((fake::state(|state| state.awaits), fake::live("event")), (2, 0));
    }

    #[test]
    fn reads_may_be_waited_for_later_or_dropped() {
        let client = testing::client();
        let bytes: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
        let buffer = client.upload(ElementType::U8, &[1 << 20], &bytes).unwrap();
        let (kept, dropped) = (buffer.start_to_host().unwrap(), buffer.start_to_host().unwrap());
        drop(dropped);
        drop(buffer);
        drop(client);
        assert!(kept.wait().unwrap() == bytes);
    }
}
