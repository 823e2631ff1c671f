//! Kinds tpm-quote and quote-parse.

use vouchsafe_attestation::tpm::ak_certificate::{AkCertError, verify_ak_certificate, verify_ak_chain};
use vouchsafe_attestation::tpm::attest::{ClockInfo, Quote};
use vouchsafe_attestation::tpm::clock::check_clock;
use vouchsafe_attestation::tpm::quote::{Expected, QuoteError, verify_quote};
use vouchsafe_attestation::tpm::signature::QuoteSignature;
use vouchsafe_attestation::x509::{Certificate, parse_spki};
use vouchsafe_attestation::{
    AppraisalError, ChainCache, Collateral, Context, Residency, ResidentAk, StatementPreimage, appraise,
    confirm_residency, parse_ak, verify_ek,
};
use vouchsafe_crypto::secret::Key32;
use vouchsafe_crypto::verify::PublicKey;
use vouchsafe_protocol::evidence::{AkProof, Evidence, Logs, TpmEvidence, TpmKeys};
use vouchsafe_protocol::policy::{Accept, Permission};

use super::{Running, claims, explained, log, pcrs};
use crate::schema::{Credential, PreviousClock};
use crate::verdict::{Run, Stop};

/// A quote with its key and PCR values, and what the log beside it says.
pub(super) fn check(running: &Running<'_>) -> Run {
    let credential_open = running.files.contains_key("ek_public")
        && !running.files.contains_key("akcert")
        && running.case.credential.is_none();
    match (running.rules, running.statement()?) {
        // Nothing more can be said offline of a credential that nobody has asked the TPM to open.
        (Some(rules), statement) if credential_open || statement.is_none() => {
            explained(running, rules, statement.as_ref())
        }
        (_, Some(statement)) => appraised(running, &statement),
        (_, None) => verified(running),
    }
}

/// A quote alone: whether it parses.
pub(super) fn parse(running: &Running<'_>) -> Run {
    let quote = Quote::parse(running.file("quote")?).map_err(QuoteError::Attest)?;
    Ok(claims::quote(&quote, &Default::default()))
}

/// Rules of a role, on all but what needs the TPM.
fn explained(running: &Running<'_>, rules: &[Accept], statement: Option<&StatementPreimage>) -> Run {
    let (evidence, keys) = (evidence(running)?, keys(running)?);
    let expected = statement.map(StatementPreimage::tpm_qualifying_data);
    explained::check_extra_data(running, &evidence.quote, expected)?;
    let mut shown = explained::check(running, &Evidence::Tpm(evidence), keys.as_ref(), rules)?;
    let quote = Quote::parse(running.file("quote")?).map_err(QuoteError::Attest)?;
    explained::merge(&mut shown, claims::quote(&quote, &running.pcrs()?));
    Ok(shown)
}

/// As a vault is shown it.
fn evidence(running: &Running<'_>) -> Run<TpmEvidence> {
    Ok(TpmEvidence {
        quote: running.file("quote")?.to_vec(),
        signature: signature_bytes(running)?,
        ak_public: running.file("ak_public")?.to_vec(),
        pcrs: pcrs::sha256(&running.pcrs()?),
        logs: logs(running),
    })
}

/// What the case has to show that its key is a TPM's.
fn keys(running: &Running<'_>) -> Run<Option<TpmKeys>> {
    let ak_public = running.file("ak_public")?.to_vec();
    let chain = |leaf: &str, more: &str| -> Run<Vec<Vec<u8>>> {
        let leaf = running.optional_der(leaf)?;
        Ok(leaf.into_iter().chain(running.numbered_der(more)?).collect())
    };
    let proof = if running.files.contains_key("akcert") {
        AkProof::Certificate { ak_chain: chain("akcert", "ak_intermediate")? }
    } else if running.files.contains_key("ek_public") {
        let ek_chain = chain("ekcert", "ek_intermediate")?;
        AkProof::Credential { ek_chain, ek_public: running.file("ek_public")?.to_vec() }
    } else {
        return Ok(None);
    };
    Ok(Some(TpmKeys { ak_public, proof }))
}

/// That the key is a TPM's, where the one who sent the case does not decide it.
fn vouched_for(running: &Running<'_>, roots: &[Certificate]) -> Run<()> {
    if running.files.contains_key("ak_public") {
        return match resident(running)? {
            Some(_) => Ok(()),
            None => Err(AppraisalError::NotResident.into()),
        };
    }
    let Some(leaf) = running.optional_der("akcert")? else {
        return Err(AppraisalError::NotResident.into());
    };
    let chain = [vec![leaf], running.numbered_der("ak_intermediate")?].concat();
    let leaf = verify_ak_chain(&chain, roots, running.at()?)?;
    if leaf.key() == Some(&key(running)?) { Ok(()) } else { Err(AkCertError::KeyMismatch.into()) }
}

