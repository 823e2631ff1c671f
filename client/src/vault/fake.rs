//! A vault for tests: real keys, simulated evidence, a real log. It does everything right; tests break it.

use std::sync::LazyLock;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SignatureAlgorithm,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use time::OffsetDateTime;
use vouchsafe_attestation::{StatementPreimage, statement};
use vouchsafe_crypto::secret::Key32;
use vouchsafe_crypto::signature::{LogKey, P256Key};
use vouchsafe_crypto::transcript;
use vouchsafe_log::{Checkpoint, Rung, Tree, leaf_hash, origin};
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors};
use vouchsafe_protocol::codec;
use vouchsafe_protocol::evidence::Evidence;
use vouchsafe_protocol::id::{AnchorClass, VaultId, class_byte};
use vouchsafe_protocol::introduction::{Grant, Offer, OfferBody, SignedVault, VERSION, VaultStatement};
use vouchsafe_protocol::limits::CHALLENGE_LEN;
use vouchsafe_protocol::link::StreamId;
use vouchsafe_protocol::log::{Action, Actor, AuditEntry, Decision, PolicyRule, Receipt};
use vouchsafe_protocol::policy::{LaunchDigest, Product, VaultPlatformPin};
use vouchsafe_simulation::SimulatedChip;

use crate::certificate::Authority;
use crate::clock::now_secs;
use crate::first_use;
use crate::identity::Identity;
use crate::pin::{Pin, Remembered, anchors_digest};

/// One chip for all tests of a process: its PKI takes a while to make.
pub(crate) static CHIP: LazyLock<SimulatedChip> =
    LazyLock::new(|| SimulatedChip::generate(Product::Genoa).unwrap());

pub(crate) const MEASUREMENT: LaunchDigest = LaunchDigest([0x5a; 48]);

pub(crate) struct FakeVault {
    pub(crate) authority_key: P256Key,
    pub(crate) authority: Vec<u8>,
    pub(crate) signing: P256Key,
    pub(crate) log: LogKey,
    pub(crate) anchors: Anchors,
    pub(crate) vault_id: VaultId,
    pub(crate) init_digest: [u8; 32],
    pub(crate) tree: Tree,
}

impl FakeVault {
    pub(crate) fn new() -> Self {
        let authority_key = P256Key::generate().unwrap();
        let anchors = Anchors { amd: AmdAnchors::Simulated(vec![CHIP.root()]), tpm: vec![] };
        let class = AnchorClass::Simulated;
        let digest = transcript::vault_id_digest(
            class_byte(class),
            &authority_key.spki(),
            &anchors_digest(&anchors).unwrap(),
        );
        let mut vault = Self {
            authority: self_signed(&authority_key, IsCa::Ca(BasicConstraints::Constrained(0))),
            authority_key,
            signing: P256Key::generate().unwrap(),
            log: LogKey::from_seed(&seed(&digest)).unwrap(),
            anchors,
            vault_id: VaultId { class, digest },
            init_digest: [3; 32],
            tree: Tree::default(),
        };
        vault.append(Actor::Vault, Action::Init);
        vault.append(Actor::Vault, Action::EpochBegin { epoch: 1 });
        vault
    }

    /// A second handle of this vault's log, to make receipts from: same vault, same key, same entries.
    pub(crate) fn same_log(&self) -> Self {
        let log = LogKey::from_seed(&seed(&self.vault_id.digest)).unwrap();
        let authority_key = P256Key::generate().unwrap();
        let (signing, tree) = (P256Key::generate().unwrap(), self.tree.clone());
        let (authority, anchors) = (self.authority.clone(), self.anchors.clone());
        let Self { vault_id, init_digest, .. } = *self;
        Self { authority_key, authority, signing, log, anchors, vault_id, init_digest, tree }
    }

    pub(crate) fn attest(&self, statement: &StatementPreimage) -> Evidence {
        Evidence::Snp(CHIP.attest(MEASUREMENT, &statement.snp_report_data()).unwrap())
    }

    pub(crate) fn statement(&self) -> VaultStatement {
        let signing = self.signing.spki();
        let log_key = self.log.public().0;
        let statement = statement::vault(
            &self.vault_id,
            &self.authority_key.spki(),
            &signing,
            &log_key,
            &self.init_digest,
        );
        let endorsed = transcript::signing_key_preimage(&self.vault_id.to_bytes(), &signing);
        VaultStatement {
            vault_id: self.vault_id,
            authority: self.authority.clone(),
            anchors_digest: anchors_digest(&self.anchors).unwrap(),
            endorsement: self.authority_key.sign(&endorsed).unwrap(),
            signing_key: signing,
            log_key,
            init_digest: self.init_digest,
            evidence: self.attest(&statement),
            checkpoint: self.checkpoint(),
        }
    }

    /// What a client that trusts this vault remembers of it.
    pub(crate) fn pin(&self) -> Pin {
        Pin {
            vault_id: self.vault_id,
            platform: self.platform(),
            anchors: self.anchors.clone(),
            log_key: Some(self.log.public().0),
            checkpoint: Some(self.remembered()),
        }
    }

    pub(crate) fn platform(&self) -> VaultPlatformPin {
        first_use::pin_of(&self.statement().evidence).unwrap()
    }

    pub(crate) fn remembered(&self) -> Remembered {
        Remembered { size: self.tree.size(), root: self.tree.root() }
    }

