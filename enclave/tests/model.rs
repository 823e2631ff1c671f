//! The core against a plain, slow reference model: random histories of requests, crashes, replays and rollbacks.
//!
//! `VOUCHSAFE_HISTORIES` (default 10,000) histories run from `VOUCHSAFE_SEED` on (default: a new one each run). A
//! failure prints its seed and its events; `VOUCHSAFE_SEED=<seed> VOUCHSAFE_HISTORIES=1` runs it again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "test helpers; clippy exempts only the tests themselves"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use support::*;
use vouchsafe_enclave::{Durable, Pending, RestoreError};
use vouchsafe_protocol::collateral::CollateralItem;
use vouchsafe_protocol::kv::{Cas, KvReply, KvRequest, KvState};
use vouchsafe_protocol::limits::KV_VERSIONS;
use vouchsafe_protocol::link::StorageReply;
use vouchsafe_protocol::policy::Capability;
use vouchsafe_protocol::refusal::RefusalCode;
use vouchsafe_protocol::session::{AgentFrame, Outcome, Reply, Request};
use vouchsafe_simulation::CrlSpec;

const STEPS: usize = 24;
const PATHS: [&str; 5] = ["kv/web/a", "kv/web/b", "kv/web/b/c", "kv/secret", "kv/ops/x"];

/// What a secret is, said as plainly as possible.
#[derive(Clone, Debug, Default, PartialEq)]
struct Reference {
    secrets: BTreeMap<String, Vec<(u64, KvState, Vec<u8>)>>,
    /// What the role `web` may do below `kv/web`.
    may: Vec<Capability>,
    /// Which of [`LISTS`] was imported.
    list: Option<usize>,
}

/// Revocation lists, each younger than the one before.
static LISTS: LazyLock<[Vec<u8>; 3]> =
    LazyLock::new(|| [1, 2, 3].map(|age| FLEET.0.crl(&CrlSpec::fresh(START - 1000 + 100 * age)).unwrap()));

