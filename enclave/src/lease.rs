//! Leases: what was handed out for a time, to whom, and until when. Each rests on an identity and ends with it.
//!
//! INVARIANT: whether a lease holds is asked of [`State::holds`] alone. An entry may outlive its lease; cleaning up is
//! journaled like any other change, so that a restart comes to the same state.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vouchsafe_protocol::id::RoleName;
use vouchsafe_protocol::lease::{Lease, LeaseEntry};
use vouchsafe_protocol::limits::{LEASES, LIST_PAGE};
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::policy::{Capability, LeaseTerms, Renewal, Role};
use vouchsafe_protocol::refusal::RefusalCode;

use crate::change::Identity;
use crate::state::State;

/// Entries that one step of cleaning up looks at: a few milliseconds.
pub(crate) const STEP: usize = 5_000;

/// All leases.
#[derive(Default)]
pub(crate) struct Leases {
    by_number: BTreeMap<u64, Entry>,
    /// When they end, soonest first.
    ends: BTreeSet<(u64, u64)>,
    /// Paths, once each.
    paths: HashSet<Arc<str>>,
    /// Roles, by the index that entries have, and how many leases each has.
    roles: Vec<(RoleName, u32)>,
    of_identity: HashMap<u64, u32>,
    last: u64,
}

/// One lease.
struct Entry {
    path: Arc<str>,
    identity: u64,
    role: u32,
    can: Capability,
    /// The first identity that would be issued after it was handed out or renewed.
    fresh_from: u64,
    until_secs: u64,
    end_secs: u64,
}

/// A lease that is handed out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NewLease {
    pub lease: Lease,
    pub path: Path,
    /// What it was handed out for: its renewal asks for the same.
    pub can: Capability,
    pub identity: u64,
    pub role: RoleName,
}

/// A lease that holds for longer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RenewedLease {
    pub lease: Lease,
    /// Of the same key and role as before.
    pub identity: u64,
}

impl Leases {
    /// The number that the next lease will get.
    pub fn next(&self) -> u64 {
        self.last + 1
    }

    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    pub fn knows(&self, number: u64) -> bool {
        self.by_number.contains_key(&number)
    }

    /// Whether some rest on this identity.
    pub fn rest_on(&self, identity: u64) -> bool {
        self.of_identity.contains_key(&identity)
    }

    /// When the next one ends, in seconds since 1970.
    pub fn first_end(&self) -> Option<u64> {
        self.ends.first().map(|(secs, _)| *secs)
    }

    /// End and number of the last of at most [`STEP`] that have ended by `now`.
    pub fn ended(&self, now: u64) -> Option<(u64, u64)> {
        self.ends.iter().take(STEP).take_while(|(secs, _)| *secs <= now).last().copied()
    }

    /// `fresh_from` is the number that the next identity will get.
    pub fn insert(&mut self, new: &NewLease, fresh_from: u64) {
        let NewLease { lease: Lease { number, until_secs, end_secs }, path, can, identity, role } = new;
        let role = self.role_index(role);
        if let Some((_, count)) = self.roles.get_mut(role) {
            *count += 1;
        }
        let entry = Entry {
            path: self.interned(path),
            identity: *identity,
            role: u32::try_from(role).unwrap_or(u32::MAX),
            can: *can,
            fresh_from,
            until_secs: *until_secs,
            end_secs: *end_secs,
        };
        self.last = self.last.max(*number);
        self.ends.insert((*until_secs, *number));
        *self.of_identity.entry(*identity).or_default() += 1;
        self.by_number.insert(*number, entry);
    }

    /// `fresh_from` as in [`Self::insert`].
    pub fn renew(&mut self, renewed: &RenewedLease, fresh_from: u64) {
        let RenewedLease { lease: Lease { number, until_secs, end_secs: _ }, identity } = renewed;
        let Some(entry) = self.by_number.get_mut(number) else { return };
        self.ends.remove(&(entry.until_secs, *number));
        self.ends.insert((*until_secs, *number));
        let before = std::mem::replace(&mut entry.identity, *identity);
        (entry.until_secs, entry.fresh_from) = (*until_secs, fresh_from);
        self.count_off(before);
        *self.of_identity.entry(*identity).or_default() += 1;
    }

