//! What encrypting and signing cost the core, log entry included, beside the bare primitive.

use anyhow::{Context, bail};
use vouchsafe_attestation::statement;
use vouchsafe_crypto::aead::{SealingKey, counter_nonce};
use vouchsafe_crypto::random;
use vouchsafe_crypto::signature::P256Key;
use vouchsafe_crypto::transcript::{chain_head_preimage, chain_link, offer_digest};
use vouchsafe_crypto::transit::signing::{self, Algorithm, SigningKey};
use vouchsafe_enclave::{Handled, KernelPorts, SessionId};
use vouchsafe_protocol::codec;
use vouchsafe_protocol::evidence::{Evidence, EvidenceKind};
use vouchsafe_protocol::introduction::{OfferBody, Proof, Subject};
use vouchsafe_protocol::kv::SecretValue;
use vouchsafe_protocol::limits::{INTRODUCTION_FRAME_LEN, UNSIGNED_REQUESTS};
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::policy::{Allow, Capability, Permission};
use vouchsafe_protocol::session::{AgentFrame, Request};
use vouchsafe_protocol::transit::{
    Binding, Derivation, EncryptItem, KeyKind, KeyOptions, SignItem, TransitRequest,
};

use super::{Vault, signed};
use crate::clock::{cpu, distribution};
use crate::evidence::{NOW, Snp};
use crate::report::{Row, Unit};

/// Length of plaintexts and messages in bytes.
const LEN: usize = 256;
/// Items of the batch.
const BATCH: usize = 64;

/// One end of a session, and the key that signs its chain.
struct AgentSession {
    session: SessionId,
    head: [u8; 32],
    number: u64,
    key: P256Key,
}

/// Server time of encrypting and signing.
pub fn measure(snp: &Snp, requests: usize) -> anyhow::Result<Vec<Row>> {
    let mut vault = Vault::new(snp)?;
    let mut manager = vault.asking()?;
    let mut role = snp.role.clone();
    role.allow = vec![Allow::always("transit/*", &[Capability::Encrypt, Capability::Sign])];
    vault.ask(&mut manager, &Request::RoleApply(vec![role]))?;
    vault.store()?;
    for (key, kind) in
        [("aes", KeyKind::Aes256Gcm), ("p256", KeyKind::EcdsaP256), ("ed25519", KeyKind::Ed25519)]
    {
        let forbidden = Permission::Forbidden;
        let options = KeyOptions { kind, derivation: Derivation::None, export: forbidden, import: forbidden };
        vault.ask(&mut manager, &Request::Transit(TransitRequest::Create { key: at(key)?, options }))?;
    }
    vault.store()?;
    let mut agent = vault.agent_session()?;
    let bare = SealingKey::new(&random::key()?);
    let mut nonce = 0;
    let mut seal = || {
        let mut bytes = vec![0; LEN];
        // A new number for each message, as the bench has one key.
        nonce += 1;
        bare.seal(counter_nonce(nonce), b"", &mut bytes);
        std::hint::black_box(bytes);
        Ok(())
    };
    let mut rows = Vec::new();
    for (what, items) in [("encrypt 256 bytes, AES-256-GCM", 1), ("the same, 64 in one request, each", BATCH)]
    {
        let request = encrypt(items)?;
        let secs = vault.timed(&mut agent, &request, requests, items)?;
        let primitive = times(requests, &mut seal)?;
        rows.push(
            Row::new(format!("{what} (core, processor time)"), Unit::Seconds, distribution(secs)?)
                .beside("one seal, bare", distribution(primitive)?, None)
                .note("a subkey is derived for each message; policy, chain, log entry, its frame and the reply are in it"),
        );
    }
    for (what, key, algorithm) in [
        ("sign, ECDSA P-256", "p256", Algorithm::EcdsaP256),
        ("sign, Ed25519", "ed25519", Algorithm::Ed25519),
    ] {
        let bare = SigningKey::read(algorithm, &signing::generate(algorithm)?)?;
        let mut sign = || {
            std::hint::black_box(bare.sign(&[0; LEN])?);
            Ok(())
        };
        let request = sign_request(key)?;
        let secs = vault.timed(&mut agent, &request, requests, 1)?;
        rows.push(
            Row::new(format!("{what} (core, processor time)"), Unit::Seconds, distribution(secs)?).beside(
                "one signature, bare",
                distribution(times(requests, &mut sign)?)?,
                None,
            ),
        );
    }
    Ok(rows)
}

