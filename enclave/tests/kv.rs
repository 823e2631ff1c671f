//! Secrets through sessions: who is told what, what is done without being asked, and what a restart finds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test helpers; clippy exempts only the tests themselves"
)]

mod support;

use support::*;
use vouchsafe_crypto::random::RandomError;
use vouchsafe_crypto::secret::SecretBytes;
use vouchsafe_crypto::signature::{P256Key, SignatureError};
use vouchsafe_crypto::transit::signing::Algorithm;
use vouchsafe_enclave::{KernelPorts, Pending, Ports};
use vouchsafe_protocol::codec;
use vouchsafe_protocol::kv::{
    Cas, Edit, KvEdits, KvFields, KvGenerator, KvNotice, KvReply, KvRequest, KvRule, KvScope, KvSelect,
    KvState, KvValue, SecretValue,
};
use vouchsafe_protocol::limits::{KV_VALUE_LEN, KV_WATCHES, SESSION_FRAME_LEN};
use vouchsafe_protocol::policy::Capability;
use vouchsafe_protocol::refusal::RefusalCode;
use vouchsafe_protocol::session::{NOTICE, Reply, Request, parse_vault_frame};

/// A vault with an agent that may do anything below `kv/web`.
struct Scene {
    vault: Vault,
    operator: (Identity, Session),
    agent: (Identity, Session),
}

impl Scene {
    fn new() -> Self {
        let mut vault = Vault::create();
        let operator = vault.introduce_operator();
        let mut session = vault.open(&operator).unwrap();
        apply(&mut vault, &operator, &mut session, ALL);
        let agent = vault.introduce("web").unwrap();
        let agent_session = vault.open(&agent).unwrap();
        Self { vault, operator: (operator, session), agent: (agent, agent_session) }
    }

    fn operator(&mut self, request: KvRequest) -> Result<KvReply, RefusalCode> {
        let (identity, session) = (&self.operator.0, &mut self.operator.1);
        kv(self.vault.outcome(session, identity, &Request::Kv(request)))
    }

    fn agent(&mut self, request: KvRequest) -> Result<KvReply, RefusalCode> {
        let (identity, session) = (&self.agent.0, &mut self.agent.1);
        kv(self.vault.outcome(session, identity, &Request::Kv(request)))
    }

    fn roles(&mut self, may: &[Capability]) {
        apply(&mut self.vault, &self.operator.0, &mut self.operator.1, may);
    }

    fn put(&mut self, at: &str) -> u64 {
        let Request::Kv(request) = put(at, b"value", Cas::Any) else { panic!() };
        written(Reply::Kv(self.operator(request).unwrap()))
    }

    fn read(&mut self, at: &str, select: KvSelect) -> Result<Vec<u8>, RefusalCode> {
        match self.agent(KvRequest::Get { path: at.parse().unwrap(), select })? {
            KvReply::Value { value, .. } => Ok(value.expose_secret().to_vec()),
            other => panic!("{other:?}"),
        }
    }

    fn watch(&mut self, at: &str, after: u64) -> Result<u64, RefusalCode> {
        match self.agent(KvRequest::Watch { path: at.parse().unwrap(), after })? {
            KvReply::Watching { current } => Ok(current),
            other => panic!("{other:?}"),
        }
    }

    fn notice(&mut self) -> Option<Pending> {
        self.vault.core.notice(self.agent.1.id, self.vault.now, &mut KernelPorts)
    }

    /// What the agent is told, stored first.
    fn told(&mut self) -> Vec<(String, u64)> {
        let Some(notice) = self.notice() else { return Vec::new() };
        self.vault.store();
        let Ok(bytes) = notice.release(&self.vault.durable) else { panic!("not covered") };
        let (number, link, body) = parse_vault_frame(&bytes).unwrap();
        assert_eq!((number, link), (NOTICE, [0; 32]));
        let notice: KvNotice = codec::decode(body, SESSION_FRAME_LEN).unwrap();
        notice.versions.iter().map(|(path, version)| (path.to_string(), *version)).collect()
    }

    fn pass(&mut self, secs: u64) {
        for (identity, session) in [&mut self.operator, &mut self.agent] {
            if session.unsigned > 0 {
                self.vault.sign(session, identity).unwrap_or_else(|end| panic!("{}", end.refusal));
            }
        }
        self.vault.now += secs;
    }

