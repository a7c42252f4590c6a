//! Whether there is memory for a run's state, before any of it is made: what asks for more is ended by the system, without
//! a word.

use super::TrainError;
use crate::compile::{Device, Target};
use crate::config::RunConfig;
use crate::size::Size;
use crate::step::Interface;

/// An error unless a new run's initial values and state can be held.
///
/// # Errors
/// [`TrainError::Memory`], and whatever is wrong with the step.
pub fn check_memory(config: &RunConfig, device: &Device) -> Result<(), TrainError> {
    let interface = config.recipe(device.target().state_plan()).interface(config.batch)?;
    check(device, &interface, initial_bytes(config, &interface))
}

/// The bytes that the host has of a run's initial values at once: of weights from elsewhere all, of its own those of a tensor, as
/// numbers and as bytes for the device.
fn initial_bytes(config: &RunConfig, interface: &Interface) -> u64 {
    let all = interface.elements() as u64;
    let largest = interface.params.iter().map(|param| param.shape.elements() as u64).max().unwrap_or(0);
    // The mean and the weight decay, in double precision.
    let prior = if config.prior.is_some() { all.saturating_mul(16) } else { 0 };
    let weights = if config.init.is_some() { all.saturating_mul(4) } else { 0 };
    prior.saturating_add(weights).saturating_add(largest.saturating_mul(8))
}

/// An error unless the state can be held, beside so many bytes of initial values on the host.
pub(super) fn check(device: &Device, interface: &Interface, initial: u64) -> Result<(), TrainError> {
    let prior: usize = interface.prior().into_iter().map(|slot| interface.ty(slot).size_bytes()).sum();
    let state = (interface.state_bytes() + prior) as u64;
    let (on_host, on_device) = match device.target() {
        Target::Cpu => (state.saturating_add(initial), 0),
        Target::Gpu | Target::Tpu | Target::Other => (initial, state),
    };
    let places = [("this machine", on_host, host_memory()), ("the device", on_device, device.memory_limit())];
    for (place, needed, there) in places {
        if let Some(there) = there
            && needed > there
        {
            let parameters = interface.elements();
            return Err(TrainError::Memory { parameters, needed: Size(needed), place, there: Size(there) });
        }
    }
    Ok(())
}

/// The memory that this process can still get, as far as Linux tells: that which is free or can be freed, swap with it,
/// and at most what a container may have.
fn host_memory() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let limit = |path: &str| read(path)?.trim().parse::<u64>().ok();
    let free = read("/proc/meminfo").and_then(|text| free(&text))?;
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    Some(limits.into_iter().filter_map(limit).fold(free, u64::min))
}

/// What `/proc/meminfo` says of memory that is free or can be freed.
fn free(meminfo: &str) -> Option<u64> {
    let line = |name: &str| {
        let rest = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        rest.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
    };
    line("MemAvailable")?.checked_add(line("SwapFree").unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_memory_is_read_with_swap() {
        let text =
            "MemTotal:       16 kB\nMemAvailable:    3 kB\nSwapTotal:       9 kB\nSwapFree:        2 kB\n";
        assert_eq!(free(text), Some(5 * 1024));
        assert_eq!(free(&text.replace("SwapFree", "Other")), Some(3 * 1024));
        assert_eq!(free("MemTotal: 16 kB"), None);
        assert_eq!(free("MemAvailable: 18446744073709551615 kB"), None);
    }
}
