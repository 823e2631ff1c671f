//! The signed request chains of sessions, from the log alone: that whoever held an identity's key asked for what
//! the log says it asked for.
//!
//! 1. A request has one place: no other entry has its number in its session.
//! 2. A head covers requests that this log has. In a log without a certain end, the last ones may be missing.
//! 3. Who signed a head also made the requests that it covers.
//! 4. The chain over those requests, from the session's start, is the signed one.
//! 5. Who signed was introduced.
//! 6. The signature is of the key that was introduced.

use std::collections::{BTreeMap, BTreeSet};

use vouchsafe_crypto::signature::P256PublicKey;
use vouchsafe_crypto::transcript::{chain_head_preimage, chain_link_of_digest};
use vouchsafe_protocol::id::OperatorName;
use vouchsafe_protocol::link::StreamId;
use vouchsafe_protocol::log::{Action, Actor, Decision};

use super::entry::{Placed, session_text};

/// Name of a session: the first 16 bytes of its chain's start.
type Session = [u8; 16];

/// A chain that is not as it was signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChainError {
    /// Step 1.
    #[error("request {number} of session {} is in the log twice", session_text(session))]
    Twice { session: Session, number: u64 },
    /// Step 2.
    #[error(
        "session {} signed {upto} requests, but request {missing} is not in the log",
        session_text(session)
    )]
    Missing { session: Session, upto: u64, missing: u64 },
    /// Step 3.
    #[error("request {number} of session {} is not of the one who signed it", session_text(session))]
    Actor { session: Session, number: u64 },
    /// Step 4.
    #[error(
        "the first {upto} requests of session {} are not the ones that were signed",
        session_text(session)
    )]
    Head { session: Session, upto: u64 },
    /// Step 5.
    #[error("session {} was signed by somebody who was never introduced", session_text(session))]
    NotIntroduced { session: Session },
    /// Step 6.
    #[error(
        "the signature over {upto} requests of session {} is not of the introduced key",
        session_text(session)
    )]
    Signature { session: Session, upto: u64 },
}

/// What was verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chains {
    /// Heads that verify.
    pub(crate) heads: usize,
    /// Requests that they cover.
    pub(crate) signed: usize,
    /// Requests that no head covers: their session ended, or still goes on, before it signed them.
    pub(crate) unsigned: usize,
    /// Heads over requests that this copy does not reach.
    pub(crate) beyond: usize,
}

/// Who a key belongs to: an agent's identity by its number, an operator by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    Identity(u64),
    Operator(OperatorName),
}

impl Holder {
    fn of(actor: &Actor) -> Option<Self> {
        match actor {
            Actor::Agent { role: _, identity, evidence: _, platform: _ } => Some(Self::Identity(*identity)),
            Actor::Operator(name) => Some(Self::Operator(name.clone())),
            Actor::Unknown(_) | Actor::Vault => None,
        }
    }
}

