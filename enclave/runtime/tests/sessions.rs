//! Sessions with the real client: from the first evidence to the last reply.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test binary, helpers included"
)]

mod support;

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use support::front::Front;
use support::host::framed;
use support::{Bench, Running, machine};
use tokio::sync::watch;
use tokio::task::JoinSet;
use vouchsafe_client::{
    Expect, InitParts, IntroduceError, KvWrite, Machine, Pin, Session, VaultPlatform, init,
};
use vouchsafe_crypto::secret::Key32;
use vouchsafe_enclave_runtime::Exit;
use vouchsafe_log::AuditReader;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::frame;
use vouchsafe_protocol::introduction::{IntroductionReply, OperatorKey};
use vouchsafe_protocol::kv::{Cas, KvState, SecretValue};
use vouchsafe_protocol::limits::LINK_FRAME_LEN;
use vouchsafe_protocol::link::{
    EnclaveState, LinkHello, StorageFailure, StorageReply, StorageRequest, StreamId,
};
use vouchsafe_protocol::log::{Action, KvOperation};
use vouchsafe_protocol::policy::{Allow, Capability, RefusalDetail, Role};

const SECRET: &[u8] = b"a value that the host must never see";

/// A vault, the way to it, and its operator's session.
struct Scene {
    bench: Bench,
    running: Running,
    front: Front,
    pin: Pin,
    operator: Session,
}

impl Scene {
    async fn new() -> Self {
        let bench = Bench::new();
        let mut running = bench.start().await;
        running.host.connect().await;
        running.host.wait(|state| matches!(state, EnclaveState::Uninitialised)).await;
        let front = Front::start(bench.socket()).await;
        let key = OperatorKey { name: "root".parse().unwrap(), key: bench.operator.spki() };
        let parts = InitParts { operators: vec![key], anchors: bench.anchors() };
        let made = init(front.endpoint(), &parts, &VaultPlatform::DangerousTrustWhatItShows).await.unwrap();
        let mut pin = made.pin;
        let operator = operator(&bench, &front, &mut pin).await;
        operator.roles().apply(vec![role(3600)]).await.unwrap();
        Self { bench, running, front, pin, operator }
    }

    async fn agent(&mut self) -> Session {
        agent(&self.bench, &self.front, &mut self.pin).await
    }
}

async fn agent(bench: &Bench, front: &Front, pin: &mut Pin) -> Session {
    let machine = Machine::new(bench.machine.clone());
    let role = "billing".parse().unwrap();
    let expect = Expect::Pinned(pin);
    let introduced = vouchsafe_client::introduce(front.endpoint(), expect, &role, &machine).await.unwrap();
    *pin = introduced.pin;
    Session::connect(front.endpoint(), &introduced.identity, pin).await.unwrap()
}

async fn operator(bench: &Bench, front: &Front, pin: &mut Pin) -> Session {
    let name = "root".parse().unwrap();
    let expect = Expect::Pinned(pin);
    let introduced =
        vouchsafe_client::introduce_operator(front.endpoint(), expect, &name, &bench.operator).await.unwrap();
    *pin = introduced.pin;
    Session::connect(front.endpoint(), &introduced.identity, pin).await.unwrap()
}

fn role(evidence_max_age_secs: u32) -> Role {
    Role {
        name: "billing".parse().unwrap(),
        spiffe_path: "/billing/agent".to_owned(),
        evidence_max_age_secs,
        identity_ttl_secs: 3600,
        refusals: RefusalDetail::NameRule,
        accept: vec![machine::accept()],
        allow: vec![Allow::always("kv/billing/*", &[Capability::Read])],
        deny: vec![],
        leases_per_identity: 10,
        leases: 100,
    }
}

fn secret() -> SecretValue {
    SecretValue::new(SECRET.to_vec())
}

#[tokio::test]
async fn an_attested_agent_reads_what_an_operator_wrote_and_a_crash_loses_nothing() {
    let mut scene = Scene::new().await;
    scene.operator.kv().put("kv/billing/db", secret(), Cas::Any).await.unwrap();
    let agent = scene.agent().await;
    assert_eq!(agent.kv().get("kv/billing/db").await.unwrap().value.expose_secret(), SECRET);
    assert!(agent.kv().get("kv/other/db").await.is_err(), "policy is the core's, and it is asked");

    let Scene { bench, running, front, mut pin, .. } = scene;
    running.crash().await;
    let files = bench.disk.files().clone();
    for frame in files.streams.values().flatten().chain(&files.boot) {
        assert!(!frame.windows(SECRET.len()).any(|window| window == SECRET), "h1");
    }
    let running = bench.restart().await;
    running.serving().await;
    let agent = self::agent(&bench, &front, &mut pin).await;
    assert_eq!(agent.kv().get("kv/billing/db").await.unwrap().value.expose_secret(), SECRET);
}

