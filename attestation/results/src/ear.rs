//! Attestation results: what the vault made of an agent's evidence, as an EAT attestation result (EAR,
//! draft-ietf-rats-ear-04) in a JWT (RFC 7515, RFC 7519) that others can rely on.
//!
//! INVARIANT: every claim comes from evidence that was verified, or from
//! the vault's own decision; of the relying party's words only the nonce is in it. What is signed begins with the base64url of
//! `{"`, and every other pre-image of the vault's signing key with the text `vouchsafe/1/`, so that neither can pass
//! for the other.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use vouchsafe_attestation::snp::report::{Report, SigningKey};
use vouchsafe_attestation::snp::tcb::RawTcb;
use vouchsafe_attestation::tpm::attest::Quote;
use vouchsafe_crypto::digest::sha256;
use vouchsafe_crypto::signature::{P256Key, P256PublicKey, SignatureError};
use vouchsafe_protocol::id::{AnchorClass, VaultId};
use vouchsafe_protocol::policy::{Product, TpmKind};
use vouchsafe_protocol::seen::{AkShownBy, SeenEvidence, SeenFacts, SeenQuote, SeenReport};

use crate::json::Object;
use crate::seen::{REFERENCE_GRACE, TCB_GRACE};

mod trust;

use trust::Trust;

/// Profile of draft-ietf-rats-ear-04, section 3.
const PROFILE: &str = "tag:ietf.org,2026:rats/ear#04";
/// Name of the one attester in a result.
const SUBMODULE: &str = "platform";

/// A signed result: a compact JWS (RFC 7515). `chain` is DER, the certificate of the signing key first. `None` if the record
/// is not one that was made from evidence.
///
/// # Errors
/// [`SignatureError`] if it cannot be signed.
pub fn result(stated: &Stated<'_>, key: &P256Key, chain: &[&[u8]]) -> Result<Option<String>, SignatureError> {
    payload(stated).map(|payload| sign(key, chain, &payload)).transpose()
}

/// What a result is made from.
#[derive(Clone, Copy, Debug)]
pub struct Stated<'a> {
    /// What the evidence showed.
    pub seen: &'a SeenEvidence,
    /// The agent's key.
    pub key: &'a P256PublicKey,
    /// Of the relying party.
    pub nonce: &'a [u8],
    /// Who says it.
    pub vault_id: VaultId,
    /// Its build, in words.
    pub verifier: &'a str,
    /// The time, in seconds since 1970.
    pub now: u64,
}

/// A compact JWS with ES256. The header names the key by its thumbprint, and brings the chain to the vault's authority,
/// whose key the vault id commits to.
fn sign(key: &P256Key, chain: &[&[u8]], payload: &str) -> Result<String, SignatureError> {
    let public = P256PublicKey::from_spki(&key.spki())?;
    let chain: Vec<String> = chain.iter().map(|der| BASE64_STANDARD.encode(der)).collect();
    let header = Object::default()
        .text("alg", "ES256")
        .text("typ", "eat+jwt")
        .text("kid", &thumbprint(&public))
        .texts("x5c", chain.iter().map(String::as_str))
        .finish();
    let input =
        format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(header), BASE64_URL_SAFE_NO_PAD.encode(payload));
    let signature = key.sign_fixed(input.as_bytes())?;
    Ok(format!("{input}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
}

/// A JWK (RFC 7517; RFC 7518, section 6.2), its members in the order that a thumbprint asks for.
fn jwk(key: &P256PublicKey) -> Object {
    // The point is the byte 4, x and y.
    let (x, y) = key.point().split_at(1).1.split_at(32);
    Object::default()
        .text("crv", "P-256")
        .text("kty", "EC")
        .text("x", &BASE64_URL_SAFE_NO_PAD.encode(x))
        .text("y", &BASE64_URL_SAFE_NO_PAD.encode(y))
}

/// RFC 7638.
fn thumbprint(key: &P256PublicKey) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(sha256(&[jwk(key).finish().as_bytes()]))
}

/// The claims. `None` if the record is not what this vault keeps.
fn payload(stated: &Stated<'_>) -> Option<String> {
    let Stated { seen, key, nonce, vault_id, verifier, now } = stated;
    let simulated = vault_id.class == AnchorClass::Simulated || seen.anchor_class == AnchorClass::Simulated;
    let trust = Trust::of(seen, simulated);
    let expires = seen.evidence_until_unix_secs.min(seen.not_after_unix_secs);
    let verifier = Object::default().text("developer", "Vouchsafe").text("build", verifier);
    let policy = format!("vouchsafe:role:{}:sha256:{}", seen.role, hex(&seen.role_digest));
    let submodule = Object::default()
        .text("ear_status", trust.status())
        .object("ear_trustworthiness_vector", trust.vector())
        .texts("ear_appraisal_policy_ids", [policy.as_str()])
        .object("ear_attester_claims", attester_claims(seen)?)
        .object("ear_verifier_claims", verifier_claims(seen, simulated));
    let payload = Object::default()
        .text("eat_profile", PROFILE)
        .text("iss", &vault_id.to_string())
        .text("sub", &seen.spiffe_id)
        .number("iat", *now)
        .number("exp", expires)
        .text("eat_nonce", &BASE64_URL_SAFE_NO_PAD.encode(nonce))
        .object("ear_verifier_id", verifier)
        .object("cnf", Object::default().object("jwk", jwk(key)))
        .text("ear_status", trust.status())
        .object("submods", Object::default().object(SUBMODULE, submodule));
    Some(payload.finish())
}

