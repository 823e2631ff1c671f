//! `vouchsafe`: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    vouchsafe_tools::run(std::env::args_os())
}