/// What the reference answers.
#[derive(Debug, PartialEq)]
enum Expected {
    Refused(RefusalCode),
    Value(u64, Vec<u8>),
    Written(u64),
    Names(Vec<String>),
    Metadata(u64, Vec<(u64, KvState)>),
    Changed,
    Done,
    /// Imported, or there already; and how many things are kept of it.
    Imported(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Agent,
    Operator,
}

/// A request as the reference understands it.
#[derive(Clone, Debug)]
enum Ask {
    Put(&'static str, Vec<u8>, Option<u64>),
    Get(&'static str, Option<u64>),
    Delete(&'static str, Vec<u64>),
    Undelete(&'static str, Vec<u64>),
    Destroy(&'static str, Vec<u64>),
    List(&'static str),
    Metadata(&'static str),
    Role(Vec<Capability>),
    /// A revocation list of [`LISTS`], or one that is none.
    Import(usize),
}

impl Ask {
    fn random(rng: &mut StdRng) -> Self {
        let path = PATHS.choose(rng).unwrap();
        let version = |rng: &mut StdRng| rng.random_range(0..5u64);
        let versions =
            |rng: &mut StdRng| (0..rng.random_range(0..3)).map(|_| rng.random_range(0..4)).collect();
        match rng.random_range(0..22) {
            0..6 => {
                let value = (0..rng.random_range(0..9)).map(|_| rng.random()).collect();
                let cas = rng.random_bool(0.5).then(|| version(rng));
                Self::Put(path, value, cas)
            }
            6..11 => Self::Get(path, rng.random_bool(0.4).then(|| version(rng))),
            11 | 12 => Self::Delete(path, versions(rng)),
            13 => Self::Undelete(path, versions(rng)),
            14 => Self::Destroy(path, versions(rng)),
            15 | 16 => Self::List(["kv", "kv/web", "kv/web/b", "kv/none"].choose(rng).unwrap()),
            17 | 18 => Self::Metadata(path),
            19 | 20 => Self::Import(rng.random_range(0..=LISTS.len())),
            _ => Self::Role(ALL.iter().copied().filter(|_| rng.random_bool(0.7)).collect()),
        }
    }

    fn request(&self) -> Request {
        let path = |text: &str| text.parse().unwrap();
        Request::Kv(match self {
            Self::Put(at, value, cas) => {
                return put(at, value, cas.map_or(Cas::Any, Cas::Version));
            }
            Self::Get(at, version) => KvRequest::Get { path: path(at), version: *version },
            Self::Delete(at, versions) => KvRequest::Delete { path: path(at), versions: versions.clone() },
            Self::Undelete(at, versions) => {
                KvRequest::Undelete { path: path(at), versions: versions.clone() }
            }
            Self::Destroy(at, versions) => KvRequest::Destroy { path: path(at), versions: versions.clone() },
            Self::List(at) => KvRequest::List { prefix: path(at), after: None },
            Self::Metadata(at) => KvRequest::Metadata { path: path(at) },
            Self::Role(may) => return Request::RoleApply(vec![web(may)]),
            Self::Import(which) => {
                let list = LISTS.get(*which).cloned().unwrap_or_else(|| vec![0x30, 0]);
                return Request::CollateralImport(vec![CollateralItem::AmdCrl(list)]);
            }
        })
    }

    fn needs(&self) -> (Capability, &'static str) {
        match self {
            Self::Put(at, ..) => (Capability::Write, at),
            Self::Get(at, _) => (Capability::Read, at),
            Self::Delete(at, _) | Self::Undelete(at, _) => (Capability::Delete, at),
            Self::Destroy(at, _) => (Capability::Destroy, at),
            Self::List(at) | Self::Metadata(at) => (Capability::List, at),
            Self::Role(_) | Self::Import(_) => (Capability::Write, ""),
        }
    }
}

fn web(may: &[Capability]) -> vouchsafe_protocol::policy::Role {
    let none: &[Capability] = &[Capability::List];
    role("web", &[("kv/web/*", if may.is_empty() { none } else { may })])
}

impl Reference {
    fn allows(&self, who: Who, ask: &Ask) -> bool {
        let (capability, at) = ask.needs();
        match (who, ask) {
            (Who::Operator, Ask::Role(_) | Ask::Import(_)) => true,
            (Who::Agent, Ask::Role(_) | Ask::Import(_)) => false,
            (Who::Operator, _) => capability != Capability::Read,
            (Who::Agent, Ask::List(_)) => {
                self.may.contains(&capability) && (at == "kv/web" || at.starts_with("kv/web/"))
            }
            (Who::Agent, _) => self.may.contains(&capability) && at.starts_with("kv/web/"),
        }
    }

    fn answer(&mut self, who: Who, ask: &Ask) -> Expected {
        if !self.allows(who, ask) {
            return Expected::Refused(RefusalCode::Denied);
        }
        self.serve(ask).unwrap_or_else(Expected::Refused)
    }

    fn serve(&mut self, ask: &Ask) -> Result<Expected, RefusalCode> {
        match ask {
            Ask::Put(at, value, cas) => {
                let versions = self.secrets.get(*at).cloned().unwrap_or_default();
                let current = versions.last().map_or(0, |version| version.0);
                if cas.is_some_and(|expected| expected != current) {
                    return Err(RefusalCode::CasMismatch);
                }
                let versions = self.secrets.entry((*at).to_owned()).or_default();
                versions.push((current + 1, KvState::Live, value.clone()));
                if versions.len() > KV_VERSIONS {
                    versions.remove(0);
                }
                Ok(Expected::Written(current + 1))
            }
            Ask::Get(at, version) => {
                let versions = self.secrets.get(*at).ok_or(RefusalCode::NotFound)?;
                let found = match version {
                    None => versions.last(),
                    Some(number) => versions.iter().find(|version| version.0 == *number),
                };
                match found.ok_or(RefusalCode::NotFound)? {
                    (number, KvState::Live, value) => Ok(Expected::Value(*number, value.clone())),
                    (_, KvState::Deleted, _) => Err(RefusalCode::Deleted),
                    (_, KvState::Destroyed, _) => Err(RefusalCode::Destroyed),
                }
            }
            Ask::Delete(at, numbers) => {
                let current = self.secrets.get(*at).ok_or(RefusalCode::NotFound)?.last().unwrap().0;
                let numbers = if numbers.is_empty() { &vec![current] } else { numbers };
                self.mark(at, numbers, KvState::Deleted)
            }
            Ask::Undelete(at, numbers) => self.mark(at, numbers, KvState::Live),
            Ask::Destroy(at, numbers) => self.mark(at, numbers, KvState::Destroyed),
            Ask::List(at) => {
                let below = format!("{at}/");
                let mut names: Vec<String> = Vec::new();
                for path in self.secrets.keys() {
                    let Some(rest) = path.strip_prefix(&below) else { continue };
                    let name = rest.split_once('/').map_or(rest.to_owned(), |(first, _)| format!("{first}/"));
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
                Ok(Expected::Names(names))
            }
            Ask::Metadata(at) => {
                let versions = self.secrets.get(*at).ok_or(RefusalCode::NotFound)?;
                let states = versions.iter().map(|version| (version.0, version.1)).collect();
                Ok(Expected::Metadata(versions.last().unwrap().0, states))
            }
            Ask::Import(which) if *which >= LISTS.len() || self.list > Some(*which) => {
                Err(RefusalCode::Collateral)
            }
            Ask::Import(which) => {
                self.list = Some(*which);
                Ok(Expected::Imported(1))
            }
            Ask::Role(may) => {
                self.may = if may.is_empty() { vec![Capability::List] } else { may.clone() };
                Ok(Expected::Done)
            }
        }
    }

    fn mark(&mut self, at: &str, numbers: &[u64], state: KvState) -> Result<Expected, RefusalCode> {
        let versions = self.secrets.get_mut(at).ok_or(RefusalCode::NotFound)?;
        let known = numbers.iter().all(|number| versions.iter().any(|version| version.0 == *number));
        if numbers.is_empty() || !known {
            return Err(RefusalCode::NotFound);
        }
        let named = || versions.iter().filter(|version| numbers.contains(&version.0));
        if state != KvState::Destroyed && named().any(|version| version.1 == KvState::Destroyed) {
            return Err(RefusalCode::Destroyed);
        }
        versions
            .iter_mut()
            .filter(|version| numbers.contains(&version.0))
            .for_each(|version| version.1 = state);
        Ok(Expected::Changed)
    }
}

fn seen(outcome: Outcome) -> Expected {
    match outcome {
        Outcome::Refused(refusal) => Expected::Refused(refusal.code),
        Outcome::Done(Reply::Collateral { entries, more: false }) => Expected::Imported(entries.len()),
        Outcome::Done(Reply::Done) => Expected::Done,
        Outcome::Done(Reply::Kv(KvReply::Changed)) => Expected::Changed,
        Outcome::Done(Reply::Kv(KvReply::Written { version })) => Expected::Written(version),
        Outcome::Done(Reply::Kv(KvReply::Names { names, .. })) => Expected::Names(names),
        Outcome::Done(Reply::Kv(KvReply::Value { version, value, .. })) => {
            Expected::Value(version, value.expose_secret().to_vec())
        }
        Outcome::Done(Reply::Kv(KvReply::Metadata(known))) => {
            let versions = known.versions.iter().map(|version| (version.version, version.state)).collect();
            Expected::Metadata(known.current, versions)
        }
        Outcome::Done(other) => panic!("{other:?}"),
    }
}

/// A vault beside its reference, and everything that is under way.
struct World {
    vault: Option<Vault>,
    reference: Reference,
    /// The reference after each leaf of the journal, so that a crash can be followed.
    past: BTreeMap<u64, Reference>,
    agent: Identity,
    operator: Identity,
    sessions: [Option<Session>; 2],
    waiting: Vec<(Answer, Expected)>,
    /// Leaves that an answered request rests on.
    acknowledged: u64,
    /// Copies that the adversary kept, each with the counter's value when it was taken.
    copies: Vec<Machine>,
}

impl World {
    fn new() -> Self {
        let mut vault = Vault::create();
        let operator = vault.introduce_operator();
        let mut session = vault.open(&operator).unwrap();
        vault.outcome(&mut session, &operator, &Request::RoleApply(vec![web(ALL)])).unwrap();
        let agent = vault.introduce("web").unwrap();
        let agent_session = vault.open(&agent).unwrap();
        let reference = Reference { may: ALL.to_vec(), ..Reference::default() };
        let mut world = Self {
            sessions: [Some(agent_session), Some(session)],
            vault: Some(vault),
            reference,
            past: BTreeMap::new(),
            agent,
            operator,
            waiting: Vec::new(),
            acknowledged: 0,
            copies: Vec::new(),
        };
        world.remember();
        world.acknowledged = world.leaves();
        world
    }

    fn vault(&mut self) -> &mut Vault {
        self.vault.as_mut().unwrap()
    }

    /// Leaves of the journal, those that wait included.
    fn leaves(&mut self) -> u64 {
        let operator = self.status_session();
        let (vault, identity) = (self.vault.as_mut().unwrap(), &self.operator);
        let mut session = operator;
        match vault.ask(&mut session, identity, &Request::Status, false) {
            Ok(answer) => {
                vault.store();
                match answer.response(&vault.durable).outcome {
                    Outcome::Done(Reply::Status(status)) => {
                        vault.core.close_session(session.id);
                        status.journal_size
                    }
                    other => panic!("{other:?}"),
                }
            }
            Err(end) => panic!("{}", end.refusal),
        }
    }

    fn status_session(&mut self) -> Session {
        let operator = &self.operator;
        self.vault.as_mut().unwrap().open(operator).unwrap()
    }

    fn remember(&mut self) {
        let leaves = self.leaves();
        self.past.insert(leaves, self.reference.clone());
    }

    fn ask(&mut self, who: Who, ask: &Ask) {
        let before = self.vault().core.state_digest();
        let list_before = self.reference.list;
        let expected = self.reference.answer(who, ask);
        let imported = self.reference.list != list_before;
        let vault = self.vault.as_mut().unwrap();
        let (identity, slot) = match who {
            Who::Agent => (&self.agent, 0),
            Who::Operator => (&self.operator, 1),
        };
        if self.sessions[slot].is_none() {
            self.sessions[slot] = Some(vault.open(identity).unwrap());
        }
        let session = self.sessions[slot].as_mut().unwrap();
        let answer = vault
            .ask(session, identity, &ask.request(), false)
            .unwrap_or_else(|end| panic!("{}", end.refusal));
        let refused_or_look = match &expected {
            Expected::Written(_) | Expected::Changed | Expected::Done => false,
            Expected::Imported(_) => !imported,
            _ => true,
        };
        if refused_or_look {
            assert_eq!(
                vault.core.state_digest(),
                before,
                "V3: a refused request or a read changed the state"
            );
        } else {
            self.note_change();
        }
        self.waiting.push((answer, expected));
    }

    /// A change is one leaf; the reference after it is what a crash may lead back to.
    fn note_change(&mut self) {
        let (last, _) = self.past.last_key_value().unwrap();
        let next = last + 1;
        self.past.insert(next, self.reference.clone());
    }

    /// Stores what waits, and checks every answer that this frees.
    fn commit(&mut self) {
        let vault = self.vault.as_mut().unwrap();
        let before = vault.durable;
        self.waiting.iter().for_each(|(answer, _)| uncovered(&answer.pending, &before));
        vault.store();
        let durable = vault.durable;
        for (answer, expected) in self.waiting.drain(..) {
            assert_eq!(seen(answer.response(&durable).outcome), expected);
        }
        self.acknowledged = *self.past.last_key_value().unwrap().0;
    }

    /// The enclave dies; of what it handed out, all or nothing was stored, and nobody was told.
    fn crash(&mut self, rng: &mut StdRng) {
        let mut vault = self.vault.take().unwrap();
        let mut stored = self.acknowledged;
        if rng.random_bool(0.5)
            && let Some(cut) = vault.core.cut().unwrap()
        {
            if rng.random_bool(0.5) {
                stored = *self.past.last_key_value().unwrap().0;
                vault.machine.take(cut.appends);
            } else {
                assert!(cut.ticket.stored(&StorageReply::Heads(Vec::new())).is_err());
            }
        }
        self.revive(vault.crash(), stored);
    }

    fn restart(&mut self) {
        self.commit();
        let mut vault = self.vault.take().unwrap();
        // Half the time somebody asks after the end: nobody is served any more.
        if let Some(session) = self.sessions[0].as_mut() {
            let mut ended = Vault { machine: vault.machine.copy(), ..vault };
            ended.core.end(ended.now, &mut vouchsafe_enclave::KernelPorts).unwrap();
            let late = ended.ask(session, &self.agent, &Ask::Get(PATHS[0], None).request(), false);
            assert_eq!(late.err().map(|end| end.refusal.code), Some(RefusalCode::Busy));
            ended.store();
            ended.machine.counter = ended.core.expected_counter();
            vault = ended.crash();
        } else {
            vault = vault.restart();
        }
        // The end mark is a leaf as well.
        let (&last, reference) = self.past.last_key_value().unwrap();
        let reference = reference.clone();
        self.past.insert(last + 1, reference);
        self.revive(vault, last + 1);
    }

    /// After a restart the state must be the reference's after exactly the leaves that were stored.
    fn revive(&mut self, vault: Vault, stored: u64) {
        self.vault = Some(vault);
        self.sessions = [None, None];
        self.waiting.clear();
        self.reference = self.past.get(&stored).expect("a known point").clone();
        assert!(stored >= self.acknowledged, "an acknowledged write was lost");
        self.past.retain(|leaves, _| *leaves <= stored);
        // The begin mark is a leaf as well.
        self.past.insert(stored + 1, self.reference.clone());
        assert_eq!(self.leaves(), stored + 1, "the journal has the leaves that were stored");
        self.acknowledged = stored + 1;
        self.compare();
    }

    /// Reads everything through sessions and compares.
    fn compare(&mut self) {
        for path in PATHS {
            for ask in [Ask::Metadata(path), Ask::Get(path, None)] {
                for who in [Who::Operator, Who::Agent] {
                    self.ask(who, &ask);
                }
            }
        }
        self.commit();
    }

    /// Signs both chains, as agents do before time passes.
    fn sign_all(&mut self) {
        let vault = self.vault.as_mut().unwrap();
        let identities = [&self.agent, &self.operator];
        for (session, identity) in self.sessions.iter_mut().zip(identities) {
            if let Some(session) = session.as_mut().filter(|session| session.unsigned > 0) {
                vault.sign(session, identity).unwrap_or_else(|end| panic!("{}", end.refusal));
            }
        }
    }

    /// Sends a session's last frame again: the chain refuses it and the session is over.
    fn replay_frame(&mut self, who: Who) {
        let slot = if who == Who::Agent { 0 } else { 1 };
        let vault = self.vault.as_mut().unwrap();
        if let Some(session) = self.sessions[slot].take() {
            let body = vouchsafe_protocol::codec::encode(&Request::RoleList).unwrap();
            let number = session.next.saturating_sub(1);
            let frame =
                AgentFrame::Request { number, link: session.head, receipt: false, body: &body }.to_bytes();
            let before = vault.core.state_digest();
            let end = vault.core.frame(session.id, &frame, vault.now, &mut vouchsafe_enclave::KernelPorts);
            let Err(end) = end else { panic!("a replayed frame was taken") };
            assert_eq!(end.refusal.code, RefusalCode::Chain);
            assert_eq!(vault.core.state_digest(), before);
            vault.core.close_session(session.id);
        }
    }

    /// Sends the proof of an identity again.
    fn replay_proof(&mut self) {
        self.commit();
        let vault = self.vault.as_mut().unwrap();
        let before = vault.core.state_digest();
        let code = vault.prove(&self.agent.prove).unwrap_err().code;
        let known = [RefusalCode::ChallengeUsed, RefusalCode::Challenge, RefusalCode::ChallengeExpired];
        assert!(known.contains(&code), "{code:?}");
        assert_eq!(vault.core.state_digest(), before);
    }

    /// The host keeps a copy of everything it has.
    fn keep_copy(&mut self) {
        let copy = self.vault().machine.copy();
        self.copies.push(copy);
    }

    /// The host brings an older copy back, on the machine whose counter has gone on.
    fn roll_back(&mut self) {
        let counter = self.vault().machine.counter;
        for copy in &self.copies {
            let mut old = copy.copy();
            let older_epoch = old.counter < counter;
            old.counter = counter;
            let restored = old.restore(START).err();
            if older_epoch {
                assert!(matches!(restored, Some(RestoreError::RolledBack { .. })), "{restored:?}");
            }
        }
    }

    fn step(&mut self, rng: &mut StdRng) -> String {
        let who = if rng.random_bool(0.6) { Who::Agent } else { Who::Operator };
        match rng.random_range(0..40) {
            0..28 => {
                let ask = Ask::random(rng);
                let said = format!("{who:?} {ask:?}");
                self.ask(who, &ask);
                said
            }
            28..33 => {
                self.commit();
                "commit".to_owned()
            }
            33 => {
                self.crash(rng);
                "crash".to_owned()
            }
            34 => {
                self.restart();
                "restart".to_owned()
            }
            35 => {
                self.replay_frame(who);
                format!("replay a frame of {who:?}")
            }
            36 => {
                self.replay_proof();
                "replay a proof".to_owned()
            }
            37 => {
                self.keep_copy();
                "keep a copy".to_owned()
            }
            38 => {
                self.roll_back();
                "roll back".to_owned()
            }
            _ => {
                let seconds = rng.random_range(0..3);
                self.sign_all();
                self.vault().now += seconds;
                format!("{seconds} s pass")
            }
        }
    }
}

fn uncovered(pending: &Pending, durable: &Durable) {
    assert!(!pending.is_covered(durable), "H4: a reply could be had before its record was stored");
}

/// Prints the seed and the events of a history that fails.
struct Story {
    seed: u64,
    events: Vec<String>,
}

impl Drop for Story {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("history failed; again with VOUCHSAFE_SEED={} VOUCHSAFE_HISTORIES=1", self.seed);
            self.events.iter().enumerate().for_each(|(index, event)| eprintln!("{index:4} {event}"));
        }
    }
}

fn history(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut story = Story { seed, events: Vec::new() };
    let mut world = World::new();
    for _ in 0..STEPS {
        story.events.push("…".to_owned());
        let event = world.step(&mut rng);
        *story.events.last_mut().unwrap() = event;
    }
    world.commit();
    world.compare();
    story.events.clear();
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn v3_h4_the_core_agrees_with_the_reference_over_random_histories() {
    let histories = setting("VOUCHSAFE_HISTORIES").unwrap_or(10_000);
    let first = setting("VOUCHSAFE_SEED").unwrap_or_else(|| rand::rng().random_range(0..1 << 48));
    eprintln!("{histories} histories from seed {first}");
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let mut seeds = (first..first + histories).skip(thread as usize).step_by(threads as usize);
                seeds.by_ref().for_each(history);
            });
        }
    });
}
