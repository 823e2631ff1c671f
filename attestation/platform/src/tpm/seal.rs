//! The root key as a TPM object: a sealed data object under the storage root key, bound to PCRs.
//!
//! Inside the object: `root (32) || counter authorisation (32) || SHA-256(binding) (32)`. The binding (PCRs,
//! attestation key, counter, names) lies beside it in the open; its digest inside the object is what makes it
//! believable, so that a host cannot pair a root key with a counter of its own (T15).
//!
//! The policy is PolicyPCR alone. A signed policy (PolicyAuthorize), with which an operator approves an update
//! beforehand, is not supported yet: after an update of what the PCRs measure, the root key is restored from
//! recovery shares and sealed anew.

use tss_esapi::constants::response_code::Tss2ResponseCodeKind;
use tss_esapi::structures::{Digest, SensitiveData};
use vouchsafe_crypto::digest;
use vouchsafe_crypto::secret::Key32;
use vouchsafe_protocol::codec;
use zeroize::Zeroizing;

use super::connection::{Connection, Encrypt};
use super::counter::Counter;
use super::error::{ChangedPcrs, TpmError, UnsealError};
use super::key::{self, Name};
use super::pcr::{self, Selection};
use super::{ek, key::load};
use crate::sealed::{KeyBlob, SealedError, TpmBinding, TpmSealed};

/// Bytes inside the object; a TPM holds up to 128.
const PAYLOAD_LEN: usize = 96;

/// What comes out of a sealed object.
pub(crate) struct Unsealed {
    pub(crate) root: Key32,
    pub(crate) counter: Counter,
    pub(crate) ak: KeyBlob,
}

/// Seals the root key to this TPM and the present values of the selected PCRs.
pub(crate) fn seal(
    connection: &mut Connection,
    root: &Key32,
    selection: &Selection,
    counter: &Counter,
    ak: &KeyBlob,
) -> Result<TpmSealed, TpmError> {
    let pcrs = pcr::read(connection, selection)?;
    let policy = pcr::policy(selection, &pcrs);
    let Name(srk) = connection.srk_name();
    let Name(ek) = ek::machine_name(connection)?;
    let binding = TpmBinding { srk, ek, ak: ak.clone(), pcrs, counter: counter.binding };
    let payload = Zeroizing::new(
        [root.expose_secret().as_slice(), counter.auth.expose_secret(), &digest_of(&binding)?].concat(),
    );
    let parent = connection.srk();
    let created = connection.command("TPM2_Create", Encrypt::Command, |context| {
        let payload = SensitiveData::try_from(payload.as_slice())?;
        context.create(parent, key::sealed_data(policy)?, None, Some(payload), None, None)
    })?;
    let object =
        KeyBlob { public: key::marshal(&created.out_public)?, private: created.out_private.value().to_vec() };
    Ok(TpmSealed { binding, object })
}

/// Unseals, and says why not.
pub(crate) fn unseal(connection: &mut Connection, sealed: &TpmSealed) -> Result<Unsealed, TpmError> {
    // 1. The storage root key is the one that sealed (T17): the session's salt and everything below rest on it.
    if connection.srk_name() != Name(sealed.binding.srk) {
        let same_machine = ek::machine_name(connection)? == Name(sealed.binding.ek);
        let reason = if same_machine { UnsealError::Cleared } else { UnsealError::OtherTpm };
        return Err(reason.into());
    }
    // 2. The object loads under it.
    let indices: Vec<u8> = sealed.binding.pcrs.iter().map(|pcr| pcr.index).collect();
    let selection = Selection::new(&indices).map_err(|_| UnsealError::Altered)?;
    let object = load(connection, &sealed.object).map_err(|error| match error.refused_with() {
        None => error,
        Some(_) => UnsealError::Damaged.into(),
    })?;
    // 3. The TPM accepts the present PCRs.
    let session = connection.policy_session(Encrypt::Answer)?;
    connection.bare("TPM2_PolicyPCR", |context| {
        context.policy_pcr(session, Digest::default(), selection.list()?)
    })?;
    let opened = connection.bare("TPM2_Unseal", |context| {
        context.execute_with_session(Some(session.into()), |context| context.unseal(object.into()))
    });
    let payload = match opened {
        Ok(payload) => payload,
        Err(error) if error.refused_with() == Some(Tss2ResponseCodeKind::PolicyFail) => {
            let changed = pcr::changed(&sealed.binding.pcrs, &pcr::read(connection, &selection)?);
            let altered = changed.is_empty();
            let changed = UnsealError::PcrsChanged(ChangedPcrs(changed));
            return Err(if altered { UnsealError::Altered } else { changed }.into());
        }
        Err(error) => return Err(error),
    };
    open_payload(&payload, &sealed.binding)
}

fn open_payload(payload: &[u8], binding: &TpmBinding) -> Result<Unsealed, TpmError> {
    let unexpected = TpmError::UnexpectedAnswer { command: "TPM2_Unseal" };
    let payload: &[u8; PAYLOAD_LEN] = payload.try_into().map_err(|_| unexpected)?;
    let (root, rest) = payload.split_at(32);
    let (auth, digest) = rest.split_at(32);
    // 4. The binding is the one that was sealed.
    if digest != digest_of(binding)? {
        return Err(UnsealError::Altered.into());
    }
    let key = |bytes: &[u8]| {
        Key32::fill_with(|key: &mut [u8; 32]| {
            key.copy_from_slice(bytes);
            Ok::<(), TpmError>(())
        })
    };
    let counter = Counter { binding: binding.counter, auth: key(auth)? };
    Ok(Unsealed { root: key(root)?, counter, ak: binding.ak.clone() })
}

fn digest_of(binding: &TpmBinding) -> Result<[u8; 32], TpmError> {
    let bytes = codec::encode(binding).map_err(|error| UnsealError::Sealed(SealedError::Codec(error)))?;
    Ok(digest::sha256(&[&bytes]))
}
