//! A watch over a machine's generator: output that no generator makes stops the caller (H8).
//!
//! This is no test of quality. It finds a dead or frozen source: bytes all alike, or a block seen before.

use vouchsafe_crypto::digest;

/// Bytes drawn from a source at a time: long enough that a repetition cannot be chance.
pub(crate) const BLOCK_LEN: usize = 32;

/// Why the output of a generator is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntropyError {
    /// Every byte is the same.
    #[error("the machine's random generator gives one byte over and over")]
    Constant,
    /// A block equals the one before it.
    #[error("the machine's random generator repeats itself")]
    Repeated,
}

/// Remembers the last block of one source, as a digest.
#[derive(Debug, Default)]
pub struct EntropyWatch {
    last: Option<[u8; 32]>,
}

impl EntropyWatch {
    /// Accepts one block, in order.
    ///
    /// # Errors
    /// [`EntropyError`]; the source must not be used any more.
    pub fn accept(&mut self, block: &[u8; BLOCK_LEN]) -> Result<(), EntropyError> {
        let [first, rest @ ..] = block;
        if rest.iter().all(|byte| byte == first) {
            return Err(EntropyError::Constant);
        }
        let digest = digest::sha256(&[block]);
        if self.last.replace(digest) == Some(digest) {
            return Err(EntropyError::Repeated);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h8_a_dead_generator_is_refused() {
        for byte in [0x00, 0xFF, 0x5A] {
            assert_eq!(EntropyWatch::default().accept(&[byte; 32]), Err(EntropyError::Constant));
        }
    }

    #[test]
    fn h8_a_stuck_generator_is_refused() {
        let mut block = [1; 32];
        block[31] = 2;
        let mut watch = EntropyWatch::default();
        watch.accept(&block).unwrap();
        assert_eq!(watch.accept(&block), Err(EntropyError::Repeated));
    }

    #[test]
    fn h8_different_blocks_are_accepted() {
        let mut watch = EntropyWatch::default();
        for round in 1..=100 {
            let mut block = [0; 32];
            block[0] = round;
            watch.accept(&block).unwrap();
        }
    }
}