    fn tick(&mut self) {
        while self.vault.core.next_tick() <= self.vault.now {
            self.vault.core.tick(self.vault.now, &mut KernelPorts).unwrap();
        }
        self.vault.store();
    }

    fn generate(&mut self, at: &str, every_secs: Option<u64>, grace_secs: Option<u64>) {
        let generator = KvGenerator { rule: KvRule::Hex { bytes: 16 }, every_secs, grace_secs };
        let request = KvRequest::Generate { path: at.parse().unwrap(), generator, cas: Cas::Any };
        self.operator(request).unwrap();
    }

    /// A crash, and new sessions.
    fn crash(self) -> Self {
        let mut vault = self.vault.crash();
        let session = vault.open(&self.operator.0).unwrap();
        let agent_session = vault.open(&self.agent.0).unwrap();
        Self { vault, operator: (self.operator.0, session), agent: (self.agent.0, agent_session) }
    }
}

fn apply(vault: &mut Vault, operator: &Identity, session: &mut Session, may: &[Capability]) {
    vault.outcome(session, operator, &Request::RoleApply(vec![role("web", &[("kv/web/*", may)])])).unwrap();
}

fn kv(reply: Result<Reply, RefusalCode>) -> Result<KvReply, RefusalCode> {
    match reply? {
        Reply::Kv(reply) => Ok(reply),
        other => panic!("{other:?}"),
    }
}

#[test]
fn h4_a_notice_waits_until_its_version_is_durable() {
    let mut scene = Scene::new();
    assert_eq!(scene.watch("kv/web/a", 0), Ok(0));
    let (identity, session) = (&scene.operator.0, &mut scene.operator.1);
    let answer = scene.vault.ask(session, identity, &put("kv/web/a", b"value", Cas::Any), false);
    assert!(answer.is_ok());
    assert_eq!(scene.vault.core.take_woken(), [scene.agent.1.id]);
    let notice = scene.notice().expect("there is news");
    let Err(notice) = notice.release(&scene.vault.durable) else { panic!("told before it was stored") };
    scene.vault.store();
    assert!(notice.release(&scene.vault.durable).is_ok());
    assert!(scene.notice().is_none(), "told once");
}

#[test]
fn h7_of_many_versions_a_slow_reader_is_told_the_newest() {
    let mut scene = Scene::new();
    for at in ["kv/web/a", "kv/web/b"] {
        scene.watch(at, 0).unwrap();
    }
    for _ in 0..100 {
        scene.put("kv/web/b");
    }
    scene.put("kv/web/a");
    assert_eq!(scene.told(), [("kv/web/a".to_owned(), 1), ("kv/web/b".to_owned(), 100)]);
    // At once, if there is a later one already; and never after the end.
    scene.watch("kv/web/b", 99).unwrap();
    assert_eq!(scene.told(), [("kv/web/b".to_owned(), 100)]);
    scene.watch("kv/web/b", 100).unwrap();
    assert_eq!(scene.told(), []);
    scene.agent(KvRequest::Unwatch { path: "kv/web/b".parse().unwrap() }).unwrap();
    scene.put("kv/web/b");
    assert_eq!(scene.told(), []);
    scene.vault.core.close_session(scene.agent.1.id);
    scene.put("kv/web/a");
    assert!(scene.vault.core.take_woken().is_empty() && scene.notice().is_none());
}

#[test]
fn v7_who_may_not_read_any_more_is_told_nothing() {
    let mut scene = Scene::new();
    assert_eq!(scene.watch("kv/secret", 0), Err(RefusalCode::Denied));
    scene.watch("kv/web/a", 0).unwrap();
    scene.put("kv/web/a");
    scene.roles(&[Capability::List, Capability::Write]);
    assert_eq!(scene.told(), []);
    scene.put("kv/web/a");
    scene.roles(ALL);
    // What came meanwhile is told: it may be read again.
    assert_eq!(scene.told(), [("kv/web/a".to_owned(), 2)]);
    // Operators read nothing, and watch nothing.
    let watch = KvRequest::Watch { path: "kv/web/a".parse().unwrap(), after: 0 };
    assert_eq!(scene.operator(watch).err(), Some(RefusalCode::Denied));
}

#[test]
fn f6_whose_evidence_is_too_old_is_told_nothing() {
    let mut scene = Scene::new();
    scene.watch("kv/web/a", 0).unwrap();
    scene.pass(3599);
    scene.put("kv/web/a");
    scene.vault.now += 1;
    assert!(scene.notice().is_none());
}

