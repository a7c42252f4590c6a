//! Whether memory was given back: the tests' allocator, which looks for one address in each thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr;

thread_local! {
    static WATCHED: Cell<*const u8> = const { Cell::new(ptr::null()) };
    static FREED: Cell<bool> = const { Cell::new(false) };
}

/// From now on looks for the allocation at `start` being freed by this thread.
pub(crate) fn watch(start: *const u8) {
    WATCHED.set(start);
    FREED.set(false);
}

/// Whether this thread has freed the allocation that it watches.
pub(crate) fn watched_is_freed() -> bool {
    FREED.get()
}

struct Watching;

#[global_allocator]
static ALLOCATOR: Watching = Watching;

// SAFETY: everything is the system's allocator; the cells need no memory of their own, and no destructor runs for them.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        if WATCHED.get() == start.cast_const() {
            // Whoever gets the same address next is another allocation.
            WATCHED.set(ptr::null());
            FREED.set(true);
        }
        // SAFETY: as above.
        unsafe { System.dealloc(start, layout) }
    }
}