fn times(count: usize, call: &mut impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Vec<f64>> {
    let mut secs = Vec::with_capacity(count);
    for _ in 0..count {
        let started = cpu();
        call()?;
        secs.push((cpu() - started).as_secs_f64());
    }
    Ok(secs)
}

fn at(key: &str) -> anyhow::Result<Path> {
    Ok(format!("transit/{key}").parse()?)
}

fn encrypt(items: usize) -> anyhow::Result<Request> {
    let item = || EncryptItem { plaintext: SecretValue::new(vec![0; LEN]), binding: Binding::default() };
    let items = std::iter::repeat_with(item).take(items).collect();
    Ok(Request::Transit(TransitRequest::Encrypt { key: at("aes")?, version: None, items }))
}

fn sign_request(key: &str) -> anyhow::Result<Request> {
    let items = vec![SignItem { message: SecretValue::new(vec![0; LEN]), context: Vec::new() }];
    Ok(Request::Transit(TransitRequest::Sign { key: at(key)?, version: None, items }))
}

impl Vault<'_> {
    /// Introduces an agent and opens a session.
    fn agent_session(&mut self) -> anyhow::Result<AgentSession> {
        let role = self.snp.role.name.clone();
        let hello = self.hello(Subject::Agent { role: role.clone(), kind: EvidenceKind::Snp, tpm: None })?;
        let offer = self.offer(&hello)?;
        let key = P256Key::generate()?;
        let body: OfferBody = codec::decode(&offer.body, INTRODUCTION_FRAME_LEN)?;
        let digest = offer_digest(&hello, &codec::encode(&offer)?);
        let bound =
            statement::introduction(&body.challenge, &digest, &key.spki(), &role, &body.vault.vault_id);
        let evidence = Evidence::Snp(self.snp.evidence(&bound)?);
        let prove = signed(&hello, &offer, &key, Proof::Evidence { evidence, activated: None })?;
        let pending = self.prove(&prove);
        self.store()?;
        let certificate = self.granted(pending)?.certificate;
        let head = random::array()?;
        let session = self.core.open_session(&certificate, head, NOW)?;
        Ok(AgentSession { session, head, number: 0, key })
    }

    /// Asks; gives the server's seconds of processor time.
    fn serve(&mut self, asking: &mut AgentSession, request: &Request) -> anyhow::Result<f64> {
        let body = codec::encode(request)?;
        let number = asking.number + 1;
        let link = chain_link(&asking.head, number, false, &body);
        let frame = AgentFrame::Request { number, link, receipt: false, body: &body }.to_bytes();
        let started = cpu();
        let Ok(Handled::Reply(pending)) = self.core.frame(asking.session, &frame, NOW, &mut KernelPorts)
        else {
            bail!("no reply")
        };
        self.store()?;
        let reply = pending.release(&self.durable).ok().context("the reply is not durable")?;
        let taken = (cpu() - started).as_secs_f64();
        // A refusal is the shortest reply there is.
        anyhow::ensure!(reply.len() > 40 + 3, "refused");
        (asking.head, asking.number) = (link, number);
        if number.is_multiple_of(UNSIGNED_REQUESTS) {
            let signature = asking.key.sign(&chain_head_preimage(number, &link))?;
            let frame = AgentFrame::Signature { upto: number, signature: &signature }.to_bytes();
            let handled = self.core.frame(asking.session, &frame, NOW, &mut KernelPorts);
            anyhow::ensure!(matches!(handled, Ok(Handled::Nothing)), "the chain was not signed");
        }
        Ok(taken)
    }

    /// Seconds for each item.
    fn timed(
        &mut self,
        asking: &mut AgentSession,
        request: &Request,
        requests: usize,
        items: usize,
    ) -> anyhow::Result<Vec<f64>> {
        self.serve(asking, request)?;
        (0..requests).map(|_| Ok(self.serve(asking, request)? / items as f64)).collect()
    }
}
