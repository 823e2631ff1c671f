//! Evidence behind live identities, kept small: what an operator's `policy plan` tries other rules on, and what
//! attestation results are made from.
//!
//! INVARIANT: a record is made only from evidence that was appraised and accepted, and dies with its identity.

use std::collections::BTreeMap;

use vouchsafe_attestation::appraisal::{Appraisal, Claims, PlatformClass, PlatformId, SnpClaims};
use vouchsafe_attestation::azure::HclReport;
use vouchsafe_attestation::snp::rules::Warning;
use vouchsafe_attestation::tpm::attest::ClockInfo;
use vouchsafe_attestation::{ResidentAk, ShownBy};
use vouchsafe_crypto::digest::sha256;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::evidence::{Evidence, Logs, PcrValue};
use vouchsafe_protocol::limits::{SEEN_LEN, SEEN_PAGE, SEEN_PLATFORM_LEN, SEEN_TOTAL_LEN};
use vouchsafe_protocol::policy::{Accept, CspName, PlatformKind, RevocationRule, SnpAccept, SnpVtpmAccept};
use vouchsafe_protocol::seen::{
    AkShownBy, SeenClock, SeenEvidence, SeenFacts, SeenPage, SeenQuote, SeenReport, SeenTpm, SeenVtpm,
};

/// Code of the warning that a TCB is below its floor and at its grace floor.
pub(crate) const TCB_GRACE: &str = "tcb-floor";
/// Code of the warning that a reference value has expired and is in its grace.
pub(crate) const REFERENCE_GRACE: &str = "reference-value";
/// Code of the warning that the rule waives revocation: nobody looked whether the chain is in force.
pub(crate) const REVOCATION_UNCHECKED: &str = "revocation-unchecked";
/// Code of the warning that a paravisor's report is older than the introduction, which its quote alone is over.
pub(crate) const REPORT_NOT_FRESH: &str = "report-not-fresh";

/// Records, encoded, by the number of their identity.
#[derive(Default)]
pub(crate) struct Seen {
    records: BTreeMap<u64, Record>,
    len: usize,
    forgotten: u64,
}

struct Record {
    not_after_secs: u64,
    platform: Vec<u8>,
    encoded: Vec<u8>,
}

impl Seen {
    /// Keeps a record; first those go whose identities have ended by then, then the oldest of its own platform beyond
    /// that one's share, and then the oldest of all if there is no room.
    pub fn insert(&mut self, record: &SeenEvidence) {
        self.forget_ended(record.at_unix_secs);
        let encoded = codec::encode(record).unwrap_or_default();
        self.len += encoded.len();
        let platform = record.platform.clone();
        let kept = Record { not_after_secs: record.not_after_unix_secs, platform, encoded };
        if let Some(before) = self.records.insert(record.identity, kept) {
            self.len -= before.encoded.len();
        }
        self.hold_to_share(&record.platform);
        while self.len > SEEN_TOTAL_LEN {
            let Some((_, oldest)) = self.records.pop_first() else { break };
            self.len -= oldest.encoded.len();
            self.forgotten += 1;
        }
    }

    /// Forgets the oldest records of a platform beyond its share. Zeros name none: a chip that is masked or behind a VLEK.
    fn hold_to_share(&mut self, platform: &[u8]) {
        if platform.iter().all(|byte| *byte == 0) {
            return;
        }
        let of_platform = self.records.iter().filter(|(_, record)| record.platform == platform);
        let lens: Vec<(u64, usize)> =
            of_platform.map(|(number, record)| (*number, record.encoded.len())).collect();
        let mut share: usize = lens.iter().map(|(_, len)| len).sum();
        for (number, len) in lens {
            if share <= SEEN_PLATFORM_LEN {
                break;
            }
            share -= len;
            self.remove(number);
            self.forgotten += 1;
        }
    }

    /// Forgets the record of an identity.
    pub fn remove(&mut self, identity: u64) {
        if let Some(record) = self.records.remove(&identity) {
            self.len -= record.encoded.len();
        }
    }

    /// Forgets records of identities that have ended.
    pub fn forget_ended(&mut self, now: u64) {
        let len = &mut self.len;
        self.records.retain(|_, record| {
            let lives = record.not_after_secs > now;
            if !lives {
                *len -= record.encoded.len();
            }
            lives
        });
    }

    /// The record of one identity.
    pub fn of(&self, identity: u64) -> Option<SeenEvidence> {
        decode(self.records.get(&identity)?)
    }

    /// A page of records of identities with higher numbers.
    pub fn page(&self, after: u64) -> SeenPage {
        let mut later =
            self.records.range(after.saturating_add(1)..).filter_map(|(_, record)| decode(record));
        let records = later.by_ref().take(SEEN_PAGE).collect();
        SeenPage { records, more: later.next().is_some(), forgotten: self.forgotten }
    }

