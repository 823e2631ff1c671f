//! The attestation key between runs of an agent: a small file beside its identity.
//!
//! The key is encrypted by the TPM and no secret; a host that replaces the file gets another key of the same
//! TPM at most, which the verifier then names as another.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use vouchsafe_protocol::codec;
use vouchsafe_protocol::limits::TPM_STRUCTURE_LEN;

use super::error::KeysError;
use super::key::Name;
use crate::files;
use crate::sealed::KeyBlob;

/// The format written here.
const VERSION: u8 = 1;
/// Largest file in bytes: two TPM structures and a name.
const FILE_LEN: usize = 2 * TPM_STRUCTURE_LEN + 64;

/// An attestation key and the storage root key it is under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AttestationKey {
    pub(crate) srk: Name,
    pub(crate) blob: KeyBlob,
}

#[derive(Serialize, Deserialize)]
struct AkFile {
    version: u8,
    srk: [u8; 32],
    blob: KeyBlob,
}

/// `None` if there is no file yet.
pub(crate) fn read(path: &Path) -> Result<Option<AttestationKey>, KeysError> {
    let bytes = match files::read(path, FILE_LEN) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(KeysError::AkFile { path: path.to_owned(), source }),
    };
    decode(&bytes).map(Some).ok_or_else(|| KeysError::AkFileDamaged { path: path.to_owned() })
}

fn decode(bytes: &[u8]) -> Option<AttestationKey> {
    let file: AkFile = codec::decode(bytes, FILE_LEN).ok()?;
    file.blob.check().ok()?;
    (file.version == VERSION).then_some(AttestationKey { srk: Name(file.srk), blob: file.blob })
}

pub(crate) fn write(path: &Path, key: &AttestationKey) -> Result<(), KeysError> {
    let file = AkFile { version: VERSION, srk: key.srk.0, blob: key.blob.clone() };
    let damaged = |_| KeysError::AkFileDamaged { path: path.to_owned() };
    let bytes = codec::encode(&file).map_err(damaged)?;
    files::replace(path, &bytes).map_err(|source| KeysError::AkFile { path: path.to_owned(), source })
}
