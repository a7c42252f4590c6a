//! Work that threads share.

/// Does each of so many pieces of work once, on any threads, and ends when all are done.
pub type Pieces<'a> = &'a dyn Fn(usize, &(dyn Fn(usize) -> Result<(), String> + Sync)) -> Result<(), String>;

/// Multiplications of which a piece should have as many at least: less is not worth another thread's waking.
pub(crate) const LEAST: usize = 1 << 21;