    /// Removes what ends no later than this one.
    pub fn remove_ended(&mut self, last: (u64, u64)) {
        while let Some(first) = self.ends.first().copied().filter(|first| *first <= last) {
            self.ends.remove(&first);
            self.remove(first.1);
        }
    }

    /// Looks at up to [`STEP`] leases from a number on, removes those that `goes` says by number, path and identity,
    /// and tells where to go on, if there are more.
    pub fn sweep(&mut self, from: u64, goes: impl Fn(u64, &str, u64) -> bool) -> Option<u64> {
        let mut looked_at = 0;
        let mut last = from;
        let mut gone = Vec::new();
        for (number, entry) in self.by_number.range(from..).take(STEP) {
            looked_at += 1;
            last = *number;
            if goes(*number, &entry.path, entry.identity) {
                gone.push(*number);
            }
        }
        gone.into_iter().for_each(|number| self.remove(number));
        (looked_at == STEP).then_some(last + 1)
    }

    pub fn remove(&mut self, number: u64) {
        let Some(entry) = self.by_number.remove(&number) else { return };
        self.ends.remove(&(entry.until_secs, number));
        self.count_off(entry.identity);
        if let Some((_, count)) = usize::try_from(entry.role).ok().and_then(|role| self.roles.get_mut(role)) {
            *count -= 1;
        }
        // The set has one, this entry the other.
        if Arc::strong_count(&entry.path) == 2 {
            self.paths.remove(&entry.path);
        }
    }

    fn count_off(&mut self, identity: u64) {
        if let Some(count) = self.of_identity.get_mut(&identity) {
            *count -= 1;
            if *count == 0 {
                self.of_identity.remove(&identity);
            }
        }
    }

    fn interned(&mut self, path: &Path) -> Arc<str> {
        if let Some(known) = self.paths.get(path.as_str()) {
            return known.clone();
        }
        let new: Arc<str> = path.as_str().into();
        self.paths.insert(new.clone());
        new
    }

    fn role_index(&mut self, role: &RoleName) -> usize {
        self.roles.iter().position(|(known, _)| known == role).unwrap_or_else(|| {
            self.roles.push((role.clone(), 0));
            self.roles.len() - 1
        })
    }

    fn of_role(&self, role: &RoleName) -> u32 {
        self.roles.iter().find(|(known, _)| known == role).map_or(0, |(_, count)| *count)
    }

    fn told(&self, number: u64, entry: &Entry) -> Option<LeaseEntry> {
        let (role, _) = self.roles.get(usize::try_from(entry.role).ok()?)?;
        Some(LeaseEntry {
            lease: Lease { number, until_secs: entry.until_secs, end_secs: entry.end_secs },
            path: entry.path.parse().ok()?,
            identity: entry.identity,
            role: role.clone(),
        })
    }

    /// Feeds everything to a digest of the state, each part framed.
    pub fn digest_into(&self, part: &mut dyn FnMut(&[u8])) {
        part(&self.last.to_be_bytes());
        for (number, entry) in &self.by_number {
            let Entry { path, identity, role, can, fresh_from, until_secs, end_secs } = entry;
            part(path.as_bytes());
            part(&role.to_be_bytes());
            part(&[*can as u8]);
            for value in [number, identity, fresh_from, until_secs, end_secs] {
                part(&value.to_be_bytes());
            }
        }
    }
}

impl State {
    /// The terms of a lease on a path for an identity, by the rule that allowed it.
    ///
    /// # Errors
    /// [`RefusalCode::Quota`].
    pub fn plan_lease(
        &self,
        identity: &Identity,
        role: &Role,
        (path, can): (&Path, Capability),
        terms: LeaseTerms,
        now: u64,
    ) -> Result<Option<NewLease>, RefusalCode> {
        let LeaseTerms::Lease { ttl_secs, max_secs, renewal: _ } = terms else { return Ok(None) };
        let held = self.leases.of_identity.get(&identity.number).copied().unwrap_or(0);
        let all = u32::try_from(self.leases.len()).unwrap_or(u32::MAX);
        if held >= role.leases_per_identity || self.leases.of_role(&role.name) >= role.leases || all >= LEASES
        {
            return Err(RefusalCode::Quota);
        }
        let end_secs = now.saturating_add(u64::from(max_secs));
        let old_at = self.evidence_end(identity);
        let until_secs = now.saturating_add(u64::from(ttl_secs)).min(old_at);
        let lease = Lease { number: self.leases.next(), until_secs, end_secs };
        let (path, role) = (path.clone(), role.name.clone());
        Ok(Some(NewLease { lease, path, can, identity: identity.number, role }))
    }

