//! A software TPM (Debian's `swtpm`) with its own certificate authority, for tests and the demo.
//!
//! Trusted for: nothing. It stands in for a machine's TPM; its anchors belong in simulated vaults only.
//! Not trusted for: keeping keys from whoever can read its state directory.
//! Left to the caller: one connection at a time. `swtpm` serves one client; the others wait.

mod authority;
mod commands;
mod logs;
mod process;
mod relay;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use process::Process;
use tempfile::TempDir;

pub use commands::{ResponseCode, TpmResponse};
pub use logs::KernelLogs;
pub use relay::{Relay, Tamper};

/// The PCRs that [`Swtpm::boot`] extends: what firmware measures and what a vault's seal is bound to.
pub const BOOT_PCRS: [u8; 4] = [0, 2, 4, 7];

/// Bytes of one NV write: every TPM's buffer holds at least 512.
const NV_CHUNK: usize = 512;

/// A running software TPM; it stops when this is dropped.
pub struct Swtpm {
    process: Process,
    dir: PathBuf,
    /// Removed after the process has ended: fields drop in this order.
    temporary: Option<TempDir>,
}

impl Swtpm {
    /// Manufactures a TPM in a directory of its own, starts it and boots its machine.
    ///
    /// # Errors
    /// When `swtpm`, `swtpm_setup` or `swtpm_localca` is missing or fails.
    pub fn create() -> Result<Self> {
        let temporary = TempDir::with_prefix("vouchsafe-swtpm-").context("no temporary directory")?;
        let mut tpm = Self::open(temporary.path())?;
        tpm.temporary = Some(temporary);
        tpm.boot()?;
        Ok(tpm)
    }

    /// Starts the TPM of a directory, and manufactures it first if it is not there. Does not boot.
    ///
    /// # Errors
    /// As for [`Swtpm::create`].
    pub fn open(dir: &Path) -> Result<Self> {
        authority::manufacture(dir)?;
        let process = Process::start(&authority::state_dir(dir))?;
        Ok(Self { process, dir: dir.to_owned(), temporary: None })
    }

    /// The configuration string for the TPM software stack.
    #[must_use]
    pub fn tcti(&self) -> String {
        tcti(self.process.port())
    }

