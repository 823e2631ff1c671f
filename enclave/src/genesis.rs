//! The birth of a vault: a root key that never existed before, an authority, and the first record.

use vouchsafe_attestation::anchors::TrustAnchors;
use vouchsafe_authority::Authority;
use vouchsafe_crypto::digest::hkdf_sha256;
use vouchsafe_crypto::secret::Key32;
use vouchsafe_crypto::signature::{P256Key, P256PublicKey};
use vouchsafe_log::{Position, Rung, Tree};
use vouchsafe_protocol::anchors::AmdAnchors;
use vouchsafe_protocol::id::VaultId;
use vouchsafe_protocol::introduction::{InitRequest, VERSION};
use vouchsafe_protocol::kv::SecretValue;
use vouchsafe_protocol::limits::OPERATORS;
use vouchsafe_protocol::log::{Action, Actor, AuditEntry, Decision, PolicyRule};
use vouchsafe_protocol::refusal::{Refusal, RefusalCode};

use crate::boot::{BootRecord, PlatformName};
use crate::change::Change;
use crate::journal::{Journal, JournalStart};
use crate::keys;
use crate::ports::{self, Ports};
use crate::state::{State, vault_id_of};
use crate::statement::Unattested;

/// Mixes the platform's entropy with the ports' (H8).
const ROOT: &[u8] = b"vouchsafe/1/key/root";

/// A vault about to be: its root key waits to be sealed by the platform.
pub struct Genesis {
    request: InitRequest,
    platform: PlatformName,
    root: Key32,
    authority_key: P256Key,
    vault_id: VaultId,
}

impl Genesis {
    /// Checks the request and makes the keys. `entropy` comes from the platform and is mixed with the ports'.
    ///
    /// Rules: 1. version; 2. one to [`OPERATORS`] operators, names and keys distinct, keys P-256; 3. anchors that
    /// can be used; 4. a simulated platform only with simulated AMD anchors, and a real SNP platform never.
    ///
    /// # Errors
    /// [`RefusalCode::Version`] or [`RefusalCode::Init`] with the rule; [`RefusalCode::Busy`] without randomness.
    pub fn new(
        request: InitRequest,
        platform: PlatformName,
        entropy: &Key32,
        ports: &mut dyn Ports,
    ) -> Result<Self, Refusal> {
        if request.version != VERSION {
            return Err(RefusalCode::Version.into());
        }
        check_operators(&request)?;
        TrustAnchors::new(&request.anchors).map_err(|_| refused("init.anchors"))?;
        let simulated = matches!(request.anchors.amd, AmdAnchors::Simulated(_));
        match (platform, simulated) {
            (PlatformName::Sim, false) => {
                return Err(refused("init.simulated_platform_needs_simulated_anchors"));
            }
            (PlatformName::Snp, true) => return Err(refused("init.real_platform_refuses_simulated_anchors")),
            (PlatformName::Sim, true) | (PlatformName::Snp, false) | (PlatformName::Tpm, _) => {}
        }
        let busy = |_| Refusal::from(RefusalCode::Busy);
        let kernel = Key32::fill_with(|bytes| ports.random(bytes)).map_err(busy)?;
        let root = hkdf_sha256(&kernel, entropy.expose_secret(), &[ROOT]);
        let authority_key = ports.new_key().map_err(|_| Refusal::from(RefusalCode::Busy))?;
        let vault_id =
            vault_id_of(&authority_key.spki(), &request.anchors).map_err(|_| refused("init.anchors"))?;
        Ok(Self { request, platform, root, authority_key, vault_id })
    }

    /// The root key, for the platform to seal.
    #[must_use]
    pub fn root(&self) -> &Key32 {
        &self.root
    }

    /// Begins the vault's first epoch. `counter` is the platform's, read after sealing.
    ///
    /// # Errors
    /// [`RefusalCode::Busy`] without randomness.
    pub fn start(
        self,
        sealed_root: Vec<u8>,
        counter: Option<u64>,
        now: u64,
        ports: &mut dyn Ports,
    ) -> Result<(BootRecord, Unattested), Refusal> {
        let busy = || Refusal::from(RefusalCode::Busy);
        let authority_key = SecretValue::new(self.authority_key.expose_pkcs8().expose_secret().to_vec());
        let authority = Authority::create(self.authority_key, self.vault_id, now).map_err(|_| busy())?;
        let init = Change::Init {
            request: self.request,
            authority_key,
            authority: authority.certificate().to_vec(),
            counter_base: counter,
        };
        let state = State::from_init(&init).map_err(|_| refused("init.anchors"))?;
        let mut journal = Journal::start(JournalStart {
            vault_id: self.vault_id,
            rung: rung(counter),
            log_key: keys::log_key(&self.root).map_err(|_| busy())?,
            keys: &keys::stream_keys(&self.root),
            epoch: 1,
            writer: ports::array(ports).map_err(|_| busy())?,
            position: Position::default(),
            tree: Tree::default(),
        });
        let entry = AuditEntry {
            blind: ports::array(ports).map_err(|_| busy())?,
            at_secs: now,
            actor: Actor::Vault,
            request: None,
            action: Action::Init,
            decision: Decision::Allowed,
            rule: PolicyRule::None,
            lease: None,
        };
        journal.change(&entry, &init, None);
        let audit_key = keys::audit_key(&self.root);
        let unattested =
            Unattested::begin(state, journal, audit_key, self.platform, now, ports).map_err(|_| busy())?;
        let record = BootRecord { version: 1, platform: self.platform, sealed_root, vault_id: self.vault_id };
        Ok((record, unattested))
    }
}

/// The rung that a platform gives: R1 with a counter, else R0.
pub(crate) fn rung(counter: Option<u64>) -> Rung {
    if counter.is_some() { Rung::R1 } else { Rung::R0 }
}

fn check_operators(request: &InitRequest) -> Result<(), Refusal> {
    if request.operators.is_empty() || request.operators.len() > OPERATORS {
        return Err(refused("init.operator_count"));
    }
    for (index, operator) in request.operators.iter().enumerate() {
        P256PublicKey::from_spki(&operator.key).map_err(|_| refused("init.operator_key"))?;
        let others = request.operators.iter().skip(index + 1);
        if others.into_iter().any(|other| other.name == operator.name || other.key == operator.key) {
            return Err(refused("init.operator_twice"));
        }
    }
    Ok(())
}

fn refused(rule: &str) -> Refusal {
    Refusal { code: RefusalCode::Init, rule: Some(rule.to_owned()) }
}
