//! How keys are made, changed and looked at.

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::json;
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::policy::Permission;
use vouchsafe_protocol::transit::{Derivation, KeyConfig, KeyKind, KeyMetadata, KeyOptions};

use super::args::{key_path, kind, material, prefix_path};
use crate::commands::kv::{Who, duration, time};
use crate::context::{Context, Conversation, rfc3339};
use crate::failure::Problem;
use crate::input::pem;
use crate::output::Output;
use crate::progress::during;

/// One key.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    /// The key
    #[arg(value_parser = key_path)]
    key: Path,
    #[command(flatten)]
    who: Who,
}

/// What a key is for good.
#[derive(Clone, Copy, Debug, Args)]
struct OptionArgs {
    /// Each context, such as a tenant, has a key of its own
    #[arg(long)]
    derived: bool,
    /// As --derived, and the same plaintext gives the same ciphertext
    #[arg(long)]
    convergent: bool,
    /// Agents whose role allows it may take the key out
    #[arg(long)]
    exportable: bool,
    /// Versions may be brought from outside later
    #[arg(long)]
    importable: bool,
}

impl OptionArgs {
    fn options(self, kind: KeyKind) -> KeyOptions {
        let Self { derived, convergent, exportable, importable } = self;
        let allowed = |yes| if yes { Permission::Allowed } else { Permission::Forbidden };
        let derivation = match (convergent, derived) {
            (true, _) => Derivation::Convergent,
            (_, true) => Derivation::Derived,
            _ => Derivation::None,
        };
        KeyOptions { kind, derivation, export: allowed(exportable), import: allowed(importable) }
    }
}

/// A new key.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// The key
    #[arg(value_parser = key_path)]
    key: Path,
    /// What it is for, and by which algorithm
    #[arg(long, value_parser = kind, default_value = "aes256-gcm")]
    kind: KeyKind,
    #[command(flatten)]
    options: OptionArgs,
    #[command(flatten)]
    who: Who,
}

/// A key from outside.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The key
    #[arg(value_parser = key_path)]
    key: Path,
    /// What is brought: '-' for standard input or '@FILE' for a file
    value: String,
    /// Of a new key: what it is for; it is importable from then on
    #[arg(long, value_parser = kind)]
    kind: Option<KeyKind>,
    #[command(flatten)]
    options: OptionArgs,
    #[command(flatten)]
    who: Who,
}

/// What changes.
#[derive(Debug, Args)]
#[group(id = "settings", required = true, multiple = true, args = ["min_decrypt", "min_encrypt", "rotate_every", "deletion"])]
pub(crate) struct ConfigureArgs {
    /// The key
    #[arg(value_parser = key_path)]
    key: Path,
    /// Lowest version that decrypts and verifies
    #[arg(long, value_name = "N")]
    min_decrypt: Option<u32>,
    /// Lowest version that encrypts and signs
    #[arg(long, value_name = "N")]
    min_encrypt: Option<u32>,
    /// The vault makes the next version itself: 1h to 10 years, as in 30d; 'never' ends it
    #[arg(long, value_name = "TIME", value_parser = every)]
    rotate_every: Option<u64>,
    /// Whether the key may be deleted: allowed or forbidden
    #[arg(long, value_parser = permission)]
    deletion: Option<Permission>,
    #[command(flatten)]
    who: Who,
}

/// Versions that go.
#[derive(Debug, Args)]
pub(crate) struct TrimArgs {
    /// The key
    #[arg(value_parser = key_path)]
    key: Path,
    /// The lowest version to keep
    #[arg(long, value_name = "N")]
    below: u32,
    #[command(flatten)]
    who: Who,
}

/// What is listed.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// The prefix
    #[arg(value_parser = prefix_path, default_value = "transit")]
    prefix: Path,
    #[command(flatten)]
    who: Who,
}

/// What is shown.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The key
    #[arg(value_parser = key_path)]
    key: Path,
    /// Only the public key of the current version, as PEM
    #[arg(long)]
    public: bool,
    #[command(flatten)]
    who: Who,
}

/// What is taken out.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The key
    #[arg(value_parser = key_path)]
    key: Path,
    /// Version [default: the current one]
    #[arg(long, value_name = "N")]
    key_version: Option<u32>,
    #[command(flatten)]
    who: Who,
}

