//! One file per command.

pub(crate) mod anchors;
pub(crate) mod attestation_result;
pub(crate) mod audit;
pub(crate) mod collateral;
pub(crate) mod completion;
pub(crate) mod derive;
pub(crate) mod dev;
pub(crate) mod init;
pub(crate) mod introduce;
pub(crate) mod kv;
pub(crate) mod lease;
pub(crate) mod operator;
pub(crate) mod pin;
pub(crate) mod policy;
pub(crate) mod role;
pub(crate) mod seal;
pub(crate) mod seen;
pub(crate) mod status;
pub(crate) mod transit;
