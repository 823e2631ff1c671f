//! The logs that a kernel would keep of a software TPM: each entry is written down and extended, as firmware and IMA
//! do. Boot event log: TCG PC Client Platform Firmware Profile 1.06, section 10; IMA log: template `ima-ng`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use vouchsafe_crypto::digest::sha256;
use vouchsafe_crypto::verify::HashAlgorithm;

use crate::Swtpm;

const ALG_SHA256: u16 = 0x000B;
const EV_NO_ACTION: u32 = 3;
const EV_SEPARATOR: u32 = 4;
const EV_S_CRTM_VERSION: u32 = 8;
const EV_EFI_BOOT_SERVICES_APPLICATION: u32 = 0x8000_0003;
/// PCR that IMA measures into.
const PCR_IMA: u8 = 10;

/// Logs of one boot.
#[derive(Clone, Debug)]
pub struct KernelLogs {
    /// `binary_bios_measurements`.
    pub boot: Vec<u8>,
    /// `ima/binary_runtime_measurements`.
    pub ima: Vec<u8>,
}

impl Default for KernelLogs {
    fn default() -> Self {
        Self { boot: spec_id_event(), ima: Vec::new() }
    }
}

impl KernelLogs {
    /// A short orderly boot of a TPM whose PCRs are as after reset: a version, an application, the separators.
    ///
    /// # Errors
    /// When the TPM refuses.
    pub fn of_boot(tpm: &Swtpm) -> Result<Self> {
        let mut logs = Self::default();
        logs.measure(tpm, 0, EV_S_CRTM_VERSION, &[b'1', 0, 0, 0])?;
        for pcr in 0..8 {
            logs.measure(tpm, pcr, EV_SEPARATOR, &[0; 4])?;
        }
        logs.measure(tpm, 4, EV_EFI_BOOT_SERVICES_APPLICATION, b"boot loader")?;
        Ok(logs)
    }

    /// Measures data: one event, and its SHA-256 extended.
    ///
    /// # Errors
    /// When the TPM refuses.
    pub fn measure(&mut self, tpm: &Swtpm, pcr: u8, event_type: u32, data: &[u8]) -> Result<()> {
        let digest = sha256(&[data]);
        self.boot.extend_from_slice(&u32::from(pcr).to_le_bytes());
        self.boot.extend_from_slice(&event_type.to_le_bytes());
        self.boot.extend_from_slice(&1u32.to_le_bytes());
        self.boot.extend_from_slice(&ALG_SHA256.to_le_bytes());
        self.boot.extend_from_slice(&digest);
        self.boot.extend_from_slice(&len(data));
        self.boot.extend_from_slice(data);
        tpm.extend(pcr, digest)
    }

    /// Measures a file as IMA does: written down, then extended into PCR 10.
    ///
    /// # Errors
    /// When the TPM refuses.
    pub fn measure_file(&mut self, tpm: &Swtpm, name: &str, contents: &[u8]) -> Result<()> {
        let digest = self.note_file(name, contents);
        tpm.extend(PCR_IMA, digest)
    }

    /// Only writes the entry down, as between the two steps of the kernel. Returns what it would extend.
    pub fn note_file(&mut self, name: &str, contents: &[u8]) -> [u8; 32] {
        let digest = [&b"sha256:\0"[..], &sha256(&[contents])].concat();
        let name = [name.as_bytes(), &[0]].concat();
        let fields = [&len(&digest)[..], &digest, &len(&name), &name].concat();
        let template = b"ima-ng";
        self.ima.extend_from_slice(&u32::from(PCR_IMA).to_le_bytes());
        self.ima.extend_from_slice(&HashAlgorithm::DangerousSha1.digest(&[&fields]));
        self.ima.extend_from_slice(&len(template));
        self.ima.extend_from_slice(template);
        self.ima.extend_from_slice(&len(&fields));
        self.ima.extend_from_slice(&fields);
        sha256(&[&fields])
    }

    /// Shows the logs where the kernel does, below a directory that stands in for securityfs.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, securityfs: &Path) -> Result<()> {
        let (tpm, ima) = (securityfs.join("tpm0"), securityfs.join("ima"));
        for dir in [&tpm, &ima] {
            fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        fs::write(tpm.join("binary_bios_measurements"), &self.boot)?;
        Ok(fs::write(ima.join("binary_runtime_measurements"), &self.ima)?)
    }
}

/// The event that opens a crypto-agile log, announcing SHA-256 (section 10.4.5.1).
fn spec_id_event() -> Vec<u8> {
    let mut data = b"Spec ID Event03\0".to_vec();
    data.extend_from_slice(&[0, 0, 0, 0, 0, 2, 0, 2]);
    data.extend_from_slice(&1u32.to_le_bytes());
    data.extend_from_slice(&ALG_SHA256.to_le_bytes());
    data.extend_from_slice(&[32, 0, 0]);
    [&[0; 4][..], &EV_NO_ACTION.to_le_bytes(), &[0; 20], &len(&data), &data].concat()
}

fn len(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes()
}
