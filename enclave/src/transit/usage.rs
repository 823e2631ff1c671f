//! Using a key: batches, each item answered on its own. Items are consumed as their results are made, so a request
//! takes no more memory than what came and what goes (V6).

use std::collections::BTreeSet;

use vouchsafe_crypto::secret::SecretBytes;
use vouchsafe_crypto::transit::signing::{self, Algorithm};
use vouchsafe_crypto::transit::{self as crypto, Bound, Cipher, Place};
use vouchsafe_protocol::kv::SecretValue;
use vouchsafe_protocol::limits::{DATA_KEY_LEN, TRANSIT_AAD_LEN, TRANSIT_CONTEXT_LEN};
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::refusal::RefusalCode;
use vouchsafe_protocol::transit::{
    Binding, Ciphertext, DataKey, DataKeyForm, DecryptItem, Derivation, EncryptItem, Item, ItemRefusal,
    KeyKind, Rewrapped, SignItem, Signature, TransitReply, Verdict, VerifyItem,
};
use zeroize::Zeroizing;

use super::key::{Key, Version, algorithm, cipher};
use super::{Plan, random};
use crate::ports::{self, Ports};

type Answer<T> = Result<T, ItemRefusal>;

/// Answers every item, and notes the versions used and what failed.
fn batch<I, T>(
    items: Vec<I>,
    wrap: fn(Vec<Item<T>>) -> TransitReply,
    mut answer: impl FnMut(I, &mut BTreeSet<u32>) -> Result<Answer<T>, RefusalCode>,
) -> Result<Plan, RefusalCode> {
    let (mut versions, mut failed) = (BTreeSet::new(), 0);
    let mut answers = Vec::with_capacity(items.len());
    for item in items {
        answers.push(match answer(item, &mut versions)? {
            Ok(done) => Item::Done(done),
            Err(refusal) => {
                failed += 1;
                Item::Refused(refusal)
            }
        });
    }
    Ok(Plan { failed, ..Plan::look(wrap(answers), versions) })
}

impl Key {
    pub fn encrypt(
        &self,
        path: &Path,
        version: Option<u32>,
        items: Vec<EncryptItem>,
        ports: &mut dyn Ports,
    ) -> Result<Plan, RefusalCode> {
        let (cipher, version) = (self.cipher()?, self.writer(version)?);
        batch(items, TransitReply::Encrypted, |EncryptItem { plaintext, binding }, used| {
            used.insert(version.number);
            self.seal(path, (cipher, version), &binding, plaintext.expose_secret(), ports)
        })
    }

    /// F9: whatever is wrong with a ciphertext has one answer.
    pub fn decrypt(&self, path: &Path, items: Vec<DecryptItem>) -> Result<Plan, RefusalCode> {
        let cipher = self.cipher()?;
        batch(items, TransitReply::Decrypted, |DecryptItem { ciphertext, binding }, used| {
            let opened = self.open(path, cipher, ciphertext, &binding);
            Ok(opened.map(|(version, mut plain)| {
                used.insert(version);
                SecretValue::new(std::mem::take(&mut *plain))
            }))
        })
    }

    pub fn rewrap(
        &self,
        path: &Path,
        items: Vec<DecryptItem>,
        ports: &mut dyn Ports,
    ) -> Result<Plan, RefusalCode> {
        let (cipher, newest) = (self.cipher()?, self.writer(None)?);
        batch(items, TransitReply::Rewrapped, |DecryptItem { ciphertext, binding }, used| {
            let is_newest = ciphertext.header().is_ok_and(|(version, _)| version == newest.number);
            let same = is_newest.then(|| ciphertext.clone());
            let (from_version, plain) = match self.open(path, cipher, ciphertext, &binding) {
                Ok(opened) => opened,
                Err(refusal) => return Ok(Err(refusal)),
            };
            used.extend([from_version, newest.number]);
            let sealed = match same {
                Some(same) => Ok(same),
                None => self.seal(path, (cipher, newest), &binding, &plain, ports)?,
            };
            Ok(sealed.map(|ciphertext| Rewrapped { from_version, ciphertext }))
        })
    }

    pub fn data_keys(
        &self,
        path: &Path,
        form: DataKeyForm,
        len: u8,
        items: Vec<Binding>,
        ports: &mut dyn Ports,
    ) -> Result<Plan, RefusalCode> {
        let (cipher, version) = (self.cipher()?, self.writer(None)?);
        if !DATA_KEY_LEN.contains(&len) {
            return Err(RefusalCode::TooLarge);
        }
        batch(items, TransitReply::DataKeys, |binding, used| {
            let key = random(usize::from(len), ports)?;
            used.insert(version.number);
            let wrapped = self.seal(path, (cipher, version), &binding, key.expose_secret(), ports)?;
            let plain = (form == DataKeyForm::Plain).then_some(key);
            Ok(wrapped.map(|wrapped| DataKey { plain, wrapped }))
        })
    }

