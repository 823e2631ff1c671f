//! The vault's grant, verified before it is used.

use vouchsafe_log::{ReceiptError, verify_receipt};
use vouchsafe_protocol::introduction::Grant;
use vouchsafe_protocol::link::StreamId;
use vouchsafe_protocol::log::{Action, Decision};

use crate::certificate::CertificateError;
use crate::vault::VerifiedVault;

/// Why a grant is refused. One variant per step of the verification, in its order.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// Step 1.
    #[error("the identity is issued by another authority than the vault's")]
    Authority,
    /// Step 2.
    #[error("the identity is refused")]
    Certificate(#[source] CertificateError),
    /// Step 3.
    #[error("the receipt of the introduction is refused")]
    Receipt(#[source] ReceiptError),
    /// Step 4.
    #[error("the receipt is for something else than this introduction")]
    ReceiptEntry,
}

/// Verifies a grant for the key `spki` and returns the SPIFFE id in it.
///
/// 1. its authority is the verified vault's, byte for byte;
/// 2. its certificate is for exactly our key, valid, and named in the vault's trust domain (B1, B9);
/// 3. its receipt is of the vault's journal;
/// 4. and says that an identity was issued for our key.
pub(crate) fn verify(
    grant: &Grant,
    spki: &[u8],
    vault: &VerifiedVault,
    now_secs: u64,
) -> Result<String, GrantError> {
    let Grant {
        certificate,
        authority,
        not_after_secs: _, // told to the caller; the certificate decides
        evidence_until_secs: _,
        appraisal: _,
        receipt,
    } = grant;
    // 1
    if authority.as_slice() != vault.authority().certificate().as_ref() {
        return Err(GrantError::Authority);
    }
    // 2
    let name = vault
        .authority()
        .check_identity(certificate, spki, vault.vault_id(), now_secs)
        .map_err(GrantError::Certificate)?;
    // 3
    let entry = verify_receipt(receipt, vault.vault_id(), vault.log_key()).map_err(GrantError::Receipt)?;
    // 4
    match entry.action {
        Action::Introduce { key, evidence: _, rule: None }
            if key == spki && entry.decision == Decision::Allowed && receipt.stream == StreamId::Journal =>
        {
            Ok(name)
        }
        _ => Err(GrantError::ReceiptEntry),
    }
}
