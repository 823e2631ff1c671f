//! The trustworthiness vector (draft-ietf-rats-ar4si, section 2.3): what a relying party may take for granted.
//!
//! A simulated platform is never affirmed: its hardware is unrecognised, whatever else holds.

use vouchsafe_protocol::policy::TpmKind;
use vouchsafe_protocol::seen::{SeenEvidence, SeenFacts, SeenReport};

use super::{Object, REFERENCE_GRACE, Report, SigningKey, TCB_GRACE};

/// The instance is recognised, and not known to be compromised.
const RECOGNISED_INSTANCE: u8 = 2;
/// The configuration exposes no known vulnerability.
const SAFE_CONFIGURATION: u8 = 3;
/// The configuration gives the host a way in.
const EXPOSED_CONFIGURATION: u8 = 96;
/// Only approved executables were loaded during boot.
const APPROVED_BOOT: u8 = 3;
/// As above, but some are known to be out of date.
const UNSAFE_RUNTIME: u8 = 32;
/// The hardware and its firmware are genuine.
const GENUINE_HARDWARE: u8 = 2;
/// They are, and have known vulnerabilities.
const UNSAFE_HARDWARE: u8 = 32;
/// The hardware is none that is recognised.
const UNRECOGNISED_HARDWARE: u8 = 97;
/// Memory is encrypted, inside a trusted execution environment.
const ENCRYPTED_RUNTIME: u8 = 2;

/// POLICY bits 18 (a migration agent may export the guest) and 19 (the host may debug it).
const POLICY_EXPOSES: u64 = 1 << 18 | 1 << 19;

/// Claims about one platform; `None` claims nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trust {
    instance_identity: Option<u8>,
    configuration: Option<u8>,
    executables: Option<u8>,
    hardware: Option<u8>,
    runtime_opaque: Option<u8>,
    /// Something was accepted for a while only, or without being looked at.
    warned: bool,
}

impl Trust {
    /// What accepted evidence lets the vault claim; `simulated` if the platform, or the vault itself, is.
    pub fn of(seen: &SeenEvidence, simulated: bool) -> Self {
        let late_tcb = seen.warnings.iter().any(|warning| warning == TCB_GRACE);
        let late_values = seen.warnings.iter().any(|warning| warning == REFERENCE_GRACE);
        // A launch digest stands for all that was loaded. Which PCRs a rule judged is not kept, and one over Secure
        // Boot alone says nothing of executables: so a TPM's quote makes no such claim.
        let approved = if late_values { UNSAFE_RUNTIME } else { APPROVED_BOOT };
        let executables = match &seen.facts {
            SeenFacts::Snp(_) | SeenFacts::SnpVtpm(_) => Some(approved),
            SeenFacts::Tpm(_) => None,
        };
        let warned = !seen.warnings.is_empty();
        if simulated {
            return Self {
                instance_identity: None,
                configuration: None,
                executables,
                hardware: Some(UNRECOGNISED_HARDWARE),
                runtime_opaque: None,
                warned,
            };
        }
        match &seen.facts {
            SeenFacts::Snp(snp) => Self::of_guest(snp, executables, late_tcb, warned),
            SeenFacts::SnpVtpm(vtpm) => Self::of_guest(&vtpm.snp, executables, late_tcb, warned),
            // A TPM that the host's owner runs is no hardware, and says nothing of any.
            SeenFacts::Tpm(tpm) => Self {
                instance_identity: Some(RECOGNISED_INSTANCE),
                configuration: None,
                executables,
                hardware: (tpm.kind == TpmKind::Hardware).then_some(genuine(late_tcb)),
                runtime_opaque: None,
                warned,
            },
        }
    }