/// The checks of the default policy: the key is the case's word, unless a caller says whom he believes.
fn verified(running: &Running<'_>) -> Run {
    if let Some(roots) = running.callers_roots {
        vouched_for(running, roots)?;
    }
    let bytes = running.file("quote")?;
    let signature = signature(running)?;
    let quote = Quote::parse(bytes).map_err(QuoteError::Attest)?;
    let key = key(running)?;
    let nonce = running.case.nonce.as_deref().ok_or_else(|| Stop::missing("nonce"))?;
    let nonce = running.hex(nonce, "the nonce")?;
    let values = running.pcrs()?;
    let sha1 = if running.policy.allow_sha1 { Permission::Allowed } else { Permission::Forbidden };
    let expected = Expected { key: &key, scheme: None, extra_data: &nonce, sha1 };
    verify_quote(bytes, &quote, &signature, &values, expected)?;
    let mut shown = claims::quote(&quote, &values);
    if running.files.contains_key("event_log") {
        let log = log::explain(running, &values)?;
        if let Some(shown) = shown.as_object_mut() {
            shown.insert("event_log".to_owned(), log);
        }
    }
    Ok(shown)
}

/// TPMT_SIGNATURE, or the bytes alone.
pub(super) fn signature(running: &Running<'_>) -> Run<QuoteSignature> {
    let bytes = running.file("sig")?;
    match running.case.sig_format.as_deref() {
        Some("tpmt-signature") => Ok(QuoteSignature::parse(bytes).map_err(QuoteError::Signature)?),
        Some("raw-rsassa-sha256") => Ok(QuoteSignature::raw_rsassa_sha256(bytes)),
        other => Err(Stop::not_supported(format!("signature format {other:?} is not known"))),
    }
}

/// TPMT_SIGNATURE; a bare one is RSASSA with SHA-256 (TPM 2.0 Part 2, section 11.3.4).
pub(super) fn signature_bytes(running: &Running<'_>) -> Run<Vec<u8>> {
    let bytes = running.file("sig")?;
    if running.case.sig_format.as_deref() != Some("raw-rsassa-sha256") {
        return Ok(bytes.to_vec());
    }
    let len = u16::try_from(bytes.len()).map_err(|_| Stop::malformed("sig"))?;
    Ok([[0x00, 0x14, 0x00, 0x0b].as_slice(), &len.to_be_bytes(), bytes].concat())
}

/// The attestation key: a SubjectPublicKeyInfo, or a TPMT_PUBLIC that is an attestation key's.
fn key(running: &Running<'_>) -> Run<PublicKey> {
    if running.files.contains_key("ak_public") {
        return Ok(parse_ak(running.file("ak_public")?)?.key().clone());
    }
    parse_spki(&running.der("ak")?).ok_or_else(|| Stop::malformed("ak"))
}

/// The whole appraisal, as a vault does it: with a proof that the key is resident.
fn appraised(running: &Running<'_>, statement: &StatementPreimage) -> Run {
    let resident = resident(running)?;
    let residency = resident.as_ref().map_or(Residency::NotATpm, Residency::Proven);
    let values = running.pcrs()?;
    let evidence = evidence(running)?;
    let anchors = running.anchors;
    let context = Context { anchors, collateral: &Collateral::new(), now_unix_secs: running.now()? };
    let rules = match running.rules {
        Some(rules) => rules.to_vec(),
        None => vec![Accept::Tpm(running.policy.tpm_accept(&values)?)],
    };
    let evidence = Evidence::Tpm(evidence);
    let appraisal = appraise(&evidence, statement, &rules, residency, context, &mut ChainCache::new())?;
    running.accepted_by.set(Some(appraisal.rule));
    let quote = Quote::parse(running.file("quote")?).map_err(QuoteError::Attest)?;
    if let Some(previous) = running.case.previous {
        let PreviousClock { clock_millis, reset_count, restart_count, safe } = previous;
        check_clock(&ClockInfo { clock_millis, reset_count, restart_count, safe }, &quote.clock)?;
    }
    Ok(claims::with_warnings(claims::quote(&quote, &values), &appraisal.warnings))
}

/// The logs beside a quote.
pub(super) fn logs(running: &Running<'_>) -> Logs {
    let log = |part: &str| running.files.get(part).cloned();
    Logs { boot: log("event_log"), ima: log("ima_log") }
}

/// What shows that the key is a TPM's: its certificate, or a credential for an endorsement key; `None` for nothing.
fn resident(running: &Running<'_>) -> Run<Option<ResidentAk>> {
    let ak_public = running.file("ak_public")?.to_vec();
    let now = running.now()?;
    if let Some(leaf) = running.optional_der("akcert")? {
        let chain = [vec![leaf], running.numbered_der("ak_intermediate")?].concat();
        return Ok(Some(verify_ak_certificate(&ak_public, &chain, running.anchors, now)?));
    }
    let ek_chain: Vec<_> =
        running.optional_der("ekcert")?.into_iter().chain(running.numbered_der("ek_intermediate")?).collect();
    if !running.files.contains_key("ek_public") {
        return Ok(None);
    }
    let proof = AkProof::Credential { ek_chain, ek_public: running.file("ek_public")?.to_vec() };
    let ek = verify_ek(&TpmKeys { ak_public: ak_public.clone(), proof }, running.anchors, now)?;
    let ak = parse_ak(&ak_public)?;
    let Some(Credential { secret, answer }) = &running.case.credential else {
        return Err(AppraisalError::NotResident.into());
    };
    let mut secret = running.hex(secret, "the secret of the credential")?;
    let secret = Key32::take(&mut secret).ok_or_else(|| Stop::malformed("credential"))?;
    let answer = running.hex(answer, "the answer to the credential")?;
    Ok(Some(confirm_residency(ek, ak, &secret, &answer)?))
}
