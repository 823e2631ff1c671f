//! The logs that came with a quote, read once whatever number of rules looks at them.

use vouchsafe_crypto::verify::HashAlgorithm;
use vouchsafe_protocol::evidence::{Logs, PcrValue};
use vouchsafe_protocol::policy::{EventRules, ImaRule, PcrExpectation, PcrRule};

use super::event_rules::check_events;
use super::rules::TpmRuleError;
use crate::log::ima::{ConfirmedImaLog, ImaLog, PCR_IMA, check_files};
use crate::log::{EventLog, Replayed, compare};

/// The bank that rules are about.
const BANK: HashAlgorithm = HashAlgorithm::Sha256;

/// Logs, parsed and not believed.
#[derive(Debug)]
pub struct ReadLogs<'a> {
    boot: Option<Result<EventLog<'a>, TpmRuleError>>,
    ima: Option<Result<ImaLog<'a>, TpmRuleError>>,
}

impl<'a> ReadLogs<'a> {
    /// Parses those logs that one of some rules looks at; the others are not touched. Nothing fails yet: a rule that
    /// looks at no log does not care what came with the quote.
    pub fn read<'r>(logs: &'a Logs, rules: impl Iterator<Item = &'r [PcrRule]>) -> Self {
        let (boot, ima) = wanted(logs, rules);
        Self {
            boot: boot.map(|bytes| EventLog::parse(bytes).map_err(TpmRuleError::BootLog)),
            ima: ima.map(|bytes| ImaLog::parse(bytes).map_err(TpmRuleError::ImaLog)),
        }
    }

    /// Whether there is a log that a rule looks at: reading it costs more than verifying a signature.
    #[must_use]
    pub fn are_wanted<'r>(logs: &Logs, rules: impl Iterator<Item = &'r [PcrRule]>) -> bool {
        wanted(logs, rules) != (None, None)
    }

    /// Replays them beside the values that were sent with the quote.
    pub fn beside<'l>(&'l self, sent: &'l [PcrValue]) -> ComparedLogs<'l, 'a> {
        let values = || sent.iter().map(|pcr| (pcr.index, pcr.value));
        let replayed = |log: &'l Result<EventLog<'a>, TpmRuleError>| {
            log.as_ref()
                .map_err(|error| *error)
                .and_then(|log| compare(log, BANK, values()).map_err(TpmRuleError::Replay))
        };
        let confirmed = |log: &Result<ImaLog<'a>, TpmRuleError>| {
            let value = value(sent, PCR_IMA).ok_or(TpmRuleError::Values)?;
            (*log)?.confirm(BANK, &value).map_err(TpmRuleError::ImaReplay)
        };
        ComparedLogs { boot: self.boot.as_ref().map(replayed), ima: self.ima.as_ref().map(confirmed), sent }
    }
}

/// Logs beside the values that were sent with a quote: believed as soon as the quote is.
#[derive(Debug)]
pub struct ComparedLogs<'l, 'a> {
    boot: Option<Result<Replayed<'l, 'a>, TpmRuleError>>,
    ima: Option<Result<ConfirmedImaLog<'a>, TpmRuleError>>,
    sent: &'l [PcrValue],
}

impl ComparedLogs<'_, '_> {
    /// Applies the rules over logs to the PCRs that are judged by events.
    ///
    /// Steps: 1. the boot event log came, has the form of one, and replays to each of them; 2. it is of an orderly
    /// boot; 3. its events are accepted; 4. the IMA log came, has the form of one, and replays to PCR 10; 5. its files
    /// are accepted.
    ///
    /// # Errors
    /// [`TpmRuleError`] from [`TpmRuleError::NoLog`] on.
    pub fn check(&self, pcrs: &[PcrRule], events: &EventRules, ima: &ImaRule) -> Result<(), TpmRuleError> {
        let judged: Vec<u8> = pcrs
            .iter()
            .filter(|pcr| pcr.expected == PcrExpectation::Events && pcr.index != PCR_IMA)
            .map(|pcr| pcr.index)
            .collect();
        if let Some(first) = judged.first() {
            // Step 1.
            let replayed = self.boot.as_ref().ok_or(TpmRuleError::NoLog { index: *first })?;
            let replayed = (*replayed)?.only(&judged).map_err(TpmRuleError::Replay)?;
            // Step 2.
            let boot = replayed.measured_boot().map_err(TpmRuleError::Boot)?;
            // Step 3.
            check_events(&boot, &judged, events).map_err(TpmRuleError::Event)?;
        }
        let is_judged = |pcr: &PcrRule| pcr.expected == PcrExpectation::Events && pcr.index == PCR_IMA;
        match (pcrs.iter().any(is_judged), ima) {
            (false, ImaRule::NotRequired) => Ok(()),
            // Such rules do not load: nothing says which files may be there, or nothing says what the log is.
            (true, ImaRule::NotRequired) | (false, ImaRule::AllowList(_)) => {
                Err(TpmRuleError::NoLog { index: PCR_IMA })
            }
            (true, ImaRule::AllowList(allowed)) => {
                // Step 4.
                let confirmed = (*self.ima.as_ref().ok_or(TpmRuleError::NoLog { index: PCR_IMA })?)?;
                // Step 5.
                check_files(&confirmed, allowed, |pcr| value(self.sent, pcr)).map_err(TpmRuleError::Ima)?;
                Ok(())
            }
        }
    }
}

/// The boot event log and the IMA log, if one of some rules looks at them.
fn wanted<'a, 'r>(
    logs: &'a Logs,
    rules: impl Iterator<Item = &'r [PcrRule]>,
) -> (Option<&'a [u8]>, Option<&'a [u8]>) {
    let Logs { boot, ima } = logs;
    let (mut wants_boot, mut wants_ima) = (false, false);
    for pcr in rules.flatten().filter(|pcr| pcr.expected == PcrExpectation::Events) {
        wants_ima |= pcr.index == PCR_IMA;
        wants_boot |= pcr.index != PCR_IMA;
    }
    (boot.as_deref().filter(|_| wants_boot), ima.as_deref().filter(|_| wants_ima))
}

/// A value, found by index and never by position.
fn value(sent: &[PcrValue], index: u8) -> Option<[u8; 32]> {
    sent.iter().find(|pcr| pcr.index == index).map(|pcr| pcr.value)
}
