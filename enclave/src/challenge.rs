//! Single-use challenges without memory: what the enclave must know when one comes back is sealed inside it.
//!
//! A flood of hellos costs nothing (F10); only a challenge that passed every check is remembered, until it
//! would have expired anyway (F4, F5).

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use vouchsafe_crypto::aead::{NONCE_LEN, SealingKey, counter_nonce};
use vouchsafe_crypto::secret::Key32;
use vouchsafe_protocol::limits::{CHALLENGE_LEN, CHALLENGE_SECS, CONSUMED_CHALLENGES};
use vouchsafe_protocol::refusal::RefusalCode;
use zeroize::Zeroizing;

/// Domain of the seal.
const AAD: &[u8] = b"vouchsafe/1/challenge";
/// Plaintext: expiry (8 bytes, big-endian seconds), hello digest (32), credential (32).
const PLAIN_LEN: usize = 72;

/// Makes and opens challenges. The key is new at every start of the enclave, so none outlives it.
pub(crate) struct ChallengeMint {
    key: SealingKey,
    next: AtomicU64,
}

/// A challenge that this enclave made for this hello and that has not expired. Not yet consumed.
pub(crate) struct OpenedChallenge {
    number: u64,
    expires_secs: u64,
    /// What a TPM must recover from its credential.
    pub credential: Key32,
}

impl ChallengeMint {
    pub fn new(key: &Key32) -> Self {
        Self { key: SealingKey::new(key), next: AtomicU64::new(0) }
    }

    /// A new challenge for a hello; `credential` is what its TPM will have to recover.
    pub fn make(&self, hello_digest: &[u8; 32], credential: &Key32, now: u64) -> Vec<u8> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let nonce = counter_nonce(number);
        let mut sealed = Vec::with_capacity(CHALLENGE_LEN);
        sealed.extend_from_slice(&now.saturating_add(CHALLENGE_SECS).to_be_bytes());
        sealed.extend_from_slice(hello_digest);
        sealed.extend_from_slice(credential.expose_secret());
        // The key lives as long as this mint and the counter only counts up: no pair of key and nonce repeats.
        self.key.seal(nonce, AAD, &mut sealed);
        [nonce.as_slice(), &sealed].concat()
    }

    /// Opens a challenge that came back.
    pub fn open(
        &self,
        challenge: &[u8],
        hello_digest: &[u8; 32],
        now: u64,
    ) -> Result<OpenedChallenge, RefusalCode> {
        let foreign = RefusalCode::Challenge;
        if challenge.len() != CHALLENGE_LEN {
            return Err(foreign);
        }
        let (nonce, sealed) = challenge.split_first_chunk::<NONCE_LEN>().ok_or(foreign)?;
        let mut plain = Zeroizing::new(sealed.to_vec());
        self.key.open(*nonce, AAD, &mut plain).map_err(|_| foreign)?;
        debug_assert_eq!(plain.len(), PLAIN_LEN);
        let (expiry, rest) = plain.split_first_chunk::<8>().ok_or(foreign)?;
        let (bound_to, credential) = rest.split_first_chunk::<32>().ok_or(foreign)?;
        if bound_to != hello_digest {
            return Err(foreign);
        }
        let expires_secs = u64::from_be_bytes(*expiry);
        if now > expires_secs {
            return Err(RefusalCode::ChallengeExpired);
        }
        let credential = Key32::take(&mut credential.to_vec()).ok_or(foreign)?;
        let (_, number) = nonce.split_last_chunk::<8>().ok_or(foreign)?;
        Ok(OpenedChallenge { number: u64::from_be_bytes(*number), expires_secs, credential })
    }
}

/// The challenges used in the last minute.
#[derive(Default)]
pub(crate) struct Consumed {
    numbers: HashSet<u64>,
    by_expiry: BTreeSet<(u64, u64)>,
}

