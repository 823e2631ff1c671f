//! `vouchsafe completion`.

use std::io::{self, Write};

use clap::CommandFactory;

use crate::cli::Cli;

/// Prints the script for a shell.
pub(crate) fn print(shell: clap_complete::Shell) -> io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "vouchsafe", &mut script);
    let mut out = io::stdout().lock();
    out.write_all(&script)?;
    out.flush()
}
