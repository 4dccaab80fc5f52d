//! The `jeton` binary: reads the command line and runs it.

use std::process::ExitCode;

/// Gives back what it does not need: the system's own grew through an hour of mixed load. C code takes its memory from
/// it too, for it is linked under the names `malloc` and `free` (ADR 26).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    jeton::cli::run()
}
