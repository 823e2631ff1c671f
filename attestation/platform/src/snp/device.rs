//! The guest device: keys, and reports where configfs-tsm is missing.

use std::path::PathBuf;

use sev::firmware::guest::{DerivedKey, Firmware, GuestFieldSelect};
use vouchsafe_crypto::secret::Key32;
use zeroize::Zeroize;

use super::SnpError;

/// Where the device is; the `sev` crate opens exactly this one.
const DEVICE: &str = "/dev/sev-guest";

/// What is mixed into a derived key beside measurement and guest policy (AMD 56860, table 19).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRequest {
    /// GUEST_SVN.
    pub guest_svn: u32,
    /// TCB_VERSION; must not be above the committed one.
    pub tcb_version: u64,
    /// VMPL; must not be below the guest's own.
    pub vmpl: u32,
}

/// The security processor as a guest sees it.
pub trait GuestDevice: Send {
    /// MSG_KEY_REQ: a key that only this chip gives, and only to this measurement and policy.
    ///
    /// # Errors
    /// [`SnpError`].
    fn derived_key(&mut self, request: &KeyRequest) -> Result<Key32, SnpError>;

    /// MSG_REPORT_REQ, at the guest's own VMPL.
    ///
    /// # Errors
    /// [`SnpError`].
    fn report(&mut self, report_data: &[u8; 64]) -> Result<Vec<u8>, SnpError>;
}

/// `/dev/sev-guest`, opened for each request.
#[derive(Debug, Default)]
pub struct SevGuest(());

impl SevGuest {
    pub(super) fn check(&self) -> Result<(), SnpError> {
        Self::open().map(drop)
    }

    fn open() -> Result<Firmware, SnpError> {
        let path = PathBuf::from(DEVICE);
        Firmware::open().map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => SnpError::NoDevice { path },
            _ => SnpError::Tsm { path, source },
        })
    }
}

impl GuestDevice for SevGuest {
    fn derived_key(&mut self, request: &KeyRequest) -> Result<Key32, SnpError> {
        let mut fields = GuestFieldSelect::default();
        fields.set_guest_policy(true);
        fields.set_measurement(true);
        fields.set_svn(true);
        fields.set_tcb_version(true);
        let KeyRequest { guest_svn, tcb_version, vmpl } = *request;
        // The key comes from the VCEK: it is this chip's. Message version 1 is what every firmware speaks.
        let request = DerivedKey::new(false, fields, vmpl, guest_svn, tcb_version, None);
        let refused = |source| SnpError::Device { request: "MSG_KEY_REQ", source };
        let mut bytes = Self::open()?.get_derived_key(Some(1), request).map_err(refused)?;
        let key = Key32::fill_with(|key| {
            key.copy_from_slice(&bytes);
            Ok(())
        });
        bytes.zeroize();
        key
    }

    fn report(&mut self, report_data: &[u8; 64]) -> Result<Vec<u8>, SnpError> {
        let refused = |source| SnpError::Device { request: "MSG_REPORT_REQ", source };
        Self::open()?.get_report(Some(1), Some(*report_data), None).map_err(refused)
    }
}
