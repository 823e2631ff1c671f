//! Introduction, the vault's side: offers, and the verification of proofs.
//!
//! Anyone may call this, with any bytes. Nothing here changes the vault: a hello costs no memory, and a proof
//! becomes an identity only in [`crate::Core::admit`], where its challenge is used up. Verification runs
//! outside the core's lock on a snapshot of the roles.

use std::sync::Arc;

use vouchsafe_attestation::{
    Appraisal, ChainCache, Collateral, Context, Residency, TrustAnchors, appraise, statement,
};
use vouchsafe_crypto::digest::sha256;
use vouchsafe_crypto::random;
use vouchsafe_crypto::signature::{P256Key, P256PublicKey};
use vouchsafe_crypto::transcript::{
    hello_digest, init_done_preimage, offer_digest, offer_preimage, prove_preimage,
};
use vouchsafe_protocol::codec;
use vouchsafe_protocol::id::{OperatorName, RoleName};
use vouchsafe_protocol::introduction::{
    Hello, IntroductionReply, Offer, OfferBody, OperatorKey, Proof, Prove, ProveBody, SignedVault, Subject,
    VERSION, VaultStatement,
};
use vouchsafe_protocol::limits::INTRODUCTION_FRAME_LEN;
use vouchsafe_protocol::policy::{RefusalDetail, Role};
use vouchsafe_protocol::refusal::{Refusal, RefusalCode};
use vouchsafe_protocol::seen::SeenFacts;
use vouchsafe_results::seen;

use crate::chains::Chains;
use crate::challenge::{ChallengeMint, OpenedChallenge};
use crate::journal::SharedCheckpoint;
use crate::quoting;
use crate::state::Roles;

/// What every introduction of a running enclave shares.
pub(crate) struct Shared {
    pub statement: VaultStatement,
    pub signing_key: P256Key,
    /// Of the signing key, for those who get results signed by it; DER.
    pub signing_certificate: Vec<u8>,
    pub mint: ChallengeMint,
    pub chains: Chains,
    pub latest: SharedCheckpoint,
    pub operators: Vec<OperatorKey>,
    pub anchors: Arc<TrustAnchors>,
}

impl Shared {
    /// The vault's statement with the newest durable checkpoint.
    pub fn statement(&self) -> VaultStatement {
        VaultStatement { checkpoint: self.latest.get(), ..self.statement.clone() }
    }

    /// The answer to `Init`.
    pub fn init_done(&self) -> Result<SignedVault, RefusalCode> {
        let vault = self.statement();
        let encoded = codec::encode(&vault).map_err(|_| RefusalCode::Malformed)?;
        let signature = self.sign(&init_done_preimage(&encoded))?;
        Ok(SignedVault { vault, signature })
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, RefusalCode> {
        self.signing_key.sign(message).map_err(|_| RefusalCode::Busy)
    }
}

/// Answers hellos and verifies proofs. Cheap to clone; holds the roles as they were when it was taken.
#[derive(Clone)]
pub struct Introducer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) roles: Arc<Roles>,
    pub(crate) collateral: Arc<Collateral>,
}

/// What became of a proof, to be taken to [`crate::Core::admit`].
pub struct ProveOutcome(pub(crate) Result<Box<Verified>, Box<Refused>>);

/// A proof that passed every check but the single use of its challenge.
pub(crate) struct Verified {
    pub challenge: OpenedChallenge,
    pub key: P256PublicKey,
    pub subject: VerifiedSubject,
    /// The roles it was verified against.
    pub roles: Arc<Roles>,
    /// The collateral it was verified with.
    pub collateral: Arc<Collateral>,
}

/// Who it is.
pub(crate) enum VerifiedSubject {
    Agent { role: RoleName, appraisal: Box<Appraisal>, facts: SeenFacts },
    Operator(OperatorName),
}

/// A refused proof; `claim` is what it said of itself, if it got far enough to be worth a log entry.
pub(crate) struct Refused {
    pub refusal: Refusal,
    pub claim: Option<Claim>,
}

/// An unbelieved claim, for the log.
pub(crate) struct Claim {
    pub role: RoleName,
    /// SubjectPublicKeyInfo, if it is one of P-256.
    pub key: Vec<u8>,
    pub evidence: [u8; 32],
    pub rule: Option<String>,
}

/// Why a proof is refused, before it is decided how much is told.
#[derive(Clone, Copy)]
pub(crate) struct Failure {
    pub code: RefusalCode,
    pub rule: Option<&'static str>,
}

