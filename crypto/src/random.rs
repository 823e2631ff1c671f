//! Randomness: the kernel's generator through ring, mixed with the machine's own where there is one (H8).

use ring::rand::{SecureRandom, SystemRandom};

use crate::digest;
use crate::secret::Key32;

/// The generator gave nothing usable; the process must stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RandomError {
    /// The kernel's generator failed.
    #[error("the kernel's random generator failed")]
    Kernel,
    /// A source is stuck: constant bytes, or the same bytes twice.
    #[error("a random source is stuck")]
    Stuck,
}

/// Fills `out` from the kernel.
///
/// # Errors
/// [`RandomError::Kernel`].
pub fn fill(out: &mut [u8]) -> Result<(), RandomError> {
    SystemRandom::new().fill(out).map_err(|_| RandomError::Kernel)
}

/// A new random array for public values: nonces, ids, salts.
///
/// # Errors
/// [`RandomError::Kernel`].
pub fn array<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut out = [0; N];
    fill(&mut out)?;
    Ok(out)
}

/// A new random key from the kernel.
///
/// # Errors
/// [`RandomError::Kernel`].
pub fn key() -> Result<Key32, RandomError> {
    Key32::fill_with(|bytes| fill(bytes))
}

/// A new random key from the kernel and a second source: as unpredictable as the better of both.
///
/// # Errors
/// [`RandomError`]; a source whose bytes are all alike, or equal to the other's, is stuck.
pub fn mixed_key(second: &Key32) -> Result<Key32, RandomError> {
    let kernel = key()?;
    if is_constant(kernel.expose_secret()) || is_constant(second.expose_secret()) {
        return Err(RandomError::Stuck);
    }
    if kernel.ct_eq(second.expose_secret()) {
        return Err(RandomError::Stuck);
    }
    Ok(digest::hkdf_sha256(&kernel, second.expose_secret(), &[b"vouchsafe/1/mixed-entropy"]))
}

/// Whether every byte is the same.
fn is_constant(bytes: &[u8; 32]) -> bool {
    let [first, rest @ ..] = bytes;
    rest.iter().all(|byte| byte == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h8_a_constant_second_source_is_refused() {
        for byte in [0u8, 0xff, 7] {
            let stuck = Key32::take(&mut [byte; 32]).unwrap();
            assert_eq!(mixed_key(&stuck).err(), Some(RandomError::Stuck));
        }
        assert!(mixed_key(&key().unwrap()).is_ok());
    }
}