    pub fn sign(&self, path: &Path, version: Option<u32>, items: Vec<SignItem>) -> Result<Plan, RefusalCode> {
        let (signer, version) = (self.signer()?, self.writer(version)?);
        batch(items, TransitReply::Signed, |SignItem { message, context }, used| {
            used.insert(version.number);
            let message = message.expose_secret();
            if let Err(refusal) = self.check_context(&context) {
                return Ok(Err(refusal));
            }
            let bytes = match signer {
                Signer::Mac => {
                    self.with_mac(path, version, &context, |key| crypto::mac(key, message)).to_vec()
                }
                Signer::Key(algorithm) => {
                    version.signing(algorithm)?.sign(message).map_err(|_| RefusalCode::Busy)?
                }
            };
            Ok(Ok(Signature { version: version.number, bytes }))
        })
    }

    pub fn verify(&self, path: &Path, items: Vec<VerifyItem>) -> Result<Plan, RefusalCode> {
        let signer = self.signer()?;
        let mut invalid = 0;
        let mut plan = batch(items, TransitReply::Verified, |item, used| {
            let VerifyItem { message, context, signature } = item;
            let message = message.expose_secret();
            if let Err(refusal) = self.check_context(&context) {
                return Ok(Err(refusal));
            }
            let valid = self.reader(signature.version).is_some_and(|version| {
                used.insert(version.number);
                match signer {
                    Signer::Mac => self.with_mac(path, version, &context, |key| {
                        crypto::is_mac(key, message, &signature.bytes)
                    }),
                    Signer::Key(algorithm) => {
                        signing::verify(algorithm, &version.public, message, &signature.bytes).is_ok()
                    }
                }
            });
            invalid += u32::from(!valid);
            Ok(Ok(if valid { Verdict::Valid } else { Verdict::Invalid }))
        })?;
        plan.failed += invalid;
        Ok(plan)
    }

    fn cipher(&self) -> Result<Cipher, RefusalCode> {
        cipher(self.options.kind).ok_or(RefusalCode::KeyUse)
    }

    fn signer(&self) -> Result<Signer, RefusalCode> {
        match self.options.kind {
            KeyKind::Hmac => Ok(Signer::Mac),
            kind => algorithm(kind).map(Signer::Key).ok_or(RefusalCode::KeyUse),
        }
    }

    fn place<'a>(&self, path: &'a Path, version: u32, context: &'a [u8]) -> Place<'a> {
        Place { kind: self.options.kind.byte(), path: path.as_str(), version, context }
    }

    /// A context is there exactly if keys are derived.
    fn check_context(&self, context: &[u8]) -> Answer<()> {
        if context.len() > TRANSIT_CONTEXT_LEN {
            return Err(ItemRefusal::TooLarge);
        }
        let derived = self.options.derivation != Derivation::None;
        if derived == context.is_empty() { Err(ItemRefusal::Context) } else { Ok(()) }
    }

    fn check_binding(&self, Binding { context, aad }: &Binding) -> Answer<()> {
        self.check_context(context)?;
        if aad.len() > TRANSIT_AAD_LEN { Err(ItemRefusal::TooLarge) } else { Ok(()) }
    }

    fn seal(
        &self,
        path: &Path,
        (cipher, version): (Cipher, &Version),
        binding: &Binding,
        plaintext: &[u8],
        ports: &mut dyn Ports,
    ) -> Result<Answer<Ciphertext>, RefusalCode> {
        if let Err(refusal) = self.check_binding(binding) {
            return Ok(Err(refusal));
        }
        let place = self.place(path, version.number, &binding.context);
        let bound = Bound { cipher, place, aad: &binding.aad };
        let salt = match self.options.derivation {
            Derivation::Convergent => bound.convergent_salt(&version.material, plaintext),
            Derivation::Derived | Derivation::None => ports::array(ports).map_err(|_| RefusalCode::Busy)?,
        };
        Ok(Ok(Ciphertext::new(crypto::seal(&bound, &version.material, &salt, plaintext))))
    }

    fn open(
        &self,
        path: &Path,
        cipher: Cipher,
        ciphertext: Ciphertext,
        binding: &Binding,
    ) -> Answer<(u32, Zeroizing<Vec<u8>>)> {
        let opaque = ItemRefusal::Ciphertext;
        let (number, _) = ciphertext.header().map_err(|_| opaque)?;
        let version = self.reader(number).ok_or(opaque)?;
        self.check_binding(binding).map_err(|_| opaque)?;
        let bound = Bound { cipher, place: self.place(path, number, &binding.context), aad: &binding.aad };
        let plain = crypto::open(&bound, &version.material, ciphertext.into_bytes()).map_err(|_| opaque)?;
        Ok((number, plain))
    }

    /// Uses the HMAC key of a version: the material itself, or what is derived from it for a context.
    fn with_mac<T>(
        &self,
        path: &Path,
        version: &Version,
        context: &[u8],
        then: impl FnOnce(&SecretBytes) -> T,
    ) -> T {
        if self.options.derivation == Derivation::None {
            return then(&version.material);
        }
        let place = self.place(path, version.number, context);
        then(&crypto::derived_mac_material(&version.material, &place))
    }
}

/// How a key signs.
#[derive(Clone, Copy)]
enum Signer {
    Key(Algorithm),
    Mac,
}
