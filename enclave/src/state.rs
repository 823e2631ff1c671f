//! The state of a vault, and the one way to change it: applying a [`Change`], live and at a restart alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use vouchsafe_attestation::Collateral;
use vouchsafe_attestation::anchors::TrustAnchors;
use vouchsafe_authority::Authority;
use vouchsafe_crypto::digest::sha256;
use vouchsafe_crypto::secret::SecretBytes;
use vouchsafe_crypto::signature::P256Key;
use vouchsafe_crypto::transcript::vault_id_digest;
use vouchsafe_protocol::anchors::Anchors;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::id::{RoleName, VaultId, class_byte};
use vouchsafe_protocol::introduction::InitRequest;
use vouchsafe_protocol::policy::Role;
use vouchsafe_protocol::policy::grants::Grants;

use crate::change::{Admission, Change, Identity, MarkKind};
use crate::clocks::Clocks;
use crate::derive::Derive;
use crate::identities::Identities;
use crate::kv::Kv;
use crate::lease::Leases;
use crate::revocation::Revocations;
use crate::seen::Seen;
use crate::transit::Transit;

/// A change does not fit the state: the journal is not what this vault wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a change does not fit the state")]
pub(crate) struct Inconsistent;

/// Everything a vault knows.
pub(crate) struct State {
    pub vault_id: VaultId,
    pub request: InitRequest,
    pub anchors: Arc<TrustAnchors>,
    pub authority: Authority,
    /// The platform counter's value when the root key was sealed; its value is always this plus the mark.
    pub counter_base: Option<u64>,
    /// Begins and ends of epochs so far.
    pub mark: u64,
    pub last_mark: MarkKind,
    pub roles: Arc<Roles>,
    pub identities: Identities,
    pub leases: Leases,
    pub revocations: Revocations,
    /// Changes of roles since the start.
    pub policy_revision: u64,
    /// What the evidence of live identities showed.
    pub seen: Seen,
    /// What TPMs showed of their clocks.
    pub clocks: Clocks,
    /// Imported; shared with introductions under way, which go on with what they began with.
    pub collateral: Arc<Collateral>,
    pub kv: Kv,
    pub transit: Transit,
    pub derive: Derive,
}

/// Roles by name.
pub(crate) type Roles = BTreeMap<RoleName, CompiledRole>;

/// A role and its grants, parsed once.
pub(crate) struct CompiledRole {
    pub role: Role,
    pub grants: Grants,
    /// Identities from this number on were accepted by this very role, lower ones by what it was before.
    pub since: u64,
}

/// The id of the vault with this authority and these anchors.
pub(crate) fn vault_id_of(authority_spki: &[u8], anchors: &Anchors) -> Result<VaultId, Inconsistent> {
    let class = anchors.class();
    let digest = vault_id_digest(class_byte(class), authority_spki, &anchors_digest(anchors)?);
    Ok(VaultId { class, digest })
}

/// SHA-256 of the encoded anchors.
pub(crate) fn anchors_digest(anchors: &Anchors) -> Result<[u8; 32], Inconsistent> {
    Ok(sha256(&[&codec::encode(anchors).map_err(|_| Inconsistent)?]))
}

impl State {
    /// The state after a vault's first change, which must be its `Init`.
    pub fn from_init(change: &Change) -> Result<Self, Inconsistent> {
        let Change::Init { request, authority_key, authority, counter_base } = change else {
            return Err(Inconsistent);
        };
        let key = SecretBytes::new(authority_key.expose_secret().to_vec());
        let key = P256Key::from_pkcs8(key).map_err(|_| Inconsistent)?;
        let vault_id = vault_id_of(&key.spki(), &request.anchors)?;
        Ok(Self {
            vault_id,
            anchors: Arc::new(TrustAnchors::new(&request.anchors).map_err(|_| Inconsistent)?),
            request: request.clone(),
            authority: Authority::restore(key, authority.clone(), vault_id),
            counter_base: *counter_base,
            mark: 0,
            last_mark: MarkKind::End,
            roles: Arc::default(),
            identities: Identities::default(),
            leases: Leases::default(),
            revocations: Revocations::default(),
            policy_revision: 0,
            seen: Seen::default(),
            clocks: Clocks::default(),
            collateral: Arc::default(),
            kv: Kv::default(),
            transit: Transit::default(),
            derive: Derive::default(),
        })
    }