fn every(text: &str) -> Result<u64, &'static str> {
    if text == "never" { Ok(0) } else { duration(text) }
}

fn permission(text: &str) -> Result<Permission, &'static str> {
    match text {
        "allowed" => Ok(Permission::Allowed),
        "forbidden" => Ok(Permission::Forbidden),
        _ => Err("it is 'allowed' or 'forbidden'"),
    }
}

/// A new version of a key.
async fn made(
    key: &Path,
    made: Result<u32, vouchsafe_client::RequestError>,
    (verb, not): (&str, &str),
    conversation: Conversation,
    context: &Context,
) -> Result<Output> {
    let made = made.with_context(|| format!("'{key}' was not {not}"));
    let (version, end) = conversation.conclude(&context.home, made).await?;
    let json = json!({ "key": key.as_str(), "version": version });
    Ok(Output::new(format!("{verb} {key}, version {version}"), json).after(end))
}

pub(super) async fn create(args: CreateArgs, context: &Context) -> Result<Output> {
    let CreateArgs { key, kind, options, who } = args;
    let conversation = who.manager(context).await?;
    let creating = during("making a key", async {
        conversation.session.transit().create(key.as_str(), options.options(kind)).await
    });
    let created = creating.await;
    made(&key, created, ("made", "made"), conversation, context).await
}

pub(super) async fn import(args: ImportArgs, context: &Context) -> Result<Output> {
    let ImportArgs { key, value, kind, options, who } = args;
    let OptionArgs { derived, convergent, exportable, importable } = options;
    if kind.is_none() && (derived || convergent || exportable || importable) {
        return Err(Problem::usage("options are of a new key, which needs --kind").into());
    }
    let material = material(&value)?;
    let options = kind.map(|kind| OptionArgs { importable: true, ..options }.options(kind));
    let conversation = who.manager(context).await?;
    let imported = conversation.session.transit().import(key.as_str(), options, material).await;
    made(&key, imported, ("imported", "imported"), conversation, context).await
}

pub(super) async fn rotate(args: KeyArgs, context: &Context) -> Result<Output> {
    let KeyArgs { key, who } = args;
    let conversation = who.manager(context).await?;
    let rotated = conversation.session.transit().rotate(key.as_str()).await;
    made(&key, rotated, ("rotated", "rotated"), conversation, context).await
}

async fn changed(
    key: &Path,
    done: Result<(), vouchsafe_client::RequestError>,
    verb: &str,
    conversation: Conversation,
    context: &Context,
) -> Result<Output> {
    let done = done.with_context(|| format!("'{key}' was not {verb}"));
    let ((), end) = conversation.conclude(&context.home, done).await?;
    Ok(Output::new(format!("{verb} {key}"), json!({ "key": key.as_str(), verb: true })).after(end))
}

pub(super) async fn configure(args: ConfigureArgs, context: &Context) -> Result<Output> {
    let ConfigureArgs { key, min_decrypt, min_encrypt, rotate_every, deletion, who } = args;
    let config = KeyConfig {
        deletion,
        min_decrypt_version: min_decrypt,
        min_encrypt_version: min_encrypt,
        rotate_every_secs: rotate_every,
    };
    let conversation = who.manager(context).await?;
    let done = conversation.session.transit().configure(key.as_str(), config).await;
    changed(&key, done, "configured", conversation, context).await
}

pub(super) async fn trim(args: TrimArgs, context: &Context) -> Result<Output> {
    let TrimArgs { key, below, who } = args;
    let conversation = who.manager(context).await?;
    let done = conversation.session.transit().trim(key.as_str(), below).await;
    changed(&key, done, "trimmed", conversation, context).await
}

pub(super) async fn delete(args: KeyArgs, context: &Context) -> Result<Output> {
    let KeyArgs { key, who } = args;
    let conversation = who.manager(context).await?;
    let done = conversation.session.transit().delete(key.as_str()).await;
    changed(&key, done, "deleted", conversation, context).await
}

