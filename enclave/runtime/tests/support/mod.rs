//! An enclave in this process, on a machine and with a host that a test can turn bad.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod front;
pub mod host;
pub mod machine;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use vouchsafe_crypto::secret::Key32;
use vouchsafe_crypto::signature::P256Key;
use vouchsafe_enclave::{Genesis, KernelPorts, PlatformName};
use vouchsafe_enclave_runtime::config::{Address, Limits};
use vouchsafe_enclave_runtime::{Enclave, Exit};
use vouchsafe_platform::{Attester, Platform};
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors};
use vouchsafe_protocol::codec;
use vouchsafe_protocol::frame;
use vouchsafe_protocol::introduction::{
    Hello, InitRequest, IntroductionReply, IntroductionRequest, LogsWanted, OperatorKey, Subject, VERSION,
};
use vouchsafe_protocol::limits::{INTRODUCTION_FRAME_LEN, LINK_FRAME_LEN};
use vouchsafe_protocol::link::{EnclaveState, LinkHello, StorageRequest};
use vouchsafe_protocol::refusal::RefusalCode;

use self::host::{Disk, FakeHost};
use self::machine::TestMachine;

/// Nothing here takes this long unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// An enclave and its host; both end with this.
pub struct Bench {
    pub machine: TestMachine,
    pub disk: Disk,
    pub operator: Arc<P256Key>,
    dir: tempfile::TempDir,
}

/// A running enclave.
pub struct Running {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Exit>,
    pub host: FakeHost,
}

impl Bench {
    pub fn new() -> Self {
        Self {
            machine: TestMachine::new(),
            disk: Disk::default(),
            operator: Arc::new(P256Key::generate().unwrap()),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("enclave.sock")
    }

    /// Starts an enclave, and a host that is not connected yet.
    pub async fn start(&self) -> Running {
        let address = Address::Unix(self.socket());
        let platform = Box::new(self.machine.clone());
        let pcrs = "0,2,4,7".parse().unwrap();
        let enclave = Enclave::on(platform, &address, &pcrs, Limits::default()).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(enclave.run(async move { drop(stopped.await) }));
        Running { stop: Some(stop), task, host: FakeHost::new(self.socket(), self.disk.clone()) }
    }

    /// Starts both and makes a vault.
    pub async fn start_vault(&self) -> (Running, String) {
        let mut running = self.start().await;
        running.host.connect().await;
        running.host.wait(|state| matches!(state, EnclaveState::Uninitialised)).await;
        let reply = self.init().await.expect("init is answered");
        assert!(matches!(reply, IntroductionReply::InitDone(_)), "{reply:?}");
        let vault = running.serving().await;
        (running, vault)
    }

    /// Starts both on a store that has a vault, or should have.
    pub async fn restart(&self) -> Running {
        let mut running = self.start().await;
        running.host.connect().await;
        running
    }

    pub fn init_request(&self) -> InitRequest {
        InitRequest {
            version: VERSION,
            nonce: [7; 32],
            operators: vec![OperatorKey { name: "root".parse().unwrap(), key: self.operator.spki() }],
            anchors: self.anchors(),
        }
    }

    pub fn anchors(&self) -> Anchors {
        Anchors { amd: AmdAnchors::Simulated(vec![self.machine.root()]), tpm: vec![] }
    }

    /// A vault that another process made at this time and left in a crash; nothing runs.
    pub fn make_vault_at(&self, now_secs: u64) {
        let mut machine = self.machine.clone();
        let entropy = Key32::fill_with(|bytes| machine.entropy(bytes)).unwrap();
        let genesis =
            Genesis::new(self.init_request(), PlatformName::Sim, &entropy, &mut KernelPorts).unwrap();
        let sealed = machine.seal(genesis.root()).unwrap();
        let counter = machine.counter().unwrap();
        let (record, unattested) = genesis.start(sealed, counter, now_secs, &mut KernelPorts).unwrap();
        let evidence = machine.evidence(&unattested.statement(), &[], LogsWanted::default()).unwrap();
        let mut core = unattested.attest(evidence);
        while let Some(cut) = core.cut().unwrap() {
            let reply = self.disk.answer(&StorageRequest::Append(cut.appends));
            cut.ticket.stored(&reply).unwrap();
        }
        self.disk.answer(&StorageRequest::WriteBoot(record.encode().unwrap()));
        machine.increment().unwrap();
    }

    pub async fn init(&self) -> Option<IntroductionReply> {
        self.ask(&IntroductionRequest::Init(self.init_request())).await
    }

    pub fn hello(&self) -> IntroductionRequest {
        let subject = Subject::Operator("root".parse().unwrap());
        IntroductionRequest::Hello(Hello { version: VERSION, nonce: [1; 32], subject, vault_id: None })
    }

    /// One message on a connection of its own; `None` if it was closed without an answer.
    pub async fn ask(&self, request: &IntroductionRequest) -> Option<IntroductionReply> {
        let mut stream = self.open(LinkHello::Introduce).await;
        send(&mut stream, &codec::encode(request).unwrap()).await;
        receive(&mut stream).await
    }

    /// The same of an enclave that may be gone.
    pub async fn try_ask(&self, request: &IntroductionRequest) -> Option<IntroductionReply> {
        let mut stream = UnixStream::connect(self.socket()).await.ok()?;
        for body in [codec::encode(&LinkHello::Introduce).unwrap(), codec::encode(request).unwrap()] {
            stream.write_all(&frame::enclose(&body, LINK_FRAME_LEN).unwrap()).await.ok()?;
        }
        receive(&mut stream).await
    }

    pub async fn refusal(&self, request: &IntroductionRequest) -> RefusalCode {
        refusal(self.ask(request).await)
    }

    /// A connection as the host would open it.
    pub async fn open(&self, hello: LinkHello) -> UnixStream {
        let mut stream = UnixStream::connect(self.socket()).await.unwrap();
        send(&mut stream, &codec::encode(&hello).unwrap()).await;
        stream
    }
}

impl Running {
    /// Waits until it serves; the vault's id.
    pub async fn serving(&self) -> String {
        let state = self.host.wait(|state| matches!(state, EnclaveState::Serving { .. })).await;
        let EnclaveState::Serving { vault_id, .. } = state else { unreachable!() };
        vault_id
    }