impl From<RefusalCode> for Failure {
    fn from(code: RefusalCode) -> Self {
        Self { code, rule: None }
    }
}

pub(crate) fn evidence_failure(rule: &'static str) -> Failure {
    Failure { code: RefusalCode::Evidence, rule: Some(rule) }
}

impl Introducer {
    /// Answers a hello with an offer. Remembers nothing (F10, V5).
    ///
    /// 1. Version.
    /// 2. The vault expected is this one.
    /// 3. An agent's role exists and asks for its kind of evidence; a TPM's keys pass. An unknown role and
    ///    unacceptable keys look alike.
    #[must_use]
    pub fn hello(&self, encoded: &[u8], hello: &Hello, now: u64) -> IntroductionReply {
        match self.offer(encoded, hello, now) {
            Ok(offer) => IntroductionReply::Offer(offer),
            Err(failure) => IntroductionReply::Refusal(self.told(&hello.subject, failure)),
        }
    }

    fn offer(&self, encoded: &[u8], hello: &Hello, now: u64) -> Result<Offer, Failure> {
        if hello.version != VERSION {
            return Err(RefusalCode::Version.into());
        }
        if hello.vault_id.is_some_and(|expected| expected != self.shared.statement.vault_id) {
            return Err(RefusalCode::WrongVault.into());
        }
        let credential = random::key().map_err(|_| RefusalCode::Busy)?;
        let tpm = match &hello.subject {
            Subject::Operator(_) => None,
            Subject::Agent { role, kind, tpm } => {
                let role = self.role(role)?;
                let keys = tpm.as_ref().map(|keys| self.collateral.complete(keys));
                let asked = (*kind, keys.as_deref());
                quoting::offer(role, asked, &self.shared.anchors, &credential, now)
                    .map_err(evidence_failure)?
            }
        };
        let challenge = self.shared.mint.make(&hello_digest(encoded), &credential, now);
        let body = OfferBody { version: VERSION, challenge, vault: self.shared.statement(), tpm };
        let body = codec::encode(&body).map_err(|_| RefusalCode::Malformed)?;
        let signature = self.shared.sign(&offer_preimage(encoded, &body))?;
        Ok(Offer { body, signature })
    }

    /// Verifies a proof, completely but for the single use of its challenge.
    ///
    /// 1. Everything decodes.
    /// 2. The challenge is ours, for this hello, and young.
    /// 3. Agent: role, residency of the TPM's key, evidence over the binding (cheap rules before signatures).
    ///    Operator: the key is the pinned one.
    /// 4. The offer is ours.
    /// 5. The identity key signed the proof.
    #[must_use]
    pub fn prove(&self, prove: &Prove, now: u64) -> ProveOutcome {
        ProveOutcome(self.verify(prove, now).map(Box::new))
    }

    fn verify(&self, prove: &Prove, now: u64) -> Result<Verified, Box<Refused>> {
        let unclaimed = |code: RefusalCode| Box::new(Refused { refusal: code.into(), claim: None });
        let malformed = |_| unclaimed(RefusalCode::Malformed);
        let body: ProveBody = codec::decode(&prove.body, INTRODUCTION_FRAME_LEN).map_err(malformed)?;
        let hello: Hello = codec::decode(&body.hello, INTRODUCTION_FRAME_LEN).map_err(malformed)?;
        let offer: Offer = codec::decode(&body.offer, INTRODUCTION_FRAME_LEN).map_err(malformed)?;
        let offered: OfferBody = codec::decode(&offer.body, INTRODUCTION_FRAME_LEN).map_err(malformed)?;
        let challenge =
            self.shared.mint.open(&offered.challenge, &hello_digest(&body.hello), now).map_err(unclaimed)?;
        let checked = self.check_subject(&hello, &body, &offered, &challenge, now).and_then(|subject| {
            let key = self.check_possession(prove, &body, &offer)?;
            Ok((subject, key))
        });
        match checked {
            Ok((subject, key)) => {
                let (roles, collateral) = (self.roles.clone(), self.collateral.clone());
                Ok(Verified { challenge, key, subject, roles, collateral })
            }
            Err(failure) => Err(Box::new(Refused {
                claim: claim(&hello.subject, &body, failure.rule),
                refusal: self.told(&hello.subject, failure),
            })),
        }
    }