#[tokio::test]
async fn many_requests_of_many_sessions_are_in_flight_and_each_gets_its_own_answer() {
    let mut scene = Scene::new().await;
    for number in 0..8 {
        let value = SecretValue::new(format!("value {number}").into_bytes());
        scene.operator.kv().put(&format!("kv/billing/{number}"), value, Cas::Any).await.unwrap();
    }
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let agent = scene.agent().await;
        for at in 0..96 {
            let agent = agent.clone();
            tasks.spawn(async move {
                let read = agent.kv().get(&format!("kv/billing/{}", at % 8)).await.unwrap();
                assert_eq!(read.value.expose_secret(), format!("value {}", at % 8).as_bytes());
            });
        }
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
}

#[tokio::test]
async fn large_values_pass_whole() {
    let mut scene = Scene::new().await;
    let value: Vec<u8> = (0..1024 * 1024).map(|at| (at % 251) as u8).collect();
    scene.operator.kv().put("kv/billing/large", SecretValue::new(value.clone()), Cas::Any).await.unwrap();
    assert_eq!(scene.agent().await.kv().get("kv/billing/large").await.unwrap().value.expose_secret(), value);
}

#[tokio::test]
async fn the_log_as_stored_reaches_an_auditor() {
    let scene = Scene::new().await;
    scene.operator.kv().put("kv/billing/db", secret(), Cas::Any).await.unwrap();
    let streams = scene.operator.audit().streams().await.unwrap();
    let stored = scene.bench.disk.files().streams.clone();
    for (stream, frames) in streams {
        let read = scene.operator.audit().frames(stream, 0).await.unwrap();
        assert!(frames > 0 && !read.is_empty());
        assert_eq!(read.first(), stored[&stream].first());
    }
}

#[tokio::test]
async fn h4_a_write_that_the_host_did_not_store_is_never_acknowledged() {
    let answers = [
        Some(framed(&StorageReply::Failed(StorageFailure::Conflict))),
        Some(framed(&StorageReply::Failed(StorageFailure::NoSpace))),
        Some(framed(&StorageReply::Heads(vec![]))),
        Some(vec![0xff; 9]),
        None,
    ];
    let scene = Scene::new().await;
    let Scene { bench, running, front, mut pin, mut operator } = scene;
    let mut running = running;
    for (number, answer) in answers.into_iter().enumerate() {
        let before = bench.disk.files().clone();
        running.host.meddle(move |request, reply| match request {
            StorageRequest::Append(_) => answer.clone(),
            _ => Some(framed(&reply)),
        });
        let path = format!("kv/billing/{number}");
        operator.kv().put(&path, secret(), Cas::Any).await.unwrap_err();
        running.host.lost().await;
        front.quiet().await;
        // The store did not keep it, so it never was.
        *bench.disk.files() = before;
        running.host.behave();
        running.host.connect().await;
        running.serving().await;
        operator = self::operator(&bench, &front, &mut pin).await;
        operator.kv().metadata(&path).await.unwrap_err();
    }
}

#[tokio::test]
async fn f6_f7_a_session_ends_when_its_evidence_is_too_old_though_nobody_speaks() {
    let mut scene = Scene::new().await;
    scene.operator.roles().apply(vec![role(2)]).await.unwrap();
    scene.operator.close().await.unwrap();
    let agent = scene.agent().await;
    scene.front.quiet().await;
    agent.kv().get("kv/billing/db").await.unwrap_err();
}

#[tokio::test]
async fn v8_a_seal_is_answered_first_and_then_ends_the_process_until_it_is_started_again() {
    let scene = Scene::new().await;
    scene.operator.kv().put("kv/billing/db", secret(), Cas::Any).await.unwrap();
    let counter = scene.bench.machine.set().counter.unwrap();
    scene.operator.seal().await.unwrap();
    scene.running.host.wait(|state| matches!(state, EnclaveState::Sealed)).await;
    assert_eq!(scene.running.exit().await, Exit::Sealed);
    assert_eq!(scene.bench.machine.set().counter.unwrap(), counter + 1);

    let running = scene.bench.restart().await;
    running.serving().await;
    let mut pin = scene.pin;
    let agent = self::agent(&scene.bench, &scene.front, &mut pin).await;
    assert_eq!(agent.kv().get("kv/billing/db").await.unwrap().value.expose_secret(), SECRET);
}

