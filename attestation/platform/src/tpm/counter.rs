//! The NV counter (rung R1 of the freshness ladder).
//!
//! Who controls it: the owner of the TPM, who can delete any index and define another in its place (T15). What
//! holds: its name is computed here and pinned in the sealed state, and its authorisation value is inside the
//! sealed object, so a replacement answers to neither. Reading runs in an HMAC session over that name and
//! value, so an answer that the TPM did not give is not believed (T17).

use tss_esapi::attributes::NvIndexAttributesBuilder;
use tss_esapi::constants::NvIndexType;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind;
use tss_esapi::handles::{NvIndexHandle, NvIndexTpmHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::{NvAuth, Provision};
use tss_esapi::structures::{Auth, NvPublic};
use vouchsafe_crypto::digest;
use vouchsafe_crypto::secret::Key32;

use super::connection::{Connection, Encrypt};
use super::ek::handles_from;
use super::error::{CounterFault, TpmError};
use crate::sealed::CounterBinding;

/// NV indices for vaults: 256 of the owner's range.
pub(crate) const INDICES: core::ops::RangeInclusive<u32> = 0x0180_5600..=0x0180_56FF;
/// Bytes of a counter.
const COUNTER_LEN: u16 = 8;
/// TPMA_NV (TPM 2.0 Part 2, section 13.4): AUTHWRITE, type COUNTER, AUTHREAD, NO_DA, WRITTEN.
const WRITTEN_ATTRIBUTES: u32 = 1 << 2 | 1 << 4 | 1 << 18 | 1 << 25 | 1 << 29;

/// A counter of which the authorisation value is known.
pub(crate) struct Counter {
    pub(crate) binding: CounterBinding,
    pub(crate) auth: Key32,
}

impl Counter {
    /// Defines a new counter at a free index and counts once, so that it can be read.
    pub(crate) fn define(connection: &mut Connection, auth: Key32) -> Result<Self, TpmError> {
        let taken = handles_from(connection, *INDICES.start())?;
        for index in INDICES.filter(|index| !taken.contains(index)) {
            let public = public(index).map_err(|source| TpmError::Command { command: DEFINE, source })?;
            let defined = connection.command(DEFINE, Encrypt::Command, |context| {
                let auth = Auth::try_from(auth.expose_secret().as_slice())?;
                context.nv_define_space(Provision::Owner, Some(auth), public)
            });
            match defined {
                Ok(_) => {
                    let binding = CounterBinding { index, name: name(index) };
                    let counter = Self { binding, auth };
                    counter.increment(connection)?;
                    return Ok(counter);
                }
                Err(error) if error.refused_with() == Some(Tss2ResponseCodeKind::NvDefined) => {}
                Err(error) => return Err(error),
            }
        }
        Err(TpmError::Counter { index: *INDICES.start(), what: CounterFault::NoFreeIndex })
    }

    /// Its value.
    pub(crate) fn read(&self, connection: &mut Connection) -> Result<u64, TpmError> {
        let (handle, name) = self.open(connection)?;
        // 1. The name is the one that was sealed.
        if name.as_deref() != Some(&self.binding.name) {
            return Err(self.fault(CounterFault::Attributes));
        }
        // 2. The sealed authorisation value opens it, and it answers in that session.
        let value = connection
            .command("TPM2_NV_Read", Encrypt::Answer, |context| {
                context.nv_read(NvAuth::NvIndex(handle), handle, COUNTER_LEN, 0)
            })
            .map_err(|error| self.explain(error))?;
        let unexpected = |_| TpmError::UnexpectedAnswer { command: "TPM2_NV_Read" };
        Ok(u64::from_be_bytes(value.value().try_into().map_err(unexpected)?))
    }

    /// Counts one, in the same manner. The name of a counter that never counted differs, so it is checked by
    /// the reading that follows.
    pub(crate) fn increment(&self, connection: &mut Connection) -> Result<u64, TpmError> {
        let (handle, _) = self.open(connection)?;
        connection
            .command("TPM2_NV_Increment", Encrypt::NoneButAuthorize, |context| {
                context.nv_increment(NvAuth::NvIndex(handle), handle)
            })
            .map_err(|error| self.explain(error))?;
        connection.bare("Esys_TR_Close", |context| context.tr_close(&mut handle.into()))?;
        self.read(connection)
    }

    /// A handle with its authorisation value, and the name that the stack computed for it.
    fn open(&self, connection: &mut Connection) -> Result<(NvIndexHandle, Option<Vec<u8>>), TpmError> {
        let index = self.binding.index;
        let handle = connection
            .bare("TPM2_NV_ReadPublic", |context| {
                context.tr_from_tpm_public(TpmHandle::NvIndex(NvIndexTpmHandle::new(index)?))
            })
            .map_err(|error| self.explain(error))?;
        let name = connection.bare("Esys_TR_GetName", |context| context.tr_get_name(handle))?;
        connection.bare("Esys_TR_SetAuth", |context| {
            context.tr_set_auth(handle, Auth::try_from(self.auth.expose_secret().as_slice())?)
        })?;
        let name = name.value().strip_prefix(&[0x00, 0x0B]).map(<[u8]>::to_vec);
        Ok((NvIndexHandle::from(handle), name))
    }

    fn explain(&self, error: TpmError) -> TpmError {
        match error.refused_with() {
            Some(Tss2ResponseCodeKind::Handle) => self.fault(CounterFault::Missing),
            Some(Tss2ResponseCodeKind::AuthFail | Tss2ResponseCodeKind::BadAuth) => {
                self.fault(CounterFault::Authorization)
            }
            Some(Tss2ResponseCodeKind::AuthUnavailable | Tss2ResponseCodeKind::Attributes) => {
                self.fault(CounterFault::Attributes)
            }
            _ => error,
        }
    }

    fn fault(&self, what: CounterFault) -> TpmError {
        TpmError::Counter { index: self.binding.index, what }
    }
}

const DEFINE: &str = "TPM2_NV_DefineSpace";

fn public(index: u32) -> Result<NvPublic, tss_esapi::Error> {
    let attributes = NvIndexAttributesBuilder::new()
        .with_auth_write(true)
        .with_auth_read(true)
        .with_no_da(true)
        .with_nv_index_type(NvIndexType::Counter)
        .build()?;
    NvPublic::builder()
        .with_nv_index(NvIndexTpmHandle::new(index)?)
        .with_index_name_algorithm(HashingAlgorithm::Sha256)
        .with_index_attributes(attributes)
        .with_data_area_size(usize::from(COUNTER_LEN))
        .build()
}

/// The name of such a counter once it has counted: SHA-256 of its `TPMS_NV_PUBLIC` (Part 1, section 16).
fn name(index: u32) -> [u8; 32] {
    digest::sha256(&[
        &index.to_be_bytes(),
        &[0x00, 0x0B],
        &WRITTEN_ATTRIBUTES.to_be_bytes(),
        &[0, 0],
        &COUNTER_LEN.to_be_bytes(),
    ])
}
