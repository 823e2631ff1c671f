//! Settings, and what is known about a secret.

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use vouchsafe_protocol::kv::{
    Edit, KvCasRule, KvEdits, KvMetadata, KvName, KvScope, KvSettings, KvState, KvVersion,
};
use vouchsafe_protocol::path::Path;

use super::args::{duration, pair, prefix_path, scope, time};
use super::generate;
use super::who::Who;
use crate::context::{Context, rfc3339};
use crate::failure::Problem;
use crate::output::Output;

/// What is set.
#[derive(Debug, Args)]
pub(crate) struct ConfigureArgs {
    /// A secret, or PREFIX/* for everything below a prefix
    #[arg(value_parser = scope, value_name = "PATH|PREFIX/*")]
    scope: KvScope,
    /// Versions that are kept, 1 to 256, or 'default'
    #[arg(long, value_name = "N", value_parser = max_versions)]
    max_versions: Option<Edit<u16>>,
    /// Whether a write must say which version it replaces
    #[arg(long, value_enum, value_name = "RULE")]
    cas: Option<CasArg>,
    /// How long a version lives unless its write says so: 15m, 12h, 90d, or 'default'
    #[arg(long, value_name = "TIME", value_parser = delete_after)]
    delete_after: Option<Edit<u64>>,
    /// Custom metadata, visible to whoever may list
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    custom: Vec<(KvName, String)>,
    /// Custom metadata that goes
    #[arg(long, value_name = "NAME")]
    remove_custom: Vec<KvName>,
    /// The vault makes no more versions of this secret
    #[arg(long)]
    no_generator: bool,
    #[command(flatten)]
    who: Who,
}

/// Whose settings.
#[derive(Debug, Args)]
pub(crate) struct SettingsArgs {
    /// The prefix, as PREFIX or PREFIX/*
    #[arg(value_parser = prefix_path, value_name = "PREFIX")]
    prefix: Path,
    #[command(flatten)]
    who: Who,
}

/// Check-and-set, as a flag says it.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum CasArg {
    /// As a prefix says, and else it need not
    Default,
    /// It need not
    Optional,
    /// It must
    Required,
}

fn max_versions(text: &str) -> Result<Edit<u16>, &'static str> {
    match text {
        "default" => Ok(Edit::Clear),
        number => number.parse().map(Edit::Set).map_err(|_| "it is a number or 'default'"),
    }
}

fn delete_after(text: &str) -> Result<Edit<u64>, &'static str> {
    if text == "default" { Ok(Edit::Clear) } else { duration(text).map(Edit::Set) }
}

pub(super) async fn configure(args: ConfigureArgs, context: &Context) -> Result<Output> {
    let ConfigureArgs { scope, max_versions, cas, delete_after, custom, remove_custom, no_generator, who } =
        args;
    let removed = remove_custom.into_iter().map(|name| (name, None));
    let edits = KvEdits {
        max_versions: max_versions.unwrap_or_default(),
        cas: match cas {
            None => Edit::Keep,
            Some(CasArg::Default) => Edit::Clear,
            Some(CasArg::Optional) => Edit::Set(KvCasRule::Optional),
            Some(CasArg::Required) => Edit::Set(KvCasRule::Required),
        },
        delete_after_secs: delete_after.unwrap_or_default(),
        custom: custom.into_iter().map(|(name, value)| (name, Some(value))).chain(removed).collect(),
        generator: if no_generator { Edit::Clear } else { Edit::Keep },
    };
    if edits == KvEdits::default() {
        return Err(Problem::usage("there is nothing to set")
            .hint("see 'vouchsafe kv configure --help'")
            .into());
    }
    // What the vault would refuse without saying what of it.
    KvSettings::default()
        .edited(edits.clone())
        .check(&scope)
        .map_err(|error| Problem::new("refused.settings", format!("{error:#}")))?;
    let shown = match &scope {
        KvScope::Below(prefix) => format!("{prefix}/*"),
        KvScope::Secret(path) => path.to_string(),
    };
    let conversation = who.manager(context).await?;
    let done = conversation.session.kv().configure(scope, edits).await;
    let done = done.with_context(|| format!("'{shown}' was not configured"));
    let ((), end) = conversation.conclude(&context.home, done).await?;
    let json = json!({ "path": shown, "configured": true });
    Ok(Output::new(format!("configured {shown}"), json).after(end))
}

