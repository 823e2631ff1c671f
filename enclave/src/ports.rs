//! What the core may ask of the world: randomness and new keys. Nothing else.

use vouchsafe_crypto::random::{self, RandomError};
use vouchsafe_crypto::secret::SecretBytes;
use vouchsafe_crypto::signature::{P256Key, SignatureError};
use vouchsafe_crypto::transit::signing::{self, Algorithm};

/// Randomness for the core. (ECDSA's own nonces are ring's, which takes them from the kernel.)
pub trait Ports: Send {
    /// Fills `out`.
    ///
    /// # Errors
    /// [`RandomError`]; the core then does nothing.
    fn random(&mut self, out: &mut [u8]) -> Result<(), RandomError>;

    /// Makes a new signing key.
    ///
    /// # Errors
    /// [`SignatureError::Random`].
    fn new_key(&mut self) -> Result<P256Key, SignatureError>;

    /// Makes a new key for a user, in the form that [`SigningKey::read`](signing::SigningKey::read) takes.
    ///
    /// # Errors
    /// [`SignatureError`]: without randomness, or for an algorithm whose keys cannot be made.
    fn new_signing_key(&mut self, algorithm: Algorithm) -> Result<SecretBytes, SignatureError>;
}

/// The kernel's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct KernelPorts;

impl Ports for KernelPorts {
    fn random(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        random::fill(out)
    }

    fn new_key(&mut self) -> Result<P256Key, SignatureError> {
        P256Key::generate()
    }

    fn new_signing_key(&mut self, algorithm: Algorithm) -> Result<SecretBytes, SignatureError> {
        signing::generate(algorithm)
    }
}

/// A random array from the ports.
pub(crate) fn array<const N: usize>(ports: &mut dyn Ports) -> Result<[u8; N], RandomError> {
    let mut out = [0; N];
    ports.random(&mut out)?;
    Ok(out)
}
