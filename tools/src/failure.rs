//! From an error to what a person or a program is told: a stable code, the whole chain once, and what to do.

use std::fmt;
use std::io;

use rustls::{AlertDescription, Error as TlsError};
use vouchsafe_client::policy::{CompileError, PolicyError};
use vouchsafe_client::{
    ConnectError, FileError, InitError, IntroduceError, OfferError, PinError, RequestError, TransportError,
    VaultError,
};
use vouchsafe_protocol::refusal::{Refusal, RefusalCode};
use vouchsafe_protocol::transit::ItemRefusal;

/// Refused or failed.
const FAILED: u8 = 1;
/// Wrong usage.
const USAGE: u8 = 2;

/// What is told.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Stable, for programs.
    pub(crate) code: String,
    /// The chain of causes in one line.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: Option<String>,
    /// Exit code.
    pub(crate) exit: u8,
}

/// An error of the command line itself.
#[derive(Debug)]
pub(crate) struct Problem {
    code: &'static str,
    message: String,
    hint: Option<String>,
    exit: u8,
}

impl Problem {
    /// Something failed.
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, exit: FAILED }
    }

    /// The command was used in a wrong way.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: USAGE, ..Self::new("usage", message) }
    }

    /// Exit code, where another one than usual says more.
    pub(crate) fn exit(self, exit: u8) -> Self {
        Self { exit, ..self }
    }

    /// What to do.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Failure {
    /// Describes an error.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        // A problem that was put around an error is found by anyhow alone; it knows best what it is about.
        let known_cause = match error.downcast_ref::<Problem>() {
            Some(problem) => known(problem),
            None => error.chain().find_map(known),
        };
        let mut failure = known_cause.unwrap_or_else(|| Self {
            code: "failed".to_owned(),
            message: String::new(),
            hint: None,
            exit: FAILED,
        });
        failure.message = chain_of(error);
        failure
    }

    /// Wrong usage, as the argument parser describes it.
    pub(crate) fn usage(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        // What comes before the synopsis: the error may go on in further lines, and end with a tip.
        let said = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
        let message = said.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        Self {
            code: "usage".to_owned(),
            message,
            hint: Some("see 'vouchsafe --help'".to_owned()),
            exit: USAGE,
        }
    }
}

/// The chain in one line; a cause that its parent already quotes is not repeated.
fn chain_of(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |text, cause| {
        let next = cause.to_string();
        match text.is_empty() {
            true => next,
            false if text.ends_with(&next) => text,
            false => format!("{text}: {next}"),
        }
    })
}

type Cause = dyn std::error::Error + 'static;

/// What is known about one error of a chain.
fn known(cause: &Cause) -> Option<Failure> {
    let told = |code: &str, hint: &str| {
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        Failure { code: code.to_owned(), message: String::new(), hint, exit: FAILED }
    };
    if let Some(problem) = cause.downcast_ref::<Problem>() {
        let Problem { code, message: _, hint, exit } = problem;
        return Some(Failure { hint: hint.clone(), exit: *exit, ..told(code, "") });
    }
    if let Some(refusal) = cause.downcast_ref::<Refusal>() {
        return Some(told(&format!("refused.{}", code_of(refusal.code)), advice(refusal.code)));
    }
    if let Some(refusal) = cause.downcast_ref::<ItemRefusal>() {
        return Some(told(&format!("refused.{}", kebab(&format!("{refusal:?}"))), item_advice(*refusal)));
    }
    if let Some(vault) = cause.downcast_ref::<VaultError>() {
        return Some(told(vault_code(vault), vault_advice(vault)));
    }
    if let Some(IntroduceError::Transport(transport)) = cause.downcast_ref::<IntroduceError>() {
        return Some(transport_failure(transport, told));
    }
    if let Some(InitError::Exchange(IntroduceError::Transport(transport))) = cause.downcast_ref::<InitError>()
    {
        return Some(transport_failure(transport, told));
    }
    if let Some(OfferError::Signature) = cause.downcast_ref::<OfferError>() {
        return Some(told("offer-forged", PIN_ADVICE));
    }
    if let Some(connect) = cause.downcast_ref::<ConnectError>() {
        return connect_failure(connect, told);
    }
    let policy = matches!(cause.downcast_ref(), Some(PolicyError::Compile(_) | PolicyError::NotText { .. }));
    if policy || cause.is::<CompileError>() {
        let hint = "correct the file and line that are named; docs/POLICY.md lists every key, docs/OPERATIONS.md has whole roles";
        return Some(told("policy", hint));
    }
    if let Some(pin) = cause.downcast_ref::<PinError>() {
        return pin_failure(pin, told);
    }
    if let Some(RequestError::Path { .. }) = cause.downcast_ref::<RequestError>() {
        return Some(Failure { exit: USAGE, ..told("usage", "") });
    }
    if let Some(error) = cause.downcast_ref::<io::Error>() {
        return match error.kind() {
            io::ErrorKind::NotFound => Some(told("not-found", "check the path")),
            io::ErrorKind::PermissionDenied => {
                Some(told("permission", "check the owner and mode of the path"))
            }
            io::ErrorKind::StorageFull => Some(told("disk-full", "free some space")),
            _ => None,
        };
    }
    None
}

