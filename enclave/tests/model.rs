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

#[path = "model/kv.rs"]
mod kv;
mod support;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use support::*;
use vouchsafe_enclave::{Durable, Pending, RestoreError};
use vouchsafe_protocol::codec;
use vouchsafe_protocol::collateral::CollateralItem;
use vouchsafe_protocol::kv::{KvNotice, KvSelect};
use vouchsafe_protocol::limits::SESSION_FRAME_LEN;
use vouchsafe_protocol::link::StorageReply;
use vouchsafe_protocol::policy::Capability;
use vouchsafe_protocol::refusal::RefusalCode;
use vouchsafe_protocol::session::{AgentFrame, NOTICE, Outcome, Reply, Request, parse_vault_frame};
use vouchsafe_simulation::CrlSpec;

const STEPS: usize = 24;

/// What a vault is, said as plainly as possible.
#[derive(Clone, Debug, Default, PartialEq)]
struct Reference {
    kv: kv::Model,
    /// The time of the newest record of the journal.
    latest: u64,
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
    Kv(kv::Expected),
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
    Kv(kv::Ask),
    Role(Vec<Capability>),
    /// A revocation list of [`LISTS`], or one that is none.
    Import(usize),
}

impl Ask {
    fn random(rng: &mut StdRng) -> Self {
        match rng.random_range(0..22) {
            0..18 => Self::Kv(kv::Ask::random(rng)),
            18 | 19 => Self::Import(rng.random_range(0..=LISTS.len())),
            _ => Self::Role(ALL.iter().copied().filter(|_| rng.random_bool(0.7)).collect()),
        }
    }

    fn request(&self) -> Request {
        match self {
            Self::Kv(ask) => Request::Kv(ask.request()),
            Self::Role(may) => Request::RoleApply(vec![web(may)]),
            Self::Import(which) => {
                let list = LISTS.get(*which).cloned().unwrap_or_else(|| vec![0x30, 0]);
                Request::CollateralImport(vec![CollateralItem::AmdCrl(list)])
            }
        }
    }
}

fn web(may: &[Capability]) -> vouchsafe_protocol::policy::Role {
    let none: &[Capability] = &[Capability::List];
    role("web", &[("kv/web/*", if may.is_empty() { none } else { may })])
}

impl Reference {
    fn allows(&self, who: Who, ask: &Ask) -> bool {
        let Ask::Kv(ask) = ask else { return who == Who::Operator };
        let (capability, at, below) = ask.needs();
        match who {
            Who::Operator => capability != Capability::Read,
            Who::Agent => {
                let covered = at.starts_with("kv/web/") || (below && at == "kv/web");
                self.may.contains(&capability) && covered
            }
        }
    }

    /// Whether a change came of it, besides.
    fn answer(&mut self, who: Who, ask: &Ask, now: u64, leaf: u64) -> (Expected, bool) {
        if !self.allows(who, ask) {
            return (Expected::Refused(RefusalCode::Denied), false);
        }
        let before = self.clone();
        self.serve(ask, now, leaf).unwrap_or_else(|code| {
            *self = before;
            (Expected::Refused(code), false)
        })
    }

    fn serve(&mut self, ask: &Ask, now: u64, leaf: u64) -> Result<(Expected, bool), RefusalCode> {
        match ask {
            Ask::Kv(ask) => {
                self.kv.serve(ask, now, leaf).map(|(expected, change)| (Expected::Kv(expected), change))
            }
            Ask::Import(which) if *which >= LISTS.len() || self.list > Some(*which) => {
                Err(RefusalCode::Collateral)
            }
            Ask::Import(which) => {
                let change = self.list != Some(*which);
                self.list = Some(*which);
                Ok((Expected::Imported(1), change))
            }
            Ask::Role(may) => {
                self.may = if may.is_empty() { vec![Capability::List] } else { may.clone() };
                Ok((Expected::Done, true))
            }
        }
    }
}