/// Verifies every head among `entries`; `closed` says whether the end of an access log is certain.
pub(crate) fn verify<'a>(
    entries: impl Iterator<Item = &'a Placed>,
    closed: impl Fn(StreamId) -> bool,
) -> Result<Chains, ChainError> {
    let mut requests: BTreeMap<Session, BTreeMap<u64, &Placed>> = BTreeMap::new();
    let mut keys: BTreeMap<Holder, Vec<&[u8]>> = BTreeMap::new();
    let mut heads = Vec::new();
    for placed in entries {
        if let Some(place) = placed.entry.request {
            // 1.
            let (session, number) = (place.session, place.number);
            if requests.entry(session).or_default().insert(number, placed).is_some() {
                return Err(ChainError::Twice { session, number });
            }
        }
        match &placed.entry.action {
            Action::ChainHead { start, upto, head, signature } => {
                heads.push((placed, Head { start, upto: *upto, head, signature }));
            }
            Action::Introduce { key, .. } if placed.entry.decision == Decision::Allowed => {
                if let Some(holder) = Holder::of(&placed.entry.actor) {
                    keys.entry(holder).or_default().push(key);
                }
            }
            _ => {}
        }
    }
    let mut chains = Chains::default();
    let mut links: BTreeMap<[u8; 32], Links<'_>> = BTreeMap::new();
    let mut covered: BTreeSet<(Session, u64)> = BTreeSet::new();
    heads.sort_by_key(|(_, head)| head.upto);
    for (placed, head) in heads {
        let session = session_name(head.start);
        let made = requests.get(&session);
        let chain = links.entry(*head.start).or_insert_with(|| Links::new(*head.start));
        // 2. to 4.
        if !chain.reach(head.upto, made, (&placed.entry.actor, &keys))? {
            if closed(placed.stream) {
                return Err(ChainError::Missing { session, upto: head.upto, missing: chain.last + 1 });
            }
            chains.beyond += 1;
            continue;
        }
        if chain.link != *head.head {
            return Err(ChainError::Head { session, upto: head.upto });
        }
        // 5.
        let known = Holder::of(&placed.entry.actor).and_then(|holder| keys.get(&holder));
        let known = known.ok_or(ChainError::NotIntroduced { session })?;
        // 6.
        let preimage = chain_head_preimage(head.upto, head.head);
        let signed = |spki: &&[u8]| {
            P256PublicKey::from_spki(spki).is_ok_and(|key| key.verify(&preimage, head.signature).is_ok())
        };
        if !known.iter().any(signed) {
            return Err(ChainError::Signature { session, upto: head.upto });
        }
        chains.heads += 1;
        covered.extend(chain.take().map(|number| (session, number)));
    }
    let all: usize = requests.values().map(BTreeMap::len).sum();
    chains.signed = covered.len();
    chains.unsigned = all.saturating_sub(covered.len());
    Ok(chains)
}

/// A signed head.
struct Head<'a> {
    start: &'a [u8; 32],
    upto: u64,
    head: &'a [u8; 32],
    signature: &'a [u8],
}

/// A session's chain as far as it is recomputed.
struct Links<'a> {
    session: Session,
    link: [u8; 32],
    /// Number of the last request in it.
    last: u64,
    /// Requests up to this one are covered by a head that verified.
    taken: u64,
    actor: Option<&'a Actor>,
}

impl<'a> Links<'a> {
    fn new(start: [u8; 32]) -> Self {
        Self { session: session_name(&start), link: start, last: 0, taken: 0, actor: None }
    }

    /// Goes on to request `upto`; false if one of them is missing.
    fn reach(
        &mut self,
        upto: u64,
        made: Option<&BTreeMap<u64, &'a Placed>>,
        (signer, keys): (&'a Actor, &BTreeMap<Holder, Vec<&[u8]>>),
    ) -> Result<bool, ChainError> {
        let session = self.session;
        if !same(self.actor.get_or_insert(signer), signer, keys) {
            return Err(ChainError::Actor { session, number: self.last });
        }
        while self.last < upto {
            let number = self.last + 1;
            let Some(placed) = made.and_then(|made| made.get(&number)) else { return Ok(false) };
            let Some(place) = placed.entry.request else { return Ok(false) };
            // 3.
            if !same(&placed.entry.actor, signer, keys) {
                return Err(ChainError::Actor { session, number });
            }
            self.link = chain_link_of_digest(&self.link, number, place.receipt, &place.digest);
            self.last = number;
        }
        Ok(true)
    }

    /// The requests that a head covers which none before it did.
    fn take(&mut self) -> impl Iterator<Item = u64> + use<> {
        let first = self.taken + 1;
        self.taken = self.last;
        first..=self.last
    }
}

/// Whether both are one: a session goes on when its agent is introduced again with the same key, for the same role.
fn same(one: &Actor, other: &Actor, keys: &BTreeMap<Holder, Vec<&[u8]>>) -> bool {
    let key = |actor: &Actor| Holder::of(actor).and_then(|holder| keys.get(&holder));
    match (one, other) {
        (Actor::Agent { role: one_role, .. }, Actor::Agent { role: other_role, .. }) => {
            one == other || (one_role == other_role && key(one).is_some() && key(one) == key(other))
        }
        _ => one == other,
    }
}

fn session_name(start: &[u8; 32]) -> Session {
    let mut name = [0; 16];
    name.iter_mut().zip(start).for_each(|(to, from)| *to = *from);
    name
}

#[cfg(test)]
mod tests;