    /// Waits until it says why it does not serve.
    pub async fn failed(&self) -> String {
        let state = self.host.wait(|state| matches!(state, EnclaveState::Failed { .. })).await;
        let EnclaveState::Failed { reason } = state else { unreachable!() };
        reason
    }

    /// Stops it in order.
    pub async fn stop(mut self) -> Exit {
        drop(self.stop.take());
        self.exit().await
    }

    /// Waits for its end.
    pub async fn exit(self) -> Exit {
        tokio::time::timeout(PATIENCE, self.task).await.expect("the enclave ends").unwrap()
    }

    /// Ends it like a crash: nothing more is stored or counted.
    pub async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

pub fn refusal(reply: Option<IntroductionReply>) -> RefusalCode {
    match reply {
        Some(IntroductionReply::Refusal(refusal)) => refusal.code,
        other => panic!("no refusal: {other:?}"),
    }
}

pub async fn send(stream: &mut UnixStream, body: &[u8]) {
    stream.write_all(&frame::enclose(body, LINK_FRAME_LEN).unwrap()).await.unwrap();
}

/// The next answer; `None` if the connection was closed first.
pub async fn receive(stream: &mut UnixStream) -> Option<IntroductionReply> {
    let reading = async {
        let mut header = [0; 4];
        stream.read_exact(&mut header).await.ok()?;
        let mut body = vec![0; frame::body_len(header, INTRODUCTION_FRAME_LEN).unwrap()];
        stream.read_exact(&mut body).await.ok()?;
        Some(codec::decode(&body, INTRODUCTION_FRAME_LEN).unwrap())
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("an answer or an end")
}

/// Whether the other side closes the connection without another word.
pub async fn is_closed(stream: &mut UnixStream) -> bool {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("an end");
    // A reset, too, is an end.
    read.is_err() || rest.is_empty()
}
