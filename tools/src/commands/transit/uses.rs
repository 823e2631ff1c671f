//! What keys are used for.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use serde_json::json;
use vouchsafe_client::SealedText;
use vouchsafe_protocol::kv::SecretValue;
use vouchsafe_protocol::limits::{DATA_KEY_LEN, RANDOM_LEN};
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::transit::{
    Ciphertext, DataKeyForm, DecryptItem, EncryptItem, Item, SignItem, Signature, Verdict, VerifyItem,
};

use super::args::{BindingArgs, ciphertext, key_path, signature};
use super::shown::{Line, lines};
use crate::commands::kv::Who;
use crate::context::Context;
use crate::input;
use crate::output::{Output, encoded};
use crate::progress::during;

/// What is encrypted.
#[derive(Debug, Args)]
pub(crate) struct EncryptArgs {
    /// The key
    #[arg(value_parser = key_path)]
    key: Path,
    /// Values: '-' for standard input, '@FILE' for a file, anything else is the value itself
    #[arg(required = true, value_name = "VALUE")]
    values: Vec<String>,
    #[command(flatten)]
    binding: BindingArgs,
    /// Encrypt under this version [default: the current one]
    #[arg(long, value_name = "N")]
    key_version: Option<u32>,
    /// Print the ciphertext in bytes rather than as text; with one value
    #[arg(long)]
    binary: bool,
    #[command(flatten)]
    who: Who,
}

/// What is decrypted.
#[derive(Debug, Args)]
pub(crate) struct DecryptArgs {
    /// The key
    #[arg(value_parser = key_path)]
    key: Path,
    /// Ciphertexts, as text or in bytes: '-' for standard input, '@FILE' for a file
    #[arg(required = true, value_name = "CIPHERTEXT")]
    values: Vec<String>,
    #[command(flatten)]
    binding: BindingArgs,
    #[command(flatten)]
    who: Who,
}

/// What is signed.
#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    /// The key
    #[arg(value_parser = key_path)]
    key: Path,
    /// Values: '-' for standard input, '@FILE' for a file, anything else is the value itself
    #[arg(required = true, value_name = "VALUE")]
    values: Vec<String>,
    /// Context of a derived key
    #[arg(long = "context", value_name = "TEXT", default_value = "", hide_default_value = true)]
    derived: String,
    /// Sign with this version [default: the current one]
    #[arg(long, value_name = "N")]
    key_version: Option<u32>,
    /// Print the signature alone, in bytes, for other programs; with one value
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    who: Who,
}

/// What is verified.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The key
    #[arg(value_parser = key_path)]
    key: Path,
    /// The value: '-' for standard input, '@FILE' for a file, anything else is the value itself
    value: String,
    /// The signature, as 'sign' or 'hmac' printed it; '@FILE' for a file
    signature: String,
    /// Context of a derived key
    #[arg(long = "context", value_name = "TEXT", default_value = "", hide_default_value = true)]
    derived: String,
    #[command(flatten)]
    who: Who,
}

/// A new key.
#[derive(Debug, Args)]
pub(crate) struct DataKeyArgs {
    /// The wrapping key
    #[arg(value_parser = key_path)]
    key: Path,
    #[command(flatten)]
    binding: BindingArgs,
    /// Length in bytes
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u8)
        .range(*DATA_KEY_LEN.start() as i64..=*DATA_KEY_LEN.end() as i64))]
    length: u8,
    /// Only the wrapped form: for whoever stores it for others
    #[arg(long)]
    wrapped: bool,
    #[command(flatten)]
    who: Who,
}

/// Random bytes.
#[derive(Debug, Args)]
pub(crate) struct RandomArgs {
    /// How many
    #[arg(value_name = "BYTES", value_parser = clap::value_parser!(u32)
        .range(*RANDOM_LEN.start() as i64..=*RANDOM_LEN.end() as i64))]
    len: u32,
    /// In hexadecimal
    #[arg(long, conflicts_with = "base64")]
    hex: bool,
    /// In base64
    #[arg(long)]
    base64: bool,
    #[command(flatten)]
    who: Who,
}