pub(super) async fn list(args: ListArgs, context: &Context) -> Result<Output> {
    let ListArgs { prefix, who } = args;
    let conversation = who.manager(context).await?;
    let listing = during("listing", async { conversation.session.transit().list(prefix.as_str()).await });
    let names = listing.await.with_context(|| format!("'{prefix}' was not listed"));
    let (names, end) = conversation.conclude(&context.home, names).await?;
    let json = json!({ "prefix": prefix.as_str(), "names": names });
    Ok(Output::new(names.join("\n"), json).after(end))
}

pub(super) async fn export(args: ExportArgs, context: &Context) -> Result<Output> {
    let ExportArgs { key, key_version, who } = args;
    let conversation = who.agent(context).await?;
    let exported = conversation.session.transit().export(key.as_str(), key_version).await;
    let exported = exported.with_context(|| format!("'{key}' was not given out"));
    let ((version, material), end) = conversation.conclude(&context.home, exported).await?;
    Ok(Output::secret(material, json!({ "key": key.as_str(), "version": version })).after(end))
}

pub(super) async fn show(args: ShowArgs, context: &Context) -> Result<Output> {
    let ShowArgs { key, public, who } = args;
    let conversation = who.manager(context).await?;
    let found = conversation.session.transit().metadata(key.as_str()).await;
    let found = found.with_context(|| format!("'{key}' was not found"));
    let (metadata, end) = conversation.conclude(&context.home, found).await?;
    if !public {
        return Ok(shown(&key, &metadata).after(end));
    }
    let newest = metadata.versions.last().filter(|version| !version.public_key.is_empty());
    let newest = newest.ok_or_else(|| {
        Problem::new(
            "no-public-key",
            format!("'{key}' has no public key: it is {}", metadata.options.kind.name()),
        )
    })?;
    let pem = pem("PUBLIC KEY", &newest.public_key);
    let json = json!({ "key": key.as_str(), "version": newest.version, "public_key": pem });
    Ok(Output::new(pem, json).after(end))
}

/// Everything that is known about a key.
pub(super) fn shown(key: &Path, metadata: &KeyMetadata) -> Output {
    let KeyMetadata { options, config, next_rotation_secs, versions } = metadata;
    let permission = |permission| if permission == Permission::Allowed { "allowed" } else { "forbidden" };
    let derivation = match options.derivation {
        Derivation::Convergent => "convergent",
        Derivation::Derived => "derived",
        Derivation::None => "none",
    };
    let schedule = match (config.rotate_every_secs, next_rotation_secs) {
        (0, _) => "never by itself".to_owned(),
        (every, Some(next)) => format!("every {}, next {}", time(every), rfc3339(*next)),
        (every, None) => format!("every {}, but it has as many versions as are kept: trim it", time(every)),
    };
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    for (name, value) in [
        ("kind", options.kind.name().to_owned()),
        ("derivation", derivation.to_owned()),
        ("export", permission(options.export).to_owned()),
        ("import", permission(options.import).to_owned()),
        ("deletion", permission(config.deletion).to_owned()),
        ("decrypts and verifies from version", config.min_decrypt_version.to_string()),
        (
            "encrypts and signs from version",
            config.min_encrypt_version.max(config.min_decrypt_version).to_string(),
        ),
        ("rotation", schedule),
    ] {
        table.add_row([name.to_owned(), value]);
    }
    let mut text = format!("{key}, current version {}\n{table}\n", metadata.current());
    for version in versions {
        text += &format!("version {}, made {}\n", version.version, rfc3339(version.created_secs));
        if !version.public_key.is_empty() {
            text += &pem("PUBLIC KEY", &version.public_key);
        }
    }
    let json = json!({
        "key": key.as_str(),
        "kind": options.kind.name(),
        "derivation": derivation,
        "export": permission(options.export),
        "import": permission(options.import),
        "deletion": permission(config.deletion),
        "min_decrypt_version": config.min_decrypt_version,
        "min_encrypt_version": config.min_encrypt_version,
        "rotate_every_secs": config.rotate_every_secs,
        "next_rotation_secs": next_rotation_secs,
        "current": metadata.current(),
        "versions": versions.iter().map(|version| json!({
            "version": version.version,
            "created_secs": version.created_secs,
            "public_key": (!version.public_key.is_empty()).then(|| pem("PUBLIC KEY", &version.public_key)),
        })).collect::<Vec<_>>(),
    });
    Output::new(text, json)
}
