//! Keys and labels against a plain, slow reference model: random histories of requests, rotations by the clock, crashes
//! and requests that a crash lost. Settings are those of the model in `model.rs`; `VOUCHSAFE_KEY_HISTORIES` is the number.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests and helpers"
)]

#[path = "support/keys.rs"]
mod keys;
mod support;

use std::collections::BTreeMap;

use keys::*;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use support::*;
use vouchsafe_enclave::KernelPorts;
use vouchsafe_protocol::derive::*;
use vouchsafe_protocol::policy::{Capability, Permission};
use vouchsafe_protocol::refusal::RefusalCode;
use vouchsafe_protocol::session::{Reply, Request};
use vouchsafe_protocol::transit::*;

const STEPS: usize = 40;
const PATHS: [&str; 3] = ["transit/web/a", "transit/web/b", "transit/web/a/c"];
const LABELS: [&str; 2] = ["derive/web/x", "derive/web/y"];

/// What a key is, said as plainly as possible.
#[derive(Clone, Debug, PartialEq)]
struct Key {
    /// Another for each key that ever was at a path.
    id: u64,
    options: KeyOptions,
    config: KeyConfiguration,
    /// Number and time.
    versions: Vec<(u32, u64)>,
}

/// What a key made, and what it was bound to.
#[derive(Clone, Debug)]
struct Made<T> {
    key: u64,
    version: u32,
    context: Vec<u8>,
    plain: Vec<u8>,
    out: T,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Reference {
    keys: BTreeMap<&'static str, Key>,
    /// Current and lowest version.
    labels: BTreeMap<&'static str, (u32, u32)>,
    next_id: u64,
}

struct World {
    rig: Option<Rig>,
    now: u64,
    reference: Reference,
    sealed: Vec<Made<Ciphertext>>,
    signed: Vec<Made<Signature>>,
    derived: BTreeMap<(&'static str, u32, u8), Vec<u8>>,
}

impl Key {
    fn current(&self) -> u32 {
        self.versions.last().unwrap().0
    }

    fn kept(&self, version: u32) -> bool {
        self.versions.iter().any(|(number, _)| *number == version)
    }

    fn writer(&self, version: Option<u32>) -> Result<u32, RefusalCode> {
        let version = version.unwrap_or(self.current());
        if !self.kept(version) {
            return Err(RefusalCode::NotFound);
        }
        let lowest = self.config.min_decrypt_version.max(self.config.min_encrypt_version);
        if version < lowest { Err(RefusalCode::KeyUse) } else { Ok(version) }
    }

    fn reads(&self, version: u32) -> bool {
        self.kept(version) && version >= self.config.min_decrypt_version
    }

    fn due(&self) -> Option<u64> {
        (self.config.rotate_every_secs > 0)
            .then(|| self.versions.last().unwrap().1 + self.config.rotate_every_secs)
    }

    fn context_fits(&self, context: &[u8]) -> bool {
        (self.options.derivation != Derivation::None) != context.is_empty()
    }
}

impl World {
    fn new() -> Self {
        let both = [Capability::Derive, Capability::List];
        let rig = Rig::with(&[("transit/web/*", USES), ("derive/web/*", &both)]);
        Self {
            rig: Some(rig),
            now: START,
            reference: Reference::default(),
            sealed: Vec::new(),
            signed: Vec::new(),
            derived: BTreeMap::new(),
        }
    }

    fn rig(&mut self) -> &mut Rig {
        self.rig.as_mut().unwrap()
    }

    /// Asks, and compares refusals and the state; `changes` says whether it is a change if it is not refused.
    fn ask(
        &mut self,
        agent: bool,
        request: Request,
        expected: Option<RefusalCode>,
        changes: bool,
    ) -> Option<Reply> {
        let before = self.rig().digest();
        let outcome = self.rig().ask(agent, &request);
        assert_eq!(outcome.as_ref().err().copied(), expected, "{request:?}");
        let changed = self.rig().digest() != before;
        assert_eq!(changed, changes && expected.is_none(), "V3: {request:?}");
        outcome.ok()
    }

