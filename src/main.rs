//! The `natgrad` command.

/// XLA:CPU wants the C library's allocator with one arena ([`keep_freed_memory`](natgrad::pjrt::keep_freed_memory)), where natgrad's own
/// threads would wait for each other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    natgrad::cli::main()
}
