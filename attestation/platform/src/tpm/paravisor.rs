//! The `snp-vtpm` evidence of an agent: an SEV-SNP guest whose paravisor runs its virtual TPM, as on Azure.
//!
//! Everything goes through the virtual TPM, which is inside the guest's boundary: the paravisor shows the SNP report
//! as an NV index, made anew at each reading over 64 bytes that the guest has written to another, and keeps the
//! attestation key at a fixed handle. What these hold is judged by whoever verifies it.
//!
//! Sources: OpenVMM, `tpm_protocol/src/lib.rs` and `tpm_device/src/lib.rs`; Azure's guest attestation documentation.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use tss_esapi::attributes::NvIndexAttributesBuilder;
use tss_esapi::handles::{KeyHandle, NvIndexHandle, NvIndexTpmHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::{NvAuth, Provision};
use tss_esapi::structures::{MaxNvBuffer, NvPublic};
use vouchsafe_attestation::azure::{HclError, HclReport};
use vouchsafe_attestation::statement::StatementPreimage;
use vouchsafe_protocol::evidence::{
    Evidence, EvidenceKind, Logs, SnpEndorsements, SnpVtpmEvidence, TpmEvidence,
};
use vouchsafe_protocol::introduction::LogsWanted;
use vouchsafe_protocol::limits::HCL_REPORT_LEN;

use super::connection::{Connection, Encrypt};
use super::error::TpmError;
use super::pcr::Selection;
use super::tcti::Tcti;
use super::{key, nv, provided, quote};
use crate::logs::LogPaths;
use crate::snp::read_certificate;
use crate::{Attester, PlatformError, PlatformKind};

/// NV index of the HCL report.
pub(crate) const REPORT: u32 = 0x0140_0001;
/// NV index of the guest's input to it.
pub(crate) const USER_DATA: u32 = 0x0140_0002;
/// Bytes of the guest's input.
const USER_DATA_LEN: usize = 64;
/// Persistent handle of the attestation key.
pub(crate) const AK: u32 = 0x8100_0003;
/// A paravisor makes a new report once in 2 seconds at most, and until then shows the last one.
const REFRESH: Duration = Duration::from_millis(2100);
/// How often the report is read before an old one is taken.
const READINGS: usize = 3;

/// How to use a machine with a paravisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnpVtpmConfig {
    /// Where the virtual TPM is.
    pub tcti: Tcti,
    /// DER of the VCEK, fetched beforehand: nothing is fetched here. Without it, the verifier must have it.
    pub vek: Option<PathBuf>,
    /// DER of the ASK that issued it; a verifier has AMD's compiled in.
    pub intermediate: Option<PathBuf>,
    /// Where the kernel's logs of the virtual TPM are.
    pub logs: Option<LogPaths>,
    /// How long to wait between readings for a report that is made for the statement.
    pub refresh: Duration,
}

impl SnpVtpmConfig {
    /// The usual settings for a virtual TPM.
    #[must_use]
    pub fn new(tcti: Tcti) -> Self {
        let logs = tcti.device().map(LogPaths::of_device);
        Self { tcti, vek: None, intermediate: None, logs, refresh: REFRESH }
    }
}

/// Why the paravisor of this machine shows nothing.
#[derive(Debug, thiserror::Error)]
pub enum ParavisorError {
    /// No attestation key.
    #[error("the TPM holds no attestation key of a paravisor at handle {AK:#010x}")]
    NoKey,
    /// No report.
    #[error(
        "the TPM holds no report of a paravisor at NV index {REPORT:#010x}; this is not a confidential machine with one"
    )]
    NoReport,
    /// The report cannot be read.
    #[error("the paravisor's report is malformed")]
    Report(#[source] HclError),
}

/// A machine with a paravisor. Shows evidence; a vault is not sealed to it.
pub struct SnpVtpmAttester {
    config: SnpVtpmConfig,
    endorsements: SnpEndorsements,
}

impl SnpVtpmAttester {
    /// Reads the certificate files, and checks that the TPM answers and has a paravisor behind it.
    ///
    /// # Errors
    /// [`PlatformError`], above all [`ParavisorError`].
    pub fn open(config: SnpVtpmConfig) -> Result<Self, PlatformError> {
        let read = |path: &Option<PathBuf>| path.as_deref().map(read_certificate).transpose();
        let endorsements =
            SnpEndorsements { vek: read(&config.vek)?, intermediate: read(&config.intermediate)?, crl: None };
        let mut connection = Connection::open(&config.tcti)?;
        if !nv::exists(&mut connection, REPORT)? {
            return Err(ParavisorError::NoReport.into());
        }
        attestation_key(&mut connection)?;
        Ok(Self { config, endorsements })
    }