impl Consumed {
    /// Uses a challenge up; exactly one caller wins.
    pub fn consume(&mut self, challenge: &OpenedChallenge, now: u64) -> Result<(), RefusalCode> {
        while let Some((expiry, number)) = self.by_expiry.first().copied().filter(|(expiry, _)| *expiry < now)
        {
            self.by_expiry.remove(&(expiry, number));
            self.numbers.remove(&number);
        }
        if now > challenge.expires_secs {
            return Err(RefusalCode::ChallengeExpired);
        }
        if self.numbers.contains(&challenge.number) {
            return Err(RefusalCode::ChallengeUsed);
        }
        if self.numbers.len() >= CONSUMED_CHALLENGES {
            return Err(RefusalCode::Busy);
        }
        self.numbers.insert(challenge.number);
        self.by_expiry.insert((challenge.expires_secs, challenge.number));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vouchsafe_crypto::random;

    fn mint() -> ChallengeMint {
        ChallengeMint::new(&random::key().unwrap())
    }

    #[test]
    fn f1_challenges_are_unique() {
        let (mint, credential) = (mint(), random::key().unwrap());
        let all: HashSet<Vec<u8>> = (0..100_000).map(|_| mint.make(&[1; 32], &credential, 0)).collect();
        assert_eq!(all.len(), 100_000);
    }

    #[test]
    fn f2_a_challenge_of_another_start_or_changed_is_refused() {
        let credential = random::key().unwrap();
        let (ours, other) = (mint(), mint());
        let challenge = ours.make(&[1; 32], &credential, 0);
        assert!(ours.open(&challenge, &[1; 32], 0).unwrap().credential.ct_eq(credential.expose_secret()));
        assert_eq!(other.open(&challenge, &[1; 32], 0).err(), Some(RefusalCode::Challenge));
        for bit in 0..challenge.len() * 8 {
            let mut changed = challenge.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(ours.open(&changed, &[1; 32], 0).err(), Some(RefusalCode::Challenge));
        }
        for len in 0..challenge.len() {
            assert_eq!(ours.open(&challenge[..len], &[1; 32], 0).err(), Some(RefusalCode::Challenge));
        }
    }

    #[test]
    fn f3_a_challenge_kept_back_expires() {
        let (mint, credential) = (mint(), random::key().unwrap());
        let challenge = mint.make(&[1; 32], &credential, 1_000);
        assert!(mint.open(&challenge, &[1; 32], 1_000 + CHALLENGE_SECS).is_ok());
        let late = mint.open(&challenge, &[1; 32], 1_001 + CHALLENGE_SECS);
        assert_eq!(late.err(), Some(RefusalCode::ChallengeExpired));
    }

    #[test]
    fn f3_a_challenge_that_expires_between_check_and_use_is_refused() {
        let (mint, credential) = (mint(), random::key().unwrap());
        let challenge = mint.make(&[1; 32], &credential, 0);
        let opened = mint.open(&challenge, &[1; 32], CHALLENGE_SECS).unwrap();
        let used = Consumed::default().consume(&opened, CHALLENGE_SECS + 1);
        assert_eq!(used, Err(RefusalCode::ChallengeExpired));
    }

    #[test]
    fn b1_a_challenge_is_bound_to_its_hello() {
        let (mint, credential) = (mint(), random::key().unwrap());
        let challenge = mint.make(&[1; 32], &credential, 0);
        assert_eq!(mint.open(&challenge, &[2; 32], 0).err(), Some(RefusalCode::Challenge));
    }

    #[test]
    fn f4_a_challenge_is_used_once() {
        let (mint, credential) = (mint(), random::key().unwrap());
        let challenge = mint.make(&[1; 32], &credential, 0);
        let opened = mint.open(&challenge, &[1; 32], 0).unwrap();
        let mut consumed = Consumed::default();
        assert_eq!(consumed.consume(&opened, 0), Ok(()));
        assert_eq!(consumed.consume(&opened, CHALLENGE_SECS), Err(RefusalCode::ChallengeUsed));
    }

    #[test]
    fn f10_the_consumed_set_is_bounded_and_forgets_what_expired() {
        let (mint, credential) = (mint(), random::key().unwrap());
        let mut consumed = Consumed::default();
        let open = |now| mint.open(&mint.make(&[1; 32], &credential, now), &[1; 32], now).unwrap();
        for _ in 0..CONSUMED_CHALLENGES {
            consumed.consume(&open(0), 0).unwrap();
        }
        assert_eq!(consumed.consume(&open(0), 0), Err(RefusalCode::Busy));
        consumed.consume(&open(CHALLENGE_SECS + 1), CHALLENGE_SECS + 1).unwrap();
        assert_eq!(consumed.numbers.len(), 1);
        assert_eq!(consumed.by_expiry.len(), 1);
    }
}
