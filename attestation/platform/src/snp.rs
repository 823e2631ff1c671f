//! The `snp` platform: an AMD SEV-SNP guest.
//!
//! Who controls what: the hypervisor serves the certificate table and may refuse; the report and the derived key
//! come from the security processor over a channel that it cannot read or change. Reports come through
//! configfs-tsm, else from the guest device; keys from the guest device (MSG_KEY_REQ).
//! There is no counter: such a vault is on rung R0 of the freshness ladder until witnesses cosign (R2).

pub mod cert_table;
pub(crate) mod device;
mod report;
pub(crate) mod tsm;

use std::io;
use std::path::{Path, PathBuf};

use vouchsafe_attestation::statement::StatementPreimage;
use vouchsafe_crypto::random;
use vouchsafe_crypto::secret::Key32;
use vouchsafe_protocol::evidence::{Evidence, SnpEndorsements, SnpEvidence};
use vouchsafe_protocol::introduction::LogsWanted;
use vouchsafe_protocol::limits::{CERTIFICATE_LEN, CRL_LEN};

use self::cert_table::{CertTable, CertTableError};
use self::device::{GuestDevice, KeyRequest, SevGuest};
use self::report::{RawReport, SigningKey};
use self::tsm::{Configfs, RawEvidence, ReportDirectory};
use crate::entropy::BLOCK_LEN;
use crate::sealed::{self, SealedBody, SealedError, SnpBinding};
use crate::{Attester, EntropyWatch, Platform, PlatformError, PlatformKind, files, machine_seal};

/// Purpose of the key that seals root keys.
const SEAL_LABEL: &str = "vouchsafe/1/snp-seal";

/// How to use an SNP guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnpConfig {
    /// Directory of configfs-tsm.
    pub tsm: PathBuf,
    /// DER of the VCEK or VLEK, for hosts that give no certificates. Fetched beforehand: nothing is fetched here.
    pub vek: Option<PathBuf>,
    /// DER of the ASK or ASVK that issued it; a verifier has AMD's for VCEKs compiled in.
    pub intermediate: Option<PathBuf>,
    /// DER of a revocation list of the product's root, for roles that ask for one; read anew for each piece of
    /// evidence, so that it can be replaced.
    pub crl: Option<PathBuf>,
}

impl Default for SnpConfig {
    fn default() -> Self {
        Self { tsm: PathBuf::from("/sys/kernel/config/tsm/report"), vek: None, intermediate: None, crl: None }
    }
}

/// Why an SNP guest did not do it.
#[derive(Debug, thiserror::Error)]
pub enum SnpError {
    /// The sealed bytes do not open although chip and measurement are the same.
    #[error(
        "the sealed root key does not open: it was changed, or guest policy, SVN or firmware went back since it \
         was sealed"
    )]
    Altered,
    /// The host's certificate table is not one.
    #[error("the host's certificate table is malformed")]
    CertTable(#[source] CertTableError),
    /// A file with a certificate or a revocation list cannot be read.
    #[error("cannot read {path}")]
    CertificateFile {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The security processor or the hypervisor refused.
    #[error("the SEV-SNP guest device refused {request}")]
    Device {
        /// Name of the message.
        request: &'static str,
        /// The reason.
        source: sev::error::UserApiError,
    },
    /// Not an SNP guest.
    #[error(
        "no SEV-SNP guest device: {path} is missing; run inside an SEV-SNP guest with a kernel of 6.7 or later"
    )]
    NoDevice {
        /// The device or directory that should be there.
        path: PathBuf,
    },
    /// There is no certificate for the key that signed the report.
    #[error(
        "the host gives no certificate for its VCEK or VLEK; fetch it from AMD once and name it with --vek"
    )]
    NoVek,
    /// Sealed on another chip.
    #[error("the root key was sealed on another chip; start the vault on the machine that sealed it")]
    OtherMachine,
    /// Sealed by another launch measurement.
    #[error("the root key was sealed by other code: this guest's launch measurement differs")]
    OtherMeasurement,
    /// The report has another length.
    #[error("the report has {len} bytes instead of 1184")]
    ReportLength {
        /// Length in bytes.
        len: usize,
    },
    /// configfs-tsm fails.
    #[error("cannot use {path}")]
    Tsm {
        /// The file or directory.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// Others kept changing the request between writing it and reading the report.
    #[error("the report request in {path} was changed by another process again and again")]
    TsmContended {
        /// The report directory.
        path: PathBuf,
    },
    /// configfs-tsm has another provider.
    #[error("{path} gives evidence of another kind than SEV-SNP")]
    TsmProvider {
        /// The report directory.
        path: PathBuf,
    },
}

/// An SEV-SNP guest.
pub struct SnpPlatform<Device = SevGuest, Directory = Configfs> {
    config: SnpConfig,
    device: Device,
    directory: Directory,
    watch: EntropyWatch,
}

impl SnpPlatform {
    /// Opens the guest's interfaces.
    ///
    /// # Errors
    /// [`SnpError::NoDevice`] outside an SNP guest.
    pub fn open(config: SnpConfig) -> Result<Self, SnpError> {
        let (device, directory) = (SevGuest::default(), Configfs::new(config.tsm.clone()));
        if !directory.is_present() {
            device.check()?;
        }
        Ok(Self { config, device, directory, watch: EntropyWatch::default() })
    }
}