    /// TCP port of the command channel on 127.0.0.1; the control channel is the next one.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.process.port()
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.process.pid()
    }

    /// DER of the certificates that endorse this TPM: the root first, then the issuer of EK certificates.
    ///
    /// # Errors
    /// When the files of the authority cannot be read.
    pub fn ek_anchors(&self) -> Result<Vec<Vec<u8>>> {
        authority::anchors(&self.dir)
    }

    /// Extends [`BOOT_PCRS`] of the SHA-256 bank, each with a fixed value, as a measured boot does.
    ///
    /// # Errors
    /// When the TPM refuses.
    pub fn boot(&self) -> Result<()> {
        BOOT_PCRS.iter().try_for_each(|&pcr| self.extend(pcr, [0x40 + pcr; 32]))
    }

    /// Extends one PCR of the SHA-256 bank.
    ///
    /// # Errors
    /// When the TPM refuses.
    pub fn extend(&self, pcr: u8, digest: [u8; 32]) -> Result<()> {
        self.command(&commands::pcr_extend(pcr, digest))?.success("TPM2_PCR_Extend")
    }

    /// Clears the TPM as its owner or firmware can: everything under the storage hierarchy is lost.
    ///
    /// # Errors
    /// When the TPM refuses.
    pub fn clear(&self) -> Result<()> {
        self.command(&commands::clear())?.success("TPM2_Clear")
    }

    /// Deletes an NV index with owner authorisation.
    ///
    /// # Errors
    /// When the TPM refuses.
    pub fn undefine(&self, nv_index: u32) -> Result<()> {
        self.command(&commands::nv_undefine(nv_index))?.success("TPM2_NV_UndefineSpace")
    }

    /// Defines an NV counter with owner authorisation and an empty authorisation value, and counts once.
    ///
    /// # Errors
    /// When the TPM refuses.
    pub fn define_counter(&self, nv_index: u32, attributes: u32) -> Result<()> {
        self.command(&commands::nv_define_counter(nv_index, attributes))?.success("TPM2_NV_DefineSpace")?;
        self.command(&commands::nv_increment(nv_index))?.success("TPM2_NV_Increment")
    }

    /// Defines an NV index and writes data into it, as a manufacturer or a cloud provisions a TPM.
    ///
    /// # Errors
    /// When the TPM refuses.
    pub fn provision(&self, nv_index: u32, data: &[u8]) -> Result<()> {
        let len = u16::try_from(data.len()).context("no index holds so much")?;
        self.command(&commands::nv_define_data(nv_index, len))?.success("TPM2_NV_DefineSpace")?;
        let mut offset = 0;
        for part in data.chunks(NV_CHUNK) {
            self.command(&commands::nv_write(nv_index, offset, part))?.success("TPM2_NV_Write")?;
            offset += u16::try_from(part.len())?;
        }
        Ok(())
    }

    /// Sends one raw TPM command on a connection of its own.
    ///
    /// # Errors
    /// When the connection fails; the TPM's own refusal is in the response.
    pub fn command(&self, command: &[u8]) -> Result<TpmResponse> {
        commands::send(self.process.port(), command)
    }

    /// Switches the machine off and on: PCRs and everything volatile start over, NV stays. Does not boot.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn power_cycle(&mut self) -> Result<()> {
        self.process.restart(&authority::state_dir(&self.dir))
    }

    /// Lets the TPM run on after this handle; [`shut_down`] stops it. Returns its port.
    #[must_use]
    pub fn leave_running(self) -> u16 {
        if let Some(temporary) = self.temporary {
            // The process needs its state; whoever leaves it running owns the directory from now on.
            drop(temporary.keep());
        }
        self.process.leave_running()
    }
}

/// The configuration string for a TPM on a port of this machine.
#[must_use]
pub fn tcti(port: u16) -> String {
    format!("swtpm:host=127.0.0.1,port={port}")
}

/// Sends one raw TPM command to the TPM on a port of this machine.
///
/// # Errors
/// When the connection fails.
pub fn command(port: u16, command: &[u8]) -> Result<TpmResponse> {
    commands::send(port, command)
}

/// Extends one PCR of the SHA-256 bank of the TPM on a port of this machine.
///
/// # Errors
/// When the TPM refuses.
pub fn extend(port: u16, pcr: u8, digest: [u8; 32]) -> Result<()> {
    commands::send(port, &commands::pcr_extend(pcr, digest))?.success("TPM2_PCR_Extend")
}

/// Stops the TPM on a port of this machine through its control channel.
///
/// # Errors
/// When nothing answers there.
pub fn shut_down(port: u16) -> Result<()> {
    process::shut_down(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_cycle_resets_pcrs_and_keeps_the_endorsement() {
        let mut tpm = Swtpm::create().unwrap();
        let booted = tpm.command(&commands::pcr_read(7)).unwrap();
        let anchors = tpm.ek_anchors().unwrap();
        assert_eq!(anchors.len(), 2);

        tpm.power_cycle().unwrap();
        assert_ne!(tpm.command(&commands::pcr_read(7)).unwrap().digest_tail(), booted.digest_tail());
        tpm.boot().unwrap();
        assert_eq!(tpm.command(&commands::pcr_read(7)).unwrap().digest_tail(), booted.digest_tail());
        assert_eq!(tpm.ek_anchors().unwrap(), anchors);
    }

    #[test]
    fn two_at_once_have_different_ports() {
        let (a, b) = (Swtpm::create().unwrap(), Swtpm::create().unwrap());
        assert_ne!(a.port(), b.port());
        assert_ne!(a.ek_anchors().unwrap(), b.ek_anchors().unwrap());
    }
}
