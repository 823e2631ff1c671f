//! What an agent is asked to quote, and whether the key it quotes with is a TPM's.

use vouchsafe_attestation::anchors::TrustAnchors;
use vouchsafe_attestation::tpm::ak_certificate::verify_ak_certificate;
use vouchsafe_attestation::{ResidentAk, confirm_residency, make_credential, parse_ak, verify_ek};
use vouchsafe_crypto::secret::Key32;
use vouchsafe_protocol::evidence::{AkProof, EvidenceKind, TpmKeys};
use vouchsafe_protocol::introduction::{LogsWanted, TpmOffer};
use vouchsafe_protocol::policy::{Accept, ImaRule, PcrExpectation, PcrRule, Role};

/// PCR that Linux's IMA extends.
const IMA_PCR: u8 = 10;

/// What an agent that says it has this kind of evidence and these keys must quote for a role; `None` if nothing.
///
/// # Errors
/// The stable code of the rule that failed.
pub(crate) fn offer(
    role: &Role,
    (kind, keys): (EvidenceKind, Option<&TpmKeys>),
    anchors: &TrustAnchors,
    credential: &Key32,
    now: u64,
) -> Result<Option<TpmOffer>, &'static str> {
    let credential = match (kind, keys) {
        (EvidenceKind::Snp, None) => {
            let accepted = role.accept.iter().any(|accept| matches!(accept, Accept::Snp(_)));
            return if accepted { Ok(None) } else { Err("kind") };
        }
        // The report names the paravisor's key.
        (EvidenceKind::SnpVtpm, None) => None,
        (EvidenceKind::Tpm, Some(keys)) if selections(role, kind).next().is_some() => match &keys.proof {
            AkProof::Certificate { ak_chain } => {
                verify_ak_certificate(&keys.ak_public, ak_chain, anchors, now)
                    .map_err(|error| error.code())?;
                None
            }
            AkProof::Credential { .. } => {
                let ek = verify_ek(keys, anchors, now).map_err(|error| error.code())?;
                let ak = parse_ak(&keys.ak_public).map_err(|error| error.code())?;
                Some(make_credential(&ek, &ak, credential).map_err(|_| "tpm.ek.key")?)
            }
        },
        (EvidenceKind::Snp | EvidenceKind::SnpVtpm | EvidenceKind::Tpm, _) => return Err("kind"),
    };
    let (pcrs, logs) = asked(role, kind).ok_or("kind")?;
    Ok(Some(TpmOffer { credential, pcrs, logs }))
}

/// The key that an agent says is a TPM's: its TPM opened the credential sealed in the challenge, or it has a
/// certificate. `answer` is what the agent says it recovered.
///
/// # Errors
/// The stable code of the rule that failed.
pub(crate) fn resident(
    keys: &TpmKeys,
    anchors: &TrustAnchors,
    credential: &Key32,
    answer: Option<&[u8]>,
    now: u64,
) -> Result<ResidentAk, &'static str> {
    match (&keys.proof, answer) {
        (AkProof::Certificate { ak_chain }, None) => {
            verify_ak_certificate(&keys.ak_public, ak_chain, anchors, now).map_err(|error| error.code())
        }
        // Nothing was asked of this TPM that it could answer.
        (AkProof::Certificate { .. }, Some(_)) => Err("tpm.residency"),
        (AkProof::Credential { .. }, answer) => {
            let ek = verify_ek(keys, anchors, now).map_err(|error| error.code())?;
            let ak = parse_ak(&keys.ak_public).map_err(|error| error.code())?;
            confirm_residency(ek, ak, credential, answer.unwrap_or_default()).map_err(|error| error.code())
        }
    }
}

/// The PCRs that the first rule of a kind asks for, and the logs that it or others of the same selection look at:
/// evidence has one selection, so no other rule can accept it.
fn asked(role: &Role, kind: EvidenceKind) -> Option<(Vec<u8>, LogsWanted)> {
    let indices = |pcrs: &[PcrRule]| pcrs.iter().map(|pcr| pcr.index).collect::<Vec<_>>();
    let first = indices(selections(role, kind).next()?.0);
    let mut logs = LogsWanted::default();
    for (pcrs, ima) in selections(role, kind).filter(|(pcrs, _)| indices(pcrs) == first) {
        let judged = |of_ima: bool| {
            pcrs.iter().any(|pcr| pcr.expected == PcrExpectation::Events && (pcr.index == IMA_PCR) == of_ima)
        };
        logs.boot |= judged(false);
        logs.ima |= judged(true) || *ima != ImaRule::NotRequired;
    }
    Some((first, logs))
}

fn selections(role: &Role, kind: EvidenceKind) -> impl Iterator<Item = (&[PcrRule], &ImaRule)> {
    role.accept.iter().filter_map(move |accept| match (kind, accept) {
        (EvidenceKind::SnpVtpm, Accept::SnpVtpm(accept)) => Some((accept.pcrs.as_slice(), &accept.ima)),
        (EvidenceKind::Tpm, Accept::Tpm(accept)) => Some((accept.pcrs.as_slice(), &accept.ima)),
        _ => None,
    })
}