fn seen(outcome: Outcome) -> Expected {
    match outcome {
        Outcome::Refused(refusal) => Expected::Refused(refusal.code),
        Outcome::Done(Reply::Collateral { entries, more: false }) => Expected::Imported(entries.len()),
        Outcome::Done(Reply::Done) => Expected::Done,
        Outcome::Done(Reply::Kv(reply)) => Expected::Kv(kv::seen(reply)),
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
    /// Notices that wait to be durable, and what they must say.
    notices: Vec<(Pending, Vec<(String, u64)>)>,
    /// What the agent's session watches, and the newest version of each that it was not told of.
    watched: BTreeMap<&'static str, Option<u64>>,
    /// What the vault made, by the leaf that it was made in, since somebody has read it.
    learnt: BTreeMap<u64, Vec<u8>>,
    /// The time inside: it only moves forward, but for a restart after a clock that ran ahead.
    clock: u64,
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
        let reference = Reference { may: ALL.to_vec(), latest: START, ..Reference::default() };
        let mut world = Self {
            sessions: [Some(agent_session), Some(session)],
            vault: Some(vault),
            reference,
            past: BTreeMap::new(),
            agent,
            operator,
            waiting: Vec::new(),
            notices: Vec::new(),
            watched: BTreeMap::new(),
            learnt: BTreeMap::new(),
            clock: START,
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
        let now = self.time();
        let leaf = self.past.last_key_value().unwrap().0 + 1;
        let (expected, changes) = self.reference.answer(who, ask, now, leaf);
        let vault = self.vault.as_mut().unwrap();
        let (identity, slot) = match who {
            Who::Agent => (&self.agent, 0),
            Who::Operator => (&self.operator, 1),
        };
        if self.sessions[slot].is_none() {
            self.sessions[slot] = Some(vault.open(identity).unwrap());
            if who == Who::Agent {
                self.watched.clear();
            }
        }
        let session = self.sessions[slot].as_mut().unwrap();
        let answer = vault
            .ask(session, identity, &ask.request(), false)
            .unwrap_or_else(|end| panic!("{}", end.refusal));
        if changes {
            self.note_change();
        } else {
            assert_eq!(
                vault.core.state_digest(),
                before,
                "V3: a refused request or a read changed the state"
            );
        }
        match (ask, &expected) {
            (Ask::Kv(kv::Ask::Watch(at, after)), Expected::Kv(kv::Expected::Watching(current))) => {
                self.watched.insert(at, (current > after).then_some(*current));
            }
            (Ask::Kv(kv::Ask::Unwatch(at)), Expected::Kv(kv::Expected::Changed)) => {
                self.watched.remove(at);
            }
            (Ask::Kv(ask), Expected::Kv(kv::Expected::Written(version))) => {
                self.written(ask.needs().1, *version)
            }
            _ => {}
        }
        self.waiting.push((answer, expected));
    }

    /// The time inside, now.
    fn time(&mut self) -> u64 {
        self.clock = self.clock.max(self.vault().now);
        self.clock
    }

    fn written(&mut self, at: &str, version: u64) {
        if let Some(news) = self.watched.get_mut(at) {
            *news = Some(version);
        }
    }

    /// The vault does what is due, one change after the other.
    fn tick(&mut self) {
        let now = self.time();
        let vault = self.vault.as_mut().unwrap();
        assert!(vault.core.next_tick() <= self.reference.kv.next_due());
        while vault.core.next_tick() <= now {
            vault.core.tick(vault.now, &mut vouchsafe_enclave::KernelPorts).unwrap();
        }
        loop {
            let leaf = self.past.last_key_value().unwrap().0 + 1;
            let Some(made) = self.reference.kv.upkeep(now, leaf) else { break };
            self.note_change();
            if let Some((at, version)) = made {
                self.written(&at, version);
            }
        }
    }

    /// The agent is told of what it watches and may read.
    fn notice(&mut self) {
        let Some(session) = &self.sessions[0] else { return };
        let vault = self.vault.as_mut().unwrap();
        let woken = vault.core.take_woken();
        let before = vault.core.state_digest();
        let news = self.watched.iter_mut().filter_map(|(at, news)| Some((*at, news.take()?)));
        let news: Vec<_> = news.collect();
        assert!(news.is_empty() || woken.contains(&session.id), "nobody was woken for {news:?}");
        let notice = vault.core.notice(session.id, vault.now, &mut vouchsafe_enclave::KernelPorts);
        assert_eq!(vault.core.state_digest(), before);
        let may = |at: &str| self.reference.may.contains(&Capability::Read) && at.starts_with("kv/web/");
        let told = news.into_iter().filter(|(at, _)| may(at)).map(|(at, version)| (at.to_owned(), version));
        let told: Vec<_> = told.collect();
        assert_eq!(notice.is_some(), !told.is_empty());
        self.notices.extend(notice.map(|notice| (notice, told)));
    }

    /// A change is one leaf; the reference after it is what a crash may lead back to.
    fn note_change(&mut self) {
        let (last, _) = self.past.last_key_value().unwrap();
        let next = last + 1;
        self.reference.latest = self.clock;
        self.past.insert(next, self.reference.clone());
    }

    /// Stores what waits, and checks every answer that this frees.
    fn commit(&mut self) {
        let vault = self.vault.as_mut().unwrap();
        let before = vault.durable;
        self.waiting.iter().for_each(|(answer, _)| uncovered(&answer.pending, &before));
        self.notices.iter().for_each(|(notice, _)| uncovered(notice, &before));
        vault.store();
        let durable = vault.durable;
        for (answer, expected) in self.waiting.drain(..) {
            let seen = seen(answer.response(&durable).outcome);
            assert_eq!(learnt(seen, &expected, &mut self.learnt), expected);
        }
        for (notice, told) in self.notices.drain(..) {
            let Ok(bytes) = notice.release(&durable) else { panic!("the notice is not covered") };
            let (number, link, body) = parse_vault_frame(&bytes).unwrap();
            assert_eq!((number, link), (NOTICE, [0; 32]));
            let notice: KvNotice = codec::decode(body, SESSION_FRAME_LEN).unwrap();
            let seen: Vec<_> =
                notice.versions.iter().map(|(at, version)| (at.to_string(), *version)).collect();
            assert_eq!(seen, told);
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
            let late = ended.ask(
                session,
                &self.agent,
                &Ask::Kv(kv::Ask::Get(kv::PATHS[0], KvSelect::Current)).request(),
                false,
            );
            assert_eq!(late.err().map(|end| end.refusal.code), Some(RefusalCode::Busy));
            ended.store();
            ended.machine.counter = ended.core.expected_counter();
            vault = ended.crash();
        } else {
            vault = vault.restart();
        }
        // The end mark is a leaf as well.
        let (&last, reference) = self.past.last_key_value().unwrap();
        let reference = Reference { latest: self.clock, ..reference.clone() };
        self.past.insert(last + 1, reference);
        self.revive(vault, last + 1);
    }

    /// After a restart the state must be the reference's after exactly the leaves that were stored.
    fn revive(&mut self, vault: Vault, stored: u64) {
        self.vault = Some(vault);
        self.sessions = [None, None];
        self.waiting.clear();
        self.notices.clear();
        self.watched.clear();
        self.learnt.retain(|leaf, _| *leaf <= stored);
        self.reference = self.past.get(&stored).expect("a known point").clone();
        self.clock = self.reference.latest;
        self.reference.latest = self.time();
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
        for path in kv::PATHS {
            for ask in [kv::Ask::Metadata(path), kv::Ask::Get(path, KvSelect::Current)].map(Ask::Kv) {
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
            if slot == 0 {
                self.watched.clear();
            }
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
        match rng.random_range(0..46) {
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
            39..41 => {
                self.tick();
                "tick".to_owned()
            }
            41..43 => {
                self.notice();
                "notice".to_owned()
            }
            43 => {
                // The host's clock goes back; the time inside does not.
                let seconds = rng.random_range(0..200);
                self.vault().now -= seconds;
                format!("the clock is set back by {seconds} s")
            }
            _ => {
                let seconds = *[0, 1, 2, 5, 20, 100].choose(rng).unwrap();
                self.sign_all();
                self.vault().now += seconds;
                // The core notices.
                self.time();
                let session = self.status_session();
                self.vault().core.close_session(session.id);
                format!("{seconds} s pass")
            }
        }
    }
}

/// What the vault made is whatever it is when first read, and the same from then on.
fn learnt(seen: Expected, expected: &Expected, learnt: &mut BTreeMap<u64, Vec<u8>>) -> Expected {
    let Expected::Kv(kv::Expected::Value(_, _, kv::Held::Made(leaf))) = expected else { return seen };
    let Expected::Kv(kv::Expected::Value(number, until, kv::Held::Bytes(made))) = seen else { return seen };
    assert_eq!(made.len(), 36, "a UUID");
    assert_eq!(learnt.entry(*leaf).or_insert_with(|| made.clone()), &made);
    Expected::Kv(kv::Expected::Value(number, until, kv::Held::Made(*leaf)))
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
