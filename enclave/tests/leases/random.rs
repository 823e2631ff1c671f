//! Leases against a plain reference: random histories of requests, decisions, changes of policy, clocks and crashes.
//!
//! `VOUCHSAFE_LEASE_HISTORIES` (default 150) histories run from `VOUCHSAFE_SEED` on (default: a new one each run). A
//! failure prints its seed and its events.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use vouchsafe_crypto::signature::P256Key;
use vouchsafe_protocol::lease::{Lease, LeaseRequest, Selector};
use vouchsafe_protocol::policy::{Accept, Allow, Capability, LaunchDigest, LeaseTerms, Renewal, Role};
use vouchsafe_protocol::refusal::{Refusal, RefusalCode};
use vouchsafe_protocol::session::Request;

use crate::support::*;
use crate::world::*;

const STEPS: usize = 40;
const PATHS: [&str; 2] = [SECRET, "kv/web/b"];
const ROLES: [&str; 2] = ["web", "api"];
const MEASUREMENTS: [LaunchDigest; 2] = [MEASUREMENT, OTHER];
/// Who there is: key, role and measurement. The first two have one key.
const AGENTS: [(usize, usize, usize); 3] = [(0, 0, 0), (0, 1, 0), (1, 0, 1)];
/// An ended lease may count for so long, in seconds.
const LAG: u64 = 10;

#[derive(Clone, Debug, PartialEq)]
struct Policy {
    /// Seconds until renewal and until the end, if it is leased; if it is allowed at all.
    lease: Option<Option<(u32, u32)>>,
    fresh: bool,
    accepts: [bool; 2],
    max_age: u64,
    of_identity: u32,
    of_role: u32,
}

#[derive(Clone, Debug)]
struct Known {
    agent: usize,
    at: u64,
    evidence_until: u64,
    not_after: u64,
    ended: bool,
}

#[derive(Clone, Debug)]
struct Held {
    agent: usize,
    identity: u64,
    path: &'static str,
    until: u64,
    end: u64,
    ended: bool,
    /// A step of cleaning up has passed over it.
    cleaned: bool,
}

/// What leases are, said as plainly as possible. Numbers count from 1.
struct Reference {
    now: u64,
    policies: [Policy; 2],
    identities: Vec<Option<Known>>,
    /// The latest of each agent.
    latest: [u64; 3],
    leases: Vec<Held>,
}

#[derive(Debug, PartialEq)]
enum Expected {
    /// The identity has ended, or its evidence.
    Out,
    Refused(RefusalCode),
    /// Refused or not: ended leases may not be cleaned up yet.
    PerhapsQuota(u64, u64),
    Lease(u64, u64),
    Done,
}

#[derive(Clone, Debug)]
enum Event {
    Back(usize, u64),
    Crash,
    Introduce(usize),
    Later(u64),
    Policy(usize, Policy),
    Read(usize, &'static str),
    Renew(usize, u64),
    Return(usize, u64),
    Revoke(Selector),
    Tick,
}

impl Policy {
    fn random(rng: &mut StdRng) -> Self {
        let terms = *[(60, 60), (200, 1000), (600, 1500), (5000, 9000)].choose(rng).unwrap();
        Self {
            lease: match rng.random_range(0..8) {
                0 => None,
                1 => Some(None),
                _ => Some(Some(terms)),
            },
            fresh: rng.random_bool(0.2),
            accepts: *[[true, true], [true, true], [true, false], [false, true]].choose(rng).unwrap(),
            max_age: *[300, 1000, 3600].choose(rng).unwrap(),
            of_identity: *[2, 5, 100].choose(rng).unwrap(),
            of_role: 100,
        }
    }

