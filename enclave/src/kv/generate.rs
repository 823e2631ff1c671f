//! Values that the vault makes itself, from the randomness of its ports alone.

use vouchsafe_crypto::secret::Key32;
use vouchsafe_crypto::signature::LogKey;
use vouchsafe_protocol::kv::{
    Cas, KvClass, KvFields, KvGenerator, KvKeyKind, KvName, KvRule, KvValue, SecretValue,
};
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
        KvRule::Hex { bytes } => Ok(hex(&random(usize::from(*bytes), ports)?)),
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
        KvRule::Password { length, classes } => password(usize::from(*length), classes, ports),
        KvRule::Uuid => {
            let mut bytes = random(16, ports)?;
            // RFC 9562, sections 4.1 and 4.2: the variant and version 4.
            for (index, byte) in bytes.iter_mut().enumerate() {
                match index {
                    6 => *byte = *byte & 0x0f | 0x40,
                    8 => *byte = *byte & 0x3f | 0x80,
                    _ => {}
                }
            }
            let KvValue::Bytes(digits) = hex(&bytes) else { return Err(RefusalCode::Malformed) };
            let mut text = Vec::with_capacity(36);
            for (index, digit) in digits.expose_secret().iter().enumerate() {
                if matches!(index, 8 | 12 | 16 | 20) {
                    text.push(b'-');
                }
                text.push(*digit);
            }
            Ok(KvValue::Bytes(SecretValue::new(text)))
        }
    }
}

fn random(len: usize, ports: &mut dyn Ports) -> Result<Zeroizing<Vec<u8>>, RefusalCode> {
    let mut bytes = Zeroizing::new(vec![0; len]);
    ports.random(&mut bytes).map_err(|_| RefusalCode::Busy)?;
    Ok(bytes)
}

/// Lower-case digits, without a look-up or a branch that depends on them.
pub(super) fn hex(bytes: &[u8]) -> KvValue {
    let digit = |nibble: u8| nibble + b'0' + (nibble + 6) / 16 * (b'a' - b'0' - 10);
    let mut text = Vec::with_capacity(2 * bytes.len());
    bytes.iter().for_each(|byte| text.extend([digit(byte >> 4), digit(byte & 0x0f)]));
    KvValue::Bytes(SecretValue::new(text))
}

fn key_pair(private: &[u8], public: &[u8]) -> Result<KvValue, RefusalCode> {
    let field = |name: &str, bytes: &[u8]| {
        let name: KvName = name.parse().map_err(|_| RefusalCode::Malformed)?;
        Ok((name, SecretValue::new(bytes.to_vec())))
    };
    let fields = [field("private", private)?, field("public", public)?];
    KvFields::new(&fields.into_iter().collect()).map(KvValue::Fields).map_err(|_| RefusalCode::TooLarge)
}

/// The minimum of each class, the rest of all classes, then all of it in random order.
fn password(length: usize, classes: &[KvClass], ports: &mut dyn Ports) -> Result<KvValue, RefusalCode> {
    let mut dice = Dice { ports, bytes: Zeroizing::new([0; 64]), used: 64 };
    let all: Vec<u8> = classes.iter().flat_map(|class| class.characters.bytes()).collect();
    let mut text = Zeroizing::new(Vec::with_capacity(length));
    for class in classes {
        for _ in 0..class.minimum {
            text.push(dice.pick(class.characters.as_bytes())?);
        }
    }
    while text.len() < length {
        text.push(dice.pick(&all)?);
    }
    // Fisher and Yates.
    for last in (1..text.len()).rev() {
        text.swap(last, dice.below(last + 1)?);
    }
    Ok(KvValue::Bytes(SecretValue::new(std::mem::take(&mut *text))))
}

/// Numbers without a bias.
struct Dice<'a> {
    ports: &'a mut dyn Ports,
    bytes: Zeroizing<[u8; 64]>,
    used: usize,
}

impl Dice<'_> {
    fn byte(&mut self) -> Result<u8, RefusalCode> {
        if self.used >= self.bytes.len() {
            self.ports.random(self.bytes.as_mut_slice()).map_err(|_| RefusalCode::Busy)?;
            self.used = 0;
        }
        self.used += 1;
        self.bytes.get(self.used - 1).copied().ok_or(RefusalCode::Busy)
    }

    /// A number below `count`, which is 1 to 256: bytes beyond its largest multiple are thrown again.
    fn below(&mut self, count: usize) -> Result<usize, RefusalCode> {
        let fair = 256usize.checked_rem(count).map(|rest| 256 - rest).ok_or(RefusalCode::Settings)?;
        loop {
            let byte = usize::from(self.byte()?);
            if byte < fair {
                return byte.checked_rem(count).ok_or(RefusalCode::Settings);
            }
        }
    }

    fn pick(&mut self, from: &[u8]) -> Result<u8, RefusalCode> {
        let index = self.below(from.len())?;
        from.get(index).copied().ok_or(RefusalCode::Settings)
    }
}
