//! The attestation key that a cloud made for its machine's virtual TPM, with the certificate that the cloud gave it.
//!
//! | cloud | key | certificate |
//! |---|---|---|
//! | Google, ECDSA P-256 | primary key of the endorsement hierarchy, template in NV 0x01C10003 | NV 0x01C10002 |
//! | Google, RSA-2048 | the same, template in NV 0x01C10001 | NV 0x01C10000 |
//! | Azure, RSA-2048 | persistent 0x81000003 | NV 0x01C101D0 |
//!
//! Sources: go-tpm-tools `client/handles.go`; Azure's guest attestation documentation. Whether the certificate is of
//! this key is for its verifier to say, and whether anybody believes its issuer is policy.

use tss_esapi::handles::{KeyHandle, PersistentTpmHandle, TpmHandle};
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::structures::Public;
use tss_esapi::traits::UnMarshall;
use vouchsafe_protocol::limits::{CERTIFICATE_LEN, TPM_STRUCTURE_LEN};

use super::connection::Connection;
use super::ek::{der_prefix, handles_from};
use super::error::{KeysError, TpmError};
use super::{key, nv};

/// How a provided key is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Persistent(u32),
    /// NV index of its template, a `TPMT_PUBLIC`.
    Template(u32),
}

struct Provided {
    certificate: u32,
    key: Key,
}

/// In the order in which they are looked for.
const PROVIDED: [Provided; 3] = [
    Provided { certificate: 0x01C1_0002, key: Key::Template(0x01C1_0003) },
    Provided { certificate: 0x01C1_0000, key: Key::Template(0x01C1_0001) },
    Provided { certificate: 0x01C1_01D0, key: Key::Persistent(0x8100_0003) },
];

/// A provided key in the TPM.
pub(crate) struct ProvidedKey {
    pub(crate) handle: KeyHandle,
    /// `TPMT_PUBLIC`.
    pub(crate) public: Vec<u8>,
    /// DER of its certificate.
    pub(crate) certificate: Vec<u8>,
}

/// Whether a cloud provided this TPM with a key.
pub(crate) fn exists(connection: &mut Connection) -> Result<bool, TpmError> {
    for Provided { certificate, .. } in PROVIDED {
        if nv::exists(connection, certificate)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The first that there is.
pub(crate) fn load(connection: &mut Connection) -> Result<ProvidedKey, TpmError> {
    for Provided { certificate, key } in PROVIDED {
        let Some(bytes) = nv::read(connection, certificate, CERTIFICATE_LEN)? else { continue };
        let Some(certificate) = der_prefix(&bytes).map(<[u8]>::to_vec) else { continue };
        let Some((handle, public)) = load_key(connection, key)? else { continue };
        return Ok(ProvidedKey { handle, public: key::marshal(&public)?, certificate });
    }
    Err(KeysError::NoProvidedKey.into())
}

fn load_key(connection: &mut Connection, key: Key) -> Result<Option<(KeyHandle, Public)>, TpmError> {
    match key {
        Key::Persistent(persistent) => load_persistent(connection, persistent),
        Key::Template(index) => {
            let Some(template) = nv::read(connection, index, TPM_STRUCTURE_LEN)? else { return Ok(None) };
            let template = Public::unmarshall(&template);
            Ok(Some(connection.create_primary(Hierarchy::Endorsement, template)?))
        }
    }
}

/// The key at a persistent handle, if there is one.
pub(crate) fn load_persistent(
    connection: &mut Connection,
    persistent: u32,
) -> Result<Option<(KeyHandle, Public)>, TpmError> {
    if !handles_from(connection, persistent)?.contains(&persistent) {
        return Ok(None);
    }
    let handle = connection.bare("TPM2_ReadPublic", |context| {
        context.tr_from_tpm_public(TpmHandle::Persistent(PersistentTpmHandle::new(persistent)?))
    })?;
    let handle = KeyHandle::from(handle);
    let (public, _, _) = connection.bare("TPM2_ReadPublic", |context| context.read_public(handle))?;
    Ok(Some((handle, public)))
}