    /// An offer in answer to a hello; `change` comes before the signature.
    pub(crate) fn offer(&self, hello: &[u8], change: impl FnOnce(&mut OfferBody)) -> Offer {
        let mut body = OfferBody {
            version: VERSION,
            challenge: vec![9; CHALLENGE_LEN],
            vault: self.statement(),
            tpm: None,
        };
        change(&mut body);
        let body = codec::encode(&body).unwrap();
        let signature = self.signing.sign(&transcript::offer_preimage(hello, &body)).unwrap();
        Offer { body, signature }
    }

    pub(crate) fn init_done(&self, change: impl FnOnce(&mut VaultStatement)) -> SignedVault {
        let mut vault = self.statement();
        change(&mut vault);
        let preimage = transcript::init_done_preimage(&codec::encode(&vault).unwrap());
        SignedVault { vault, signature: self.signing.sign(&preimage).unwrap() }
    }

    /// Issues an identity for `spki` and logs it.
    pub(crate) fn grant(&mut self, spki: &[u8]) -> Grant {
        let action = Action::Introduce { key: spki.to_vec(), evidence: [1; 32], rule: None };
        let receipt = self.append(Actor::Unknown("billing".parse().unwrap()), action);
        Grant {
            certificate: self.identity_certificate(spki, &self.spiffe("/billing"), 3600),
            authority: self.authority.clone(),
            not_after_secs: now_secs() + 3600,
            evidence_until_secs: now_secs() + 3600,
            appraisal: "simulated".to_owned(),
            receipt,
        }
    }

    /// An identity that skipped the introduction.
    pub(crate) fn identity(&self) -> Identity {
        let key = P256Key::generate().unwrap();
        let certificate = self.identity_certificate(&key.spki(), &self.spiffe("/billing"), 3600);
        Identity::new(key, certificate, Authority::parse(&self.authority).unwrap())
    }

    pub(crate) fn spiffe(&self, path: &str) -> SanType {
        SanType::URI(format!("spiffe://{}{path}", self.vault_id.trust_domain()).try_into().unwrap())
    }

    pub(crate) fn identity_certificate(&self, spki: &[u8], name: &SanType, ttl_secs: i64) -> Vec<u8> {
        self.certificate(spki, vec![name.clone()], ExtendedKeyUsagePurpose::ClientAuth, ttl_secs)
    }

    pub(crate) fn server_certificate(&self, spki: &[u8]) -> Vec<u8> {
        let name = SanType::DnsName(self.vault_id.server_name().try_into().unwrap());
        self.certificate(spki, vec![name], ExtendedKeyUsagePurpose::ServerAuth, 3600)
    }

    pub(crate) fn certificate(
        &self,
        spki: &[u8],
        names: Vec<SanType>,
        usage: ExtendedKeyUsagePurpose,
        ttl_secs: i64,
    ) -> Vec<u8> {
        let mut params = params(ttl_secs);
        params.subject_alt_names = names;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let mut issuer = CertificateParams::default();
        issuer.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = Issuer::new(issuer, pair(&self.authority_key));
        params.signed_by(&Subject(spki), &issuer).unwrap().der().to_vec()
    }

    /// Appends an entry to the journal and returns its receipt.
    pub(crate) fn append(&mut self, actor: Actor, action: Action) -> Receipt {
        self.append_leased(actor, action, None)
    }

    /// The same, with the lease that it is about.
    pub(crate) fn append_leased(&mut self, actor: Actor, action: Action, lease: Option<u64>) -> Receipt {
        let entry = AuditEntry {
            blind: [0; 16],
            at_secs: now_secs(),
            actor,
            request: None,
            action,
            decision: Decision::Allowed,
            rule: PolicyRule::None,
            lease,
        };
        let entry = codec::encode(&entry).unwrap();
        let (stream, leaf_index, state_digest) = (StreamId::Journal, self.tree.size(), [8; 32]);
        self.tree.push(leaf_hash(stream, leaf_index, &entry, &state_digest));
        let proof = self.tree.inclusion_proof(leaf_index).unwrap();
        Receipt { stream, leaf_index, entry, state_digest, proof, checkpoint: self.checkpoint() }
    }

    pub(crate) fn checkpoint(&self) -> Vec<u8> {
        let origin = origin(&self.vault_id, StreamId::Journal);
        let checkpoint =
            Checkpoint { origin, size: self.tree.size(), root: self.tree.root(), rung: Rung::R0 };
        checkpoint.sign(&self.log)
    }
}

/// Every vault has its own log key.
fn seed(vault: &[u8; 32]) -> Key32 {
    Key32::take(&mut vault.clone()).unwrap()
}

/// A self-signed certificate, for an authority or for a host.
pub(crate) fn self_signed(key: &P256Key, is_ca: IsCa) -> Vec<u8> {
    let mut params = params(3600);
    if matches!(is_ca, IsCa::Ca(_)) {
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    }
    params.is_ca = is_ca;
    params.self_signed(&pair(key)).unwrap().der().to_vec()
}

fn params(ttl_secs: i64) -> CertificateParams {
    let now = OffsetDateTime::from_unix_timestamp(now_secs().try_into().unwrap()).unwrap();
    let mut params = CertificateParams::default();
    params.not_before = now - Duration::from_secs(7200);
    params.not_after = now + time::Duration::seconds(ttl_secs);
    params
}

fn pair(key: &P256Key) -> KeyPair {
    let der = PrivatePkcs8KeyDer::from(key.expose_pkcs8().expose_secret());
    KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256).unwrap()
}

/// A subject's key (SubjectPublicKeyInfo) as rcgen wants it: the point.
struct Subject<'a>(&'a [u8]);

impl PublicKeyData for Subject<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.0[26..]
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}