    fn role(&self, name: &str) -> Role {
        let renewal = if self.fresh { Renewal::FreshEvidence } else { Renewal::SameEvidence };
        let allow = match self.lease {
            None => vec![Allow::always("kv/web/*", &[Capability::List])],
            Some(None) => vec![Allow::always("kv/web/*", &[Capability::Read])],
            Some(Some((ttl_secs, max_secs))) => vec![Allow {
                lease: LeaseTerms::Lease { ttl_secs, max_secs, renewal },
                ..Allow::always("kv/web/*", &[Capability::Read])
            }],
        };
        let mut role = reader(name, allow);
        let [Accept::Snp(snp)] = role.accept.as_mut_slice() else { panic!() };
        let accepted = MEASUREMENTS.iter().zip(self.accepts).filter(|(_, accepts)| *accepts);
        snp.measurements = accepted.map(|(value, _)| (*value).into()).collect();
        role.evidence_max_age_secs = u32::try_from(self.max_age).unwrap();
        (role.leases_per_identity, role.leases) = (self.of_identity, self.of_role);
        role
    }
}

impl Event {
    fn random(rng: &mut StdRng, reference: &Reference) -> Self {
        let agent = rng.random_range(0..AGENTS.len());
        let lease = rng.random_range(0..=reference.leases.len() as u64 + 1);
        match rng.random_range(0..100) {
            0..32 => Self::Read(agent, PATHS.choose(rng).unwrap()),
            32..52 => Self::Renew(agent, lease),
            52..57 => Self::Return(agent, lease),
            57..72 => Self::Later(*[1, 9, 40, 100, 299, 600, 2000].choose(rng).unwrap()),
            72..76 => Self::Back(agent, rng.random_range(1..5000)),
            76..84 => Self::Introduce(agent),
            84..88 => Self::Policy(rng.random_range(0..2), Policy::random(rng)),
            88..93 => Self::Revoke(match rng.random_range(0..7) {
                0 => Selector::EvidenceBefore(reference.now - rng.random_range(0..400)),
                1 => Selector::Identity(rng.random_range(0..=reference.identities.len() as u64 + 1)),
                2 => Selector::Lease(lease),
                3 => Selector::Measurement(MEASUREMENTS.choose(rng).unwrap().0.to_vec()),
                4 => Selector::Platform(if rng.random_bool(0.5) { CHIP.to_vec() } else { vec![1; 64] }),
                5 => Selector::Prefix(
                    ["kv/web", "kv/web/b", "kv", "kv/we"].choose(rng).unwrap().parse().unwrap(),
                ),
                _ => Selector::Role(ROLES.choose(rng).unwrap().parse().unwrap()),
            }),
            93..97 => Self::Tick,
            _ => Self::Crash,
        }
    }
}

impl Reference {
    fn policy(&self, agent: usize) -> &Policy {
        &self.policies[AGENTS[agent].1]
    }

    fn identity(&self, number: u64) -> Option<&Known> {
        self.identities.get(usize::try_from(number).unwrap().checked_sub(1)?)?.as_ref()
    }

    fn holds(&self, held: &Held) -> bool {
        !held.ended && held.until > self.now && self.identity(held.identity).is_some_and(|known| !known.ended)
    }

    /// When an identity's evidence is too old: as was said when it was issued, or sooner by policy in force.
    fn old_at(&self, number: u64) -> u64 {
        let known = self.identity(number).unwrap();
        known.evidence_until.min(known.at + self.policy(known.agent).max_age)
    }

    /// Ends identities that policy does not accept, as ticks do.
    fn judge(&mut self) {
        let (now, policies) = (self.now, &self.policies);
        for known in self.identities.iter_mut().flatten() {
            let (_, role, measurement) = AGENTS[known.agent];
            let policy = &policies[role];
            known.ended |= !policy.accepts[measurement] || now >= known.at + policy.max_age;
        }
    }

    fn is_out(&self, agent: usize) -> bool {
        let known = self.identity(self.latest[agent]).unwrap();
        known.ended || self.now >= known.not_after || self.now >= known.evidence_until
    }

    fn read(&self, agent: usize) -> Expected {
        if self.is_out(agent) {
            return Expected::Out;
        }
        let policy = self.policy(agent).clone();
        let Some(lease) = policy.lease else { return Expected::Refused(RefusalCode::Denied) };
        let Some((ttl, max)) = lease else { return Expected::Done };
        let identity = self.latest[agent];
        let of = |held: &&Held| AGENTS[held.agent].1 == AGENTS[agent].1;
        let count = |at_least: &dyn Fn(&Held) -> bool| {
            let all: Vec<&Held> = self.leases.iter().filter(of).filter(|held| at_least(held)).collect();
            let own = all.iter().filter(|held| held.identity == identity).count();
            own >= policy.of_identity as usize || all.len() >= policy.of_role as usize
        };
        if count(&|held| self.holds(held)) {
            return Expected::Refused(RefusalCode::Quota);
        }
        let perhaps = count(&|held| !held.cleaned);
        let evidence_until = self.old_at(identity);
        let (until, end) = ((self.now + u64::from(ttl)).min(evidence_until), self.now + u64::from(max));
        if perhaps { Expected::PerhapsQuota(until, end) } else { Expected::Lease(until, end) }
    }