    /// The report, made for `user_data` if the paravisor does that; read again while it is an older one.
    fn report(
        &self,
        connection: &mut Connection,
        user_data: &[u8; USER_DATA_LEN],
    ) -> Result<Vec<u8>, PlatformError> {
        write_user_data(connection, user_data)?;
        let mut readings = 1;
        loop {
            let report = nv::read(connection, REPORT, HCL_REPORT_LEN)?.ok_or(ParavisorError::NoReport)?;
            let freshness = freshness(&report, user_data).map_err(ParavisorError::Report)?;
            if freshness != Freshness::Older || readings == READINGS {
                // Whether an old one is good enough is the verifier's to say.
                return Ok(report);
            }
            readings += 1;
            thread::sleep(self.config.refresh);
        }
    }
}

impl Attester for SnpVtpmAttester {
    fn kind(&self) -> PlatformKind {
        PlatformKind::Tpm
    }

    // No `tpm_keys`: the report names the attestation key, so that no other proof of it is needed.
    fn evidence_kind(&self) -> EvidenceKind {
        EvidenceKind::SnpVtpm
    }

    fn evidence(
        &mut self,
        statement: &StatementPreimage,
        pcrs: &[u8],
        logs: LogsWanted,
    ) -> Result<Evidence, PlatformError> {
        let selection = Selection::new(pcrs)?;
        let mut connection = Connection::open(&self.config.tcti)?;
        let hcl_report = self.report(&mut connection, &statement.snp_report_data())?;
        let (ak, public) = attestation_key(&mut connection)?;
        let qualifying = statement.tpm_qualifying_data();
        let TpmEvidence { quote, signature, ak_public: _, pcrs, logs: _ } =
            quote::quote(&mut connection, ak, &public, qualifying, &selection)?;
        let logs = match &self.config.logs {
            // After quoting: see `LogPaths::read_ima`.
            Some(paths) => paths.read_wanted(logs, &pcrs)?,
            None => Logs::default(),
        };
        let endorsements = self.endorsements.clone();
        let evidence = SnpVtpmEvidence { hcl_report, endorsements, quote, signature, pcrs, logs };
        Ok(Evidence::SnpVtpm(Box::new(evidence)))
    }
}

/// The attestation key and its TPMT_PUBLIC.
fn attestation_key(connection: &mut Connection) -> Result<(KeyHandle, Vec<u8>), PlatformError> {
    let (handle, public) = provided::load_persistent(connection, AK)?.ok_or(ParavisorError::NoKey)?;
    Ok((handle, key::marshal(&public)?))
}

/// What a report says of the guest's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Freshness {
    /// It was made for this input.
    Fresh,
    /// It was made for another.
    Older,
    /// This paravisor takes none.
    Unknown,
}

/// Looks for the input in the claims as text: good enough to decide whether to read again.
fn freshness(report: &[u8], user_data: &[u8; USER_DATA_LEN]) -> Result<Freshness, HclError> {
    let claims = HclReport::parse(report)?.claims().to_ascii_lowercase();
    let has = |text: &str| claims.windows(text.len()).any(|window| window == text.as_bytes());
    let input: String = user_data.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(match (has(&input), has("\"user-data\"")) {
        (true, _) => Freshness::Fresh,
        (false, true) => Freshness::Older,
        (false, false) => Freshness::Unknown,
    })
}

/// Writes the guest's input, and defines its index first if nobody has.
fn write_user_data(connection: &mut Connection, user_data: &[u8; USER_DATA_LEN]) -> Result<(), TpmError> {
    if !nv::exists(connection, USER_DATA)? {
        let define = "TPM2_NV_DefineSpace";
        let public = user_data_public().map_err(|source| TpmError::Command { command: define, source })?;
        connection.command(define, Encrypt::Command, |context| {
            context.nv_define_space(Provision::Owner, None, public)
        })?;
    }
    let handle = connection.bare("TPM2_NV_ReadPublic", |context| {
        context.tr_from_tpm_public(TpmHandle::NvIndex(NvIndexTpmHandle::new(USER_DATA)?))
    })?;
    let handle = NvIndexHandle::from(handle);
    let (public, _) = connection.bare("TPM2_NV_ReadPublic", |context| context.nv_read_public(handle))?;
    let auth = if public.attributes().auth_write() { NvAuth::NvIndex(handle) } else { NvAuth::Owner };
    connection.command("TPM2_NV_Write", Encrypt::Command, |context| {
        context.nv_write(auth, handle, MaxNvBuffer::try_from(user_data.as_slice())?, 0)
    })
}

/// As `tpm2_nvdefine` makes it: the owner, or who knows the empty authorisation value, may read and write.
fn user_data_public() -> Result<NvPublic, tss_esapi::Error> {
    let attributes = NvIndexAttributesBuilder::new()
        .with_owner_write(true)
        .with_owner_read(true)
        .with_auth_write(true)
        .with_auth_read(true)
        .build()?;
    NvPublic::builder()
        .with_nv_index(NvIndexTpmHandle::new(USER_DATA)?)
        .with_index_name_algorithm(HashingAlgorithm::Sha256)
        .with_index_attributes(attributes)
        .with_data_area_size(USER_DATA_LEN)
        .build()
}