#[test]
fn v5_a_session_watches_so_many_secrets_and_no_more() {
    let mut scene = Scene::new();
    for index in 0..KV_WATCHES {
        scene.watch(&format!("kv/web/{index}"), 0).unwrap();
    }
    assert_eq!(scene.watch("kv/web/more", 0), Err(RefusalCode::TooLarge));
    scene.watch("kv/web/0", 0).unwrap();
    scene.agent(KvRequest::Unwatch { path: "kv/web/0".parse().unwrap() }).unwrap();
    scene.watch("kv/web/more", 0).unwrap();
}

#[test]
fn v3_watches_and_notices_are_no_state_of_the_vault() {
    let mut scene = Scene::new();
    scene.put("kv/web/a");
    let before = scene.vault.core.state_digest();
    scene.watch("kv/web/a", 0).unwrap();
    assert_eq!(scene.told().len(), 1);
    scene.agent(KvRequest::Unwatch { path: "kv/web/a".parse().unwrap() }).unwrap();
    assert_eq!(scene.vault.core.state_digest(), before);
}

#[test]
fn the_vault_rotates_when_it_is_time_and_ends_the_grace() {
    let mut scene = Scene::new();
    scene.generate("kv/web/a", Some(600), Some(60));
    scene.watch("kv/web/a", 1).unwrap();
    let first = scene.read("kv/web/a", KvSelect::Current).unwrap();
    scene.pass(599);
    scene.tick();
    assert_eq!(scene.told(), []);
    scene.pass(1);
    scene.tick();
    assert_eq!(scene.told(), [("kv/web/a".to_owned(), 2)]);
    let second = scene.read("kv/web/a", KvSelect::Current).unwrap();
    assert_ne!(first, second);
    assert_eq!(scene.read("kv/web/a", KvSelect::Previous).unwrap(), first);
    // A crash changes nothing of it.
    let mut scene = scene.crash();
    assert_eq!(scene.read("kv/web/a", KvSelect::Previous).unwrap(), first);
    scene.pass(60);
    scene.tick();
    assert_eq!(scene.read("kv/web/a", KvSelect::Previous), Err(RefusalCode::Expired));
    assert_eq!(scene.read("kv/web/a", KvSelect::Current).unwrap(), second);
    // After a long rest one version is made, not one for each period.
    scene.pass(2000);
    let mut scene = scene.crash();
    scene.tick();
    let KvReply::Metadata(known) =
        scene.operator(KvRequest::Metadata { path: "kv/web/a".parse().unwrap() }).unwrap()
    else {
        panic!()
    };
    assert_eq!((known.current, known.next_secs), (3, Some(scene.vault.now + 600)));
}

#[test]
fn h6_what_expired_stays_so_whatever_the_host_does_with_its_clock() {
    let mut scene = Scene::new();
    let request = KvRequest::Put {
        path: "kv/web/a".parse().unwrap(),
        value: KvValue::Bytes(SecretValue::new(b"value".to_vec())),
        cas: Cas::Any,
        ttl_secs: Some(10),
    };
    scene.operator(request).unwrap();
    scene.pass(10);
    assert_eq!(scene.read("kv/web/a", KvSelect::Current), Err(RefusalCode::Expired));
    // Back, on the same core: time only moves forward inside.
    scene.vault.now -= 10;
    assert_eq!(scene.read("kv/web/a", KvSelect::Current), Err(RefusalCode::Expired));
    scene.vault.now += 10;
    scene.tick();
    // Back, with a restart between: it was wiped, and the journal says so.
    scene.vault.now -= 10;
    let mut scene = scene.crash();
    assert_eq!(scene.read("kv/web/a", KvSelect::Current), Err(RefusalCode::Expired));
    let undelete = KvRequest::Undelete { path: "kv/web/a".parse().unwrap(), versions: vec![1] };
    assert_eq!(scene.operator(undelete).err(), Some(RefusalCode::Expired));
}

/// Randomness that ends.
struct NoRandomness;

impl Ports for NoRandomness {
    fn random(&mut self, _: &mut [u8]) -> Result<(), RandomError> {
        Err(RandomError::Kernel)
    }

    fn new_key(&mut self) -> Result<P256Key, SignatureError> {
        Err(SignatureError::Random)
    }

    fn new_signing_key(&mut self, _: Algorithm) -> Result<SecretBytes, SignatureError> {
        Err(SignatureError::Random)
    }
}