    fn own(&self, agent: usize, number: u64) -> Result<usize, Expected> {
        if self.is_out(agent) {
            return Err(Expected::Out);
        }
        let index = usize::try_from(number).unwrap().wrapping_sub(1);
        let held = self.leases.get(index).filter(|held| held.agent == agent && self.holds(held));
        held.map(|_| index).ok_or(Expected::Refused(RefusalCode::NotFound))
    }

    fn renew(&mut self, agent: usize, number: u64) -> Result<Expected, Expected> {
        let index = self.own(agent, number)?;
        let policy = self.policy(agent).clone();
        let (latest, held) = (self.latest[agent], &self.leases[index]);
        let Some(Some((ttl, _))) = policy.lease else { return Err(Expected::Refused(RefusalCode::Denied)) };
        if policy.fresh && latest == held.identity {
            return Err(Expected::Refused(RefusalCode::EvidenceExpired));
        }
        let wished = self.now + u64::from(ttl);
        if wished > held.until && held.until == held.end {
            return Err(Expected::Refused(RefusalCode::LeaseEnd));
        }
        let evidence_until = self.old_at(latest);
        let until = wished.min(held.end).max(held.until).min(evidence_until);
        let end = held.end;
        let held = &mut self.leases[index];
        (held.until, held.identity) = (until, latest);
        Ok(Expected::Lease(until, end))
    }

    fn give_back(&mut self, agent: usize, number: u64) -> Result<Expected, Expected> {
        let index = self.own(agent, number)?;
        self.leases[index].ended = true;
        Ok(Expected::Done)
    }

    fn revoke(&mut self, selector: &Selector) {
        for (index, slot) in self.identities.iter_mut().enumerate() {
            let Some(known) = slot else { continue };
            let (_, role, measurement) = AGENTS[known.agent];
            known.ended |= match selector {
                Selector::EvidenceBefore(secs) => known.at < *secs,
                Selector::Identity(number) => index as u64 + 1 == *number,
                Selector::Measurement(bytes) => MEASUREMENTS[measurement].0 == bytes.as_slice(),
                Selector::Platform(bytes) => CHIP == bytes.as_slice(),
                Selector::Role(name) => ROLES[role] == name.as_str(),
                Selector::Lease(_) | Selector::Prefix(_) => false,
            };
        }
        for (index, held) in self.leases.iter_mut().enumerate() {
            held.ended |= match selector {
                Selector::Lease(number) => index as u64 + 1 == *number,
                Selector::Prefix(prefix) => {
                    held.path == prefix.as_str() || held.path.starts_with(&format!("{prefix}/"))
                }
                _ => false,
            };
        }
    }
}

struct Run {
    world: Option<World>,
    keys: [P256Key; 2],
    agents: [Identity; 3],
    sessions: [Option<Session>; 3],
    reference: Reference,
}

impl Run {
    fn new() -> Self {
        let first = Policy {
            lease: Some(Some((600, 1500))),
            fresh: false,
            accepts: [true, true],
            max_age: 3600,
            of_identity: 100,
            of_role: 100,
        };
        let roles = ROLES.map(|name| first.role(name)).to_vec();
        let mut world = World::new(roles);
        let keys = [P256Key::generate().unwrap(), P256Key::generate().unwrap()];
        // The operator has the first number.
        let mut reference = Reference {
            now: START,
            policies: [first.clone(), first],
            identities: vec![None],
            latest: [0; 3],
            leases: Vec::new(),
        };
        let agents = [0, 1, 2].map(|agent| {
            let (key, role, measurement) = AGENTS[agent];
            let identity = world.introduce(ROLES[role], &keys[key], MEASUREMENTS[measurement]).unwrap();
            reference.introduced(agent);
            identity
        });
        Self { world: Some(world), keys, agents, sessions: [None, None, None], reference }
    }

    fn world(&mut self) -> &mut World {
        self.world.as_mut().unwrap()
    }

