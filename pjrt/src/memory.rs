//! How this process gets memory from the system.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether freed memory is kept.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
static KEEPS: AtomicBool = AtomicBool::new(false);

/// Keeps freed memory for the next run instead of giving it back to the system.
///
/// XLA:CPU allocates a program's temporaries anew in every run. The GNU C library takes large blocks from the kernel and
/// returns them when they are freed, so that every run would fault in each of its pages again: a sixth of the time of a
/// training step of GPT with 6 layers. Other C libraries are left as they are.
///
/// All threads share one arena of it then, so that what one thread frees another takes. A program whose own threads allocate much
/// should have another allocator for itself (`#[global_allocator]`), as the command `natgrad` has.
///
/// Call it first in `main`: where other threads run, the allocator is left as it is.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if super::environment::is_alone() {
        for (option, value) in [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_MAX, 0), (libc::M_TRIM_THRESHOLD, -1)] {
            // SAFETY: sets a number of the allocator's, which checks it; no other thread allocates yet.
            unsafe { libc::mallopt(option, value) };
        }
        KEEPS.store(true, Ordering::Relaxed);
    }
}

/// Gives back to the system what [`keep_freed_memory`] keeps; where that was not called, nothing is done.
///
/// The temporaries of a program's first run lie between blocks that stay, and those of the next do not fit into their place: a block
/// with an alignment wants a little more than an equal one has left. Without this the process would hold both.
pub fn release_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if KEEPS.load(Ordering::Relaxed) {
        // SAFETY: takes the allocator's own locks, and touches nothing that is in use.
        unsafe { libc::malloc_trim(0) };
    }
}
