//! The `natgrad` command.

/// XLA:CPU wants the C library's allocator with one arena for all threads ([`pjrt::keep_freed_memory`](natgrad::pjrt::keep_freed_memory)),
/// which threads of ours would wait for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    natgrad::cli::main()
}