#[test]
fn v3_a_step_that_cannot_be_done_changes_nothing_and_is_done_later() {
    let mut scene = Scene::new();
    scene.generate("kv/web/a", Some(60), None);
    scene.pass(60);
    let before = scene.vault.core.state_digest();
    assert_eq!(scene.vault.core.tick(scene.vault.now, &mut NoRandomness), Err(RefusalCode::Busy));
    assert_eq!(scene.vault.core.state_digest(), before);
    assert!(scene.vault.core.next_tick() <= scene.vault.now);
    scene.tick();
    assert_ne!(scene.vault.core.state_digest(), before);
    scene.vault.core.end(scene.vault.now, &mut KernelPorts).unwrap();
    assert_eq!(scene.vault.core.tick(u64::MAX, &mut KernelPorts), Err(RefusalCode::Busy));
}

#[test]
fn what_is_due_is_done_in_steps() {
    let mut scene = Scene::new();
    for index in 0..200 {
        let value = KvValue::Bytes(SecretValue::new(vec![]));
        let path = format!("kv/web/{index}").parse().unwrap();
        scene.operator(KvRequest::Put { path, value, cas: Cas::Any, ttl_secs: Some(5) }).unwrap();
    }
    scene.pass(5);
    let mut steps = 0;
    while scene.vault.core.next_tick() <= scene.vault.now {
        scene.vault.core.tick(scene.vault.now, &mut KernelPorts).unwrap();
        steps += 1;
    }
    assert_eq!(steps, 4, "64 changes at a time");
}

#[test]
fn v2_operators_write_merge_and_generate_what_they_cannot_read() {
    let mut scene = Scene::new();
    let field = |name: &str, value: &[u8]| (name.parse().unwrap(), SecretValue::new(value.to_vec()));
    let fields = |all: [(_, SecretValue); 2]| KvFields::new(&all.into_iter().collect()).unwrap();
    let path = || "kv/web/a".parse().unwrap();
    let value = KvValue::Fields(fields([field("password", b"old"), field("user", b"web")]));
    scene.operator(KvRequest::Put { path: path(), value, cas: Cas::Any, ttl_secs: None }).unwrap();
    let set = fields([field("password", b"new"), field("port", b"1")]);
    let patch = KvRequest::Patch { path: path(), set, remove: vec![], cas: Cas::Version(1), ttl_secs: None };
    assert!(matches!(scene.operator(patch), Ok(KvReply::Written { version: 2 })));
    scene.generate("kv/web/made", None, None);
    for at in ["kv/web/a", "kv/web/made"] {
        for select in [KvSelect::Current, KvSelect::Previous, KvSelect::Version(1)] {
            let get = KvRequest::Get { path: at.parse().unwrap(), select };
            assert_eq!(scene.operator(get).err(), Some(RefusalCode::Denied));
        }
    }
    let expected = fields([field("password", b"new"), field("user", b"web")]);
    let expected = expected.merged(&fields([field("port", b"1"), field("user", b"web")]), &[]).unwrap();
    assert_eq!(scene.read("kv/web/a", KvSelect::Current).unwrap(), KvValue::Fields(expected).expose_secret());
    assert_eq!(scene.read("kv/web/made", KvSelect::Current).unwrap().len(), 32);
}