    /// Of an SNP guest. What its report itself shows counts, whatever a role put up with: a guest that the host may
    /// debug or export is not opaque to it (S6), and provisional firmware can be replaced by an older one (S5).
    fn of_guest(snp: &SeenReport, executables: Option<u8>, late_tcb: bool, warned: bool) -> Self {
        let report = Report::parse(&snp.report).ok();
        let exposed = report.as_ref().is_none_or(|report| report.policy & POLICY_EXPOSES != 0);
        let provisional = report.as_ref().is_none_or(|report| report.current_tcb != report.committed_tcb);
        let configuration = if exposed { EXPOSED_CONFIGURATION } else { SAFE_CONFIGURATION };
        Self {
            instance_identity: names_chip(snp).then_some(RECOGNISED_INSTANCE),
            configuration: Some(configuration),
            executables,
            hardware: Some(genuine(late_tcb || provisional)),
            runtime_opaque: (!exposed).then_some(ENCRYPTED_RUNTIME),
            warned,
        }
    }

    /// The worst tier of the vector.
    pub fn status(&self) -> &'static str {
        let Self { instance_identity, configuration, executables, hardware, runtime_opaque, warned } = *self;
        let claims = [instance_identity, configuration, executables, hardware, runtime_opaque];
        match claims.into_iter().flatten().max() {
            Some(96..) => "contraindicated",
            Some(32..=95) => "warning",
            Some(_) | None if warned => "warning",
            Some(_) => "affirming",
            None => "none",
        }
    }

    /// The vector; what is not claimed is not in it.
    pub fn vector(&self) -> Object {
        let Self { instance_identity, configuration, executables, hardware, runtime_opaque, warned: _ } =
            *self;
        let claims = [
            ("instance-identity", instance_identity),
            ("configuration", configuration),
            ("executables", executables),
            ("hardware", hardware),
            ("runtime-opaque", runtime_opaque),
        ];
        claims.into_iter().fold(Object::default(), |vector, (name, value)| match value {
            Some(value) => vector.number(name, value.into()),
            None => vector,
        })
    }
}

fn genuine(weak: bool) -> u8 {
    if weak { UNSAFE_HARDWARE } else { GENUINE_HARDWARE }
}

/// Whether a report names one chip: not with a VLEK, and not with a masked id.
fn names_chip(snp: &SeenReport) -> bool {
    Report::parse(&snp.report)
        .is_ok_and(|report| report.signing_key == SigningKey::Vcek && report.chip_id.0 != [0; 64])
}

#[cfg(test)]
mod tests {
    use vouchsafe_protocol::evidence::Logs;
    use vouchsafe_protocol::id::AnchorClass;
    use vouchsafe_protocol::policy::Product;
    use vouchsafe_protocol::seen::{AkShownBy, SeenQuote, SeenTpm};

    use super::*;
    use crate::seen::{REPORT_NOT_FRESH, REVOCATION_UNCHECKED};

    fn tpm(kind: TpmKind, warnings: &[&str]) -> SeenEvidence {
        let quote =
            SeenQuote { attest: Vec::new(), pcrs: Vec::new(), logs: Logs::default(), logs_dropped: false };
        let (anchor, shown_by) = ("maker".parse().unwrap(), AkShownBy::Credential);
        let (ak_public, spki_digest) = (Vec::new(), [1; 32]);
        SeenEvidence {
            role: "web".parse().unwrap(),
            role_digest: [2; 32],
            identity: 1,
            spiffe_id: "spiffe://v/web".to_owned(),
            at_unix_secs: 1,
            not_after_unix_secs: 2,
            evidence_until_unix_secs: 3,
            evidence_digest: [3; 32],
            platform: vec![1; 32],
            anchor_class: AnchorClass::Hardware,
            rule: 0,
            warnings: warnings.iter().map(|warning| (*warning).to_owned()).collect(),
            clock: None,
            facts: SeenFacts::Tpm(Box::new(SeenTpm {
                quote,
                ak_public,
                shown_by,
                spki_digest,
                anchor,
                kind,
            })),
        }
    }

    fn shown(seen: &SeenEvidence, simulated: bool) -> (&'static str, String) {
        let trust = Trust::of(seen, simulated);
        (trust.status(), trust.vector().finish())
    }

    #[test]
    fn evidence_without_reservation_is_affirmed() {
        let hardware = tpm(TpmKind::Hardware, &[]);
        let vector = r#"{"instance-identity":2,"hardware":2}"#;
        assert_eq!(shown(&hardware, false), ("affirming", vector.to_owned()));
    }

