//! A vault with an operator and an agent, and the requests of the key engines in short.

#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    clippy::missing_panics_doc,
    reason = "test support"
)]

use vouchsafe_protocol::codec;
use vouchsafe_protocol::kv::SecretValue;
use vouchsafe_protocol::log::Receipt;
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::policy::{Capability, Permission};
use vouchsafe_protocol::refusal::RefusalCode;
use vouchsafe_protocol::session::{Outcome, Reply, Request};
use vouchsafe_protocol::transit::*;

use super::support::*;

/// An RSA key of 2,048 bits, for tests alone.
pub const RSA_PKCS8: &[u8] = include_bytes!("rsa-2048.pk8");

/// Every way to use a key.
pub const USES: &[Capability] = &[
    Capability::DataKey,
    Capability::Decrypt,
    Capability::Encrypt,
    Capability::Export,
    Capability::List,
    Capability::Rewrap,
    Capability::Sign,
    Capability::Verify,
];

pub struct Rig {
    pub vault: Vault,
    pub operator: Identity,
    pub agent: Identity,
    operator_session: Session,
    agent_session: Session,
    allow: Vec<(String, Vec<Capability>)>,
}

impl Rig {
    /// The agent may use every key below `transit/web`.
    pub fn new() -> Self {
        Self::with(&[("transit/web/*", USES)])
    }

    pub fn with(allow: &[(&str, &[Capability])]) -> Self {
        let mut vault = Vault::create();
        let operator = vault.introduce_operator();
        let mut operator_session = vault.open(&operator).unwrap();
        let apply = Request::RoleApply(vec![role("web", allow)]);
        vault.outcome(&mut operator_session, &operator, &apply).unwrap();
        let agent = vault.introduce("web").unwrap();
        let agent_session = vault.open(&agent).unwrap();
        let allow = allow.iter().map(|(path, can)| ((*path).to_owned(), can.to_vec())).collect();
        Self { vault, operator, agent, operator_session, agent_session, allow }
    }

    /// New identities and sessions for both.
    pub fn renew(&mut self) {
        self.operator = self.vault.introduce_operator();
        self.agent = self.vault.introduce("web").unwrap();
        self.operator_session = self.vault.open(&self.operator).unwrap();
        self.agent_session = self.vault.open(&self.agent).unwrap();
    }

    /// Ends without warning and comes back.
    pub fn crash(self) -> Self {
        let mut vault = self.vault.crash();
        let operator_session = vault.open(&self.operator).unwrap();
        let agent_session = vault.open(&self.agent).unwrap();
        Self { vault, operator_session, agent_session, ..self }
    }

    pub fn digest(&self) -> [u8; 32] {
        self.vault.core.state_digest()
    }

    pub fn ask(&mut self, agent: bool, request: &Request) -> Result<Reply, RefusalCode> {
        match agent {
            true => self.vault.outcome(&mut self.agent_session, &self.agent, request),
            false => self.vault.outcome(&mut self.operator_session, &self.operator, request),
        }
    }

    /// Asks as the operator, and stores nothing: a crash loses it.
    pub fn lose(&mut self, request: &Request) {
        let asked = self.vault.ask(&mut self.operator_session, &self.operator, request, false);
        drop(asked.unwrap_or_else(|end| panic!("{}", end.refusal)));
    }

    pub fn agent(&mut self, request: TransitRequest) -> Result<Reply, RefusalCode> {
        self.ask(true, &Request::Transit(request))
    }

    pub fn operator(&mut self, request: TransitRequest) -> Result<Reply, RefusalCode> {
        self.ask(false, &Request::Transit(request))
    }

    /// V3: refused with exactly this code, and nothing has changed.
    pub fn refuses(&mut self, agent: bool, request: &Request, code: RefusalCode) {
        let before = self.digest();
        let outcome = self.ask(agent, request);
        assert_eq!(outcome.err(), Some(code), "{request:?}");
        assert_eq!(self.digest(), before, "a refused request left something behind: {request:?}");
    }

    pub fn refuses_agent(&mut self, request: TransitRequest, code: RefusalCode) {
        self.refuses(true, &Request::Transit(request), code);
    }

    pub fn refuses_operator(&mut self, request: TransitRequest, code: RefusalCode) {
        self.refuses(false, &Request::Transit(request), code);
    }

    /// The encoded outcome.
    pub fn response_of(&mut self, agent: bool, request: &TransitRequest) -> Vec<u8> {
        let bytes = codec::encode(request).unwrap();
        let request = Request::Transit(codec::decode(&bytes, 1 << 20).unwrap());
        match self.ask(agent, &request) {
            Ok(reply) => codec::encode(&reply).unwrap(),
            Err(code) => codec::encode(&code).unwrap(),
        }
    }

    pub fn receipt_of(&mut self, request: &TransitRequest) -> Receipt {
        let bytes = codec::encode(request).unwrap();
        let request = Request::Transit(codec::decode(&bytes, 1 << 20).unwrap());
        let response = self.vault.response(&mut self.agent_session, &self.agent, &request);
        drop::<Outcome>(response.outcome);
        response.receipt.unwrap()
    }

