//! The statement that evidence is over, where a case states its fields.

use vouchsafe_attestation::StatementPreimage;
use vouchsafe_attestation::statement::{collection, foreign, introduction};
use vouchsafe_protocol::id::{AnchorClass, VaultId};

use super::Running;
use crate::schema::Introduction;
use crate::verdict::{Run, Stop};

impl Running<'_> {
    /// The statement, if the case states one.
    pub(crate) fn statement(&self) -> Run<Option<StatementPreimage>> {
        let fields = match (&self.case.introduction, &self.case.collection) {
            (None, None) => return self.foreign(),
            (None, Some(nonce)) => {
                return Ok(Some(collection(&self.hex(nonce, "the nonce of the collection")?)));
            }
            (Some(_), Some(_)) => return Err(Stop::not_supported("the case states two statements")),
            (Some(fields), None) => fields,
        };
        let Introduction { challenge, offer_digest, identity_spki, role, vault_id } = fields;
        let malformed = || Stop::not_supported("the introduction of the case cannot be read");
        let offer_digest = self.hex(offer_digest, "offer_digest")?.try_into().map_err(|_| malformed())?;
        let vault_id = self.hex(vault_id, "vault_id")?;
        let (class, digest) = vault_id.split_first().ok_or_else(malformed)?;
        let class = match class {
            0 => AnchorClass::Hardware,
            1 => AnchorClass::Simulated,
            _ => return Err(malformed()),
        };
        let vault = VaultId { class, digest: digest.try_into().map_err(|_| malformed())? };
        Ok(Some(introduction(
            &self.hex(challenge, "challenge")?,
            &offer_digest,
            &self.hex(identity_spki, "identity_spki")?,
            &role.parse().map_err(|_| malformed())?,
            &vault,
        )))
    }

    /// For rules of a role: what another protocol put into the evidence, if the case says all of it.
    fn foreign(&self) -> Run<Option<StatementPreimage>> {
        if self.rules.is_none() {
            return Ok(None);
        }
        let nonce = self.case.nonce.as_deref().map(|nonce| self.hex(nonce, "the nonce")).transpose()?;
        let nonce: Option<[u8; 32]> = nonce.and_then(|nonce| nonce.try_into().ok());
        let report_data = self.policy.report_data.map(|pin| pin.0);
        Ok(match (self.case.kind.as_str(), report_data, nonce) {
            ("snp-report", Some(report_data), _) => Some(foreign(report_data, [0; 32])),
            ("tpm-quote", _, Some(nonce)) => Some(foreign([0; 64], nonce)),
            ("azure-snp", Some(report_data), Some(nonce)) => Some(foreign(report_data, nonce)),
            _ => None,
        })
    }
}