/// What a bad host does with the append that frees a seal's answer.
#[derive(Clone, Copy, Debug)]
enum AgainstTheSeal {
    CutAfterStoring,
    RefuseToStore,
    ReplaceAfterStoring,
    ReplaceAndSayNothing,
}

#[tokio::test]
async fn v8_a_host_that_cuts_or_replaces_the_link_does_not_undo_a_seal() {
    use AgainstTheSeal::{CutAfterStoring, RefuseToStore, ReplaceAfterStoring, ReplaceAndSayNothing};
    for attack in [CutAfterStoring, RefuseToStore, ReplaceAfterStoring, ReplaceAndSayNothing] {
        let Scene { bench, running, front, mut pin, operator: first } = Scene::new().await;
        // Nothing else is left to store: the next append is the seal's.
        first.close().await.unwrap();
        front.quiet().await;
        let operator = operator(&bench, &front, &mut pin).await;
        let socket = bench.socket();
        let mut newer = None;
        let storage = codec::encode(&LinkHello::Storage).unwrap();
        let hello = frame::enclose(&storage, LINK_FRAME_LEN).unwrap();
        if matches!(attack, CutAfterStoring) {
            running.host.hang_up_after_an_append();
        }
        running.host.meddle(move |request, reply| {
            if !matches!(request, StorageRequest::Append(_)) {
                return Some(framed(&reply));
            }
            match attack {
                CutAfterStoring => Some(framed(&reply)),
                RefuseToStore => Some(framed(&StorageReply::Failed(StorageFailure::Io))),
                ReplaceAfterStoring | ReplaceAndSayNothing => {
                    newer.get_or_insert_with(|| {
                        let mut link = UnixStream::connect(&socket).unwrap();
                        link.write_all(&hello).unwrap();
                        link
                    });
                    let stored = matches!(attack, ReplaceAfterStoring);
                    Some(if stored { framed(&reply) } else { vec![] })
                }
            }
        });
        let sealed = operator.seal().await;
        match attack {
            CutAfterStoring => sealed.unwrap(),
            RefuseToStore | ReplaceAndSayNothing => drop(sealed.unwrap_err()),
            ReplaceAfterStoring => {}
        }
        assert_eq!(running.exit().await, Exit::Sealed, "{attack:?}");
    }
}

#[tokio::test]
async fn h6_a_vault_whose_journal_is_ahead_of_the_wall_clock_still_admits() {
    let bench = Bench::new();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    bench.make_vault_at(now + 600);
    let running = bench.restart().await;
    running.serving().await;
    let front = Front::start(bench.socket()).await;
    let name = "root".parse().unwrap();
    let expect = Expect::DangerousTrustOnFirstUse { anchors: &bench.anchors() };
    let asked = vouchsafe_client::introduce_operator(front.endpoint(), expect, &name, &bench.operator).await;
    // The vault grants. Only this client, whose clock stands where the wall's does, finds the identity too young.
    let error = asked.unwrap_err();
    assert!(matches!(error, IntroduceError::Grant(_)), "{error:?}");
}

/// Writes one value after another until the vault refuses; the paths of those that were acknowledged.
async fn write_until_the_end(
    session: Session,
    writer: usize,
    written: Arc<watch::Sender<usize>>,
) -> Vec<String> {
    let mut acknowledged = Vec::new();
    loop {
        let path = format!("kv/billing/{writer}-{}", acknowledged.len());
        if session.kv().put(&path, secret(), Cas::Any).await.is_err() {
            return acknowledged;
        }
        acknowledged.push(path);
        written.send_modify(|written| *written += 1);
    }
}

async fn read_until_the_end(session: Session) {
    while session.kv().get("kv/billing/first").await.is_ok() {}
}

/// Says hello until nobody answers; every hello and every session goes through the core's lock.
async fn introduce_until_the_end(bench: Arc<Bench>) {
    let hello = bench.hello();
    while let Some(reply) = bench.try_ask(&hello).await {
        if !matches!(reply, IntroductionReply::Offer(_)) {
            return;
        }
    }
}

