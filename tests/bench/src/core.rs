//! A core in this process, driven through its public interface: what of an introduction is the server's.

use std::fs::File;
use std::io::Write as _;

use anyhow::{Context, bail};
use vouchsafe_attestation::statement;
use vouchsafe_crypto::digest::sha256;
use vouchsafe_crypto::random;
use vouchsafe_crypto::secret::{Key32, SecretBytes};
use vouchsafe_crypto::signature::{LogKey, P256Key, P256PublicKey};
use vouchsafe_crypto::transcript::{chain_head_preimage, chain_link, offer_digest, prove_preimage};
use vouchsafe_enclave::{
    BootRecord, Core, Durable, Genesis, Handled, KernelPorts, Pending, PlatformName, SessionId,
};
use vouchsafe_protocol::codec;
use vouchsafe_protocol::evidence::{Evidence, EvidenceKind};
use vouchsafe_protocol::introduction::{
    Grant, Hello, InitRequest, IntroductionReply, Offer, OfferBody, OperatorKey, Proof, Prove, ProveBody,
    Subject, VERSION,
};
use vouchsafe_protocol::kv::{Cas, KvReply, KvRequest, KvValue, SecretValue};
use vouchsafe_protocol::limits::{INTRODUCTION_FRAME_LEN, LIST_PAGE, REPLY_FRAME_LEN, UNSIGNED_REQUESTS};
use vouchsafe_protocol::link::{StorageReply, StreamId};
use vouchsafe_protocol::session::{AgentFrame, Outcome, Reply, Request, Response, parse_vault_frame};

use crate::clock::{cpu, distribution, quantile};
use crate::cold::resident;
use crate::evidence::{BareP384, NOW, Snp};
use crate::report::{Measured, Row, Unit};
use crate::sessions::{SECRET_LEN, path_of};

pub mod keys;

/// A vault whose store is always quick and always says yes.
pub struct Vault<'a> {
    snp: &'a Snp,
    pub core: Core,
    pub durable: Durable,
    operator: P256Key,
    pub boot: BootRecord,
    pub root: Key32,
    /// Where frames of the journal go, if anywhere: each with its length before it.
    pub journal: Option<File>,
}

/// One end of a session.
pub struct Asking {
    id: SessionId,
    key: P256Key,
    link: [u8; 32],
    number: u64,
    unsigned: u64,
}

/// Server time of introductions, beside the signatures that none can do without.
pub fn measure(snp: &Snp, introductions: usize) -> anyhow::Result<Row> {
    let mut vault = Vault::new(snp)?;
    // The first one verifies the chip's chain.
    vault.introduce()?;
    let (mut figures, mut primitives) = (Vec::new(), Vec::new());
    let bare = Signatures::new()?;
    for _ in 0..introductions {
        figures.push(vault.introduce()?);
        let started = cpu();
        bare.make_and_verify()?;
        primitives.push((cpu() - started).as_secs_f64());
    }
    let p99 = quantile(&mut figures, 0.99)?;
    Ok(Row::new("introduction, server time (core, processor time)", Unit::Seconds, distribution(figures)?)
        .beside("its signatures, bare", distribution(primitives)?, None)
        .goal("p99 at most 10 ms", p99 <= 10e-3)
        .note("the signatures: two P-256 made, two verified, one P-384 verified, one Ed25519 made"))
}

/// How long others wait for a page of names: the core does one thing at a time.
pub fn pages(snp: &Snp, secrets: usize) -> anyhow::Result<Row> {
    let mut vault = Vault::new(snp)?;
    let mut asking = vault.asking()?;
    let empty = resident(Some(std::process::id()))?;
    for index in 0..secrets {
        let value = KvValue::Bytes(SecretValue::new(vec![0x5a; SECRET_LEN]));
        let put = KvRequest::Put { path: path_of(index).parse()?, value, cas: Cas::Any, ttl_secs: None };
        vault.ask(&mut asking, &Request::Kv(put))?;
        if index % 1000 == 0 {
            vault.store()?;
        }
    }
    vault.store()?;
    let each = (resident(Some(std::process::id()))? - empty) / secrets as f64;
    let mut list = |prefix: &str, after: Option<String>| {
        let request = KvRequest::List { prefix: prefix.parse()?, after, limit: 0 };
        let started = cpu();
        let pending = vault.ask(&mut asking, &Request::Kv(request))?;
        let secs = (cpu() - started).as_secs_f64();
        vault.store()?;
        let bytes = pending.release(&vault.durable).ok().context("the page is not durable")?;
        let (_, _, body) = parse_vault_frame(&bytes)?;
        let response: Response = codec::decode(body, REPLY_FRAME_LEN)?;
        let Outcome::Done(Reply::Kv(KvReply::Names { names, more })) = response.outcome else {
            bail!("no names")
        };
        anyhow::Ok((secs, names, more))
    };
    let (skipping, top, _) = list("kv", None)?;
    anyhow::ensure!(top.len() == 1, "all secrets are in one subtree");
    let (mut pages, mut after, mut more, mut count) = (Vec::new(), None, true, 0);
    while more {
        let (secs, names, rest) = list("kv/bench", after)?;
        pages.push(secs);
        count += names.len();
        (after, more) = (names.last().cloned(), rest);
    }
    anyhow::ensure!(count == secrets, "{count} names of {secrets} secrets");
    let longest = quantile(&mut pages, 1.0)?;
    Ok(Row::new(
        format!("a page of {LIST_PAGE} names, of {secrets} (core, processor time)"),
        Unit::Seconds,
        distribution(pages)?,
    )
    .goal("others wait for at most 10 ms", longest <= 10e-3)
    .note(format!(
        "longest {:.2} ms; a prefix with all {secrets} below one name: {:.3} ms; memory of this process for each \
         secret of {SECRET_LEN} bytes, buffers of writing included: {each:.0} B",
        longest * 1e3,
        skipping * 1e3
    )))
}