    fn transit(
        &mut self,
        agent: bool,
        request: TransitRequest,
        expected: Option<RefusalCode>,
        changes: bool,
    ) -> Option<TransitReply> {
        match self.ask(agent, Request::Transit(request), expected, changes) {
            Some(Reply::Transit(reply)) => Some(reply),
            None => None,
            Some(other) => panic!("{other:?}"),
        }
    }

    fn create(&mut self, rng: &mut StdRng, agent: bool, at: &'static str) {
        let kind = *[
            KeyKind::Aes256Gcm,
            KeyKind::ChaCha20Poly1305,
            KeyKind::Ed25519,
            KeyKind::Hmac,
            KeyKind::RsaPss,
        ]
        .choose(rng)
        .unwrap();
        let derivation =
            *[Derivation::None, Derivation::Derived, Derivation::Convergent].choose(rng).unwrap();
        let allowed = |yes| if yes { Permission::Allowed } else { Permission::Forbidden };
        let options = KeyOptions {
            kind,
            derivation,
            export: allowed(rng.random_bool(0.5)),
            import: Permission::Forbidden,
        };
        let symmetric = kind.encrypts() || kind == KeyKind::Hmac;
        let fits = match derivation {
            Derivation::None => true,
            Derivation::Derived => symmetric,
            Derivation::Convergent => kind.encrypts(),
        };
        let expected = if agent {
            Some(RefusalCode::Denied)
        } else if kind == KeyKind::RsaPss {
            Some(RefusalCode::NotSupported)
        } else if !fits {
            Some(RefusalCode::KeyUse)
        } else if self.reference.keys.contains_key(at) {
            Some(RefusalCode::Exists)
        } else {
            None
        };
        self.transit(agent, create(at, options), expected, true);
        if expected.is_none() {
            self.reference.next_id += 1;
            let config = KeyConfiguration {
                deletion: Permission::Forbidden,
                min_decrypt_version: 1,
                min_encrypt_version: 1,
                rotate_every_secs: 0,
            };
            let key = Key { id: self.reference.next_id, options, config, versions: vec![(1, self.now)] };
            self.reference.keys.insert(at, key);
        }
    }

    fn manage(&mut self, rng: &mut StdRng, agent: bool, at: &'static str) {
        let known = self.reference.keys.get(at).cloned();
        let not_found = if agent { Some(RefusalCode::Denied) } else { None };
        let not_found = not_found.or(known.is_none().then_some(RefusalCode::NotFound));
        let version = rng.random_range(0..5u32);
        match rng.random_range(0..4) {
            0 => {
                self.transit(agent, rotate(at), not_found, true);
                if not_found.is_none() {
                    let now = self.now;
                    let key = self.reference.keys.get_mut(at).unwrap();
                    key.versions.push((key.current() + 1, now));
                }
            }
            1 => {
                let some = |rng: &mut StdRng| rng.random_bool(0.5);
                let config = KeyConfig {
                    deletion: some(rng).then_some(Permission::Allowed),
                    min_decrypt_version: some(rng).then_some(version),
                    min_encrypt_version: some(rng).then(|| rng.random_range(0..5)),
                    rotate_every_secs: some(rng).then(|| *[0, 60, 3600, 7200].choose(rng).unwrap()),
                };
                let good = known.as_ref().is_some_and(|key| {
                    let oldest = key.versions[0].0;
                    config != KeyConfig::default()
                        && config
                            .min_decrypt_version
                            .is_none_or(|version| (oldest..=key.current()).contains(&version))
                        && config
                            .min_encrypt_version
                            .is_none_or(|version| (1..=key.current()).contains(&version))
                        && config.rotate_every_secs != Some(60)
                });
                let expected = not_found.or((!good).then_some(RefusalCode::Settings));
                let mut same = false;
                if expected.is_none() {
                    let was = &mut self.reference.keys.get_mut(at).unwrap().config;
                    let before = *was;
                    was.deletion = config.deletion.unwrap_or(was.deletion);
                    was.min_decrypt_version = config.min_decrypt_version.unwrap_or(was.min_decrypt_version);
                    was.min_encrypt_version = config.min_encrypt_version.unwrap_or(was.min_encrypt_version);
                    was.rotate_every_secs = config.rotate_every_secs.unwrap_or(was.rotate_every_secs);
                    same = *was == before;
                }
                self.transit(agent, configure(at, config), expected, !same);
            }
            2 => {
                let good = known.as_ref().is_some_and(|key| {
                    key.versions[0].0 < version && version <= key.config.min_decrypt_version
                });
                let expected = not_found.or((!good).then_some(RefusalCode::Settings));
                self.transit(agent, trim(at, version), expected, true);
                if expected.is_none() {
                    self.reference
                        .keys
                        .get_mut(at)
                        .unwrap()
                        .versions
                        .retain(|(number, _)| *number >= version);
                }
            }
            _ => {
                let may = known.as_ref().is_some_and(|key| key.config.deletion == Permission::Allowed);
                let expected = not_found.or((!may).then_some(RefusalCode::KeyUse));
                self.transit(agent, TransitRequest::Delete { key: path(at) }, expected, true);
                if expected.is_none() {
                    self.reference.keys.remove(at);
                }
            }
        }
    }