    /// Step 3.
    fn check_subject(
        &self,
        hello: &Hello,
        body: &ProveBody,
        offered: &OfferBody,
        challenge: &OpenedChallenge,
        now: u64,
    ) -> Result<VerifiedSubject, Failure> {
        match (&hello.subject, &body.proof) {
            (Subject::Agent { role, kind, tpm }, Proof::Evidence { evidence, activated }) => {
                let rules = self.role(role)?;
                if evidence.kind() != *kind {
                    return Err(evidence_failure("kind"));
                }
                let resident = match tpm {
                    None => None,
                    Some(keys) => {
                        let answer = activated.as_ref().map(|answer| answer.0.as_slice());
                        let credential = &challenge.credential;
                        let keys = self.collateral.complete(keys);
                        let resident =
                            quoting::resident(&keys, &self.shared.anchors, credential, answer, now);
                        Some(resident.map_err(evidence_failure)?)
                    }
                };
                let residency = resident.as_ref().map_or(Residency::NotATpm, Residency::Proven);
                let bound = statement::introduction(
                    &offered.challenge,
                    &offer_digest(&body.hello, &body.offer),
                    &body.identity,
                    role,
                    &self.shared.statement.vault_id,
                );
                let mut unused = ChainCache::new();
                let mut shared = self.shared.chains.of(evidence);
                let cache = shared.as_deref_mut().unwrap_or(&mut unused);
                let context = Context {
                    anchors: &self.shared.anchors,
                    collateral: &self.collateral,
                    now_unix_secs: now,
                };
                let appraisal = appraise(evidence, &bound, &rules.accept, residency, context, cache)
                    .map_err(|error| evidence_failure(error.code()))?;
                let facts = seen::facts(evidence, &appraisal, resident.as_ref())
                    .ok_or(evidence_failure("evidence.kind"))?;
                Ok(VerifiedSubject::Agent { role: role.clone(), appraisal: Box::new(appraisal), facts })
            }
            (Subject::Operator(name), Proof::OperatorKey) => {
                let pinned = self.shared.operators.iter().find(|operator| operator.name == *name);
                match pinned {
                    Some(operator) if operator.key == body.identity => {
                        Ok(VerifiedSubject::Operator(name.clone()))
                    }
                    _ => Err(RefusalCode::Possession.into()),
                }
            }
            (Subject::Agent { .. }, Proof::OperatorKey) | (Subject::Operator(_), Proof::Evidence { .. }) => {
                Err(RefusalCode::Malformed.into())
            }
        }
    }

    /// Steps 4 and 5.
    fn check_possession(
        &self,
        prove: &Prove,
        body: &ProveBody,
        offer: &Offer,
    ) -> Result<P256PublicKey, Failure> {
        let ours = P256PublicKey::from_spki(&self.shared.statement.signing_key)
            .map_err(|_| RefusalCode::Challenge)?;
        ours.verify(&offer_preimage(&body.hello, &offer.body), &offer.signature)
            .map_err(|_| RefusalCode::Challenge)?;
        let key = P256PublicKey::from_spki(&body.identity).map_err(|_| RefusalCode::Possession)?;
        key.verify(&prove_preimage(&prove.body), &prove.signature).map_err(|_| RefusalCode::Possession)?;
        Ok(key)
    }

    fn role(&self, name: &RoleName) -> Result<&Role, Failure> {
        self.roles.get(name).map(|role| &role.role).ok_or(evidence_failure("role"))
    }

    fn told(&self, subject: &Subject, failure: Failure) -> Refusal {
        let role = match subject {
            Subject::Agent { role, .. } => Some(role),
            Subject::Operator(_) => None,
        };
        told(&self.roles, role, failure)
    }
}

/// Names the rule only where the role's policy allows it.
pub(crate) fn told(roles: &Roles, role: Option<&RoleName>, failure: Failure) -> Refusal {
    let role = role.and_then(|role| roles.get(role));
    let names_rule = role.is_some_and(|role| role.role.refusals == RefusalDetail::NameRule);
    Refusal { code: failure.code, rule: failure.rule.filter(|_| names_rule).map(str::to_owned) }
}

fn claim(subject: &Subject, body: &ProveBody, rule: Option<&'static str>) -> Option<Claim> {
    let role = match subject {
        Subject::Agent { role, .. } => role.clone(),
        Subject::Operator(name) => name.as_str().parse().ok()?,
    };
    let evidence = match &body.proof {
        Proof::Evidence { evidence, .. } => sha256(&[&codec::encode(evidence).ok()?]),
        Proof::OperatorKey => [0; 32],
    };
    let key = P256PublicKey::from_spki(&body.identity).map_or(Vec::new(), |key| key.spki().to_vec());
    Some(Claim { role, key, evidence, rule: rule.map(str::to_owned) })
}
