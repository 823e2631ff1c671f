//! `vouchsafe init`: makes a vault, and the pin that everybody will know it by.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{ArgGroup, Args};
use serde_json::json;
use vouchsafe_client::{InitParts, Pin, VaultPlatform, init};
use vouchsafe_protocol::anchors::Anchors;
use vouchsafe_protocol::id::OperatorName;
use vouchsafe_protocol::introduction::OperatorKey;
use vouchsafe_protocol::policy::VaultPlatformPin;

use super::anchors::AnchorArgs;
use super::operator::key_of;
use crate::context::Context;
use crate::failure::Problem;
use crate::input;
use crate::output::Output;
use crate::progress::during;

const EXAMPLES: &str = "\
Examples:
  On a TPM; compare the measurement printed with the one you expect:
    vouchsafe init --trust-shown-platform --anchor maker=ek-roots.pem,hardware

  A vault whose platform must be what an earlier pin says, with a second operator:
    vouchsafe init --platform-pin old-pin.toml --anchor maker=ek-roots.pem,hardware --operator ann=ann.pem

  Simulated:
    vouchsafe init --trust-shown-platform --simulated-root ./sim

It makes the operator's key if the directory has none, and keeps the pin in DIR/pin.toml: hand that to agents.";

/// Flags.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group = ArgGroup::new("platform").required(true).args(["platform_pin", "trust_shown_platform"]))]
pub(crate) struct InitArgs {
    /// Accept the vault only if its platform is what this pin says (only its [platform] matters)
    #[arg(long, value_name = "PIN.toml")]
    platform_pin: Option<PathBuf>,
    /// Pin whatever platform the vault shows; its evidence is verified against the anchors all the same
    #[arg(long)]
    trust_shown_platform: bool,
    /// Name of this directory's operator; the key is made if there is none
    #[arg(long, value_name = "NAME", default_value = "operator")]
    operator_name: OperatorName,
    /// A further operator, by public key (see 'vouchsafe operator keygen')
    #[arg(long = "operator", value_name = "NAME=KEY.pem", value_parser = parse_operator)]
    operators: Vec<(OperatorName, PathBuf)>,
    #[command(flatten)]
    anchors: AnchorArgs,
}

fn parse_operator(text: &str) -> Result<(OperatorName, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("an operator is NAME=KEY.pem, as in ann=ann.pem")?;
    Ok((name.parse().map_err(|error| format!("{error}"))?, PathBuf::from(path)))
}

/// Runs it.
pub(crate) async fn run(args: InitArgs, context: &Context) -> Result<Output> {
    let anchors = args.anchors.load()?;
    let platform = match &args.platform_pin {
        Some(path) => VaultPlatform::Expected(Pin::load(path)?.platform),
        None => VaultPlatform::DangerousTrustWhatItShows,
    };
    let pin = create(context, &args.operator_name, &args.operators, anchors, &platform).await?;
    let path = context.home.pin_path();
    let text = format!(
        "created {}\npinned in {}; operator '{}'\nits platform shows {}",
        pin.vault_id,
        path.display(),
        args.operator_name,
        shown(&pin.platform),
    );
    let json = json!({
        "pin": path.display().to_string(),
        "operator": args.operator_name.as_str(),
        "platform": shown(&pin.platform),
    });
    Ok(Output::new(text, json).about(pin.vault_id))
}

/// Makes the vault and keeps its pin.
pub(crate) async fn create(
    context: &Context,
    own: &OperatorName,
    others: &[(OperatorName, PathBuf)],
    anchors: Anchors,
    platform: &VaultPlatform,
) -> Result<Pin> {
    let home = &context.home;
    if home.pin_path().exists() {
        let message = format!("{} pins a vault already", home.pin_path().display());
        return Err(Problem::new("exists", message)
            .hint("use another directory with --dir, or move that pin away if its vault is gone")
            .into());
    }
    let mut operators = vec![OperatorKey { name: own.clone(), key: key_of(home, own)?.spki() }];
    for (name, path) in others {
        let keys = input::ders(path, "PUBLIC KEY")?;
        let [key] = keys.as_slice() else {
            let message = format!("{} holds {} public keys instead of one", path.display(), keys.len());
            return Err(Problem::new("malformed-file", message).into());
        };
        operators.push(OperatorKey { name: name.clone(), key: key.clone() });
    }
    let endpoint = context.endpoint();
    let parts = InitParts { operators, anchors };
    let initialised = during("making a vault", init(&endpoint, &parts, platform)).await;
    let pin = initialised.context("no vault was made")?.pin;
    home.save_pin(&pin)?;
    home.save_connection(&context.connection)?;
    Ok(pin)
}

/// What a platform pin holds, in one line.
pub(crate) fn shown(platform: &VaultPlatformPin) -> String {
    match platform {
        VaultPlatformPin::Snp(rules) => {
            let digests: Vec<String> =
                rules.measurements.iter().map(|known| hex::encode(known.value.0)).collect();
            format!("SEV-SNP measurement {}", digests.join(" or "))
        }
        VaultPlatformPin::Tpm(pin) => {
            let pcrs: Vec<String> =
                pin.pcrs.iter().map(|pcr| format!("{}={}", pcr.index, hex::encode(pcr.value))).collect();
            format!("TPM key {} with PCRs {}", hex::encode(&pin.ak_name), pcrs.join(" "))
        }
    }
}