/// The actions of a stream, in order.
fn actions(key: &Arc<Key32>, stream: StreamId, frames: &[Vec<u8>]) -> Vec<Action> {
    let mut reader = AuditReader::new(Arc::clone(key), stream);
    let opened = frames.iter().flat_map(|frame| reader.open(frame).unwrap().entries);
    opened.map(|entry| entry.action).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h3_h4_the_end_of_an_epoch_comes_last_and_every_write_before_it_is_acknowledged_and_kept() {
    let mut scene = Scene::new().await;
    scene.operator.kv().put("kv/billing/first", secret(), Cas::Any).await.unwrap();
    let written = Arc::new(watch::Sender::new(0));
    let (mut writers, mut others) = (JoinSet::new(), JoinSet::new());
    for writer in 0..3 {
        let session = operator(&scene.bench, &scene.front, &mut scene.pin).await;
        writers.spawn(write_until_the_end(session, writer, Arc::clone(&written)));
        others.spawn(read_until_the_end(scene.agent().await));
    }
    let Scene { bench, running, front, mut pin, operator: first } = scene;
    let bench = Arc::new(bench);
    others.spawn(introduce_until_the_end(Arc::clone(&bench)));
    written.subscribe().wait_for(|written| *written >= 30).await.unwrap();
    assert_eq!(running.stop().await, Exit::Stopped);
    drop(first);
    let acknowledged: Vec<String> = writers.join_all().await.into_iter().flatten().collect();
    others.join_all().await;
    let left = bench.disk.files().clone();

    let running = bench.restart().await;
    running.serving().await;
    let operator = operator(&bench, &front, &mut pin).await;
    let agent = agent(&bench, &front, &mut pin).await;
    for path in &acknowledged {
        assert_eq!(agent.kv().get(path).await.unwrap().value.expose_secret(), SECRET);
    }
    let key = Arc::new(operator.audit().key().await.unwrap());
    let journal = actions(&key, StreamId::Journal, &left.streams[&StreamId::Journal]);
    let put = |action: &&Action| matches!(action, Action::Kv { operation: KvOperation::Put, .. });
    assert_eq!(journal.iter().filter(put).count(), acknowledged.len() + 1, "the first one, too");
    let Some(Action::EpochEnd { epoch, access_size, .. }) = journal.last() else {
        panic!("the last record is {:?}", journal.last())
    };
    let access = StreamId::Access { epoch: *epoch };
    assert_eq!(actions(&key, access, &left.streams[&access]).len() as u64, *access_size);
}

#[tokio::test]
async fn a_watch_tells_of_versions_on_the_open_session_and_of_none_that_may_not_be_read() {
    let mut scene = Scene::new().await;
    let agent = scene.agent().await;
    assert!(agent.kv().watch("kv/other/db", 0).await.is_err(), "policy is the core's, and it is asked");
    let mut watch = agent.kv().watch("kv/billing/db", 0).await.unwrap();
    let mut other = agent.kv().watch("kv/billing/other", 0).await.unwrap();
    for version in 1..=3 {
        scene.operator.kv().put("kv/billing/db", secret(), Cas::Any).await.unwrap();
        assert_eq!(watch.next().await, Ok(version));
        assert_eq!(agent.kv().get_version("kv/billing/db", version).await.unwrap().version, version);
    }
    // What was there before is told at once to whoever has not seen it.
    let mut again = agent.kv().watch("kv/billing/db", 2).await.unwrap();
    assert_eq!((again.current(), again.next().await), (3, Ok(3)));
    // The role loses the right: the session goes on, and is told nothing more.
    let none = Role { allow: vec![Allow::always("kv/billing/other", &[Capability::Read])], ..role(3600) };
    scene.operator.roles().apply(vec![none]).await.unwrap();
    scene.operator.kv().put("kv/billing/db", secret(), Cas::Any).await.unwrap();
    scene.operator.kv().put("kv/billing/other", secret(), Cas::Any).await.unwrap();
    assert_eq!(other.next().await, Ok(1));
    let waited = tokio::time::timeout(std::time::Duration::from_millis(1), again.next()).await;
    assert!(waited.is_err(), "told of what may not be read");
}

#[tokio::test]
async fn a_version_s_time_ends_without_anybody_asking() {
    let mut scene = Scene::new().await;
    let write = KvWrite { value: secret().into(), cas: Cas::Any, ttl_secs: Some(1) };
    scene.operator.kv().write("kv/billing/db", write).await.unwrap();
    let agent = scene.agent().await;
    // No sleep: requests until it has ended, which is a second away at most.
    while let Ok(read) = agent.kv().get("kv/billing/db").await {
        assert_eq!(read.value.expose_secret(), SECRET);
    }
    let metadata = scene.operator.kv().metadata("kv/billing/db").await.unwrap();
    assert_eq!(metadata.versions[0].state, KvState::Expired);
    // The vault wiped it by itself, and the journal says so.
    let key = Arc::new(scene.operator.audit().key().await.unwrap());
    let expired = |action: &Action| matches!(action, Action::Kv { operation: KvOperation::Expire, .. });
    loop {
        let frames = scene.operator.audit().frames(StreamId::Journal, 0).await.unwrap();
        if actions(&key, StreamId::Journal, &frames).iter().any(expired) {
            break;
        }
    }
}
