//! `TPM2_Quote` over a statement, with the values that it covers.

use tss_esapi::handles::KeyHandle;
use tss_esapi::structures::{AttestInfo, Data, SignatureScheme};
use tss_esapi::traits::Marshall;
use vouchsafe_protocol::evidence::{Logs, TpmEvidence};

use super::connection::{Connection, Encrypt};
use super::error::TpmError;
use super::pcr::{self, Selection};

/// How often the values may change between reading and quoting before giving up.
const ATTEMPTS: usize = 4;

/// Quotes until the values read are the values quoted. Logs are the caller's to add, afterwards.
pub(crate) fn quote(
    connection: &mut Connection,
    ak: KeyHandle,
    ak_public: &[u8],
    qualifying: [u8; 32],
    selection: &Selection,
) -> Result<TpmEvidence, TpmError> {
    let command = "TPM2_Quote";
    for _ in 0..ATTEMPTS {
        let pcrs = pcr::read(connection, selection)?;
        let (attest, signature) = connection.command(command, Encrypt::Answer, |context| {
            let qualifying = Data::try_from(qualifying.as_slice())?;
            context.quote(ak, qualifying, SignatureScheme::Null, selection.list()?)
        })?;
        let AttestInfo::Quote { info } = attest.attested() else {
            return Err(TpmError::UnexpectedAnswer { command });
        };
        if info.pcr_digest().value() != pcr::composite(&pcrs) {
            continue;
        }
        let marshal = |source| TpmError::Command { command, source };
        return Ok(TpmEvidence {
            quote: attest.marshall().map_err(marshal)?,
            signature: signature.marshall().map_err(marshal)?,
            ak_public: ak_public.to_vec(),
            pcrs,
            logs: Logs::default(),
        });
    }
    Err(TpmError::PcrsUnstable)
}