fn read(values: &[String]) -> Result<Vec<SecretValue>> {
    values.iter().map(|value| input::value(value)).collect()
}

/// The only item, if bytes are asked for.
fn alone(bytes: bool, values: &[String]) -> Result<()> {
    if bytes && values.len() != 1 {
        return Err(crate::failure::Problem::usage("bytes can be printed of one value only").into());
    }
    Ok(())
}

pub(super) async fn encrypt(args: EncryptArgs, context: &Context) -> Result<Output> {
    let EncryptArgs { key, values, binding, key_version, binary, who } = args;
    alone(binary, &values)?;
    let item = |plaintext| EncryptItem { plaintext, binding: binding.binding() };
    let items = read(&values)?.into_iter().map(item).collect();
    let conversation = who.agent(context).await?;
    let transit = conversation.session.transit();
    let sealing = during("encrypting", transit.encrypt_batch(key.as_str(), key_version, items));
    let sealed = sealing.await.with_context(|| format!("nothing was encrypted with '{key}'"));
    let (items, end) = conversation.conclude(&context.home, sealed).await?;
    match items.as_slice() {
        [Item::Done(sealed)] if binary => {
            let json = sealed_json(sealed);
            Ok(Output::secret(SecretValue::new(sealed.as_bytes().to_vec()), json).after(end))
        }
        _ => Ok(lines(&key, items, |sealed| Line {
            text: SealedText::of(&sealed).to_string(),
            json: sealed_json(&sealed),
        })?
        .after(end)),
    }
}

fn sealed_json(sealed: &Ciphertext) -> serde_json::Value {
    let text = SealedText::of(sealed);
    json!({ "ciphertext": text.to_string(), "version": text.version })
}

fn decrypt_items(values: &[String], binding: &BindingArgs) -> Result<Vec<DecryptItem>> {
    let item =
        |value: &String| Ok(DecryptItem { ciphertext: ciphertext(value)?, binding: binding.binding() });
    values.iter().map(item).collect()
}

pub(super) async fn decrypt(args: DecryptArgs, context: &Context) -> Result<Output> {
    let DecryptArgs { key, values, binding, who } = args;
    let items = decrypt_items(&values, &binding)?;
    let conversation = who.agent(context).await?;
    let opening = during("decrypting", async {
        conversation.session.transit().decrypt_batch(key.as_str(), items).await
    });
    let opened = opening.await.with_context(|| format!("nothing was decrypted with '{key}'"));
    let (mut items, end) = conversation.conclude(&context.home, opened).await?;
    if let [Item::Done(_)] = items.as_slice()
        && let Some(Item::Done(plain)) = items.pop()
    {
        return Ok(Output::secret(plain, json!({ "key": key.as_str() })).after(end));
    }
    let line = |plain: SecretValue| {
        let (encoding, value) = encoded(plain.expose_secret());
        Line {
            text: BASE64_STANDARD.encode(plain.expose_secret()),
            json: json!({ "encoding": encoding, "value": value }),
        }
    };
    Ok(lines(&key, items, line)?.after(end))
}

pub(super) async fn rewrap(args: DecryptArgs, context: &Context) -> Result<Output> {
    let DecryptArgs { key, values, binding, who } = args;
    let items = decrypt_items(&values, &binding)?;
    let conversation = who.agent(context).await?;
    let wrapping = during("rewrapping", async {
        conversation.session.transit().rewrap_batch(key.as_str(), items).await
    });
    let wrapped = wrapping.await.with_context(|| format!("nothing was rewrapped with '{key}'"));
    let (items, end) = conversation.conclude(&context.home, wrapped).await?;
    let line = |rewrapped: vouchsafe_protocol::transit::Rewrapped| {
        let text = SealedText::of(&rewrapped.ciphertext);
        let json = json!({
            "ciphertext": text.to_string(),
            "version": text.version,
            "from_version": rewrapped.from_version,
            "changed": rewrapped.from_version != text.version,
        });
        Line { text: text.to_string(), json }
    };
    Ok(lines(&key, items, line)?.after(end))
}