    pub fn create(&mut self, key: &str, options: KeyOptions) {
        let reply = self.operator(create(key, options)).unwrap();
        assert!(matches!(reply, Reply::Transit(TransitReply::Version(1))));
    }

    pub fn rotate(&mut self, key: &str) {
        self.operator(rotate(key)).unwrap();
    }

    pub fn import(
        &mut self,
        key: &str,
        options: Option<KeyOptions>,
        material: &[u8],
    ) -> Result<(), RefusalCode> {
        let material = SecretValue::new(material.to_vec());
        let before = self.digest();
        let reply = self.operator(TransitRequest::Import { key: path(key), options, material });
        assert_eq!(reply.is_err(), self.digest() == before, "V3");
        reply.map(|_| ())
    }

    pub fn metadata(&mut self, key: &str) -> KeyMetadata {
        match self.operator(TransitRequest::Metadata { key: path(key) }) {
            Ok(Reply::Transit(TransitReply::Metadata(metadata))) => metadata,
            other => panic!("{other:?}"),
        }
    }

    pub fn encrypt(&mut self, key: &str, plaintext: &[u8], context: &[u8], aad: &[u8]) -> Ciphertext {
        let items = vec![EncryptItem {
            plaintext: SecretValue::new(plaintext.to_vec()),
            binding: Binding { context: context.to_vec(), aad: aad.to_vec() },
        }];
        let reply = self.agent(TransitRequest::Encrypt { key: path(key), version: None, items }).unwrap();
        sealed(reply)
    }

    pub fn encrypt_under(
        &mut self,
        key: &str,
        version: Option<u32>,
        plaintext: &[u8],
    ) -> Result<Ciphertext, RefusalCode> {
        self.agent(encrypt(path(key), version, plaintext)).map(sealed)
    }

    pub fn decrypt(
        &mut self,
        key: &str,
        sealed: &Ciphertext,
        context: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, ItemRefusal> {
        let items = vec![item(sealed, context, aad)];
        match self.agent(TransitRequest::Decrypt { key: path(key), items }).unwrap() {
            Reply::Transit(TransitReply::Decrypted(items)) => match items.as_slice() {
                [Item::Done(plain)] => Ok(plain.expose_secret().to_vec()),
                [Item::Refused(refusal)] => Err(*refusal),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    pub fn sign(&mut self, key: &str, message: &[u8], context: &[u8]) -> Signature {
        match self.agent(sign(path(key), None, message, context)).unwrap() {
            Reply::Transit(TransitReply::Signed(items)) => match items.as_slice() {
                [Item::Done(signature)] => signature.clone(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    pub fn verify(&mut self, key: &str, message: &[u8], context: &[u8], signature: &Signature) -> Verdict {
        match self.agent(verify(path(key), message, context, signature)).unwrap() {
            Reply::Transit(TransitReply::Verified(items)) => match items.as_slice() {
                [Item::Done(verdict)] => *verdict,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
}

fn sealed(reply: Reply) -> Ciphertext {
    match reply {
        Reply::Transit(TransitReply::Encrypted(items)) => match items.as_slice() {
            [Item::Done(sealed)] => sealed.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

pub fn options(kind: KeyKind, derivation: Derivation) -> KeyOptions {
    let import = if kind == KeyKind::RsaPss { Permission::Allowed } else { Permission::Forbidden };
    KeyOptions { kind, derivation, export: Permission::Forbidden, import }
}

pub fn path(text: &str) -> Path {
    text.parse().unwrap()
}

pub fn create(key: &str, options: KeyOptions) -> TransitRequest {
    TransitRequest::Create { key: path(key), options }
}

pub fn rotate(key: &str) -> TransitRequest {
    TransitRequest::Rotate { key: path(key) }
}

pub fn trim(key: &str, below: u32) -> TransitRequest {
    TransitRequest::Trim { key: path(key), below }
}

pub fn configure(key: &str, config: KeyConfig) -> TransitRequest {
    TransitRequest::Configure { key: path(key), config }
}

pub fn encrypt(key: Path, version: Option<u32>, plaintext: &[u8]) -> TransitRequest {
    let plaintext = SecretValue::new(plaintext.to_vec());
    let items = vec![EncryptItem { plaintext, binding: Binding::default() }];
    TransitRequest::Encrypt { key, version, items }
}

pub fn item(sealed: &Ciphertext, context: &[u8], aad: &[u8]) -> DecryptItem {
    let binding = Binding { context: context.to_vec(), aad: aad.to_vec() };
    DecryptItem { ciphertext: sealed.clone(), binding }
}

pub fn sign(key: Path, version: Option<u32>, message: &[u8], context: &[u8]) -> TransitRequest {
    let message = SecretValue::new(message.to_vec());
    TransitRequest::Sign { key, version, items: vec![SignItem { message, context: context.to_vec() }] }
}

pub fn verify(key: Path, message: &[u8], context: &[u8], signature: &Signature) -> TransitRequest {
    let message = SecretValue::new(message.to_vec());
    let item = VerifyItem { message, context: context.to_vec(), signature: signature.clone() };
    TransitRequest::Verify { key, items: vec![item] }
}

pub fn tohex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn unhex(text: &str) -> Vec<u8> {
    if text == "-" {
        return Vec::new();
    }
    let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    text.as_bytes().chunks(2).map(digits).collect()
}