const PIN_ADVICE: &str = "this is not the vault that is pinned here, or its host is lying; compare pins with an \
     operator before you trust another one";
const NOT_SERVING: &str = "its vault is sealed, not started, or does not accept its stored state; the reason is \
     on the host's health page: 'vouchsafe status --admin HOST:PORT'";

fn pin_failure(error: &PinError, told: impl Fn(&str, &str) -> Failure) -> Option<Failure> {
    match error {
        PinError::File(FileError::Exposed { .. } | FileError::Writable { .. }) => {
            Some(told("exposed-file", "check that the pin is still yours, then make its file private"))
        }
        // The system's own reason has a code and a hint.
        PinError::File(_) => None,
        PinError::Malformed { .. } | PinError::Platform { .. } | PinError::PlatformTpm { .. } => Some(told(
            "malformed-pin",
            "take the pin again from an operator, who prints it with 'vouchsafe pin show', and compare the vault id",
        )),
        PinError::Version { .. } => {
            Some(told("pin-version", "use the version of vouchsafe that wrote it, or a newer one"))
        }
        PinError::Inexpressible => Some(told(
            "pin-inexpressible",
            "pin the vault's platform by what it shows, or keep these rules in your own program",
        )),
        PinError::Unwritable(_) => Some(told("failed", "")),
    }
}

fn connect_failure(error: &ConnectError, told: impl Fn(&str, &str) -> Failure) -> Option<Failure> {
    let failure = match error {
        ConnectError::Transport(transport) => transport_failure(transport, told),
        ConnectError::AnotherVault { .. } => told("pin-mismatch", PIN_ADVICE),
        ConnectError::Forked { .. } => told("forked", PIN_ADVICE),
        ConnectError::RolledBack { .. } => told("rolled-back", PIN_ADVICE),
        ConnectError::Checkpoint(_) => told("checkpoint", PIN_ADVICE),
        ConnectError::Identity(_) => told("identity-ended", INTRODUCE_AGAIN),
        ConnectError::Inner(_) => told(
            "no-session",
            "if the identity has ended, introduce again; if not, \
             this host has another vault behind it",
        ),
        ConnectError::LogKeyUnknown => told("no-pin", INTRODUCE_AGAIN),
        ConnectError::Timeout => told("timeout", "try again; is the vault's host overloaded?"),
        ConnectError::Alpn
        | ConnectError::Exporter(_)
        | ConnectError::InnerSetup(_)
        | ConnectError::Key(_)
        | ConnectError::Request(_) => return None,
    };
    Some(failure)
}