    fn ask(&mut self, agent: usize, request: &Request) -> Result<Option<Lease>, Refusal> {
        let world = self.world.as_mut().unwrap();
        let vault = &mut world.vault;
        let before = vault.core.state_digest();
        let session = match self.sessions[agent].take() {
            Some(session) => session,
            None => vault.open(&self.agents[agent])?,
        };
        let identity = Identity {
            key: copied(&self.agents[agent].key),
            grant: self.agents[agent].grant.clone(),
            prove: self.agents[agent].prove.clone(),
        };
        let mut client = Client { identity, session };
        let answered = client.ask(vault, request);
        match &answered {
            Err(Refusal { code: RefusalCode::Identity | RefusalCode::EvidenceExpired, .. }) => {}
            Err(_) => {
                assert_eq!(vault.core.state_digest(), before, "V3: a refused request changed something")
            }
            Ok(_) => {}
        }
        self.sessions[agent] = Some(client.session);
        let response = answered?;
        Ok(response.lease.or(match response.outcome {
            vouchsafe_protocol::session::Outcome::Done(vouchsafe_protocol::session::Reply::Lease(
                vouchsafe_protocol::lease::LeaseReply::Renewed(lease),
            )) => Some(lease),
            _ => None,
        }))
    }

    fn compare(&mut self, agent: usize, expected: Expected, answer: Result<Option<Lease>, Refusal>) -> bool {
        match (expected, answer) {
            (Expected::Out, Err(refusal)) => {
                // What a session rests on has ended: the next one has to be opened.
                self.sessions[agent] = None;
                matches!(refusal.code, RefusalCode::Identity | RefusalCode::EvidenceExpired)
            }
            (Expected::Refused(code), Err(refusal)) => refusal.code == code,
            (Expected::PerhapsQuota(..), Err(refusal)) => refusal.code == RefusalCode::Quota,
            (Expected::PerhapsQuota(until, end) | Expected::Lease(until, end), Ok(Some(lease))) => {
                (lease.until_secs, lease.end_secs) == (until, end)
            }
            (Expected::Done, Ok(None)) => true,
            (expected, answer) => panic!("expected {expected:?}, and it was {answer:?}"),
        }
    }

    fn step(&mut self, event: &Event) {
        match event {
            Event::Read(agent, path) => {
                let expected = self.reference.read(*agent);
                let answer = self.ask(*agent, &get(path, None));
                if let Ok(Some(lease)) = &answer {
                    assert_eq!(lease.number, self.reference.leases.len() as u64 + 1);
                    self.reference.leases.push(Held {
                        agent: *agent,
                        identity: self.reference.latest[*agent],
                        path,
                        until: lease.until_secs,
                        end: lease.end_secs,
                        ended: false,
                        cleaned: false,
                    });
                }
                assert!(self.compare(*agent, expected, answer));
            }
            Event::Renew(agent, number) => {
                let expected = self.reference.renew(*agent, *number).unwrap_or_else(|refused| refused);
                let answer = self.ask(*agent, &Request::Lease(LeaseRequest::Renew { number: *number }));
                assert!(self.compare(*agent, expected, answer));
            }
            Event::Return(agent, number) => {
                let expected = self.reference.give_back(*agent, *number).unwrap_or_else(|refused| refused);
                let request = Request::Lease(LeaseRequest::Revoke(Selector::Lease(*number)));
                let answer = self.ask(*agent, &request);
                assert!(self.compare(*agent, expected, answer));
            }
            Event::Introduce(agent) => {
                if self.reference.is_out(*agent) {
                    // The session went with the identity.
                    self.sessions[*agent] = None;
                }
                let (key, role, measurement) = AGENTS[*agent];
                let key = copied(&self.keys[key]);
                let answer = self.world().introduce(ROLES[role], &key, MEASUREMENTS[measurement]);
                let accepts = self.reference.policy(*agent).accepts[measurement];
                assert_eq!(answer.is_ok(), accepts, "{:?}", answer.err());
                if let Ok(identity) = answer {
                    self.agents[*agent] = identity;
                    self.reference.introduced(*agent);
                }
            }
            Event::Policy(role, policy) => {
                let applied = policy.role(ROLES[*role]);
                self.world().apply(vec![applied]);
                self.reference.policies[*role] = policy.clone();
                self.tick();
                self.reference.judge();
            }
            Event::Revoke(selector) => {
                let world = self.world.as_mut().unwrap();
                match world.operator.revoke(&mut world.vault, selector.clone()) {
                    Ok(()) => self.reference.revoke(selector),
                    Err(refusal) => {
                        assert_eq!(refusal.code, RefusalCode::NotFound);
                        assert!(matches!(selector, Selector::Lease(_) | Selector::Identity(_)));
                    }
                }
                if matches!(selector, Selector::Identity(1)) {
                    // The operator's own.
                    self.reconnect();
                }
            }
            Event::Later(secs) => {
                self.reference.now += secs;
                self.world().vault.now = self.reference.now;
                self.overdue();
            }
            Event::Back(agent, secs) => {
                // A request at an earlier time is served at the latest that was seen.
                let now = self.reference.now;
                self.world().vault.now = now - secs;
                self.step(&Event::Renew(*agent, 1));
                self.world().vault.now = now;
            }
            Event::Tick => {
                self.tick();
                assert_eq!(self.world().vault.core.state_digest(), self.world().replayed());
            }
            Event::Crash => {
                assert_eq!(self.world().vault.core.state_digest(), self.world().replayed());
                self.world = self.world.take().map(World::crash);
                self.reference.identities.push(None);
                self.sessions = [None, None, None];
            }
        }
        self.check();
    }

