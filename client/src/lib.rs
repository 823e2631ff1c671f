//! SDK for agents and operators: introduce, verify the vault, session, requests; and the policy compiler.
//!
//! Trusted for: proving nothing to a vault that it has not verified against its [`Pin`] first, and believing
//! no reply that is not bound to its request. It builds the statements that evidence covers by itself.
//! Not trusted for: what the vault decides; the host and the network, which it takes to be hostile.
//! Left to the caller: keeping the pin's file (it remembers the newest checkpoint, which is how a rollback is
//! noticed) and what it does with secrets.
//!
//! # The paved path of an agent
//!
//! ```no_run
//! use vouchsafe_client::{Endpoint, Expect, Machine, Pin, Session, introduce};
//!
//! # async fn agent(attester: impl vouchsafe_platform::Attester + 'static)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! let endpoint = Endpoint::new("vault.example:8200");
//! let mut pin = Pin::load("/etc/vouchsafe/pin.toml")?;
//!
//! // Once, and again whenever the evidence has become too old: the hardware vouches for this machine.
//! let machine = Machine::new(attester);
//! let introduced = introduce(&endpoint, Expect::Pinned(&pin), &"billing".parse()?, &machine).await?;
//! introduced.pin.save("/etc/vouchsafe/pin.toml")?;
//! introduced.identity.save("/run/billing/identity")?;
//! pin = introduced.pin;
//!
//! // Then, as often as needed.
//! let session = Session::connect(&endpoint, &introduced.identity, &mut pin).await?;
//! let secret = session.kv().get("kv/billing/db").await?;
//! println!("read version {}, {} bytes", secret.version, secret.value.expose_secret().len());
//!
//! // The same with a receipt, already verified, that anybody can check.
//! let (secret, proven) = session.with_receipts().kv().get("kv/billing/db").await?;
//! println!("version {} is entry {} of the log", secret.version, proven.receipt.leaf_index);
//! session.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! An operator calls [`init()`] once, keeps the [`Pin`] it returns, introduces itself with
//! [`introduce_operator`] and its key, and has the operator calls of a [`Session`] too.

mod attestation_result;
mod certificate;
mod clock;
mod endpoint;
mod files;
mod first_use;
mod frames;
mod grant;
mod identity;
mod init;
mod introduce;
mod machine;
mod offer;
mod pin;
pub mod policy;
mod session;
mod text;
mod transport;
mod vault;

#[cfg(test)]
mod tests;

pub use self::attestation_result::{
    AttestationResult, Freshness, ResultError, ResultStatus, verify_attestation_result,
};
pub use self::certificate::CertificateError;
pub use self::endpoint::Endpoint;
pub use self::files::{FileError, load_key, save_key};
pub use self::first_use::FirstUseError;
pub use self::frames::FrameError;
pub use self::grant::GrantError;
pub use self::identity::{Identity, IdentityError};
pub use self::init::{InitError, InitParts, Initialised, VaultPlatform, init};
pub use self::introduce::{
    Expect, IntroduceError, Introduced, introduce, introduce_operator, renew_identity,
};
pub use self::machine::{Machine, MachineError};
pub use self::offer::OfferError;
pub use self::pin::{Pin, PinError, Remembered};
pub use self::session::{
    Audit, CheckpointState, Collateral, CollateralPage, ConnectError, Derive, DerivedKey, Kv, KvPage,
    KvPatch, KvSecret, KvWatch, KvWrite, LeasePage, Leases, Mode, Plain, Proven, Receipted, RequestError,
    Roles, SealedText, SealedTextError, Seen, Session, SessionEnd, Transit,
};
pub use self::transport::TransportError;
pub use self::vault::VaultError;