    /// What is known must be what the reference knows.
    fn compare(&mut self) {
        for at in PATHS {
            let known = self.reference.keys.get(at).cloned();
            let expected = known.is_none().then_some(RefusalCode::NotFound);
            let reply = self.transit(true, TransitRequest::Metadata { key: path(at) }, expected, false);
            let (Some(known), Some(TransitReply::Metadata(metadata))) = (known, reply) else { continue };
            let versions: Vec<_> =
                metadata.versions.iter().map(|version| (version.version, version.created_secs)).collect();
            assert_eq!(
                (metadata.options, metadata.config, versions),
                (known.options, known.config, known.versions.clone())
            );
            assert_eq!(metadata.next_rotation_secs, known.due());
        }
    }

    fn uses(&mut self, rng: &mut StdRng, agent: bool, at: &'static str) {
        let known = self.reference.keys.get(at).cloned();
        let denied = (!agent).then_some(RefusalCode::Denied);
        let missing = denied.or(known.is_none().then_some(RefusalCode::NotFound));
        let wrong = |encrypts: bool| {
            missing.or(known
                .as_ref()
                .filter(|key| key.options.kind.encrypts() != encrypts)
                .map(|_| RefusalCode::KeyUse))
        };
        let context: &[u8] = [b"".as_slice(), b"t", b"u"].choose(rng).unwrap();
        let version = rng.random_bool(0.4).then(|| rng.random_range(0..4u32));
        let writes = |expected: Option<RefusalCode>| match (&known, expected) {
            (Some(key), None) => key.writer(version).err(),
            (_, expected) => expected,
        };
        match rng.random_range(0..6) {
            0 | 1 => {
                let expected = writes(wrong(true));
                let plain = vec![rng.random(); rng.random_range(0..4)];
                let binding = Binding { context: context.to_vec(), aad: Vec::new() };
                let plaintext = vouchsafe_protocol::kv::SecretValue::new(plain.clone());
                let items = vec![EncryptItem { plaintext, binding }];
                let request = TransitRequest::Encrypt { key: path(at), version, items };
                let Some(TransitReply::Encrypted(items)) = self.transit(agent, request, expected, false)
                else {
                    return;
                };
                let key = known.unwrap();
                match &items[0] {
                    Item::Done(out) => {
                        assert!(key.context_fits(context));
                        let version = key.writer(version).unwrap();
                        assert_eq!(out.header().unwrap().0, version);
                        if key.options.derivation == Derivation::Convergent {
                            let same = |made: &&Made<Ciphertext>| {
                                (made.key, made.version, made.context.as_slice(), &made.plain)
                                    == (key.id, version, context, &plain)
                            };
                            assert!(self.sealed.iter().filter(same).all(|made| made.out == *out));
                        }
                        let made =
                            Made { key: key.id, version, context: context.to_vec(), plain, out: out.clone() };
                        self.sealed.push(made);
                    }
                    Item::Refused(refusal) => {
                        assert!(!key.context_fits(context) && *refusal == ItemRefusal::Context);
                    }
                }
            }
            2 => {
                let Some(made) = self.sealed.choose(rng).cloned() else { return };
                let expected = wrong(true);
                let items = vec![item(&made.out, context, b"")];
                let request = TransitRequest::Decrypt { key: path(at), items };
                let Some(TransitReply::Decrypted(items)) = self.transit(agent, request, expected, false)
                else {
                    return;
                };
                let key = known.unwrap();
                let opens = made.key == key.id && key.reads(made.version) && made.context == context;
                match &items[0] {
                    Item::Done(plain) => assert!(opens && plain.expose_secret() == made.plain),
                    Item::Refused(refusal) => assert!(!opens && *refusal == ItemRefusal::Ciphertext),
                }
            }
            3 => {
                let expected = writes(wrong(false));
                let request = sign(path(at), version, b"message", context);
                let Some(TransitReply::Signed(items)) = self.transit(agent, request, expected, false) else {
                    return;
                };
                let key = known.unwrap();
                match &items[0] {
                    Item::Done(out) => {
                        assert!(key.context_fits(context) && Ok(out.version) == key.writer(version));
                        let (context, plain) = (context.to_vec(), b"message".to_vec());
                        self.signed.push(Made {
                            key: key.id,
                            version: out.version,
                            context,
                            plain,
                            out: out.clone(),
                        });
                    }
                    Item::Refused(refusal) => {
                        assert!(!key.context_fits(context) && *refusal == ItemRefusal::Context);
                    }
                }
            }
            4 => {
                let Some(made) = self.signed.choose(rng).cloned() else { return };
                let expected = wrong(false);
                let message = if rng.random_bool(0.8) { made.plain.clone() } else { b"another".to_vec() };
                let request = verify(path(at), &message, context, &made.out);
                let Some(TransitReply::Verified(items)) = self.transit(agent, request, expected, false)
                else {
                    return;
                };
                let key = known.unwrap();
                let valid = made.key == key.id
                    && key.reads(made.version)
                    && made.context == context
                    && message == made.plain;
                let verdict = if valid { Verdict::Valid } else { Verdict::Invalid };
                match &items[0] {
                    Item::Done(said) => assert_eq!(*said, verdict),
                    Item::Refused(refusal) => {
                        assert!(!key.context_fits(context) && *refusal == ItemRefusal::Context);
                    }
                }
            }
            _ => {
                let mut expected = missing;
                if let (Some(key), None) = (&known, expected) {
                    expected = match key.options.export {
                        Permission::Forbidden => Some(RefusalCode::KeyUse),
                        Permission::Allowed if key.kept(version.unwrap_or(key.current())) => None,
                        Permission::Allowed => Some(RefusalCode::NotFound),
                    };
                }
                self.transit(agent, TransitRequest::Export { key: path(at), version }, expected, false);
            }
        }
    }