    /// What the age of its role overtakes ends by ticks.
    fn overdue(&mut self) {
        let reference = &self.reference;
        let due = reference.identities.iter().flatten().any(|known| {
            let too_old = known.at + reference.policy(known.agent).max_age;
            !known.ended && too_old <= reference.now && reference.now < known.evidence_until
        });
        if due {
            self.tick();
            self.reference.judge();
        }
    }

    fn tick(&mut self) {
        self.world().tick();
        let reference = &self.reference;
        let lag = |held: &Held| !held.ended && held.until + LAG > reference.now;
        let clean: Vec<bool> =
            reference.leases.iter().map(|held| !reference.holds(held) && !lag(held)).collect();
        for (held, clean) in self.reference.leases.iter_mut().zip(clean) {
            held.cleaned |= clean;
        }
    }

    fn reconnect(&mut self) {
        let world = self.world.as_mut().unwrap();
        let identity = world.vault.introduce_operator();
        let session = world.vault.open(&identity).unwrap();
        world.operator = Client { identity, session };
        self.reference.identities.push(None);
    }

    /// An operator sees exactly the leases that hold.
    fn check(&mut self) {
        // Operators' identities last for a working day only.
        let world = self.world.as_mut().unwrap();
        let entries = match world.operator.entries(&mut world.vault) {
            Ok(entries) => entries,
            Err(_) => {
                self.reconnect();
                let world = self.world.as_mut().unwrap();
                world.operator.entries(&mut world.vault).unwrap()
            }
        };
        let seen: Vec<_> = entries
            .iter()
            .map(|entry| {
                let Lease { number, until_secs, end_secs } = entry.lease;
                (number, entry.identity, until_secs, end_secs, entry.path.to_string(), entry.role.to_string())
            })
            .collect();
        let reference = &self.reference;
        let known = reference.leases.iter().zip(1..).filter(|(held, _)| reference.holds(held));
        let expected: Vec<_> = known
            .map(|(held, number)| {
                let role = ROLES[AGENTS[held.agent].1].to_owned();
                (number, held.identity, held.until, held.end, held.path.to_owned(), role)
            })
            .collect();
        assert_eq!(seen, expected);
    }
}

impl Reference {
    fn introduced(&mut self, agent: usize) {
        let at = self.now;
        let evidence_until = at + self.policy(agent).max_age;
        self.identities.push(Some(Known { agent, at, evidence_until, not_after: at + 7200, ended: false }));
        self.latest[agent] = self.identities.len() as u64;
    }
}

#[test]
fn v3_v7_v9_h6_random_histories_agree_with_the_reference() {
    let histories: u64 = std::env::var("VOUCHSAFE_LEASE_HISTORIES").map_or(150, |text| text.parse().unwrap());
    let seed: u64 =
        std::env::var("VOUCHSAFE_SEED").map_or_else(|_| rand::random(), |text| text.parse().unwrap());
    for seed in seed..seed.saturating_add(histories) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut events = Vec::new();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut run = Run::new();
            for _ in 0..STEPS {
                let event = Event::random(&mut rng, &run.reference);
                events.push(event.clone());
                run.step(&event);
            }
            run.step(&Event::Crash);
        }));
        if let Err(cause) = outcome {
            eprintln!("VOUCHSAFE_SEED={seed} VOUCHSAFE_LEASE_HISTORIES=1");
            events.iter().for_each(|event| eprintln!("  {event:?}"));
            std::panic::resume_unwind(cause);
        }
    }
}
