//! X25519MLKEM768, the hybrid post-quantum key exchange of the inner session, for rustls.
//!
//! draft-ietf-tls-ecdhe-mlkem-00, section 4.3: the client's share is the ML-KEM-768 encapsulation key and the
//! X25519 key; the server's is the ciphertext and its X25519 key; the secret is both secrets, ML-KEM's first.
//! ML-KEM is FIPS 203; X25519 (RFC 7748) is ring's, which refuses an all-zero result.

use ml_kem::kem::{Decapsulate, Encapsulate};
use ml_kem::{EncodedSizeUser, KemCore, MlKem768};
use rand_core::{CryptoRng, RngCore};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::crypto::{ActiveKeyExchange, CompletedKeyExchange, SharedSecret, SupportedKxGroup};
use rustls::{Error, NamedGroup, PeerMisbehaved};
use zeroize::Zeroizing;

/// Length of an X25519 public key.
const X25519_LEN: usize = 32;
/// Length of an ML-KEM-768 encapsulation key (FIPS 203, table 3).
const ENCAPSULATION_KEY_LEN: usize = 1184;
/// Length of an ML-KEM-768 ciphertext (FIPS 203, table 3).
const CIPHERTEXT_LEN: usize = 1088;

/// The group, to be listed in a `CryptoProvider`.
pub static X25519_MLKEM768: &dyn SupportedKxGroup = &Group;

#[derive(Debug)]
struct Group;

type DecapsulationKey = <MlKem768 as KemCore>::DecapsulationKey;
type EncapsulationKey = <MlKem768 as KemCore>::EncapsulationKey;

impl SupportedKxGroup for Group {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let (decapsulation, encapsulation) = MlKem768::generate(&mut Kernel::checked()?);
        let (x25519, x25519_public) = x25519_pair()?;
        let mut public = encapsulation.as_bytes().to_vec();
        public.extend_from_slice(&x25519_public);
        Ok(Box::new(Active { decapsulation, x25519, public }))
    }

    fn start_and_complete(&self, peer: &[u8]) -> Result<CompletedKeyExchange, Error> {
        let (peer_kem, peer_x25519) = split(peer, ENCAPSULATION_KEY_LEN)?;
        let encoded = peer_kem.try_into().map_err(|_| invalid_share())?;
        let encapsulation = EncapsulationKey::from_bytes(&encoded);
        // FIPS 203, section 7.2: the modulus check. Re-encoding differs if a coefficient was not reduced.
        if encapsulation.as_bytes() != encoded {
            return Err(invalid_share());
        }
        let (ciphertext, kem_secret) =
            encapsulation.encapsulate(&mut Kernel::checked()?).map_err(|()| invalid_share())?;
        let kem_secret = Zeroizing::new(<[u8; 32]>::from(kem_secret));
        let (x25519, x25519_public) = x25519_pair()?;
        let secret = agree(x25519, peer_x25519, &kem_secret)?;
        let mut public = ciphertext.to_vec();
        public.extend_from_slice(&x25519_public);
        Ok(CompletedKeyExchange { group: self.name(), pub_key: public, secret })
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

/// A client's half, waiting for the server's share.
struct Active {
    decapsulation: DecapsulationKey,
    x25519: EphemeralPrivateKey,
    public: Vec<u8>,
}

impl ActiveKeyExchange for Active {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let (peer_kem, peer_x25519) = split(peer, CIPHERTEXT_LEN)?;
        let ciphertext = peer_kem.try_into().map_err(|_| invalid_share())?;
        let kem_secret = self.decapsulation.decapsulate(&ciphertext).map_err(|()| invalid_share())?;
        let kem_secret = Zeroizing::new(<[u8; 32]>::from(kem_secret));
        agree(self.x25519, peer_x25519, &kem_secret)
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

/// A share is exactly the KEM's part and an X25519 key.
fn split(share: &[u8], kem_len: usize) -> Result<(&[u8], &[u8]), Error> {
    if share.len() != kem_len + X25519_LEN {
        return Err(invalid_share());
    }
    share.split_at_checked(kem_len).ok_or_else(invalid_share)
}

fn x25519_pair() -> Result<(EphemeralPrivateKey, Vec<u8>), Error> {
    let private = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new())
        .map_err(|_| Error::FailedToGetRandomBytes)?;
    let public = private.compute_public_key().map_err(|_| Error::FailedToGetRandomBytes)?;
    Ok((private, public.as_ref().to_vec()))
}

/// Both secrets, ML-KEM's first.
fn agree(private: EphemeralPrivateKey, peer: &[u8], kem_secret: &[u8; 32]) -> Result<SharedSecret, Error> {
    agree_ephemeral(private, &UnparsedPublicKey::new(&X25519, peer), |x25519_secret| {
        let both = Zeroizing::new([kem_secret.as_slice(), x25519_secret].concat());
        SharedSecret::from(both.as_slice())
    })
    .map_err(|_| invalid_share())
}

fn invalid_share() -> Error {
    Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare)
}

/// The kernel's generator as the trait that `ml-kem` takes.
struct Kernel(SystemRandom);

impl Kernel {
    /// The trait's `fill_bytes` cannot fail, so a generator that does not work is refused here first.
    fn checked() -> Result<Self, Error> {
        let random = SystemRandom::new();
        random.fill(&mut [0; 1]).map_err(|_| Error::FailedToGetRandomBytes)?;
        Ok(Self(random))
    }
}

impl RngCore for Kernel {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        #[expect(clippy::expect_used, reason = "a key from a failed generator is worse than an outage")]
        self.0.fill(out).expect("kernel random generator");
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl CryptoRng for Kernel {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_agree() {
        let client = Group.start().unwrap();
        assert_eq!(client.pub_key().len(), 1216);
        let server = Group.start_and_complete(client.pub_key()).unwrap();
        assert_eq!(server.pub_key.len(), 1120);
        let secret = client.complete(&server.pub_key).unwrap();
        assert_eq!(secret.secret_bytes(), server.secret.secret_bytes());
        assert_eq!(secret.secret_bytes().len(), 64);
    }

    #[test]
    fn shares_of_another_length_or_unreduced_are_refused() {
        let client = Group.start().unwrap();
        let share = client.pub_key().to_vec();
        for len in [0, 1, 32, 1184, 1215] {
            assert!(Group.start_and_complete(&share[..len]).is_err());
        }
        let mut unreduced = share.clone();
        unreduced[..3].fill(0xff);
        assert!(Group.start_and_complete(&unreduced).is_err());
        let mut low_order = share;
        low_order[1184..].fill(0);
        assert!(Group.start_and_complete(&low_order).is_err());
    }

    #[test]
    fn a_changed_share_gives_another_secret() {
        let client = Group.start().unwrap();
        let server = Group.start_and_complete(client.pub_key()).unwrap();
        let mut changed = server.pub_key.clone();
        changed[0] ^= 1;
        let secret = client.complete(&changed).unwrap();
        assert_ne!(secret.secret_bytes(), server.secret.secret_bytes());
    }
}