impl<'a> Vault<'a> {
    fn new(snp: &'a Snp) -> anyhow::Result<Self> {
        Self::keeping(snp, None)
    }

    /// A vault whose journal is kept.
    pub fn keeping(snp: &'a Snp, journal: Option<File>) -> anyhow::Result<Self> {
        let operator = P256Key::generate()?;
        let request = InitRequest {
            version: VERSION,
            nonce: random::array()?,
            operators: vec![OperatorKey { name: "op".parse()?, key: operator.spki() }],
            anchors: snp.anchors.clone(),
        };
        let entropy = random::key()?;
        let genesis = Genesis::new(request, PlatformName::Sim, &entropy, &mut KernelPorts)?;
        let root = Key32::take(&mut genesis.root().expose_secret().clone()).context("no root key")?;
        let (boot, unattested) = genesis.start(b"sealed".to_vec(), Some(1), NOW, &mut KernelPorts)?;
        let evidence = Evidence::Snp(snp.evidence(&unattested.statement())?);
        let core = unattested.attest(evidence);
        let durable = Durable::default();
        let mut vault = Self { snp, core, durable, operator, boot, root, journal };
        vault.store()?;
        let mut asking = vault.asking()?;
        vault.ask(&mut asking, &Request::RoleApply(vec![snp.role.clone()]))?;
        vault.store()?;
        Ok(vault)
    }

    /// Introduces the operator and opens a session.
    pub fn asking(&mut self) -> anyhow::Result<Asking> {
        let hello = self.hello(Subject::Operator("op".parse()?))?;
        let offer = self.offer(&hello)?;
        let prove = signed(&hello, &offer, &self.operator, Proof::OperatorKey)?;
        let pending = self.prove(&prove);
        self.store()?;
        let grant = self.granted(pending)?;
        let key =
            P256Key::from_pkcs8(SecretBytes::new(self.operator.expose_pkcs8().expose_secret().to_vec()))?;
        self.session(key, &grant)
    }

    /// Introduces an agent and opens a session.
    pub fn agent(&mut self) -> anyhow::Result<Asking> {
        let (_, key, grant) = self.introduced()?;
        self.session(key, &grant)
    }

    fn session(&mut self, key: P256Key, grant: &Grant) -> anyhow::Result<Asking> {
        let link = random::array()?;
        let id = self.core.open_session(&grant.certificate, link, NOW)?;
        Ok(Asking { id, key, link, number: 0, unsigned: 0 })
    }

    /// One request, the chain signed when it must be.
    pub fn ask(&mut self, asking: &mut Asking, request: &Request) -> anyhow::Result<Pending> {
        if asking.unsigned == UNSIGNED_REQUESTS {
            let upto = asking.number;
            let signature = asking.key.sign(&chain_head_preimage(upto, &asking.link))?;
            self.frame(asking.id, AgentFrame::Signature { upto, signature: &signature })?;
            asking.unsigned = 0;
        }
        let body = codec::encode(request)?;
        asking.number += 1;
        asking.unsigned += 1;
        asking.link = chain_link(&asking.link, asking.number, false, &body);
        let frame =
            AgentFrame::Request { number: asking.number, link: asking.link, receipt: false, body: &body };
        match self.frame(asking.id, frame)? {
            Handled::Reply(pending) => Ok(pending),
            _ => bail!("no reply"),
        }
    }

    fn frame(&mut self, id: SessionId, frame: AgentFrame<'_>) -> anyhow::Result<Handled> {
        let handled = self.core.frame(id, &frame.to_bytes(), NOW, &mut KernelPorts);
        handled.map_err(|end| end.refusal.into())
    }

    /// One introduction; gives the server's seconds of processor time.
    fn introduce(&mut self) -> anyhow::Result<f64> {
        self.introduced().map(|(secs, _, _)| secs)
    }