#[test]
fn each_kind_of_request_needs_its_own_capability() {
    let at = || "kv/web/a".parse().unwrap();
    let uuid = || KvGenerator { rule: KvRule::Uuid, every_secs: None, grace_secs: None };
    let limits = || Box::new(KvEdits { max_versions: Edit::Set(3), ..KvEdits::default() });
    let requests = |capability| match capability {
        Capability::Delete => vec![
            KvRequest::Delete { path: at(), versions: vec![1] },
            KvRequest::Undelete { path: at(), versions: vec![1] },
        ],
        Capability::Destroy => {
            vec![KvRequest::Destroy { path: at(), versions: vec![1] }, KvRequest::Forget { path: at() }]
        }
        Capability::List => vec![
            KvRequest::List { prefix: "kv/web".parse().unwrap(), after: None, limit: 0 },
            KvRequest::Metadata { path: at() },
            KvRequest::Settings { prefix: "kv/web".parse().unwrap() },
        ],
        Capability::Manage => vec![
            KvRequest::Configure { scope: KvScope::Secret(at()), edits: limits() },
            KvRequest::Configure { scope: KvScope::Below("kv/web".parse().unwrap()), edits: limits() },
            KvRequest::Generate { path: at(), generator: uuid(), cas: Cas::Any },
        ],
        Capability::Read => vec![
            KvRequest::Get { path: at(), select: KvSelect::Current },
            KvRequest::Watch { path: at(), after: 0 },
            KvRequest::Unwatch { path: at() },
        ],
        Capability::Write => vec![
            KvRequest::Put {
                path: at(),
                value: KvValue::Bytes(SecretValue::new(vec![])),
                cas: Cas::Any,
                ttl_secs: None,
            },
            KvRequest::Patch {
                path: at(),
                set: KvFields::new(&[("a".parse().unwrap(), SecretValue::new(vec![]))].into()).unwrap(),
                remove: vec![],
                cas: Cas::Any,
                ttl_secs: None,
            },
            KvRequest::Rotate { path: at() },
        ],
        other => panic!("{other:?}"),
    };
    let mut scene = Scene::new();
    let kinds: Vec<Capability> = ALL.to_vec();
    for given in &kinds {
        for asked in &kinds {
            scene.roles(&[*given]);
            for request in requests(*asked) {
                let said = format!("{request:?} with {given:?}");
                let before = scene.vault.core.state_digest();
                let refused = scene.agent(request).err();
                assert_eq!(refused == Some(RefusalCode::Denied), given != asked, "{said}: {refused:?}");
                if refused.is_some() {
                    assert_eq!(scene.vault.core.state_digest(), before, "V3: {said}");
                }
            }
        }
    }
    // A prefix needs all that is below it.
    scene.roles(ALL);
    for prefix in ["kv", "kv/other"] {
        let scope = KvScope::Below(prefix.parse().unwrap());
        let refused = scene.agent(KvRequest::Configure { scope, edits: limits() }).err();
        assert_eq!(refused, Some(RefusalCode::Denied));
    }
}

#[test]
fn the_largest_fields_go_through_a_frame_and_come_back_after_a_crash() {
    let mut scene = Scene::new();
    let value: Vec<u8> = (0..KV_VALUE_LEN - 6).map(|at| (at % 251) as u8).collect();
    let fields = KvFields::new(&[("a".parse().unwrap(), SecretValue::new(value.clone()))].into()).unwrap();
    let request = KvRequest::Put {
        path: "kv/web/a".parse().unwrap(),
        value: fields.into(),
        cas: Cas::Any,
        ttl_secs: None,
    };
    scene.operator(request).unwrap();
    let mut scene = scene.crash();
    let read = scene.read("kv/web/a", KvSelect::Current).unwrap();
    assert_eq!((read.len(), &read[6..]), (KV_VALUE_LEN, value.as_slice()));
    let KvReply::Metadata(known) =
        scene.operator(KvRequest::Metadata { path: "kv/web/a".parse().unwrap() }).unwrap()
    else {
        panic!()
    };
    assert_eq!(known.versions[0].state, KvState::Live);
}

#[test]
fn h10_what_the_vault_made_is_shown_to_nobody_before_it_is_stored() {
    let mut scene = Scene::new();
    scene.generate("kv/web/a", Some(60), None);
    let first = scene.read("kv/web/a", KvSelect::Current).unwrap();
    scene.pass(60);
    scene.vault.core.tick(scene.vault.now, &mut KernelPorts).unwrap();
    // The disk is full: nothing is stored from here on.
    let (identity, session) = (&scene.agent.0, &mut scene.agent.1);
    let answer = scene.vault.ask(session, identity, &get("kv/web/a", None), false);
    let Ok(Answer { pending, .. }) = answer else { panic!("no answer") };
    assert!(pending.release(&scene.vault.durable).is_err(), "shown before it was stored");
    let cut = scene.vault.core.cut().unwrap().unwrap();
    let full = vouchsafe_protocol::link::StorageFailure::NoSpace;
    let reply = vouchsafe_protocol::link::StorageReply::Failed(full);
    assert_eq!(cut.ticket.stored(&reply).err(), Some(full));
    // What comes back has never made it, and makes it when there is room.
    let mut scene = scene.crash();
    assert_eq!(scene.read("kv/web/a", KvSelect::Current).unwrap(), first);
    scene.tick();
    assert_ne!(scene.read("kv/web/a", KvSelect::Current).unwrap(), first);
    assert_eq!(scene.read("kv/web/a", KvSelect::Previous).unwrap(), first);
}