fn transport_failure(error: &TransportError, told: impl Fn(&str, &str) -> Failure) -> Failure {
    match error {
        TransportError::Connect { .. } => {
            told("connect", "start vouchsafe-host, or say where it is with --address HOST:PORT")
        }
        TransportError::Tls(error) if alert(error) == Some(AlertDescription::AccessDenied) => {
            told("not-serving", NOT_SERVING)
        }
        TransportError::Tls(_) => {
            told("tls", "is this address a vouchsafe-host, and the identity still valid?")
        }
        TransportError::Alpn => told("not-vouchsafe", "give the address of a vouchsafe-host with --address"),
        TransportError::Timeout => told("timeout", "try again; is the vault's host overloaded?"),
        TransportError::Key(_) | TransportError::TlsSetup(_) => told("tls", ""),
    }
}

/// The alert that ended a handshake.
fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref::<TlsError>()? {
        TlsError::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

fn vault_advice(error: &VaultError) -> &'static str {
    match error {
        VaultError::Evidence(error)
            if ["expired", "not-yet-valid"].iter().any(|end| error.code().ends_with(end)) =>
        {
            "is this machine's clock right? if it is, the vault's platform needs a new certificate"
        }
        _ => PIN_ADVICE,
    }
}

fn vault_code(error: &VaultError) -> &'static str {
    match error {
        VaultError::WrongVault { .. } | VaultError::AnchorsDiffer | VaultError::LogKey => "pin-mismatch",
        VaultError::RolledBack { .. } => "rolled-back",
        VaultError::Forked { .. } => "forked",
        VaultError::Evidence(_) => "vault-evidence",
        VaultError::Anchors(_)
        | VaultError::Authority(_)
        | VaultError::Checkpoint(_)
        | VaultError::Class { .. }
        | VaultError::Endorsement
        | VaultError::FirstUse(_)
        | VaultError::IdDigest => "vault-refused",
    }
}

const INTRODUCE_AGAIN: &str = "run 'vouchsafe introduce' again for a new identity";

/// Whether the vault says that there is no such thing.
pub(crate) fn is_not_found(error: &RequestError) -> bool {
    matches!(error, RequestError::Refused(refusal) if refusal.code == RefusalCode::NotFound)
}

/// Stable text of a code: its name in kebab case.
pub(crate) fn code_of(code: RefusalCode) -> String {
    kebab(&format!("{code:?}"))
}

/// `CamelCase` as `kebab-case`.
pub(crate) fn kebab(name: &str) -> String {
    name.char_indices().fold(String::new(), |mut text, (index, character)| {
        if character.is_ascii_uppercase() && index > 0 {
            text.push('-');
        }
        text.push(character.to_ascii_lowercase());
        text
    })
}

/// What to do about a refused item of a batch.
fn item_advice(refusal: ItemRefusal) -> &'static str {
    match refusal {
        ItemRefusal::Ciphertext => {
            "give the key, --context and --aad that it was encrypted with; 'vouchsafe transit show' says which versions \
             still decrypt"
        }
        ItemRefusal::Context => {
            "'vouchsafe transit show' says whether the key is derived; if so, give --context"
        }
        ItemRefusal::TooLarge => "hash what is long, and give the hash",
    }
}

