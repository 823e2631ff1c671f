//! What is kept of evidence that was accepted, so that other rules can be tried on it later
//! ([`vouchsafe_attestation::explain::explain_seen`]) and results made from it.

use vouchsafe_attestation::appraisal::{Appraisal, Claims, PlatformClass, PlatformId, SnpClaims};
use vouchsafe_attestation::azure::HclReport;
use vouchsafe_attestation::snp::rules::Warning;
use vouchsafe_attestation::tpm::attest::ClockInfo;
use vouchsafe_attestation::{ResidentAk, ShownBy};
use vouchsafe_crypto::digest::sha256;
use vouchsafe_protocol::evidence::{Evidence, Logs, PcrValue};
use vouchsafe_protocol::limits::SEEN_LEN;
use vouchsafe_protocol::policy::{Accept, CspName, PlatformKind, RevocationRule, SnpAccept, SnpVtpmAccept};
use vouchsafe_protocol::seen::{AkShownBy, SeenClock, SeenFacts, SeenQuote, SeenReport, SeenTpm, SeenVtpm};

/// Code of the warning that a TCB is below its floor and at its grace floor.
pub const TCB_GRACE: &str = "tcb-floor";
/// Code of the warning that a reference value has expired and is in its grace.
pub const REFERENCE_GRACE: &str = "reference-value";
/// Code of the warning that the rule waives revocation: nobody looked whether the chain is in force.
pub const REVOCATION_UNCHECKED: &str = "revocation-unchecked";
/// Code of the warning that a paravisor's report is older than the introduction, which its quote alone is over.
pub const REPORT_NOT_FRESH: &str = "report-not-fresh";

/// What is kept of evidence that was accepted; `None` for evidence that shows no more than its digest.
#[must_use]
pub fn facts(evidence: &Evidence, appraisal: &Appraisal, resident: Option<&ResidentAk>) -> Option<SeenFacts> {
    match (evidence, &appraisal.claims) {
        (Evidence::Snp(snp), Claims::Snp(claims)) => {
            Some(SeenFacts::Snp(report(snp.report.clone(), &appraisal.class, claims)?))
        }
        (Evidence::SnpVtpm(vtpm), Claims::SnpVtpm(claims)) => {
            let hcl = HclReport::parse(&vtpm.hcl_report).ok()?;
            Some(SeenFacts::SnpVtpm(Box::new(SeenVtpm {
                snp: report(hcl.snp_report().to_vec(), &appraisal.class, &claims.snp)?,
                hcl_report: vtpm.hcl_report.clone(),
                quote: quote(&vtpm.quote, &vtpm.pcrs, &vtpm.logs, vtpm.hcl_report.len()),
                user_data_is_statement: claims.fresh_report,
            })))
        }
        (Evidence::Tpm(tpm), Claims::Tpm(_)) => {
            let resident = resident?;
            Some(SeenFacts::Tpm(Box::new(SeenTpm {
                quote: quote(&tpm.quote, &tpm.pcrs, &tpm.logs, tpm.ak_public.len()),
                ak_public: tpm.ak_public.clone(),
                shown_by: match resident.shown_by() {
                    ShownBy::Certificate => AkShownBy::Certificate,
                    ShownBy::Credential => AkShownBy::Credential,
                },
                spki_digest: *resident.spki_digest(),
                anchor: resident.anchor().clone(),
                kind: resident.kind(),
            })))
        }
        (Evidence::Snp(_) | Evidence::SnpVtpm(_) | Evidence::Tpm(_), _) => None,
    }
}

fn report(report: Vec<u8>, class: &PlatformClass, claims: &SnpClaims) -> Option<SeenReport> {
    let product = match class {
        PlatformClass::SnpVcek { product }
        | PlatformClass::SnpVlek { product }
        | PlatformClass::SnpVtpm { product } => *product,
        PlatformClass::Tpm { .. } | PlatformClass::TpmPinned => return None,
    };
    Some(SeenReport { report, product, provider: claims.provider.clone().map(CspName) })
}

/// Room for the fields of a record that are neither PCRs nor bytes of the evidence.
const FIELDS_LEN: usize = 2048;