    fn introduced(&mut self) -> anyhow::Result<(f64, P256Key, Grant)> {
        let role = self.snp.role.name.clone();
        let hello = self.hello(Subject::Agent { role: role.clone(), kind: EvidenceKind::Snp, tpm: None })?;
        let started = cpu();
        let offer = self.offer(&hello)?;
        let offered = cpu() - started;

        let key = P256Key::generate()?;
        let body: OfferBody = codec::decode(&offer.body, INTRODUCTION_FRAME_LEN)?;
        let digest = offer_digest(&hello, &codec::encode(&offer)?);
        let bound =
            statement::introduction(&body.challenge, &digest, &key.spki(), &role, &body.vault.vault_id);
        let evidence = Evidence::Snp(self.snp.evidence(&bound)?);
        let prove = signed(&hello, &offer, &key, Proof::Evidence { evidence, activated: None })?;

        let started = cpu();
        let pending = self.prove(&prove);
        self.store()?;
        let grant = self.granted(pending)?;
        Ok(((offered + (cpu() - started)).as_secs_f64(), key, grant))
    }

    fn hello(&self, subject: Subject) -> anyhow::Result<Vec<u8>> {
        let vault_id = Some(self.core.vault_id());
        Ok(codec::encode(&Hello { version: VERSION, nonce: random::array()?, subject, vault_id })?)
    }

    fn offer(&self, hello: &[u8]) -> anyhow::Result<Offer> {
        let decoded: Hello = codec::decode(hello, INTRODUCTION_FRAME_LEN)?;
        match self.core.introducer().hello(hello, &decoded, NOW) {
            IntroductionReply::Offer(offer) => Ok(offer),
            _ => bail!("no offer"),
        }
    }

    fn prove(&mut self, prove: &Prove) -> Pending {
        let outcome = self.core.introducer().prove(prove, NOW);
        self.core.admit(outcome, NOW, &mut KernelPorts)
    }

    pub fn store(&mut self) -> anyhow::Result<()> {
        while let Some(cut) = self.core.cut()? {
            if let Some(journal) = &mut self.journal {
                for append in cut.appends.iter().filter(|append| append.stream == StreamId::Journal) {
                    journal.write_all(&u32::try_from(append.frame.len())?.to_be_bytes())?;
                    journal.write_all(&append.frame)?;
                }
            }
            self.durable = self.durable.max(cut.ticket.stored(&StorageReply::Done)?);
        }
        Ok(())
    }

    fn granted(&self, pending: Pending) -> anyhow::Result<Grant> {
        let bytes = pending.release(&self.durable).ok().context("the grant is not durable")?;
        match codec::decode(&bytes, INTRODUCTION_FRAME_LEN)? {
            IntroductionReply::Grant(grant) => Ok(grant),
            IntroductionReply::Refusal(refusal) => Err(refusal.into()),
            _ => bail!("no grant"),
        }
    }
}

fn signed(hello: &[u8], offer: &Offer, key: &P256Key, proof: Proof) -> anyhow::Result<Prove> {
    let (hello, offer) = (hello.to_vec(), codec::encode(offer)?);
    let body = codec::encode(&ProveBody { hello, offer, identity: key.spki(), proof })?;
    let signature = key.sign(&prove_preimage(&body))?;
    Ok(Prove { body, signature })
}

/// The signature operations of one introduction, bare: the offer, the report, the offer again (it must be ours),
/// the identity key, the certificate, the checkpoint.
struct Signatures {
    p384: BareP384,
    key: P256Key,
    public: P256PublicKey,
    signature: Vec<u8>,
    log: LogKey,
}

impl Signatures {
    fn new() -> anyhow::Result<Self> {
        let key = P256Key::generate()?;
        let public = P256PublicKey::from_spki(&key.spki())?;
        let signature = key.sign(&[0; 512])?;
        let seed = Key32::take(&mut sha256(&[b"bench"])).context("no seed")?;
        Ok(Self { p384: BareP384::new()?, key, public, signature, log: LogKey::from_seed(&seed)? })
    }

    fn make_and_verify(&self) -> anyhow::Result<()> {
        for _ in 0..2 {
            self.key.sign(&[0; 512])?;
            self.public.verify(&[0; 512], &self.signature)?;
        }
        self.p384.verify()?;
        std::hint::black_box(self.log.sign(&[0; 128]));
        Ok(())
    }
}

/// A number from elsewhere, as a row beside the server's time.
pub fn client_seen(secs: Vec<f64>, server: &Row) -> anyhow::Result<Row> {
    let p99 = quantile(&mut secs.clone(), 0.99)?;
    let limit: &Measured = &server.measured;
    Ok(Row::new("introduction, Hello to Grant, as the agent sees it", Unit::Seconds, distribution(secs)?)
        .beside("the server's share of it (row above)", limit.clone(), None)
        .goal("p99 at most 10 ms", p99 <= 10e-3)
        .note(
            "TCP, TLS, both relays, durable storage, and the agent's own work: it makes its key and evidence and \
             verifies the vault's evidence, chain included; the goal is on server time",
        ))
}
