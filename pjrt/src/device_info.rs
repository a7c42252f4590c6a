//! The devices of a client.

use std::ptr::NonNull;

use super::client;
use super::error::{self, Code, Result};
use super::sys::{self, Args};

/// A device that a client knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its number, unique among the devices of its kind.
    pub id: i32,
    /// Its vendor's name, such as `cpu` or `NVIDIA H100 80GB HBM3`.
    pub kind: String,
    /// A text that tells it from every other device.
    pub description: String,
    /// Whether this process can use it.
    pub addressable: bool,
}

/// What a device's allocator reports, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceMemory {
    /// Bytes in use.
    pub in_use: i64,
    /// The most bytes that were in use at once.
    pub peak_in_use: Option<i64>,
    /// The most bytes that can be in use.
    pub limit: Option<i64>,
    /// The largest single allocation.
    pub largest_allocation: Option<i64>,
}

/// Every device of a client, with its handle.
pub(super) fn all(client: &client::Inner) -> Result<Vec<(NonNull<sys::Device>, DeviceInfo)>> {
    let call = "PJRT_Client_Devices";
    let mut args = sys::ClientDevicesArgs::new();
    args.client = client.raw();
    // SAFETY: the client is alive.
    unsafe { client.invoke(client.api().client_devices, call, &mut args) }?;
    // SAFETY: the list is the client's.
    let handles = client.session().told(unsafe { error::slice(args.devices, args.num_devices) })?;
    handles.iter().map(|&handle| Ok((client.given(handle, call)?, read_device(client, handle)?))).collect()
}

/// What the allocator of a device of this client reports.
pub(super) fn memory(client: &client::Inner, device: *mut sys::Device) -> Result<Option<DeviceMemory>> {
    let mut args = sys::DeviceMemoryStatsArgs::new();
    args.device = device;
    // SAFETY: the device belongs to this client.
    let read =
        unsafe { client.invoke(client.api().device_memory_stats, "PJRT_Device_MemoryStats", &mut args) };
    match read {
        Err(error) if error.code() == Some(Code::Unimplemented) => Ok(None),
        Err(error) => Err(error),
        Ok(()) => Ok(Some(DeviceMemory {
            in_use: args.bytes_in_use,
            peak_in_use: args.peak_bytes_in_use.get(),
            limit: args.bytes_limit.get(),
            largest_allocation: args.largest_alloc_size.get(),
        })),
    }
}

fn read_device(client: &client::Inner, device: *mut sys::Device) -> Result<DeviceInfo> {
    let api = client.api();
    let mut get = sys::DeviceGetDescriptionArgs::new();
    get.device = device;
    let mut usable = sys::DeviceIsAddressableArgs::new();
    usable.device = device;
    let mut id = sys::DescriptionIdArgs::new();
    let mut kind = sys::DescriptionStringArgs::new();
    let mut debug = sys::DescriptionStringArgs::new();
    // SAFETY: the device is one of the client's, and so is its description; both texts are the device's.
    unsafe {
        let call = "PJRT_Device_GetDescription";
        client.invoke(api.device_get_description, call, &mut get)?;
        client.given(get.description, call)?;
        client.invoke(api.device_is_addressable, "PJRT_Device_IsAddressable", &mut usable)?;
        id.description = get.description;
        client.invoke(api.description_id, "PJRT_DeviceDescription_Id", &mut id)?;
        kind.description = get.description;
        client.invoke(api.description_kind, "PJRT_DeviceDescription_Kind", &mut kind)?;
        debug.description = get.description;
        let call = "PJRT_DeviceDescription_DebugString";
        client.invoke(api.description_debug_string, call, &mut debug)?;
        Ok(DeviceInfo {
            id: id.id,
            kind: client.session().told(error::text(kind.text, kind.text_size))?,
            description: client.session().told(error::text(debug.text, debug.text_size))?,
            addressable: usable.is_addressable,
        })
    }
}