/// A quote, with its logs if the whole record stays below [`SEEN_LEN`] with them; `beside` is the length of what else
/// is kept.
fn quote(attest: &[u8], pcrs: &[PcrValue], logs: &Logs, beside: usize) -> SeenQuote {
    let log_len = |log: &Option<Vec<u8>>| log.as_ref().map_or(0, Vec::len);
    let logs_len = log_len(&logs.boot) + log_len(&logs.ima);
    let len = FIELDS_LEN + attest.len() + size_of_val(pcrs) + beside + logs_len;
    let fits = len <= SEEN_LEN;
    SeenQuote {
        attest: attest.to_vec(),
        pcrs: pcrs.to_vec(),
        logs: if fits { logs.clone() } else { Logs::default() },
        logs_dropped: !fits && logs_len > 0,
    }
}

/// The clock that evidence showed, by the name of its attestation key.
#[must_use]
pub fn clock(appraisal: &Appraisal) -> Option<SeenClock> {
    let (key, clock) = match &appraisal.claims {
        Claims::Snp(_) => return None,
        Claims::SnpVtpm(claims) => (claims.ak_digest, claims.clock),
        // The algorithm of the name, always SHA-256, and the digest.
        Claims::Tpm(claims) => (*claims.ak_name.last_chunk::<32>()?, claims.clock),
    };
    let ClockInfo { clock_millis, reset_count, restart_count, safe } = clock;
    Some(SeenClock { key, clock_millis, reset_count, restart_count, safe })
}

/// Stable codes of warnings; `rule` is the one that accepted.
#[must_use]
pub fn warnings(appraisal: &Appraisal, rule: Option<&Accept>) -> Vec<String> {
    let code = |warning: &Warning| match warning {
        Warning::ReferenceValue => REFERENCE_GRACE,
        Warning::TcbFloor => TCB_GRACE,
    };
    let waived = match rule {
        Some(Accept::Snp(SnpAccept { revocation, .. }))
        | Some(Accept::SnpVtpm(SnpVtpmAccept { snp: SnpAccept { revocation, .. }, .. })) => {
            (*revocation == RevocationRule::Unchecked).then_some(REVOCATION_UNCHECKED)
        }
        Some(Accept::Tpm(_)) | None => None,
    };
    let stale = match &appraisal.claims {
        Claims::SnpVtpm(claims) if !claims.fresh_report => Some(REPORT_NOT_FRESH),
        Claims::Snp(_) | Claims::SnpVtpm(_) | Claims::Tpm(_) => None,
    };
    appraisal.warnings.iter().map(code).chain(waived).chain(stale).map(str::to_owned).collect()
}

/// The bytes that name a platform.
#[must_use]
pub fn platform(id: &PlatformId) -> Vec<u8> {
    match id {
        PlatformId::Ak(digest) | PlatformId::Ek(digest) => digest.to_vec(),
        PlatformId::PinnedAk(name) => name.to_vec(),
        PlatformId::Chip(chip) => chip.0.to_vec(),
    }
}

/// The kind of platform that was accepted.
#[must_use]
pub fn kind(appraisal: &Appraisal) -> PlatformKind {
    match &appraisal.claims {
        Claims::Snp(_) => PlatformKind::Snp,
        Claims::SnpVtpm(_) => PlatformKind::SnpVtpm,
        Claims::Tpm(_) => PlatformKind::Tpm,
    }
}

/// What was measured: the launch digest, or the digest of the quoted PCRs as the quote has it (SHA-256 over the values in
/// the order of indices; TPM 2.0 Part 3, TPM2_Quote).
#[must_use]
pub fn measurement(appraisal: &Appraisal) -> Vec<u8> {
    match &appraisal.claims {
        Claims::Snp(claims) => claims.measurement.0.to_vec(),
        Claims::SnpVtpm(claims) => claims.snp.measurement.0.to_vec(),
        Claims::Tpm(claims) => {
            let values: Vec<&[u8]> = claims.pcrs.iter().map(|pcr| pcr.value.as_slice()).collect();
            sha256(&values).to_vec()
        }
    }
}
