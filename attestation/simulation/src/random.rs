//! Randomness for keys and salts: `rsa` and `p384` take a generator that cannot fail, so a seed is drawn first,
//! which can. A PKI that is made from a seed draws everything from it: the same seed gives the same bytes.

use ring::rand::{SecureRandom, SystemRandom};
use rsa::rand_core::{CryptoRng, Error, RngCore};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::SimulationError;

/// Where the keys and salts of a PKI come from.
#[derive(Clone)]
pub(crate) enum Source {
    /// From a seed, for evidence that can be made again byte by byte.
    Seed(Zeroizing<[u8; 32]>),
    /// From the system.
    System,
}

impl Source {
    /// A stream for one purpose. From a seed, one purpose always gives one stream.
    pub(crate) fn stream(&self, purpose: &[&[u8]]) -> Result<Stream, SimulationError> {
        match self {
            Self::System => Stream::seeded(),
            Self::Seed(seed) => {
                let mut hash = Sha256::new().chain_update(seed.as_slice());
                for part in purpose {
                    hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
                    hash.update(part);
                }
                Ok(Stream { seed: Zeroizing::new(hash.finalize().into()), counter: 0 })
            }
        }
    }
}

/// SHA-256 of a seed and a counter. Good enough for keys that nobody may trust.
pub(crate) struct Stream {
    seed: Zeroizing<[u8; 32]>,
    counter: u64,
}

impl Stream {
    pub(crate) fn seeded() -> Result<Self, SimulationError> {
        let mut seed = Zeroizing::new([0; 32]);
        SystemRandom::new().fill(seed.as_mut_slice()).map_err(|_| SimulationError::Random)?;
        Ok(Self { seed, counter: 0 })
    }
}

impl RngCore for Stream {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        for chunk in dest.chunks_mut(32) {
            let block =
                Sha256::new().chain_update(self.seed.as_slice()).chain_update(self.counter.to_be_bytes());
            self.counter = self.counter.wrapping_add(1);
            chunk.iter_mut().zip(block.finalize()).for_each(|(to, from)| *to = from);
        }
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for Stream {}