    /// Every record as it is kept, in the order of numbers.
    pub fn encoded(&self) -> impl Iterator<Item = &[u8]> {
        self.records.values().map(|record| record.encoded.as_slice())
    }
}

fn decode(record: &Record) -> Option<SeenEvidence> {
    codec::decode(&record.encoded, record.encoded.len()).ok()
}

/// What is kept of evidence that was accepted; `None` for evidence that shows no more than its digest.
pub(crate) fn facts(
    evidence: &Evidence,
    appraisal: &Appraisal,
    resident: Option<&ResidentAk>,
) -> Option<SeenFacts> {
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
pub(crate) fn clock(appraisal: &Appraisal) -> Option<SeenClock> {
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
pub(crate) fn warnings(appraisal: &Appraisal, rule: Option<&Accept>) -> Vec<String> {
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
pub(crate) fn platform(id: &PlatformId) -> Vec<u8> {
    match id {
        PlatformId::Ak(digest) | PlatformId::Ek(digest) => digest.to_vec(),
        PlatformId::PinnedAk(name) => name.to_vec(),
        PlatformId::Chip(chip) => chip.0.to_vec(),
    }
}

/// The kind of platform that was accepted.
pub(crate) fn kind(appraisal: &Appraisal) -> PlatformKind {
    match &appraisal.claims {
        Claims::Snp(_) => PlatformKind::Snp,
        Claims::SnpVtpm(_) => PlatformKind::SnpVtpm,
        Claims::Tpm(_) => PlatformKind::Tpm,
    }
}

/// What was measured: the launch digest, or the digest of the quoted PCRs as the quote has it (SHA-256 over the values in
/// the order of indices; TPM 2.0 Part 3, TPM2_Quote).
pub(crate) fn measurement(appraisal: &Appraisal) -> Vec<u8> {
    match &appraisal.claims {
        Claims::Snp(claims) => claims.measurement.0.to_vec(),
        Claims::SnpVtpm(claims) => claims.snp.measurement.0.to_vec(),
        Claims::Tpm(claims) => {
            let values: Vec<&[u8]> = claims.pcrs.iter().map(|pcr| pcr.value.as_slice()).collect();
            sha256(&values).to_vec()
        }
    }
}

#[cfg(test)]
mod tests {
    use vouchsafe_protocol::id::AnchorClass;
    use vouchsafe_protocol::policy::Product;

    use super::*;

    /// A record of about 2 KiB, so that a share is some 500 of them.
    fn record(identity: u64, platform: Vec<u8>) -> SeenEvidence {
        let report = SeenReport { report: vec![0; 2048], product: Product::Genoa, provider: None };
        SeenEvidence {
            role: "web".parse().unwrap(),
            role_digest: [2; 32],
            identity,
            spiffe_id: "spiffe://v/web".to_owned(),
            at_unix_secs: 1,
            not_after_unix_secs: 2,
            evidence_until_unix_secs: 3,
            evidence_digest: [3; 32],
            platform,
            anchor_class: AnchorClass::Hardware,
            rule: 0,
            warnings: Vec::new(),
            clock: None,
            facts: SeenFacts::Snp(report),
        }
    }

    #[test]
    fn a_platform_beyond_its_share_loses_its_own_oldest_records() {
        let mut seen = Seen::default();
        seen.insert(&record(0, vec![1; 64]));
        let fits = SEEN_PLATFORM_LEN / seen.len;
        let fits = u64::try_from(fits).unwrap();
        seen.remove(0);
        seen.insert(&record(0, vec![9; 64]));
        for identity in 1..=fits + 3 {
            seen.insert(&record(identity, vec![1; 64]));
        }
        assert!(seen.of(0).is_some(), "of another platform, and oldest of all");
        let of_platform = seen.records.values().filter(|record| record.platform == [1; 64]);
        let len: usize = of_platform.map(|record| record.encoded.len()).sum();
        assert!(len <= SEEN_PLATFORM_LEN && len + 2 * 2048 > SEEN_PLATFORM_LEN, "{len}");
        assert!(seen.of(1).is_none() && seen.of(2).is_none() && seen.of(fits + 3).is_some());
        assert_eq!(seen.forgotten, fits + 4 - seen.records.len() as u64);
        assert_eq!(seen.len, seen.encoded().map(<[u8]>::len).sum::<usize>());
    }

    #[test]
    fn platforms_without_a_name_have_no_share() {
        let mut seen = Seen::default();
        for identity in 0..=(SEEN_PLATFORM_LEN / 2048) as u64 {
            seen.insert(&record(identity, vec![0; 64]));
        }
        assert_eq!(seen.forgotten, 0);
        assert!(seen.of(0).is_some());
    }
}