/// What the evidence showed.
fn attester_claims(seen: &SeenEvidence) -> Option<Object> {
    let claims = Object::default();
    Some(match &seen.facts {
        SeenFacts::Snp(snp) => snp_claims(claims.text("kind", "snp"), snp)?,
        SeenFacts::SnpVtpm(vtpm) => {
            let claims = snp_claims(claims.text("kind", "snp-vtpm"), &vtpm.snp)?;
            quote_claims(claims.flag("fresh_report", vtpm.user_data_is_statement), &vtpm.quote)?
        }
        SeenFacts::Tpm(tpm) => {
            let claims = claims.text("kind", "tpm").hex("tpm_key_sha256", &tpm.spki_digest);
            quote_claims(claims, &tpm.quote)?
        }
    })
}

fn snp_claims(claims: Object, snp: &SeenReport) -> Option<Object> {
    let report = Report::parse(&snp.report).ok()?;
    let tcb = |tcb: RawTcb| {
        let tcb = tcb.components(snp.product);
        let parts = Object::default();
        let parts = match snp.product {
            Product::Turin => parts.number("fmc", tcb.fmc.into()),
            Product::Genoa | Product::Milan => parts,
        };
        parts
            .number("boot_loader", tcb.boot_loader.into())
            .number("tee", tcb.tee.into())
            .number("snp", tcb.snp.into())
            .number("microcode", tcb.microcode.into())
    };
    let product = match snp.product {
        Product::Genoa => "genoa",
        Product::Milan => "milan",
        Product::Turin => "turin",
    };
    let claims = claims
        .text("product", product)
        .number("report_version", report.version.into())
        .hex("measurement", &report.measurement.0)
        .hex("host_data", &report.host_data)
        .number("guest_svn", report.guest_svn.into())
        .hex("family_id", &report.family_id)
        .hex("image_id", &report.image_id)
        .hex("id_key_digest", &report.id_key_digest)
        .hex("author_key_digest", &report.author_key_digest)
        .hex("report_id", &report.report_id)
        .hex("policy", &report.policy.to_be_bytes())
        .hex("platform_info", &report.platform_info.to_be_bytes())
        .number("vmpl", report.vmpl.into())
        .object("reported_tcb", tcb(report.reported_tcb))
        .object("committed_tcb", tcb(report.committed_tcb))
        .object("current_tcb", tcb(report.current_tcb))
        .object("launch_tcb", tcb(report.launch_tcb));
    let claims = match report.signing_key {
        SigningKey::Vcek => claims.hex("chip_id", &report.chip_id.0),
        SigningKey::Vlek => claims,
    };
    Some(match &snp.provider {
        Some(provider) => claims.text("provider", &provider.0),
        None => claims,
    })
}

fn quote_claims(claims: Object, seen: &SeenQuote) -> Option<Object> {
    let quote = Quote::parse(&seen.attest).ok()?;
    let pcrs =
        seen.pcrs.iter().fold(Object::default(), |pcrs, pcr| pcrs.hex(&pcr.index.to_string(), &pcr.value));
    let clock = Object::default()
        .number("clock_millis", quote.clock.clock_millis)
        .number("reset_count", quote.clock.reset_count.into())
        .number("restart_count", quote.clock.restart_count.into())
        .flag("safe", quote.clock.safe);
    Some(
        claims
            .object("pcrs", Object::default().object("sha256", pcrs))
            .object("clock", clock)
            .hex("firmware_version", &quote.firmware_version.to_be_bytes()),
    )
}

/// What the vault made of it.
fn verifier_claims(seen: &SeenEvidence, simulated: bool) -> Object {
    let claims = Object::default()
        .flag("simulated", simulated)
        .text("role", seen.role.as_str())
        .number("rule", u64::from(seen.rule) + 1)
        .texts("warnings", seen.warnings.iter().map(String::as_str))
        .number("appraised_at", seen.at_unix_secs)
        .number("identity", seen.identity)
        .hex("evidence_sha256", &seen.evidence_digest);
    match &seen.facts {
        SeenFacts::Snp(_) | SeenFacts::SnpVtpm(_) => claims.text("class", "tee"),
        SeenFacts::Tpm(tpm) => {
            let class = match tpm.kind {
                TpmKind::Hardware => "tpm-hardware",
                TpmKind::HostVirtual => "tpm-host-virtual",
            };
            let shown_by = match tpm.shown_by {
                AkShownBy::Certificate => "certificate",
                AkShownBy::Credential => "credential",
            };
            claims.text("class", class).text("anchor", tpm.anchor.as_str()).text("ak_shown_by", shown_by)
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
