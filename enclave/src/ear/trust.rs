//! The trustworthiness vector (draft-ietf-rats-ar4si, section 2.3): what a relying party may take for granted.
//!
//! A simulated platform is never affirmed: its hardware is unrecognised, whatever else holds.

use vouchsafe_protocol::policy::TpmKind;
use vouchsafe_protocol::seen::{SeenEvidence, SeenFacts, SeenReport};

use super::{Object, Report, SigningKey, TCB_GRACE};

/// The instance is recognised, and not known to be compromised.
const RECOGNISED_INSTANCE: u8 = 2;
/// The configuration exposes no known vulnerability.
const SAFE_CONFIGURATION: u8 = 3;
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

/// Claims about one platform; `None` claims nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trust {
    instance_identity: Option<u8>,
    configuration: Option<u8>,
    executables: Option<u8>,
    hardware: Option<u8>,
    runtime_opaque: Option<u8>,
    /// Something was accepted for a while only.
    warned: bool,
}

impl Trust {
    /// What accepted evidence lets the vault claim; `simulated` if the platform, or the vault itself, is.
    pub fn of(seen: &SeenEvidence, simulated: bool) -> Self {
        let late_tcb = seen.warnings.iter().any(|warning| warning == TCB_GRACE);
        let late_values = seen.warnings.iter().any(|warning| warning != TCB_GRACE);
        let executables = Some(if late_values { UNSAFE_RUNTIME } else { APPROVED_BOOT });
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
        let (hardware, tee, one_machine) = match &seen.facts {
            SeenFacts::Snp(snp) => (true, true, names_chip(snp)),
            SeenFacts::SnpVtpm(vtpm) => (true, true, names_chip(&vtpm.snp)),
            // A TPM that the host's owner runs is no hardware, and says nothing of any.
            SeenFacts::Tpm(tpm) => (tpm.kind == TpmKind::Hardware, false, true),
        };
        let genuine = if late_tcb { UNSAFE_HARDWARE } else { GENUINE_HARDWARE };
        Self {
            instance_identity: one_machine.then_some(RECOGNISED_INSTANCE),
            // Guest policy and platform information are judged for an SNP guest only.
            configuration: tee.then_some(SAFE_CONFIGURATION),
            executables,
            hardware: hardware.then_some(genuine),
            runtime_opaque: tee.then_some(ENCRYPTED_RUNTIME),
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

/// Whether a report names one chip: not with a VLEK, and not with a masked id.
fn names_chip(snp: &SeenReport) -> bool {
    Report::parse(&snp.report)
        .is_ok_and(|report| report.signing_key == SigningKey::Vcek && report.chip_id.0 != [0; 64])
}

#[cfg(test)]
mod tests {
    use vouchsafe_protocol::evidence::Logs;
    use vouchsafe_protocol::id::AnchorClass;
    use vouchsafe_protocol::seen::{AkShownBy, SeenQuote, SeenTpm};

    use super::*;

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
        let vector = r#"{"instance-identity":2,"executables":3,"hardware":2}"#;
        assert_eq!(shown(&hardware, false), ("affirming", vector.to_owned()));
    }

    #[test]
    fn t13_a_tpm_of_the_host_s_owner_says_nothing_of_hardware() {
        let vector = r#"{"instance-identity":2,"executables":3}"#;
        assert_eq!(shown(&tpm(TpmKind::HostVirtual, &[]), false), ("affirming", vector.to_owned()));
    }

    #[test]
    fn what_is_accepted_for_a_while_is_a_warning() {
        let (status, vector) = shown(&tpm(TpmKind::Hardware, &["reference-value"]), false);
        assert_eq!(
            (status, vector.as_str()),
            ("warning", r#"{"instance-identity":2,"executables":32,"hardware":2}"#)
        );
        let (status, vector) = shown(&tpm(TpmKind::Hardware, &[TCB_GRACE]), false);
        assert_eq!(
            (status, vector.as_str()),
            ("warning", r#"{"instance-identity":2,"executables":3,"hardware":32}"#)
        );
        // Even where no claim of the vector says it.
        assert_eq!(shown(&tpm(TpmKind::HostVirtual, &[TCB_GRACE]), false).0, "warning");
    }

    #[test]
    fn a_simulated_platform_is_never_affirmed() {
        for kind in [TpmKind::Hardware, TpmKind::HostVirtual] {
            let vector = r#"{"executables":3,"hardware":97}"#;
            assert_eq!(shown(&tpm(kind, &[]), true), ("contraindicated", vector.to_owned()));
        }
    }
}
