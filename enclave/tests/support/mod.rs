//! A vault, its platform and its agents in memory: the core driven through its public interface alone.

#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "test support"
)]

use std::sync::LazyLock;

use vouchsafe_attestation::statement;
use vouchsafe_crypto::digest::sha256;
use vouchsafe_crypto::random;
use vouchsafe_crypto::secret::Key32;
use vouchsafe_crypto::signature::P256Key;
use vouchsafe_crypto::transcript::{chain_head_preimage, chain_link, offer_digest, prove_preimage};
use vouchsafe_enclave::{
    BootRecord, Core, Cut, Durable, Genesis, Handled, KernelPorts, Pending, PlatformName, Restore,
    RestoreError, SessionEnd, SessionId, Unattested,
};
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors, TpmAnchor};
use vouchsafe_protocol::codec;
use vouchsafe_protocol::evidence::{Evidence, EvidenceKind};
use vouchsafe_protocol::id::{AnchorClass, RoleName, VaultId};
use vouchsafe_protocol::introduction::{
    Grant, Hello, InitRequest, IntroductionReply, Offer, OfferBody, OperatorKey, Proof, Prove, ProveBody,
    Subject, VERSION,
};
use vouchsafe_protocol::kv::{Cas, KvReply, KvRequest, KvSelect, KvValue, SecretValue};
use vouchsafe_protocol::limits::{INTRODUCTION_FRAME_LEN, SESSION_FRAME_LEN};
use vouchsafe_protocol::link::StorageReply;
use vouchsafe_protocol::policy::{
    Accept, Allow, Capability, ChipRule, LaunchDigest, Product, RefusalDetail, RevocationRule, Role,
    SnpAccept, Tcb, TcbFloor, TpmKind,
};
use vouchsafe_protocol::refusal::{Refusal, RefusalCode};
use vouchsafe_protocol::session::{AgentFrame, Outcome, Reply, Request, Response, parse_vault_frame};
use vouchsafe_simulation::tpm::TpmAuthority;
use vouchsafe_simulation::{SimulatedChip, SimulatedPki, VekSpec};

pub const START: u64 = 1_790_000_000;
pub const MEASUREMENT: LaunchDigest = LaunchDigest([7; 48]);
const TCB: Tcb = Tcb { fmc: 0, boot_loader: 9, tee: 0, snp: 23, microcode: 72 };

/// One test PKI for all tests of a binary: making RSA keys takes long.
pub static FLEET: LazyLock<(SimulatedPki, SimulatedChip)> = LazyLock::new(|| {
    let pki = SimulatedPki::generate(Product::Genoa).unwrap();
    let chip = pki.chip(&VekSpec::vcek(Product::Genoa, TCB, [5; 64])).unwrap();
    (pki, chip)
});

/// A cloud that certifies the keys of the virtual TPMs that its hosts run.
pub static CLOUD: LazyLock<TpmAuthority> = LazyLock::new(|| TpmAuthority::generate("cloud").unwrap());

pub fn anchors() -> Anchors {
    let cloud = TpmAnchor {
        name: "cloud".parse().unwrap(),
        class: AnchorClass::Simulated,
        kind: TpmKind::HostVirtual,
        certificates: vec![CLOUD.der().to_vec()],
    };
    Anchors { amd: AmdAnchors::Simulated(vec![FLEET.0.root()]), tpm: vec![cloud] }
}

pub fn evidence(preimage: &statement::StatementPreimage) -> Evidence {
    evidence_of(MEASUREMENT, preimage)
}

pub fn evidence_of(measurement: LaunchDigest, preimage: &statement::StatementPreimage) -> Evidence {
    Evidence::Snp(FLEET.1.attest(measurement, &preimage.snp_report_data()).unwrap())
}

pub fn role(name: &str, allow: &[(&str, &[Capability])]) -> Role {
    Role {
        name: name.parse().unwrap(),
        spiffe_path: format!("/{name}"),
        evidence_max_age_secs: 3600,
        identity_ttl_secs: 7200,
        refusals: RefusalDetail::NameRule,
        accept: vec![Accept::Snp(SnpAccept::strict(
            vec![Product::Genoa],
            vec![MEASUREMENT.into()],
            vec![TcbFloor::all(Product::Genoa, TCB)],
            ChipRule::AnyChip,
            RevocationRule::Unchecked,
        ))],
        allow: allow.iter().map(|(path, can)| Allow::always(*path, can)).collect(),
        deny: vec![],
        leases_per_identity: 10,
        leases: 100,
    }
}