pub(super) async fn sign(args: SignArgs, context: &Context) -> Result<Output> {
    let SignArgs { key, values, derived, key_version, raw, who } = args;
    alone(raw, &values)?;
    let item = |message| SignItem { message, context: derived.as_bytes().to_vec() };
    let items = read(&values)?.into_iter().map(item).collect();
    let conversation = who.agent(context).await?;
    let transit = conversation.session.transit();
    let signing = during("signing", transit.sign_batch(key.as_str(), key_version, items));
    let signed = signing.await.with_context(|| format!("nothing was signed with '{key}'"));
    let (items, end) = conversation.conclude(&context.home, signed).await?;
    let json = |signature: &Signature| json!({ "signature": SealedText::from(signature).to_string(), "version": signature.version });
    match items.as_slice() {
        [Item::Done(signature)] if raw => {
            Ok(Output::secret(SecretValue::new(signature.bytes.clone()), json(signature)).after(end))
        }
        _ => Ok(lines(&key, items, |signature| Line {
            text: SealedText::from(&signature).to_string(),
            json: json(&signature),
        })?
        .after(end)),
    }
}

pub(super) async fn verify(args: VerifyArgs, context: &Context) -> Result<Output> {
    let VerifyArgs { key, value, signature: given, derived, who } = args;
    let item = VerifyItem {
        message: input::value(&value)?,
        context: derived.into_bytes(),
        signature: signature(&given)?,
    };
    let conversation = who.agent(context).await?;
    let verifying = during("verifying", async {
        conversation.session.transit().verify_batch(key.as_str(), vec![item]).await
    });
    let verified = verifying.await.with_context(|| format!("nothing was verified with '{key}'"));
    let (items, end) = conversation.conclude(&context.home, verified).await?;
    let invalid = matches!(items.as_slice(), [Item::Done(Verdict::Invalid)]);
    let line = |verdict| match verdict {
        Verdict::Invalid => {
            Line { text: format!("not a signature of {key}"), json: json!({ "valid": false }) }
        }
        Verdict::Valid => Line { text: format!("a signature of {key}"), json: json!({ "valid": true }) },
    };
    Ok(lines(&key, items, line)?.failed_if(invalid).after(end))
}

pub(super) async fn data_key(args: DataKeyArgs, context: &Context) -> Result<Output> {
    let DataKeyArgs { key, binding, length, wrapped, who } = args;
    let form = if wrapped { DataKeyForm::Wrapped } else { DataKeyForm::Plain };
    let conversation = who.agent(context).await?;
    let making = during("making a key", async {
        conversation.session.transit().data_keys(key.as_str(), form, length, vec![binding.binding()]).await
    });
    let made = making.await.with_context(|| format!("no key was made with '{key}'"));
    let (items, end) = conversation.conclude(&context.home, made).await?;
    let line = |made: vouchsafe_protocol::transit::DataKey| {
        let wrapped = SealedText::of(&made.wrapped).to_string();
        let plain = made.plain.map(|plain| BASE64_STANDARD.encode(plain.expose_secret()));
        let json = json!({ "key_base64": plain, "wrapped": wrapped });
        let text = match plain {
            Some(plain) => format!("key      {plain}\nwrapped  {wrapped}"),
            None => wrapped,
        };
        Line { text, json }
    };
    Ok(lines(&key, items, line)?.after(end))
}

pub(super) async fn random(args: RandomArgs, context: &Context) -> Result<Output> {
    let RandomArgs { len, hex, base64, who } = args;
    let conversation = who.manager(context).await?;
    let asked = conversation.session.transit().random(len).await;
    let asked = asked.context("there are no random bytes");
    let (bytes, end) = conversation.conclude(&context.home, asked).await?;
    let shown = match (hex, base64) {
        (true, _) => SecretValue::new(hex::encode(bytes.expose_secret()).into_bytes()),
        (_, true) => SecretValue::new(BASE64_STANDARD.encode(bytes.expose_secret()).into_bytes()),
        _ => bytes,
    };
    Ok(Output::secret(shown, json!({ "bytes": len })).after(end))
}
