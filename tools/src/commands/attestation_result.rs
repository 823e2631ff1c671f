//! `vouchsafe attestation-result`: what the vault made of this agent's evidence, signed for others; and its
//! verification by those others.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use vouchsafe_client::{AttestationResult, Freshness, Pin, ResultStatus, verify_attestation_result};
use vouchsafe_crypto::random;

use super::kv::Who;
use crate::context::{Context, now_secs, rfc3339};
use crate::failure::Problem;
use crate::output::Output;

/// Largest token read, in bytes.
const TOKEN_LEN: usize = 64 * 1024;

const EXAMPLES: &str = "\
Examples:
  As an agent, for a relying party that chose the nonce:
    vouchsafe attestation-result --nonce 6e6f6e6365206f66207468656972732e > result.jwt

  As the relying party, with the vault's pin from its operator:
    vouchsafe attestation-result verify result.jwt --nonce 6e6f6e6365206f66207468656972732e --pin pin.toml

The result is an EAT attestation result (draft-ietf-rats-ear-04) in a JWT signed with ES256. Any JWT library verifies
it: 'x5c' in its header leads to the vault's authority, to which the vault id commits.";

const VERIFY_EXAMPLES: &str = "\
Examples:
  vouchsafe attestation-result verify result.jwt --nonce 6e6f6e6365206f66207468656972732e
  vouchsafe attestation-result verify result.jwt --any-nonce --pin pin.toml --output json

Exits with 1 unless the signature holds and the status is 'affirming'.";

/// Flags.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct AttestationResultArgs {
    #[command(subcommand)]
    command: Option<ResultCommand>,
    /// What makes it fresh: 8 to 64 bytes in hexadecimal, chosen by whoever will rely on it [default: 32 random bytes]
    #[arg(long, value_name = "HEX", value_parser = nonce)]
    nonce: Option<Nonce>,
    #[command(flatten)]
    who: Who,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
enum ResultCommand {
    /// Verify a result by the pin of the vault that signed it
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify {
        /// The result
        file: PathBuf,
        /// The nonce that was chosen for it
        #[arg(long, value_name = "HEX", value_parser = nonce, required_unless_present = "any_nonce")]
        nonce: Option<Nonce>,
        /// Take a result with any nonce: it may have been shown to others before
        #[arg(long, conflicts_with = "nonce")]
        any_nonce: bool,
        /// The vault's pin [default: the directory's]
        #[arg(long, value_name = "FILE")]
        pin: Option<PathBuf>,
    },
}

/// A nonce of the length that EAT asks for.
#[derive(Clone, Debug)]
struct Nonce(Vec<u8>);

fn nonce(text: &str) -> Result<Nonce, &'static str> {
    let bytes = hex::decode(text).ok();
    let fits = |bytes: &Vec<u8>| vouchsafe_protocol::limits::RESULT_NONCE_LEN.contains(&bytes.len());
    bytes.filter(fits).map(Nonce).ok_or("a nonce is 8 to 64 bytes in hexadecimal")
}

/// Runs it.
pub(crate) async fn run(
    args: AttestationResultArgs,
    context: impl FnOnce() -> Result<Context>,
) -> Result<Output> {
    match args.command {
        Some(ResultCommand::Verify { file, nonce, any_nonce: _, pin }) => {
            let pin = match pin {
                Some(path) => Pin::load(path)?,
                None => context()?.home.pin()?,
            };
            let freshness = match &nonce {
                Some(nonce) => Freshness::Nonce(&nonce.0),
                None => Freshness::DangerousAnyNonce,
            };
            let result = verify_attestation_result(&read(&file)?, &pin, freshness, now_secs())
                .with_context(|| format!("{} is refused", file.display()))?;
            Ok(report(&result).failed_if(result.status != ResultStatus::Affirming).about(pin.vault_id))
        }
        None => {
            let context = context()?;
            let nonce = match args.nonce {
                Some(nonce) => nonce.0,
                None => random::array::<32>().context("no randomness for a nonce")?.to_vec(),
            };
            let conversation = args.who.agent(&context).await?;
            let result = conversation.session.attestation_result(&nonce).await;
            let result = result.context("the vault signed no attestation result");
            let (jwt, end) = conversation.conclude(&context.home, result).await?;
            let json = json!({ "attestation_result": jwt, "nonce": hex::encode(&nonce) });
            Ok(Output::new(jwt, json).after(end))
        }
    }
}

fn read(file: &Path) -> Result<String> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let text = String::from_utf8(bytes).ok().filter(|text| text.len() <= TOKEN_LEN);
    text.ok_or_else(|| {
        Problem::new("malformed-file", format!("{} is no attestation result", file.display()))
            .hint("expected one JWT, as 'vouchsafe attestation-result' prints it")
            .into()
    })
}

fn report(result: &AttestationResult) -> Output {
    let AttestationResult { status, subject, issued_unix_secs, expires_unix_secs, claims } = result;
    let platform = claims.get("submods").and_then(|all| all.get("platform")).unwrap_or(&Value::Null);
    let mut text = format!(
        "status       {}\nagent        {subject}\nissued       {}\nholds until  {}",
        status.as_str(),
        rfc3339(*issued_unix_secs),
        rfc3339(*expires_unix_secs),
    );
    for (part, title) in [
        ("ear_trustworthiness_vector", "trust"),
        ("ear_verifier_claims", "vault"),
        ("ear_attester_claims", "evidence"),
    ] {
        text.push_str(&format!("\n{title}"));
        lines(platform.get(part).unwrap_or(&Value::Null), "  ", &mut text);
    }
    let json = json!({
        "status": status.as_str(),
        "subject": subject,
        "issued_secs": issued_unix_secs,
        "expires_secs": expires_unix_secs,
        "claims": claims,
    });
    Output::new(text, json)
}

/// Claims, one to a line.
fn lines(value: &Value, prefix: &str, text: &mut String) {
    let Value::Object(members) = value else { return };
    for (name, member) in members {
        match member {
            Value::Object(_) => {
                text.push_str(&format!("\n{prefix}{name}"));
                lines(member, &format!("{prefix}  "), text);
            }
            Value::String(member) => text.push_str(&format!("\n{prefix}{name:<20} {member}")),
            other => text.push_str(&format!("\n{prefix}{name:<20} {other}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_are_those_of_eat() {
        assert!(nonce(&"ab".repeat(8)).is_ok() && nonce(&"ab".repeat(64)).is_ok());
        for text in ["", "ab", &"ab".repeat(7), &"ab".repeat(65), &"x".repeat(32), &"a".repeat(33)] {
            assert!(nonce(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_result_is_shown_claim_by_claim() {
        let claims = json!({ "submods": { "platform": {
            "ear_trustworthiness_vector": { "hardware": 2 },
            "ear_verifier_claims": { "role": "web", "warnings": [] },
            "ear_attester_claims": { "reported_tcb": { "snp": 23 } },
        } } });
        let Value::Object(claims) = claims else { panic!("an object") };
        let result = AttestationResult {
            status: ResultStatus::Affirming,
            subject: "spiffe://v/web".to_owned(),
            issued_unix_secs: 0,
            expires_unix_secs: 60,
            claims,
        };
        let expected = "status       affirming\nagent        spiffe://v/web\nissued       1970-01-01T00:00:00Z\n\
                        holds until  1970-01-01T00:01:00Z\ntrust\n  hardware             2\nvault\n  \
                        role                 web\n  warnings             []\nevidence\n  reported_tcb\n    \
                        snp                  23";
        assert_eq!(report(&result).text(), expected);
    }
}
