//! Attestation results of a vault, verified by whoever relies on them: a JWT (RFC 7519) of draft-ietf-rats-ear-04.
//!
//! Who calls it: a relying party, on a token that anybody may have made up. What must stay true: an
//! [`AttestationResult`] exists only for a token that passed every step.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::certificate::{Authority, CertificateError};
use crate::pin::Pin;

#[cfg(test)]
mod tests;

/// Profile of the draft, section 3.
const PROFILE: &str = "tag:ietf.org,2026:rats/ear#04";
/// Largest token in bytes: two certificates and the claims stay under 8 KiB.
const TOKEN_LEN: usize = 64 * 1024;
/// How far ahead the vault's clock may be, in seconds.
const SKEW_SECS: u64 = 60;

/// What makes a result fresh.
#[derive(Clone, Copy, Debug)]
pub enum Freshness<'a> {
    /// It holds this nonce, which the relying party chose for this one use.
    Nonce(&'a [u8]),
    /// Any nonce: the result may have been shown to others, and is as old as its `iat` says at most.
    DangerousAnyNonce,
}

/// A verified result.
#[derive(Clone, Debug, PartialEq)]
pub struct AttestationResult {
    /// What the vault made of the evidence; only [`ResultStatus::Affirming`] is without reservation.
    pub status: ResultStatus,
    /// SPIFFE id of the agent.
    pub subject: String,
    /// When it was signed, in seconds since 1970.
    pub issued_unix_secs: u64,
    /// When the evidence is too old, in seconds since 1970.
    pub expires_unix_secs: u64,
    /// All claims.
    pub claims: Map<String, Value>,
}

/// Tiers of trust (draft-ietf-rats-ar4si, section 2.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultStatus {
    /// Nothing speaks against trust.
    Affirming,
    /// Something does; a simulated platform among it.
    Contraindicated,
    /// The vault claims nothing.
    None,
    /// Something is out of date, and accepted for a while.
    Warning,
}

/// Why a result is refused. One variant per step, in its order.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// Step 1.
    #[error("the attestation result is not a compact JWS, or is beyond its limit")]
    Malformed,
    /// Step 2.
    #[error("the attestation result is not signed as a vault signs it")]
    Header,
    /// Step 3.
    #[error("the authority in the attestation result is refused")]
    Authority(#[source] CertificateError),
    /// Step 4.
    #[error("the attestation result is of another vault")]
    AnotherVault,
    /// Step 5.
    #[error("the certificate of the signing key is refused")]
    Certificate(#[source] CertificateError),
    /// Step 6.
    #[error("the signature of the attestation result does not verify")]
    Signature,
    /// Step 7.
    #[error("the claims are not those of an attestation result")]
    Claims,
    /// Step 8.
    #[error("the attestation result was issued in the future; check this machine's clock")]
    NotYetValid,
    /// Step 9.
    #[error("the attestation result has expired: the evidence behind it is too old")]
    Expired,
    /// Step 10.
    #[error("the attestation result is over another nonce")]
    Nonce,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: String,
    x5c: Vec<String>,
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Claims {
    eat_profile: String,
    iss: String,
    sub: String,
    iat: u64,
    exp: u64,
    eat_nonce: String,
    ear_status: String,
}

/// Verifies a result by the pin of the vault that signed it, at `now_secs` since 1970.
///
/// 1. it is a compact JWS;
/// 2. signed with ES256, with the chain of its key and nothing critical that is not known here;
/// 3. the chain ends in a self-signed P-256 authority;
/// 4. which is the pinned vault's: the vault id commits to it;
/// 5. the authority certified the key for results, and the certificate is valid;
/// 6. the key signed these very bytes;
/// 7. they are the claims of a result of this vault;
/// 8. issued by now;
/// 9. and not expired;
/// 10. the nonce is the expected one, whole.
///
/// # Errors
/// [`ResultError`], one variant per step.
pub fn verify_attestation_result(
    token: &str,
    pin: &Pin,
    freshness: Freshness<'_>,
    now_secs: u64,
) -> Result<AttestationResult, ResultError> {
    // 1
    let token = token.trim_end();
    if token.len() > TOKEN_LEN {
        return Err(ResultError::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(ResultError::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(ResultError::Malformed)?;
    let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| ResultError::Malformed);
    let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
    // 2
    let header: Header = serde_json::from_slice(&header).map_err(|_| ResultError::Header)?;
    let Header { alg, typ, x5c, crit: None } = header else { return Err(ResultError::Header) };
    let [leaf, authority] = x5c.as_slice() else { return Err(ResultError::Header) };
    if alg != "ES256" || typ != "eat+jwt" {
        return Err(ResultError::Header);
    }
    let decode = |text: &str| BASE64_STANDARD.decode(text).map_err(|_| ResultError::Header);
    let (leaf, authority) = (decode(leaf)?, decode(authority)?);
    // 3
    let authority = Authority::parse(&authority).map_err(ResultError::Authority)?;
    // 4
    if !pin.is_authority(authority.key()) {
        return Err(ResultError::AnotherVault);
    }
    // 5
    let key =
        authority.check_results_key(&leaf, &pin.vault_id, now_secs).map_err(ResultError::Certificate)?;
    // 6
    key.verify_fixed(signed.as_bytes(), &signature).map_err(|_| ResultError::Signature)?;
    // 7
    let all: Map<String, Value> = serde_json::from_slice(&payload).map_err(|_| ResultError::Claims)?;
    let claims = Claims::deserialize(&Value::Object(all.clone())).map_err(|_| ResultError::Claims)?;
    let Claims { eat_profile, iss, sub, iat, exp, eat_nonce, ear_status } = claims;
    if eat_profile != PROFILE || iss != pin.vault_id.to_string() {
        return Err(ResultError::Claims);
    }
    let status = ResultStatus::parse(&ear_status).ok_or(ResultError::Claims)?;
    // 8
    if iat > now_secs.saturating_add(SKEW_SECS) {
        return Err(ResultError::NotYetValid);
    }
    // 9
    if exp <= now_secs {
        return Err(ResultError::Expired);
    }
    // 10
    match freshness {
        Freshness::Nonce(nonce) if BASE64_URL_SAFE_NO_PAD.encode(nonce) != eat_nonce => {
            return Err(ResultError::Nonce);
        }
        Freshness::DangerousAnyNonce | Freshness::Nonce(_) => {}
    }
    Ok(AttestationResult { status, subject: sub, issued_unix_secs: iat, expires_unix_secs: exp, claims: all })
}

impl ResultStatus {
    /// As in the claims.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Affirming => "affirming",
            Self::Contraindicated => "contraindicated",
            Self::None => "none",
            Self::Warning => "warning",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Affirming, Self::Contraindicated, Self::None, Self::Warning]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}