    /// Whether a lease holds: it has not ended, nothing revoked it, and neither is the identity that it rests on.
    fn holds(&self, number: u64, entry: &Entry, now: u64) -> bool {
        let identity = self.identities.get(entry.identity);
        entry.until_secs > now
            && identity.is_some_and(|identity| !self.revocations.end_identity(identity))
            && !self.revocations.end_lease(number, &entry.path)
    }

    /// Whether an identity is of the key and the role that hold a lease: the one that it rests on, or one before or
    /// after it.
    fn is_own(&self, entry: &Entry, of: &Identity) -> bool {
        self.identities.get(entry.identity).is_some_and(|holder| holder.is_of_holder_of(of))
    }

    /// A lease that an identity's key and role hold. Somebody else's is as good as none.
    fn own_lease(&self, number: u64, of: &Identity, now: u64) -> Result<&Entry, RefusalCode> {
        let entry = self.leases.by_number.get(&number);
        let own = entry.filter(|entry| self.is_own(entry, of) && self.holds(number, entry, now));
        own.ok_or(RefusalCode::NotFound)
    }

    /// The path of a lease that an identity's key and role hold, and what was handed out.
    ///
    /// # Errors
    /// [`RefusalCode::NotFound`].
    pub fn leased(&self, number: u64, of: &Identity, now: u64) -> Result<(Path, Capability), RefusalCode> {
        let entry = self.own_lease(number, of, now)?;
        Ok((entry.path.parse().map_err(|_| RefusalCode::Path)?, entry.can))
    }

    /// A lease made to hold for another period, by terms that are in force now, resting on `newest`.
    ///
    /// # Errors
    /// [`RefusalCode::NotFound`] unless its key and role hold it; [`RefusalCode::LeaseEnd`] at its end;
    /// [`RefusalCode::EvidenceExpired`] if its rule asks for evidence younger than its last renewal;
    /// [`RefusalCode::Denied`] if nothing on this path is leased any more.
    pub fn plan_renewal(
        &self,
        number: u64,
        newest: &Identity,
        terms: LeaseTerms,
        now: u64,
    ) -> Result<RenewedLease, RefusalCode> {
        let entry = self.own_lease(number, newest, now)?;
        let LeaseTerms::Lease { ttl_secs, max_secs: _, renewal } = terms else {
            return Err(RefusalCode::Denied);
        };
        if renewal == Renewal::FreshEvidence && newest.number < entry.fresh_from {
            return Err(RefusalCode::EvidenceExpired);
        }
        let wished = now.saturating_add(u64::from(ttl_secs));
        if wished > entry.until_secs && entry.until_secs >= entry.end_secs {
            return Err(RefusalCode::LeaseEnd);
        }
        // What was promised is not shortened; but a change of policy may let the new evidence get less old.
        let resting = self.identities.get(entry.identity).filter(|before| before.number > newest.number);
        let newest = resting.unwrap_or(newest);
        let old_at = self.evidence_end(newest);
        let until_secs = wished.min(entry.end_secs).max(entry.until_secs).min(old_at);
        let lease = Lease { number, until_secs, end_secs: entry.end_secs };
        Ok(RenewedLease { lease, identity: newest.number })
    }

    /// A page of leases that hold, of one key and role or of all, and after which number to go on, if there are more to
    /// look at.
    pub fn list_leases(&self, after: u64, of: Option<&Identity>, now: u64) -> (Vec<LeaseEntry>, Option<u64>) {
        let told = |entry: &Entry| of.is_none_or(|of| self.is_own(entry, of));
        // Somebody with few leases among many must not make everybody wait: a page also ends after a step.
        let mut looked_at = self.leases.by_number.range(after.saturating_add(1)..).take(STEP);
        let (mut page, mut last) = (Vec::new(), after);
        while page.len() < LIST_PAGE
            && let Some((number, entry)) = looked_at.next()
        {
            last = *number;
            if told(entry) && self.holds(*number, entry, now) {
                page.extend(self.leases.told(*number, entry));
            }
        }
        let more = self.leases.by_number.range(last.saturating_add(1)..).next().is_some();
        (page, more.then_some(last))
    }
}