pub const ALL: &[Capability] = &[
    Capability::Delete,
    Capability::Destroy,
    Capability::List,
    Capability::Manage,
    Capability::Read,
    Capability::Write,
];

/// What the host and the platform keep: all that survives a crash.
pub struct Machine {
    pub frames: Vec<Vec<u8>>,
    pub access: Vec<Vec<u8>>,
    pub boot: BootRecord,
    pub counter: Option<u64>,
    root: [u8; 32],
}

/// A running vault on a machine.
pub struct Vault {
    pub machine: Machine,
    pub core: Core,
    pub now: u64,
    pub durable: Durable,
    pub operator: P256Key,
}

/// An introduced agent or operator.
pub struct Identity {
    pub key: P256Key,
    pub grant: Grant,
    pub prove: Prove,
}

/// The agent's end of a session.
pub struct Session {
    pub id: SessionId,
    pub head: [u8; 32],
    pub next: u64,
    pub unsigned: u64,
}

/// What came of asking.
pub struct Answer {
    pub pending: Pending,
    pub number: u64,
    pub link: [u8; 32],
}

impl Machine {
    /// A copy, as an adversary would keep one.
    pub fn copy(&self) -> Self {
        Self {
            frames: self.frames.clone(),
            access: self.access.clone(),
            boot: self.boot.clone(),
            counter: self.counter,
            root: self.root,
        }
    }

    pub fn root(&self) -> Key32 {
        Key32::take(&mut self.root.clone()).unwrap()
    }

    /// Reads the journal back and begins an epoch; the platform counts.
    pub fn restore(&mut self, now: u64) -> Result<Unattested, RestoreError> {
        let mut restore = Restore::new(&self.boot, self.root());
        for frame in &self.frames {
            restore.frame(frame)?;
        }
        let restored = restore.finish(self.counter)?;
        if restored.owes_increment() {
            self.counter = self.counter.map(|counter| counter + 1);
        }
        restored.begin(now, &mut KernelPorts)
    }
}

pub fn init_request(operator: &P256Key) -> InitRequest {
    InitRequest {
        version: VERSION,
        nonce: random::array().unwrap(),
        operators: vec![OperatorKey { name: "op".parse().unwrap(), key: operator.spki() }],
        anchors: anchors(),
    }
}

impl Vault {
    /// A new vault with a counter (rung R1).
    pub fn create() -> Self {
        Self::create_with(Some(41))
    }

    pub fn create_with(counter: Option<u64>) -> Self {
        let operator = P256Key::generate().unwrap();
        let entropy = random::key().unwrap();
        let genesis =
            Genesis::new(init_request(&operator), PlatformName::Sim, &entropy, &mut KernelPorts).unwrap();
        let root = *genesis.root().expose_secret();
        let (boot, unattested) = genesis.start(b"sealed".to_vec(), counter, START, &mut KernelPorts).unwrap();
        let machine = Machine { frames: Vec::new(), access: Vec::new(), boot, counter, root };
        Self::serve(machine, unattested, START, operator)
    }

    fn serve(machine: Machine, unattested: Unattested, now: u64, operator: P256Key) -> Self {
        let evidence = evidence(&unattested.statement());
        let core = unattested.attest(evidence);
        let mut vault = Self { machine, core, now, durable: Durable::default(), operator };
        vault.store();
        vault.machine.counter = vault.core.expected_counter();
        vault
    }

    /// Ends without warning: what was not stored is gone. Then comes back.
    pub fn crash(self) -> Self {
        self.come_back().unwrap_or_else(|error| panic!("a vault must come back after a crash: {error}"))
    }

    pub fn come_back(self) -> Result<Self, RestoreError> {
        let Self { mut machine, now, operator, .. } = self;
        machine.access.clear();
        let unattested = machine.restore(now)?;
        Ok(Self::serve(machine, unattested, now, operator))
    }

    /// Ends in order, then comes back.
    pub fn restart(mut self) -> Self {
        self.core.end(self.now, &mut KernelPorts).unwrap();
        self.store();
        self.machine.counter = self.core.expected_counter();
        self.crash()
    }

    /// Stores everything that waits.
    pub fn store(&mut self) {
        while let Some(cut) = self.core.cut().unwrap() {
            let Cut { appends, ticket } = cut;
            self.machine.take(appends);
            self.durable = self.durable.max(ticket.stored(&StorageReply::Done).unwrap());
        }
    }