impl<Device: GuestDevice, Directory: ReportDirectory> SnpPlatform<Device, Directory> {
    fn raw_evidence(&mut self, report_data: &[u8; 64]) -> Result<RawEvidence, SnpError> {
        if self.directory.is_present() {
            return tsm::evidence(&mut self.directory, report_data);
        }
        Ok(RawEvidence { report: self.device.report(report_data)?, certificates: Vec::new() })
    }

    /// A report over nothing in particular, for what it says of this guest. Only its own guest believes it so.
    fn own_report(&mut self) -> Result<RawReport, SnpError> {
        RawReport::new(self.raw_evidence(&[0; 64])?.report)
    }

    fn snp_evidence(&mut self, report_data: &[u8; 64]) -> Result<SnpEvidence, SnpError> {
        let evidence = self.found(report_data)?;
        if evidence.endorsements.vek.is_none() {
            return Err(SnpError::NoVek);
        }
        Ok(evidence)
    }

    /// A report, and what there is to endorse it.
    pub(crate) fn found(&mut self, report_data: &[u8; 64]) -> Result<SnpEvidence, SnpError> {
        let RawEvidence { report, certificates } = self.raw_evidence(report_data)?;
        let report = RawReport::new(report)?;
        let table = CertTable::parse(&certificates).map_err(SnpError::CertTable)?;
        let from_host = match report.signing_key() {
            SigningKey::Vlek => table.vlek(),
            SigningKey::Vcek => table.vcek(),
        };
        let vek = match (from_host, &self.config.vek) {
            (Some(vek), _) => Some(vek.to_vec()),
            (None, Some(path)) => Some(read_certificate(path)?),
            (None, None) => None,
        };
        let intermediate = match (table.ask(), &self.config.intermediate) {
            (Some(ask), _) => Some(ask.to_vec()),
            (None, Some(path)) => Some(read_certificate(path)?),
            (None, None) => None,
        };
        // A file is the operator's choice, and younger than what a host keeps in its table.
        let crl = match (&self.config.crl, table.crl()) {
            (Some(path), _) => Some(read_file(path, CRL_LEN)?),
            (None, list) => list.map(<[u8]>::to_vec),
        };
        let endorsements = SnpEndorsements { vek, intermediate, crl };
        Ok(SnpEvidence { report: report.into_bytes(), endorsements })
    }
}

pub(crate) fn read_certificate(path: &Path) -> Result<Vec<u8>, SnpError> {
    read_file(path, CERTIFICATE_LEN)
}

fn read_file(path: &Path, limit: usize) -> Result<Vec<u8>, SnpError> {
    files::read(path, limit).map_err(|source| SnpError::CertificateFile { path: path.to_owned(), source })
}

/// What the security processor mixes into the key, beside measurement and guest policy.
fn key_request(binding: &SnpBinding) -> KeyRequest {
    KeyRequest { guest_svn: binding.guest_svn, tcb_version: binding.tcb_version, vmpl: binding.vmpl }
}

impl<Device: GuestDevice, Directory: ReportDirectory> Attester for SnpPlatform<Device, Directory> {
    fn kind(&self) -> PlatformKind {
        PlatformKind::Snp
    }

    fn evidence(
        &mut self,
        statement: &StatementPreimage,
        _: &[u8],
        _: LogsWanted,
    ) -> Result<Evidence, PlatformError> {
        Ok(Evidence::Snp(self.snp_evidence(&statement.snp_report_data())?))
    }
}

impl<Device: GuestDevice, Directory: ReportDirectory> Platform for SnpPlatform<Device, Directory> {
    fn seal(&mut self, root: &Key32) -> Result<Vec<u8>, PlatformError> {
        let binding = self.own_report()?.binding();
        let machine_key = self.device.derived_key(&key_request(&binding))?;
        let sealed = machine_seal::seal(&machine_key, SEAL_LABEL, binding, root)?;
        Ok(sealed::encode(SealedBody::Snp(sealed))?)
    }

    fn unseal(&mut self, sealed: &[u8]) -> Result<Key32, PlatformError> {
        let SealedBody::Snp(sealed) = sealed::decode(sealed)?.body else {
            return Err(SealedError::OtherKind.into());
        };
        let own = self.own_report()?.binding();
        // 1. The same chip. 2. The same code. Both only name the reason; the key decides.
        if sealed.binding.chip != own.chip {
            return Err(SnpError::OtherMachine.into());
        }
        if sealed.binding.measurement != own.measurement {
            return Err(SnpError::OtherMeasurement.into());
        }
        // 3. The machine's key, for the SVN and TCB at sealing, opens it.
        let machine_key = self.device.derived_key(&key_request(&sealed.binding))?;
        let root = machine_seal::open(&machine_key, SEAL_LABEL, &sealed)?;
        Ok(root.map_err(|machine_seal::DoesNotOpen| SnpError::Altered)?)
    }

    fn counter(&mut self) -> Result<Option<u64>, PlatformError> {
        Ok(None)
    }

    fn increment(&mut self) -> Result<u64, PlatformError> {
        Err(PlatformError::NoCounter)
    }

    /// The guest's kernel is seeded by RDSEED and RDRAND, which the hypervisor cannot change; there is no
    /// further source. Watched all the same.
    fn entropy(&mut self, out: &mut [u8]) -> Result<(), PlatformError> {
        for part in out.chunks_mut(BLOCK_LEN) {
            let block: [u8; BLOCK_LEN] = random::array().map_err(|_| PlatformError::NoRandomness)?;
            self.watch.accept(&block)?;
            for (to, from) in part.iter_mut().zip(block) {
                *to = from;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
