//! Kinds tpm-quote and quote-parse.

use vouchsafe_attestation::tpm::ak_certificate::verify_ak_certificate;
use vouchsafe_attestation::tpm::attest::{ClockInfo, Quote};
use vouchsafe_attestation::tpm::clock::check_clock;
use vouchsafe_attestation::tpm::quote::{Expected, QuoteError, verify_quote};
use vouchsafe_attestation::tpm::signature::QuoteSignature;
use vouchsafe_attestation::x509::parse_spki;
use vouchsafe_attestation::{
    AppraisalError, ChainCache, Collateral, Context, Residency, ResidentAk, StatementPreimage, appraise,
    confirm_residency, parse_ak, verify_ek,
};
use vouchsafe_crypto::secret::Key32;
use vouchsafe_crypto::verify::PublicKey;
use vouchsafe_protocol::evidence::{AkProof, Evidence, Logs, TpmEvidence, TpmKeys};
use vouchsafe_protocol::policy::{Accept, Permission};

use super::{Running, claims, log, pcrs};
use crate::schema::{Credential, PreviousClock};
use crate::verdict::{Run, Stop};

/// A quote with its key and PCR values, and what the log beside it says.
pub(super) fn check(running: &Running<'_>) -> Run {
    match running.statement()? {
        Some(statement) => appraised(running, &statement),
        None => verified(running),
    }
}

/// A quote alone: whether it parses.
pub(super) fn parse(running: &Running<'_>) -> Run {
    let quote = Quote::parse(running.file("quote")?).map_err(QuoteError::Attest)?;
    Ok(claims::quote(&quote, &Default::default()))
}

/// The checks of the default policy: the key is the case's word.
fn verified(running: &Running<'_>) -> Run {
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
    let evidence = TpmEvidence {
        quote: running.file("quote")?.to_vec(),
        signature: running.file("sig")?.to_vec(),
        ak_public: running.file("ak_public")?.to_vec(),
        pcrs: pcrs::sha256(&values),
        logs: logs(running),
    };
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