    pub fn id(&self) -> VaultId {
        self.core.vault_id()
    }

    // --- introduction

    pub fn hello(&self, subject: Subject) -> Vec<u8> {
        let hello =
            Hello { version: VERSION, nonce: random::array().unwrap(), subject, vault_id: Some(self.id()) };
        codec::encode(&hello).unwrap()
    }

    pub fn offer(&self, hello: &[u8]) -> Result<Offer, Refusal> {
        let decoded: Hello = codec::decode(hello, INTRODUCTION_FRAME_LEN).unwrap();
        match self.core.introducer().hello(hello, &decoded, self.now) {
            IntroductionReply::Offer(offer) => Ok(offer),
            IntroductionReply::Refusal(refusal) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }

    /// Takes a proof all the way, stores, and gives the vault's answer.
    pub fn prove(&mut self, prove: &Prove) -> Result<Grant, Refusal> {
        let outcome = self.core.introducer().prove(prove, self.now);
        let pending = self.core.admit(outcome, self.now, &mut KernelPorts);
        self.store();
        released(pending, &self.durable)
    }

    /// A whole introduction of an agent on the test fleet's chip.
    pub fn introduce(&mut self, role: &str) -> Result<Identity, Refusal> {
        let hello = self.hello(agent(role));
        let offer = self.offer(&hello)?;
        let key = P256Key::generate().unwrap();
        let prove = proof(&hello, &offer, &key, &key.spki(), role, MEASUREMENT);
        let grant = self.prove(&prove)?;
        Ok(Identity { key, grant, prove })
    }

    pub fn introduce_operator(&mut self) -> Identity {
        let hello = self.hello(Subject::Operator("op".parse().unwrap()));
        let offer = self.offer(&hello).unwrap();
        let key = P256Key::from_pkcs8(copy(self.operator.expose_pkcs8().expose_secret())).unwrap();
        let prove = signed(&hello, &offer, &key, &key.spki(), Proof::OperatorKey);
        let grant = self.prove(&prove).unwrap();
        Identity { key, grant, prove }
    }

    // --- sessions

    pub fn open(&mut self, identity: &Identity) -> Result<Session, Refusal> {
        let exporter = random::array().unwrap();
        let id = self.core.open_session(&identity.grant.certificate, exporter, self.now)?;
        Ok(Session { id, head: exporter, next: 1, unsigned: 0 })
    }

    /// Asks, and signs the chain whenever it has to be. The answer waits for storage.
    pub fn ask(
        &mut self,
        session: &mut Session,
        identity: &Identity,
        request: &Request,
        receipt: bool,
    ) -> Result<Answer, SessionEnd> {
        if session.unsigned == vouchsafe_protocol::limits::UNSIGNED_REQUESTS {
            self.sign(session, identity)?;
        }
        let body = codec::encode(request).unwrap();
        let (number, link) = (session.next, chain_link(&session.head, session.next, receipt, &body));
        let frame = AgentFrame::Request { number, link, receipt, body: &body }.to_bytes();
        let handled = self.core.frame(session.id, &frame, self.now, &mut KernelPorts)?;
        session.head = link;
        session.next += 1;
        session.unsigned += 1;
        match handled {
            Handled::Reply(pending) | Handled::Seal(pending) => Ok(Answer { pending, number, link }),
            Handled::Fetch(fetch) => Ok(Answer { pending: fetch.complete(Vec::new()), number, link }),
            Handled::Streams(streams) => Ok(Answer { pending: streams.complete(Vec::new()), number, link }),
            Handled::Nothing => panic!("a request gets a reply"),
        }
    }

    pub fn sign(&mut self, session: &mut Session, identity: &Identity) -> Result<(), SessionEnd> {
        let upto = session.next - 1;
        let signature = identity.key.sign(&chain_head_preimage(upto, &session.head)).unwrap();
        let frame = AgentFrame::Signature { upto, signature: &signature }.to_bytes();
        let handled = self.core.frame(session.id, &frame, self.now, &mut KernelPorts)?;
        assert!(matches!(handled, Handled::Nothing));
        session.unsigned = 0;
        Ok(())
    }

    /// Asks, stores, and takes the response.
    pub fn response(&mut self, session: &mut Session, identity: &Identity, request: &Request) -> Response {
        let answer =
            self.ask(session, identity, request, true).unwrap_or_else(|end| panic!("{}", end.refusal));
        self.store();
        answer.response(&self.durable)
    }

    pub fn outcome(
        &mut self,
        session: &mut Session,
        identity: &Identity,
        request: &Request,
    ) -> Result<Reply, RefusalCode> {
        match self.response(session, identity, request).outcome {
            Outcome::Done(reply) => Ok(reply),
            Outcome::Refused(refusal) => Err(refusal.code),
        }
    }
}

impl Machine {
    pub fn take(&mut self, appends: Vec<vouchsafe_protocol::link::Append>) {
        for append in appends {
            let stream = match append.stream {
                vouchsafe_protocol::link::StreamId::Journal => &mut self.frames,
                vouchsafe_protocol::link::StreamId::Access { .. } => &mut self.access,
            };
            assert_eq!(append.index, stream.len() as u64, "the append is fenced by its index");
            stream.push(append.frame);
        }
    }
}

impl Answer {
    /// Takes the response, which must be for exactly this request (B7).
    pub fn response(self, durable: &Durable) -> Response {
        let Ok(bytes) = self.pending.release(durable) else { panic!("the reply is not covered") };
        let (number, link, body) = parse_vault_frame(&bytes).unwrap();
        assert_eq!((number, link), (self.number, self.link));
        codec::decode(body, SESSION_FRAME_LEN).unwrap()
    }
}

pub fn agent(role: &str) -> Subject {
    Subject::Agent { role: role.parse().unwrap(), kind: EvidenceKind::Snp, tpm: None }
}

/// A proof with evidence over the right binding for `spki`, signed by `key`.
pub fn proof(
    hello: &[u8],
    offer: &Offer,
    key: &P256Key,
    spki: &[u8],
    role: &str,
    measurement: LaunchDigest,
) -> Prove {
    let evidence = evidence_of(measurement, &binding(hello, offer, spki, role));
    signed(hello, offer, key, spki, Proof::Evidence { evidence, activated: None })
}

pub fn binding(hello: &[u8], offer: &Offer, spki: &[u8], role: &str) -> statement::StatementPreimage {
    let body: OfferBody = codec::decode(&offer.body, INTRODUCTION_FRAME_LEN).unwrap();
    let role: RoleName = role.parse().unwrap();
    let digest = offer_digest(hello, &codec::encode(offer).unwrap());
    statement::introduction(&body.challenge, &digest, spki, &role, &body.vault.vault_id)
}

pub fn signed(hello: &[u8], offer: &Offer, key: &P256Key, spki: &[u8], proof: Proof) -> Prove {
    let body = ProveBody {
        hello: hello.to_vec(),
        offer: codec::encode(offer).unwrap(),
        identity: spki.to_vec(),
        proof,
    };
    let body = codec::encode(&body).unwrap();
    let signature = key.sign(&prove_preimage(&body)).unwrap();
    Prove { body, signature }
}

pub fn released(pending: Pending, durable: &Durable) -> Result<Grant, Refusal> {
    let Ok(bytes) = pending.release(durable) else { panic!("the reply is not covered") };
    match codec::decode(&bytes, INTRODUCTION_FRAME_LEN).unwrap() {
        IntroductionReply::Grant(grant) => Ok(grant),
        IntroductionReply::Refusal(refusal) => Err(refusal),
        other => panic!("{other:?}"),
    }
}

pub fn put(path: &str, value: &[u8], cas: Cas) -> Request {
    let value = KvValue::Bytes(SecretValue::new(value.to_vec()));
    Request::Kv(KvRequest::Put { path: path.parse().unwrap(), value, cas, ttl_secs: None })
}

pub fn get(path: &str, version: Option<u64>) -> Request {
    let select = version.map_or(KvSelect::Current, KvSelect::Version);
    Request::Kv(KvRequest::Get { path: path.parse().unwrap(), select })
}

pub fn value(reply: Reply) -> (u64, Vec<u8>) {
    match reply {
        Reply::Kv(KvReply::Value { version, value, .. }) => (version, value.expose_secret().to_vec()),
        other => panic!("{other:?}"),
    }
}

pub fn written(reply: Reply) -> u64 {
    match reply {
        Reply::Kv(KvReply::Written { version }) => version,
        other => panic!("{other:?}"),
    }
}

fn copy(bytes: &[u8]) -> vouchsafe_crypto::secret::SecretBytes {
    vouchsafe_crypto::secret::SecretBytes::new(bytes.to_vec())
}

pub fn digest_of(bytes: &[u8]) -> [u8; 32] {
    sha256(&[bytes])
}