/// What to do about a refusal.
fn advice(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::AlreadyInitialised => "to use it, get its pin from the operator who made it",
        RefusalCode::Busy => "try again in a moment",
        RefusalCode::CasMismatch => "read the current version with 'vouchsafe kv metadata' and try again",
        RefusalCode::CasRequired => {
            "say which version it replaces with --cas N; 'vouchsafe kv metadata' shows the current one"
        }
        RefusalCode::Expired => "a version whose time is over is gone for good; write a new one",
        RefusalCode::NoFields => "write it as fields first: 'vouchsafe kv put PATH NAME=VALUE'",
        RefusalCode::NoGenerator => "set one with 'vouchsafe kv generate'",
        RefusalCode::Settings => {
            "see the limits in 'vouchsafe kv configure --help' and 'vouchsafe kv generate --help'"
        }
        RefusalCode::Challenge | RefusalCode::ChallengeExpired | RefusalCode::ChallengeUsed => {
            "run 'vouchsafe introduce' again: each challenge is for one use within a minute"
        }
        RefusalCode::Collateral => "look at the file with 'vouchsafe collateral inspect'",
        RefusalCode::Deleted => "'vouchsafe kv undelete' brings back what was not destroyed",
        RefusalCode::Destroyed => {
            "it is wiped for good; 'vouchsafe kv metadata' lists the versions that are left"
        }
        RefusalCode::Denied => {
            "a role's [[allow]] rules say what its agents may do; operators manage secrets but cannot read values"
        }
        RefusalCode::Evidence => {
            "compare this machine with the role's [[accept]] rules; a role with refusals = \"name-rule\" names \
             the rule that failed, and the audit log always does"
        }
        RefusalCode::EvidenceExpired | RefusalCode::Identity => INTRODUCE_AGAIN,
        RefusalCode::Exists => {
            "choose another path, or make a new version of this key: 'vouchsafe transit rotate' or 'import'"
        }
        RefusalCode::KeyMaterial => "'vouchsafe transit import --help' says which form each kind has",
        RefusalCode::KeyUse => {
            "'vouchsafe transit show' says what the key is: its kind and options are for good, its settings change with \
             'vouchsafe transit configure'"
        }
        RefusalCode::NotSupported => {
            "make the key elsewhere ('openssl genpkey -algorithm RSA') and bring it with 'vouchsafe transit import'"
        }
        RefusalCode::LeaseEnd => "ask for what it is for once more; the new lease starts anew",
        RefusalCode::Quota => {
            "'vouchsafe lease list' shows what is held; a role's 'leases' and 'leases_per_identity' limit it"
        }
        RefusalCode::Init => "check the operators' keys and the anchors",
        RefusalCode::NotInitialised => "make one with 'vouchsafe init'",
        RefusalCode::Possession => "use the key that was pinned for this operator when the vault was made",
        RefusalCode::Sealed => "restart vouchsafe-enclave on the machine that holds the vault",
        RefusalCode::Scarce => {
            "free space on the disk of vouchsafe-host; it serves again by itself within a minute"
        }
        RefusalCode::Storage => "look at the log of vouchsafe-host: is its disk full?",
        RefusalCode::WrongVault => PIN_ADVICE,
        RefusalCode::NotFound => "list what is there with 'vouchsafe kv list' or 'vouchsafe role list'",
        RefusalCode::Chain
        | RefusalCode::Malformed
        | RefusalCode::Path
        | RefusalCode::Role
        | RefusalCode::TooLarge
        | RefusalCode::Unsigned
        | RefusalCode::Version => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_a_stable_code_and_its_rule_in_the_message() {
        let refusal = Refusal { code: RefusalCode::ChallengeUsed, rule: Some("tpm.pcr".to_owned()) };
        let error = anyhow::Error::new(IntroduceError::Refused(refusal));
        let failure = Failure::of(&error);
        assert_eq!((failure.code.as_str(), failure.exit), ("refused.challenge-used", 1));
        assert!(failure.message.ends_with("(tpm.pcr)"), "{}", failure.message);
        assert!(failure.hint.is_some());
    }

    #[test]
    fn a_chain_is_printed_once() {
        let error = anyhow::Error::new(Problem::new("x", "inner")).context("outer: inner").context("top");
        assert_eq!(Failure::of(&error).message, "top: outer: inner");
    }

    #[test]
    fn a_problem_around_an_error_is_found() {
        let inner = anyhow::Error::new(io::Error::from(io::ErrorKind::NotFound));
        let error = inner.context(Problem::new("outer", "what").hint("do")).context("top");
        let failure = Failure::of(&error);
        assert_eq!((failure.code.as_str(), failure.hint.as_deref()), ("outer", Some("do")));
    }

    #[test]
    fn wrong_usage_is_told_from_failure() {
        let error = anyhow::Error::new(Problem::usage("no"));
        assert_eq!(Failure::of(&error).exit, 2);
    }
}