pub(super) async fn show(args: SettingsArgs, context: &Context) -> Result<Output> {
    let SettingsArgs { prefix, who } = args;
    let conversation = who.manager(context).await?;
    let found = conversation.session.kv().settings(prefix.as_str()).await;
    let found = found.with_context(|| format!("the settings of '{prefix}/*' were not read"));
    let (settings, end) = conversation.conclude(&context.home, found).await?;
    Ok(prefix_settings(&prefix, &settings).after(end))
}

pub(super) fn prefix_settings(prefix: &Path, settings: &KvSettings) -> Output {
    let lines = set_lines(settings);
    let text = if lines.is_empty() {
        format!("{prefix}/* has no settings of its own")
    } else {
        format!("{prefix}/*\n{}", lines.join("\n"))
    };
    let mut json = settings_json(settings);
    json.insert("prefix".to_owned(), prefix.as_str().into());
    Output::new(text, json.into())
}

/// Versions, settings and limits of a secret.
pub(super) fn metadata(path: &Path, metadata: &KvMetadata) -> Output {
    let KvMetadata { current, versions, settings, limits, next_secs } = metadata;
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_header(["version", "written", "ends", "state"]);
    for version in versions {
        table.add_row([
            version.version.to_string(),
            rfc3339(version.created_secs),
            version.until_secs.map_or_else(|| "-".to_owned(), rfc3339),
            state(version).to_owned(),
        ]);
    }
    let mut lines = vec![match current {
        0 => format!("{path}, no version yet"),
        current => format!("{path}, current version {current}"),
    }];
    if !versions.is_empty() {
        lines.push(table.to_string());
    }
    let life = limits.delete_after_secs.map_or_else(|| "for ever".to_owned(), time);
    let max = limits.max_versions;
    lines.push(format!("keeps {max} versions; check-and-set {}; versions live {life}", cas(limits.cas)));
    lines.extend(settings.generator.as_ref().map(generate::describe));
    lines.extend(next_secs.map(|at| format!("next version by itself: {}", rfc3339(at))));
    lines.extend(settings.custom.iter().map(|(name, value)| format!("custom {name}={value}")));
    let mut json = json!({
        "path": path.as_str(),
        "current": current,
        "versions": versions.iter().map(version_json).collect::<Vec<_>>(),
        "settings": settings_json(settings),
        "limits": {
            "max_versions": limits.max_versions,
            "cas": cas(limits.cas),
            "delete_after_secs": limits.delete_after_secs,
        },
    });
    if let (Some(at), Some(object)) = (next_secs, json.as_object_mut()) {
        object.insert("next_secs".to_owned(), (*at).into());
    }
    Output::new(lines.join("\n"), json)
}

fn version_json(version: &KvVersion) -> Value {
    json!({
        "version": version.version,
        "created_secs": version.created_secs,
        "until_secs": version.until_secs,
        "state": state(version),
    })
}

fn set_lines(settings: &KvSettings) -> Vec<String> {
    let KvSettings { max_versions, cas: rule, delete_after_secs, custom: _, generator: _ } = settings;
    let lines = [
        max_versions.map(|max| format!("max-versions {max}")),
        rule.map(|rule| format!("cas {}", cas(rule))),
        delete_after_secs.map(|secs| format!("delete-after {}", time(secs))),
    ];
    lines.into_iter().flatten().collect()
}

/// What is set, and nothing else.
fn settings_json(settings: &KvSettings) -> Map<String, Value> {
    let KvSettings { max_versions, cas: rule, delete_after_secs, custom, generator } = settings;
    let custom: Map<String, Value> =
        custom.iter().map(|(name, value)| (name.to_string(), value.clone().into())).collect();
    let set = [
        ("max_versions", max_versions.map(Value::from)),
        ("cas", rule.map(|rule| cas(rule).into())),
        ("delete_after_secs", delete_after_secs.map(Value::from)),
        ("custom", (!custom.is_empty()).then(|| custom.into())),
        ("generator", generator.as_ref().map(generate::json)),
    ];
    set.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn cas(rule: KvCasRule) -> &'static str {
    match rule {
        KvCasRule::Optional => "optional",
        KvCasRule::Required => "required",
    }
}

fn state(version: &KvVersion) -> &'static str {
    match version.state {
        KvState::Deleted => "deleted",
        KvState::Destroyed => "destroyed",
        KvState::Expired => "expired",
        KvState::Live => "live",
    }
}
