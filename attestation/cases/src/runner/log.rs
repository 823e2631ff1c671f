//! Kinds event-log, log-parse and ima-parse, and the log beside a quote.

use serde_json::{Value, json};
use vouchsafe_attestation::log::ima::ImaLog;
use vouchsafe_attestation::log::{EventLog, Replayed, confirm};
use vouchsafe_attestation::tpm::quote::{PcrValues, QuoteError};
use vouchsafe_crypto::verify::HashAlgorithm;

use super::Running;
use crate::verdict::{Run, Stop};

/// A log alone: whether it parses.
pub(super) fn parse(running: &Running<'_>) -> Run {
    let log = read(running.file("event_log")?)?;
    Ok(shown(&log))
}

/// A log with the PCR values that it must lead to: each of them, in each bank.
pub(super) fn check(running: &Running<'_>) -> Run {
    let log = read(running.file("event_log")?)?;
    let values = running.pcrs()?;
    let banks = banks(&values);
    if banks.is_empty() {
        return Err(Stop::malformed("pcrs"));
    }
    if banks == [HashAlgorithm::DangerousSha1] && !running.policy.allow_sha1 {
        return Err(QuoteError::Sha1.into());
    }
    for bank in banks {
        let replayed = confirmed(&log, bank, &values)?;
        if let Some(pcr) = of_bank(&values, bank).map(|(pcr, _)| pcr).find(|pcr| !replayed.is_confirmed(*pcr))
        {
            return Err(Stop::refused("tpm.log.unexplained", &Unexplained { pcr }));
        }
        check_boot(running, replayed)?;
    }
    Ok(shown(&log))
}

/// The log beside a quote that is verified: every PCR that it has events for holds what they lead to.
pub(super) fn explain(running: &Running<'_>, values: &PcrValues) -> Run<Value> {
    let log = read(running.file("event_log")?)?;
    for bank in banks(values) {
        check_boot(running, confirmed(&log, bank, values)?)?;
    }
    Ok(shown(&log))
}

/// IMA's log: whether it parses, and each template hash is the hash of its template.
pub(super) fn parse_ima(running: &Running<'_>) -> Run {
    let log = ImaLog::parse(running.file("ima_log")?)?;
    Ok(json!({ "form": format!("{:?}", log.form()).to_lowercase(), "entries": log.entry_count() }))
}

/// The structure of an orderly boot, where the case asks for it.
fn check_boot(running: &Running<'_>, replayed: Replayed<'_, '_>) -> Run<()> {
    if running.policy.measured_boot {
        replayed.measured_boot()?;
    }
    Ok(())
}

fn read(bytes: &[u8]) -> Run<EventLog<'_>> {
    Ok(EventLog::parse(bytes)?)
}

fn confirmed<'l, 'a>(
    log: &'l EventLog<'a>,
    bank: HashAlgorithm,
    values: &PcrValues,
) -> Run<Replayed<'l, 'a>> {
    Ok(confirm(log, bank, of_bank(values, bank))?)
}

fn of_bank(values: &PcrValues, bank: HashAlgorithm) -> impl Iterator<Item = (u8, &Vec<u8>)> {
    values.iter().filter(move |((of, _), _)| *of == bank).map(|((_, index), value)| (*index, value))
}

fn banks(values: &PcrValues) -> Vec<HashAlgorithm> {
    let mut banks: Vec<_> = values.keys().map(|(bank, _)| *bank).collect();
    banks.dedup();
    banks
}

fn shown(log: &EventLog<'_>) -> Value {
    json!({
        "format": if log.is_crypto_agile() { "crypto-agile" } else { "sha1" },
        "events": log.record_count(),
        "startup_locality": log.startup_locality(),
    })
}

#[derive(Debug, thiserror::Error)]
#[error("PCR {pcr} is listed, the log has no event for it, and it does not hold its start value")]
struct Unexplained {
    pcr: u8,
}