    /// Applies a change that was planned against this very state.
    ///
    /// Between an end and the next begin nothing can happen: what stood there could be cut off unnoticed.
    pub fn apply(&mut self, change: &Change) -> Result<(), Inconsistent> {
        let begins = matches!(change, Change::Mark { kind: MarkKind::Begin, .. });
        if self.last_mark == MarkKind::End && !begins {
            return Err(Inconsistent);
        }
        match change {
            Change::Init { .. } => return Err(Inconsistent),
            Change::Mark { mark, kind } => {
                if self.mark.checked_add(1) != Some(*mark) {
                    return Err(Inconsistent);
                }
                self.mark = *mark;
                self.last_mark = *kind;
            }
            Change::Identity(admission) => self.apply_identity(admission)?,
            Change::Roles(roles) => self.apply_roles(roles),
            Change::Kv(change) => self.kv.apply(change)?,
            Change::Transit(change) => self.transit.apply(change)?,
            Change::Derive(change) => self.derive.apply(change)?,
            Change::Collateral { items, at_unix_secs } => {
                let mut collateral = Collateral::clone(&self.collateral);
                for item in items {
                    collateral.add(item, &self.anchors, *at_unix_secs).map_err(|_| Inconsistent)?;
                }
                self.collateral = Arc::new(collateral);
            }
            Change::Revoke { identities } => {
                for number in identities {
                    self.identities.remove(*number);
                    self.seen.remove(*number);
                    self.revocations.left |= self.leases.rest_on(*number);
                }
            }
            Change::Lease { lease, with } => {
                if lease.lease.number != self.leases.next() {
                    return Err(Inconsistent);
                }
                self.leases.insert(lease, self.identities.next());
                if let Some(change) = with {
                    self.apply(change)?;
                }
            }
            Change::LeaseRenewed(renewed) => self.leases.renew(renewed, self.identities.next()),
            Change::LeaseRevoked { number } => self.leases.remove(*number),
            Change::LeasesEnded { last } => self.leases.remove_ended(*last),
            Change::Decision(decision) => self.revocations.add(decision.clone()),
            Change::Sweep => self.sweep(),
            Change::ForgetTpm { key } => {
                self.clocks.forget(key);
            }
        }
        Ok(())
    }

    fn apply_identity(&mut self, admission: &Admission) -> Result<(), Inconsistent> {
        let Admission { identity, seen } = admission;
        if identity.number != self.identities.next() {
            return Err(Inconsistent);
        }
        for ended in self.identities.forget_ended(identity.at_secs) {
            self.seen.remove(ended);
        }
        self.identities.insert(identity.clone());
        if let Some(clock) = identity.clock {
            self.clocks.remember(clock, identity.number);
        }
        if let Some(seen) = seen {
            self.seen.insert(seen);
        }
        Ok(())
    }

    /// Roles are shared with introductions under way, which go on with the ones they began with.
    fn apply_roles(&mut self, roles: &[Role]) {
        let next = self.identities.next();
        let compiled = |role: &Role, since| {
            let compiled = CompiledRole { role: role.clone(), grants: Grants::of(role), since };
            (role.name.clone(), compiled)
        };
        let mut all: Roles = self.roles.values().map(|kept| compiled(&kept.role, kept.since)).collect();
        for role in roles {
            // Only what is accepted, and how old it may get, is judged again.
            let asks = |role: &Role, other: &Role| {
                role.accept == other.accept && role.evidence_max_age_secs == other.evidence_max_age_secs
            };
            let same = all.get(&role.name).filter(|known| asks(&known.role, role));
            all.extend([compiled(role, same.map_or(next, |known| known.since))]);
        }
        self.roles = Arc::new(all);
        self.policy_revision += 1;
    }

    /// Numbers of live identities that were issued for the TPM with this attestation key, ascending.
    pub fn identities_of_tpm(&self, key: &[u8; 32]) -> Vec<u64> {
        let of_key = |identity: &&Identity| identity.clock.is_some_and(|clock| clock.key == *key);
        self.identities.iter().filter(of_key).map(|identity| identity.number).collect()
    }

    /// What the platform's counter must show at this mark.
    pub fn expected_counter(&self) -> Option<u64> {
        self.counter_base.and_then(|base| base.checked_add(self.mark))
    }

    /// SHA-256 over everything, in a fixed order: equal states have equal digests.
    pub fn digest(&self) -> [u8; 32] {
        let mut parts = Vec::new();
        let mut part = |bytes: &[u8]| vouchsafe_crypto::digest::push_lv(&mut parts, bytes);
        part(&self.vault_id.to_bytes());
        part(&self.mark.to_be_bytes());
        self.identities.digest_into(&mut part);
        self.leases.digest_into(&mut part);
        self.revocations.digest_into(&mut part);
        self.seen.encoded().for_each(&mut part);
        for (number, clock) in self.clocks.iter() {
            part(&number.to_be_bytes());
            part(&codec::encode(clock).unwrap_or_default());
        }
        let mut collateral: Vec<_> = self.collateral.list().map(|entry| entry.digest).collect();
        collateral.sort_unstable();
        collateral.iter().for_each(|digest| part(digest));
        for role in self.roles.values() {
            part(&codec::encode(&role.role).unwrap_or_default());
            part(&role.since.to_be_bytes());
        }
        self.kv.digest_into(&mut part);
        self.transit.digest_into(&mut part);
        self.derive.digest_into(&mut part);
        let parts = zeroize::Zeroizing::new(parts);
        sha256(&[&parts])
    }
}
