//! Values that the vault makes itself, from the randomness of its ports alone.

use vouchsafe_crypto::secret::Key32;
use vouchsafe_crypto::signature::LogKey;
use vouchsafe_protocol::kv::{Cas, KvFields, KvGenerator, KvKeyKind, KvName, KvRule, KvValue, SecretValue};
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::refusal::RefusalCode;
use zeroize::Zeroizing;

use super::{Kv, Plan, Write};
use crate::ports::Ports;

/// RFC 8410, section 7: PKCS#8 of an Ed25519 seed, up to the seed.
const ED25519_PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// RFC 8410, section 4: SubjectPublicKeyInfo of an Ed25519 key, up to the key.
const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

impl Kv {
    pub(super) fn plan_generate(
        &self,
        path: Path,
        generator: KvGenerator,
        cas: Cas,
        now: u64,
        ports: &mut dyn Ports,
    ) -> Result<Plan, RefusalCode> {
        generator.check().map_err(|_| RefusalCode::Settings)?;
        self.check_cas(&path, cas)?;
        self.generated(path, generator, now, ports).map(Plan::write)
    }

    pub(super) fn plan_rotate(
        &self,
        path: &Path,
        now: u64,
        ports: &mut dyn Ports,
    ) -> Result<Write, RefusalCode> {
        let extras = self.secret(path)?.extras.as_ref();
        let generator = extras.and_then(|extras| extras.settings.generator.clone());
        self.generated(path.clone(), generator.ok_or(RefusalCode::NoGenerator)?, now, ports)
    }

    /// The next version by a generator; the one before stays for the time of grace.
    fn generated(
        &self,
        path: Path,
        generator: KvGenerator,
        now: u64,
        ports: &mut dyn Ports,
    ) -> Result<Write, RefusalCode> {
        let value = make(&generator.rule, ports)?;
        let at = |secs: u64| now.saturating_add(secs);
        let (retire_secs, next_secs) = (generator.grace_secs.map(at), generator.every_secs.map(at));
        let write = self.write(path, value, None, now)?;
        Ok(Write { retire_secs, generator: Some(Box::new((generator, next_secs))), ..write })
    }
}

/// Makes a value.
fn make(rule: &KvRule, ports: &mut dyn Ports) -> Result<KvValue, RefusalCode> {
    match rule {
        KvRule::KeyPair(KvKeyKind::Ed25519) => {
            let seed = Key32::fill_with(|seed| ports.random(seed)).map_err(|_| RefusalCode::Busy)?;
            let private = Zeroizing::new([ED25519_PKCS8.as_slice(), seed.expose_secret()].concat());
            let public = LogKey::from_seed(&seed).map_err(|_| RefusalCode::Busy)?.public();
            key_pair(&private, &[ED25519_SPKI.as_slice(), &public.0].concat())
        }
        KvRule::KeyPair(KvKeyKind::P256) => {
            let key = ports.new_key().map_err(|_| RefusalCode::Busy)?;
            key_pair(key.expose_pkcs8().expose_secret(), &key.spki())
        }
        KvRule::Hex { .. } | KvRule::Password { .. } | KvRule::Uuid => {
            let text = rule.text(&mut |out| ports.random(out)).map_err(|_| RefusalCode::Busy)?;
            text.map(KvValue::Bytes).ok_or(RefusalCode::Settings)
        }
    }
}

fn key_pair(private: &[u8], public: &[u8]) -> Result<KvValue, RefusalCode> {
    let fields = [("private", private), ("public", public)].map(|(name, bytes)| {
        let name: KvName = name.parse().map_err(|_| RefusalCode::Malformed)?;
        Ok((name, SecretValue::new(bytes.to_vec())))
    });
    let fields = fields.into_iter().collect::<Result<_, _>>()?;
    KvFields::new(&fields).map(KvValue::Fields).map_err(|_| RefusalCode::TooLarge)
}