    fn derives(&mut self, rng: &mut StdRng, agent: bool, label: &'static str) {
        let (current, min) = self.reference.labels.get(label).copied().unwrap_or((1, 1));
        let version = rng.random_range(0..4u32);
        match rng.random_range(0..4) {
            0 | 1 => {
                let asked = rng.random_bool(0.5).then_some(version);
                let used = asked.unwrap_or(current);
                let len = *[32, 64].choose(rng).unwrap();
                let known = (min..=current).contains(&used);
                let expected = if !agent {
                    Some(RefusalCode::Denied)
                } else {
                    (!known).then_some(RefusalCode::NotFound)
                };
                // The first key of a vault makes its seed.
                let first = self.derived.is_empty();
                let request = DeriveRequest::Key { label: path(label), version: asked, len };
                let reply = self.ask(agent, Request::Derive(request), expected, first);
                if let Some(Reply::Derive(DeriveReply::Key { version, key })) = reply {
                    assert_eq!(version, used);
                    let key = key.expose_secret().to_vec();
                    assert_eq!(*self.derived.entry((label, used, len)).or_insert_with(|| key.clone()), key);
                }
            }
            2 => {
                let expected = agent.then_some(RefusalCode::Denied);
                self.ask(
                    agent,
                    Request::Derive(DeriveRequest::Rotate { label: path(label) }),
                    expected,
                    true,
                );
                if expected.is_none() {
                    self.reference.labels.insert(label, (current + 1, min));
                }
            }
            _ => {
                let good = (min..=current).contains(&version);
                let expected =
                    if agent { Some(RefusalCode::Denied) } else { (!good).then_some(RefusalCode::Settings) };
                let touched = self.reference.labels.contains_key(label);
                let request = DeriveRequest::Configure { label: path(label), min_version: version };
                self.ask(agent, Request::Derive(request), expected, !touched || version != min);
                if expected.is_none() {
                    self.reference.labels.insert(label, (current, version));
                }
            }
        }
    }

