//! What the vault makes itself.

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use vouchsafe_protocol::kv::{KvClass, KvGenerator, KvKeyKind, KvRule};
use vouchsafe_protocol::path::Path;

use super::args::{duration, secret_path, time};
use super::who::Who;
use super::write::guard;
use crate::context::Context;
use crate::failure::Problem;
use crate::output::Output;

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";
/// Without quotes, backslash, backtick and space, which shells and connection strings trip over.
const SYMBOLS: &str = "!#$%&()*+,-./:;<=>?@[]^_{|}~";

/// What is made, and when again.
#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// The secret
    #[arg(value_parser = secret_path)]
    path: Path,
    #[command(flatten)]
    rule: RuleArgs,
    /// Characters of a password
    #[arg(long, value_name = "N", default_value_t = 24, conflicts_with_all = ["hex", "uuid", "key"])]
    length: u16,
    /// What a password is made of, and how much of it at least: 'lower', 'upper', 'digits', 'symbols' or '=CHARACTERS',
    /// then ':MINIMUM' if it is not 1 [default: all four]
    #[arg(long = "class", value_name = "CLASS[:N]", value_parser = class, conflicts_with_all = ["hex", "uuid", "key"])]
    classes: Vec<KvClass>,
    /// The vault makes the next version by itself after this time: 12h, 30d
    #[arg(long, value_name = "TIME", value_parser = duration)]
    rotate_every: Option<u64>,
    /// The version before stays readable this long [default: as any old version]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    grace: Option<u64>,
    /// Do it only if this is the current version; 0 if there must be none yet
    #[arg(long, value_name = "N")]
    cas: Option<u64>,
    #[command(flatten)]
    who: Who,
}

/// One of them.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct RuleArgs {
    /// Characters by --length and --class
    #[arg(long)]
    password: bool,
    /// Random bytes, in hexadecimal digits
    #[arg(long, value_name = "BYTES")]
    hex: Option<u16>,
    /// A random UUID
    #[arg(long)]
    uuid: bool,
    /// A key pair, as the fields 'private' (PKCS#8, DER) and 'public' (SubjectPublicKeyInfo, DER)
    #[arg(long, value_enum, value_name = "KIND")]
    key: Option<KeyArg>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KeyArg {
    Ed25519,
    P256,
}

/// A class of characters and its minimum.
pub(super) fn class(text: &str) -> Result<KvClass, String> {
    let (name, minimum) = match text.rsplit_once(':') {
        // The colon may be one of the characters.
        Some((name, number)) if !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()) => {
            (name, number.parse().map_err(|_| "the minimum is a number up to 65535")?)
        }
        _ => (text, 1),
    };
    let characters = match name {
        "lower" => LOWER,
        "upper" => UPPER,
        "digits" => DIGITS,
        "symbols" => SYMBOLS,
        other => other
            .strip_prefix('=')
            .ok_or("it is 'lower', 'upper', 'digits', 'symbols' or '=' and characters")?,
    };
    Ok(KvClass { characters: characters.to_owned(), minimum })
}

fn rule(args: &RuleArgs, length: u16, classes: Vec<KvClass>) -> KvRule {
    let all =
        || [LOWER, UPPER, DIGITS, SYMBOLS].map(|all| KvClass { characters: all.to_owned(), minimum: 1 });
    match args {
        RuleArgs { hex: Some(bytes), .. } => KvRule::Hex { bytes: *bytes },
        RuleArgs { key: Some(KeyArg::Ed25519), .. } => KvRule::KeyPair(KvKeyKind::Ed25519),
        RuleArgs { key: Some(KeyArg::P256), .. } => KvRule::KeyPair(KvKeyKind::P256),
        RuleArgs { uuid: true, .. } => KvRule::Uuid,
        // The parser lets none be chosen but one of these.
        RuleArgs { .. } => {
            KvRule::Password { length, classes: if classes.is_empty() { all().to_vec() } else { classes } }
        }
    }
}

pub(super) async fn generate(args: GenerateArgs, context: &Context) -> Result<Output> {
    let GenerateArgs { path, rule: chosen, length, classes, rotate_every, grace, cas, who } = args;
    let rule = rule(&chosen, length, classes);
    let generator = KvGenerator { rule, every_secs: rotate_every, grace_secs: grace };
    // What the vault would refuse without saying what of it.
    generator.check().map_err(|error| Problem::new("refused.settings", error.to_string()))?;
    let conversation = who.manager(context).await?;
    let made = conversation.session.kv().generate(path.as_str(), generator, guard(cas)).await;
    let made = made.with_context(|| format!("'{path}' was not made"));
    let (version, end) = conversation.conclude(&context.home, made).await?;
    let json = json!({ "path": path.as_str(), "version": version });
    Ok(Output::new(format!("the vault made version {version} of {path}"), json).after(end))
}

/// One line for people.
pub(super) fn describe(generator: &KvGenerator) -> String {
    let KvGenerator { rule, every_secs, grace_secs } = generator;
    let what = match rule {
        KvRule::Hex { bytes } => format!("{bytes} random bytes in hexadecimal digits"),
        KvRule::KeyPair(kind) => format!("a key pair, {}", key_kind(*kind)),
        KvRule::Password { length, classes } => {
            let of = classes.iter().map(|class| format!("{} of '{}'", class.minimum, class.characters));
            format!("a password of {length} characters, at least {}", of.collect::<Vec<_>>().join(", "))
        }
        KvRule::Uuid => "a random UUID".to_owned(),
    };
    let every = every_secs.map_or_else(String::new, |secs| format!("; every {}", time(secs)));
    let grace = grace_secs.map_or_else(String::new, |secs| format!("; grace {}", time(secs)));
    format!("generated: {what}{every}{grace}")
}

/// The same for programs.
pub(super) fn json(generator: &KvGenerator) -> Value {
    let KvGenerator { rule, every_secs, grace_secs } = generator;
    let rule = match rule {
        KvRule::Hex { bytes } => json!({ "kind": "hex", "bytes": bytes }),
        KvRule::KeyPair(kind) => json!({ "kind": "key", "key": key_kind(*kind) }),
        KvRule::Password { length, classes } => {
            let class = |class: &KvClass| json!({ "characters": class.characters, "minimum": class.minimum });
            let classes: Vec<Value> = classes.iter().map(class).collect();
            json!({ "kind": "password", "length": length, "classes": classes })
        }
        KvRule::Uuid => json!({ "kind": "uuid" }),
    };
    json!({ "rule": rule, "every_secs": every_secs, "grace_secs": grace_secs })
}

fn key_kind(kind: KvKeyKind) -> &'static str {
    match kind {
        KvKeyKind::Ed25519 => "ed25519",
        KvKeyKind::P256 => "p256",
    }
}
