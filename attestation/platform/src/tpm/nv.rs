//! Reading NV indices that a manufacturer or a cloud provisioned. What they hold is public and judged by whoever
//! verifies it.

use tss_esapi::handles::{NvIndexHandle, NvIndexTpmHandle, TpmHandle};
use tss_esapi::interface_types::resource_handles::NvAuth;

use super::connection::{Connection, Encrypt};
use super::ek::handles_from;
use super::error::TpmError;

/// Bytes of one read: every TPM's buffer holds at least 512.
const CHUNK: u16 = 512;

/// Whether the TPM says that there is such an index. A hint: it only decides what to try.
pub(crate) fn exists(connection: &mut Connection, index: u32) -> Result<bool, TpmError> {
    Ok(handles_from(connection, index)?.contains(&index))
}

/// All that an index holds, at most `limit` bytes; `None` if the TPM has no such index. Read with the empty
/// authorisation value of the index or, where that may not read, of the owner.
pub(crate) fn read(
    connection: &mut Connection,
    index: u32,
    limit: usize,
) -> Result<Option<Vec<u8>>, TpmError> {
    let command = "TPM2_NV_Read";
    if !exists(connection, index)? {
        return Ok(None);
    }
    let handle = connection.bare("TPM2_NV_ReadPublic", |context| {
        context.tr_from_tpm_public(TpmHandle::NvIndex(NvIndexTpmHandle::new(index)?))
    })?;
    let handle = NvIndexHandle::from(handle);
    let (public, _) = connection.bare("TPM2_NV_ReadPublic", |context| context.nv_read_public(handle))?;
    let auth = if public.attributes().auth_read() { NvAuth::NvIndex(handle) } else { NvAuth::Owner };
    let len = public.data_size();
    if len > limit {
        return Err(TpmError::UnexpectedAnswer { command });
    }
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let unexpected = |_| TpmError::UnexpectedAnswer { command };
        let offset = u16::try_from(bytes.len()).map_err(unexpected)?;
        let chunk = u16::try_from(len - bytes.len()).map_err(unexpected)?.min(CHUNK);
        let read = connection
            .command(command, Encrypt::Answer, |context| context.nv_read(auth, handle, chunk, offset))?;
        if read.value().len() != usize::from(chunk) {
            return Err(TpmError::UnexpectedAnswer { command });
        }
        bytes.extend_from_slice(read.value());
    }
    Ok(Some(bytes))
}