    /// Time passes, and the vault rotates what is due.
    fn pass(&mut self, secs: u64) {
        self.now += secs;
        let now = self.now;
        let rig = self.rig();
        while rig.vault.core.next_tick() <= now {
            rig.vault.core.tick(now, &mut KernelPorts).unwrap();
        }
        rig.vault.store();
        rig.vault.now = now;
        rig.renew();
        for key in self.reference.keys.values_mut() {
            while key.due().is_some_and(|due| due <= now) {
                key.versions.push((key.current() + 1, now));
            }
        }
    }

    /// Ends without warning; a change that nobody was answered is lost with it.
    fn crash(&mut self, rng: &mut StdRng) {
        let mut rig = self.rig.take().unwrap();
        if let Some(at) = PATHS.choose(rng).filter(|at| self.reference.keys.contains_key(*at)) {
            let before = rig.digest();
            rig.lose(&Request::Transit(rotate(at)));
            assert!(rig.digest() != before || !self.reference.keys[at].options.kind.can_be_made());
        }
        self.rig = Some(rig.crash());
        self.compare();
    }

    fn step(&mut self, rng: &mut StdRng) -> String {
        let (agent, wrong) = (rng.random_bool(0.6), rng.random_bool(0.2));
        let at = PATHS.choose(rng).unwrap();
        match rng.random_range(0..40) {
            0..6 => {
                self.create(rng, wrong, at);
                format!("create {at}")
            }
            6..14 => {
                self.manage(rng, wrong, at);
                format!("manage {at}")
            }
            14..30 => {
                self.uses(rng, !wrong, at);
                format!("use {at}")
            }
            30..36 => {
                let label = LABELS.choose(rng).unwrap();
                self.derives(rng, agent, label);
                format!("derive {label}")
            }
            36 => {
                let secs = *[1, 1800, 3600, 10_000].choose(rng).unwrap();
                self.pass(secs);
                format!("{secs} s pass")
            }
            37 => {
                self.crash(rng);
                "crash".to_owned()
            }
            _ => {
                self.compare();
                "compare".to_owned()
            }
        }
    }
}

/// Prints the seed and the events of a history that fails.
struct Story(u64, Vec<String>);

impl Drop for Story {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "history failed; again with VOUCHSAFE_SEED={} VOUCHSAFE_KEY_HISTORIES=1: {:?}",
                self.0, self.1
            );
        }
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn v3_keys_and_labels_agree_with_the_reference_over_random_histories() {
    let histories = setting("VOUCHSAFE_KEY_HISTORIES").unwrap_or(2_000);
    let first = setting("VOUCHSAFE_SEED").unwrap_or_else(|| rand::rng().random_range(0..1 << 48));
    eprintln!("{histories} histories from seed {first}");
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for seed in (first..first + histories).skip(thread as usize).step_by(threads as usize) {
                    let mut rng = StdRng::seed_from_u64(seed);
                    let mut story = Story(seed, Vec::new());
                    let mut world = World::new();
                    for _ in 0..STEPS {
                        story.1.push("…".to_owned());
                        *story.1.last_mut().unwrap() = world.step(&mut rng);
                    }
                    world.compare();
                    story.1.clear();
                }
            });
        }
    });
}
