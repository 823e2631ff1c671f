//! From bytes that an Attester sent to a quote that is believed.

use std::collections::BTreeMap;

use vouchsafe_crypto::verify::{HashAlgorithm, PublicKey, Scheme, dangerous_verify_sha1, verify};
use vouchsafe_protocol::policy::Permission;

use super::attest::{AttestError, Quote};
use super::signature::{QuoteSignature, SignatureError};

/// Why a quote is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// Not a quote.
    #[error("quote cannot be read")]
    Attest(#[source] AttestError),
    /// Not a signature.
    #[error("signature of the quote cannot be read")]
    Signature(#[source] SignatureError),
    /// The signature claims another scheme than the key's.
    #[error("quote is not signed with the scheme of its key")]
    Scheme,
    /// SHA-1 is used, and not allowed.
    #[error("quote relies on SHA-1")]
    Sha1,
    /// extraData is not exactly the expected qualifying data.
    #[error("quote is over other qualifying data")]
    ExtraData,
    /// No PCR is selected.
    #[error("quote selects no PCR")]
    EmptySelection,
    /// The value of a selected PCR was not sent.
    #[error("value of PCR {index} is missing")]
    MissingValue {
        /// PCR.
        index: u8,
    },
    /// The values that were sent are not those of the quote.
    #[error("PCR values are not those of the quote")]
    PcrDigest,
    /// The signature does not verify.
    #[error("signature of the quote does not verify")]
    BadSignature,
}

impl QuoteError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Attest(AttestError::Magic) => "tpm.quote.magic",
            Self::Attest(AttestError::Type { .. }) => "tpm.quote.type",
            Self::Attest(_) => "tpm.quote.malformed",
            Self::Signature(_) => "tpm.signature.malformed",
            Self::Scheme => "tpm.signature.scheme",
            Self::Sha1 => "tpm.sha1",
            Self::ExtraData => "tpm.quote.extra-data",
            Self::EmptySelection => "tpm.quote.empty-selection",
            Self::MissingValue { .. } => "tpm.pcr.missing",
            Self::PcrDigest => "tpm.pcr.digest",
            Self::BadSignature => "tpm.signature",
        }
    }
}

/// PCR values by bank and index.
pub type PcrValues = BTreeMap<(HashAlgorithm, u8), Vec<u8>>;

/// What a quote is checked against.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The attestation key.
    pub key: &'a PublicKey,
    /// The scheme it signs with; `None` for a bare public key that does not say.
    pub scheme: Option<Scheme>,
    /// Qualifying data, compared whole.
    pub extra_data: &'a [u8],
    /// Whether SHA-1 signatures and quotes of nothing but a SHA-1 bank are accepted.
    pub sha1: Permission,
}

/// Verifies that the holder of a key, a TPM by what the caller knows of that key, made `quote` over exactly
/// these values. `bytes` are those that `quote` was parsed from.
///
/// Steps: 1. the signature's scheme is the key's; 2. no SHA-1 unless allowed; 3. extraData, whole; 4. something
/// is selected; 5. pcrDigest is the hash of the values, each found by its signed bank and index, with the hash
/// of the signature's scheme (Part 3, section 18.4); 6. the signature.
///
/// # Errors
/// [`QuoteError`], one variant per step.
pub fn verify_quote(
    bytes: &[u8],
    quote: &Quote,
    signature: &QuoteSignature,
    values: &PcrValues,
    expected: Expected<'_>,
) -> Result<(), QuoteError> {
    let Expected { key, scheme, extra_data, sha1 } = expected;
    // Step 1.
    if !signature.fits(key) || scheme.is_some_and(|scheme| scheme != signature.scheme) {
        return Err(QuoteError::Scheme);
    }
    // Step 2.
    let weak = |hash| hash == HashAlgorithm::DangerousSha1;
    let mut selected = quote.selection.iter().filter(|bank| !bank.indices.is_empty()).peekable();
    let only_weak = selected.peek().is_some() && selected.all(|bank| weak(bank.bank));
    if sha1 == Permission::Forbidden && (weak(signature.hash) || only_weak) {
        return Err(QuoteError::Sha1);
    }
    // Step 3.
    if quote.extra_data != extra_data {
        return Err(QuoteError::ExtraData);
    }
    // Steps 4 and 5.
    if pcr_digest(quote, signature.hash, values)? != quote.pcr_digest {
        return Err(QuoteError::PcrDigest);
    }
    // Step 6.
    let fixed = signature.fixed_for(key).ok_or(QuoteError::BadSignature)?;
    let verified = if weak(signature.hash) {
        dangerous_verify_sha1(key, bytes, &fixed)
    } else {
        verify(key, signature.scheme, bytes, &fixed)
    };
    verified.map_err(|_| QuoteError::BadSignature)
}

/// The hash over the values that a quote selects, in its order.
fn pcr_digest(quote: &Quote, hash: HashAlgorithm, values: &PcrValues) -> Result<Vec<u8>, QuoteError> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for bank in &quote.selection {
        for index in &bank.indices {
            let value = values.get(&(bank.bank, *index)).ok_or(QuoteError::MissingValue { index: *index })?;
            parts.push(value);
        }
    }
    if parts.is_empty() { Err(QuoteError::EmptySelection) } else { Ok(hash.digest(&parts)) }
}