    #[test]
    fn t13_a_tpm_of_the_host_s_owner_says_nothing_of_hardware() {
        let vector = r#"{"instance-identity":2}"#;
        assert_eq!(shown(&tpm(TpmKind::HostVirtual, &[]), false), ("affirming", vector.to_owned()));
    }

    #[test]
    fn what_is_accepted_for_a_while_is_a_warning() {
        let (status, vector) = shown(&tpm(TpmKind::Hardware, &["reference-value"]), false);
        assert_eq!((status, vector.as_str()), ("warning", r#"{"instance-identity":2,"hardware":2}"#));
        let (status, vector) = shown(&tpm(TpmKind::Hardware, &[TCB_GRACE]), false);
        assert_eq!((status, vector.as_str()), ("warning", r#"{"instance-identity":2,"hardware":32}"#));
        // Even where no claim of the vector says it.
        assert_eq!(shown(&tpm(TpmKind::HostVirtual, &[TCB_GRACE]), false).0, "warning");
    }

    #[test]
    fn s11_what_was_waived_is_a_warning_and_no_claim_of_the_vector() {
        for code in [REVOCATION_UNCHECKED, REPORT_NOT_FRESH] {
            let (status, vector) = shown(&tpm(TpmKind::Hardware, &[code]), false);
            assert_eq!(
                (status, vector.as_str()),
                ("warning", r#"{"instance-identity":2,"hardware":2}"#),
                "{code}"
            );
        }
        // Nor does it make approved executables out of date.
        let mut guest = tpm(TpmKind::Hardware, &[REVOCATION_UNCHECKED]);
        guest.facts = SeenFacts::Snp(report(1 << 17, 0));
        let trust = Trust::of(&guest, false);
        assert_eq!((trust.status(), trust.executables), ("warning", Some(APPROVED_BOOT)));
        guest.warnings.clear();
        assert_eq!(Trust::of(&guest, false).status(), "affirming");
    }

    /// A report of version 5 as its bytes are, with these values of POLICY and of the first byte of CURRENT_TCB.
    fn report(policy: u64, current: u8) -> SeenReport {
        let mut bytes = vec![0; 0x4a0];
        let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
        put(0x00, &5u32.to_le_bytes());
        put(0x08, &policy.to_le_bytes());
        put(0x34, &1u32.to_le_bytes());
        put(0x38, &[current]);
        put(0x188, &[0x1a, 0x02]);
        put(0x1a0, &[7; 8]);
        put(0x2a0, &[1]);
        put(0x2e8, &[1]);
        SeenReport { report: bytes, product: Product::Turin, provider: None }
    }

    #[test]
    fn s6_a_guest_that_its_host_may_look_into_is_never_affirmed() {
        let trust = |policy, current| {
            let trust = Trust::of_guest(&report(policy, current), Some(APPROVED_BOOT), false, false);
            (trust.status(), trust.configuration, trust.runtime_opaque, trust.hardware)
        };
        let must_be_one = 1 << 17;
        assert_eq!(trust(must_be_one, 0), ("affirming", Some(3), Some(2), Some(2)));
        for bit in [18, 19] {
            let exposed = trust(must_be_one | 1 << bit, 0);
            assert_eq!(exposed, ("contraindicated", Some(96), None, Some(2)), "{bit}");
        }
        assert_eq!(trust(must_be_one, 1), ("warning", Some(3), Some(2), Some(32)));
        let unreadable = SeenReport { report: Vec::new(), product: Product::Turin, provider: None };
        assert_eq!(Trust::of_guest(&unreadable, None, false, false).status(), "contraindicated");
    }

    #[test]
    fn a_simulated_platform_is_never_affirmed() {
        for kind in [TpmKind::Hardware, TpmKind::HostVirtual] {
            let vector = r#"{"hardware":97}"#;
            assert_eq!(shown(&tpm(kind, &[]), true), ("contraindicated", vector.to_owned()));
        }
    }
}
