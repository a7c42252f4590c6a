//! The `natgrad` command.

fn main() -> std::process::ExitCode {
    natgrad::cli::main()
}
