//! Waiting for work that a plugin does in the background.

use std::ptr::NonNull;
use std::sync::Arc;

use super::client;
use super::error::Result;
use super::sys::{self, Args};

/// The end of some work on a device.
pub(super) struct Event {
    client: Arc<client::Inner>,
    raw: NonNull<sys::Event>,
}

// SAFETY: an event is a reference-counted future that PJRT itself completes from another thread.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    /// Takes over an event that the client's plugin just gave.
    pub(super) fn new(client: Arc<client::Inner>, raw: NonNull<sys::Event>) -> Event {
        Event { client, raw }
    }

    /// Whether the work has ended, well or not.
    pub(super) fn is_ready(&self) -> Result<bool> {
        let mut args = sys::EventIsReadyArgs::new();
        args.event = self.raw.as_ptr();
        // SAFETY: the event is alive.
        unsafe { self.client.invoke(self.client.api().event_is_ready, "PJRT_Event_IsReady", &mut args) }?;
        Ok(args.is_ready)
    }

    /// Waits for the end of the work and gives its error, if it failed.
    pub(super) fn wait(&self) -> Result<()> {
        let mut args = sys::EventArgs::new();
        args.event = self.raw.as_ptr();
        // SAFETY: the event is alive.
        unsafe { self.client.invoke(self.client.api().event_await, "PJRT_Event_Await", &mut args) }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        let mut args = sys::EventArgs::new();
        args.event = self.raw.as_ptr();
        // SAFETY: the event is not used after this.
        let destroyed =
            unsafe { self.client.invoke(self.client.api().event_destroy, "PJRT_Event_Destroy", &mut args) };
        if let Err(error) = destroyed {
            tracing::warn!("{error}");
        }
    }
}
