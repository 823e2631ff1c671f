//! The step from a log to one that is believed: it leads to the values that a TPM signed.

use vouchsafe_crypto::verify::HashAlgorithm;
use vouchsafe_protocol::policy::BootPhase;

use super::error::ReplayError;
use super::event::Event;
use super::parse::EventLog;
use super::register::Register;
use super::{PCR_COUNT, meaning};

/// What systemd extends into PCR 11 when the boot gets there (systemd-pcrphase, `TPM2_PCR_MEASUREMENTS.md`): these
/// strings in this order, none of them in the firmware's log; one that a log has counts as reached.
const PHASES: [(&[u8], BootPhase); 4] = [
    (b"enter-initrd", BootPhase::Initrd),
    (b"leave-initrd", BootPhase::InitrdLeft),
    (b"sysinit", BootPhase::SystemInitialised),
    (b"ready", BootPhase::Ready),
];

/// PCR that systemd-stub and systemd-pcrphase measure into.
const PCR_KERNEL_BOOT: u8 = 11;

/// A log next to quoted values. For each confirmed PCR its events' digests are all that was extended, in this order;
/// their types and data, and their order between PCRs, are still the sender's word.
#[derive(Clone, Copy, Debug)]
pub struct Replayed<'l, 'a> {
    pub(super) log: &'l EventLog<'a>,
    pub(super) bank: HashAlgorithm,
    outcomes: [Outcome; PCR_COUNT as usize],
    phase: BootPhase,
}

/// What comparing one PCR came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It holds what the log leads to.
    Confirmed,
    /// It holds something else, and the log has events for it.
    Differs(ReplayError),
    /// No value was quoted.
    NotQuoted,
    /// It does not hold its start value, and the log has no event for it.
    Unlogged,
}

impl<'l, 'a> Replayed<'l, 'a> {
    /// The log.
    #[must_use]
    pub fn log(&self) -> &'l EventLog<'a> {
        self.log
    }

    /// The bank whose digests are confirmed.
    #[must_use]
    pub fn bank(&self) -> HashAlgorithm {
        self.bank
    }

    /// Whether a PCR was quoted and holds what the log leads to. A PCR for which the log has no event is confirmed if
    /// it holds its start value, and not confirmed if it holds anything else.
    #[must_use]
    pub fn is_confirmed(&self, pcr: u8) -> bool {
        self.require(pcr).is_ok()
    }

    /// Events extended into a confirmed PCR, in order; `None` if it is not confirmed.
    pub fn events(&self, pcr: u8) -> Option<impl Iterator<Item = &'l Event<'a>> + use<'l, 'a>> {
        let of_pcr = move |event: &&Event<'a>| event.is_extended() && event.pcr == u32::from(pcr);
        self.is_confirmed(pcr).then(|| self.log.events().iter().filter(of_pcr))
    }

    /// How far systemd had got in extending PCR 11.
    #[must_use]
    pub fn boot_phase(&self) -> BootPhase {
        self.phase
    }

    /// The same with nothing but some PCRs, all of them confirmed.
    ///
    /// # Errors
    /// [`ReplayError`] of the first that is not confirmed; [`ReplayError::Shorter`] too for one that holds something
    /// although the log has no event for it, or that was not quoted.
    pub fn only(&self, pcrs: &[u8]) -> Result<Self, ReplayError> {
        let mut outcomes = [Outcome::NotQuoted; PCR_COUNT as usize];
        for pcr in pcrs {
            self.require(*pcr)?;
            if let Some(outcome) = outcomes.get_mut(usize::from(*pcr)) {
                *outcome = Outcome::Confirmed;
            }
        }
        Ok(Self { outcomes, ..*self })
    }

    fn require(&self, pcr: u8) -> Result<(), ReplayError> {
        match self.outcomes.get(usize::from(pcr)) {
            Some(Outcome::Confirmed) => Ok(()),
            Some(Outcome::Differs(error)) => Err(*error),
            Some(Outcome::NotQuoted | Outcome::Unlogged) | None => Err(ReplayError::Shorter { pcr }),
        }
    }
}

/// Confirms a log against PCR values of one bank. The caller must already know that a TPM signed exactly these
/// values ([`verify_quote`](crate::tpm::quote::verify_quote)), or believe nothing of the result until it does.
///
/// Steps: 1. the log has digests for the bank; 2. every extended event has one; 3. every quoted PCR for which the log
/// has events holds what they lead to (PCR 11 also what systemd's boot phases then lead to). A quoted PCR for which
/// the log has no event is not refused here: [`Replayed::is_confirmed`] tells whether it holds its start value.
///
/// # Errors
/// [`ReplayError`]. Of several PCRs the lowest.
pub fn confirm<'l, 'a, V: AsRef<[u8]>>(
    log: &'l EventLog<'a>,
    bank: HashAlgorithm,
    quoted: impl IntoIterator<Item = (u8, V)>,
) -> Result<Replayed<'l, 'a>, ReplayError> {
    let replayed = compare(log, bank, quoted)?;
    let differs = replayed.outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Differs(error) => Some(*error),
        Outcome::Confirmed | Outcome::NotQuoted | Outcome::Unlogged => None,
    });
    differs.map_or(Ok(replayed), Err)
}

/// Steps 1 and 2 of [`confirm`], and its step 3 without refusing: for a caller to whom only some PCRs matter, who then
/// asks for them with [`Replayed::only`]. Machines extend PCRs behind the firmware's log (9, 11, 15 by systemd).
///
/// # Errors
/// [`ReplayError::BankAbsent`], [`ReplayError::DigestMissing`].
pub fn compare<'l, 'a, V: AsRef<[u8]>>(
    log: &'l EventLog<'a>,
    bank: HashAlgorithm,
    quoted: impl IntoIterator<Item = (u8, V)>,
) -> Result<Replayed<'l, 'a>, ReplayError> {
    let replay = log.replay(bank)?;
    let mut replayed = Replayed {
        log,
        bank,
        outcomes: [Outcome::NotQuoted; PCR_COUNT as usize],
        phase: logged_phase(log, bank),
    };
    for (pcr, value) in quoted {
        let value = value.as_ref();
        let Some(outcome) = replayed.outcomes.get_mut(usize::from(pcr)) else { continue };
        *outcome = match (replay.matches(pcr, value), replay.event_count(pcr), *outcome) {
            // Two values for one PCR: at most one can be what the log leads to.
            (_, _, earlier @ (Outcome::Differs(_) | Outcome::Unlogged)) => earlier,
            (true, _, _) => Outcome::Confirmed,
            (false, 0, _) => Outcome::Unlogged,
            (false, _, _) => match phase(&replay, pcr, value) {
                Some(phase) => {
                    replayed.phase = later(replayed.phase, phase);
                    Outcome::Confirmed
                }
                None => Outcome::Differs(mismatch(log, bank, pcr, value)),
            },
        };
    }
    Ok(replayed)
}

/// The boot phase whose measurements lead from the log's value of PCR 11 to the quoted one.
fn phase(replay: &super::Replay, pcr: u8, value: &[u8]) -> Option<BootPhase> {
    if pcr != PCR_KERNEL_BOOT {
        return None;
    }
    let bank = replay.bank();
    let mut register = *replay.register(pcr)?;
    PHASES.iter().find_map(|(text, phase)| {
        register.extend(bank.hash(&[text]));
        (register.value() == value).then_some(*phase)
    })
}

/// The last boot phase that the log itself has among the events of PCR 11. Who may extend the PCR can log a phase as an
/// event, so that nothing of it is left to be found behind the log.
fn logged_phase(log: &EventLog<'_>, bank: HashAlgorithm) -> BootPhase {
    let known = PHASES.map(|(text, phase)| (bank.hash(&[text]), phase));
    let events =
        log.events().iter().filter(|event| event.is_extended() && event.pcr == u32::from(PCR_KERNEL_BOOT));
    let digests = events.filter_map(|event| event.digest(bank));
    digests
        .filter_map(|digest| {
            known.iter().find(|(known, _)| known.as_ref() == digest).map(|(_, phase)| *phase)
        })
        .fold(BootPhase::Firmware, later)
}

/// The later of two phases.
fn later(one: BootPhase, other: BootPhase) -> BootPhase {
    let place = |wanted: &BootPhase| PHASES.iter().position(|(_, phase)| phase == wanted);
    [one, other].into_iter().max_by_key(place).unwrap_or(one)
}

/// Says how a log and a value differ, as far as that can be known.
fn mismatch(log: &EventLog<'_>, bank: HashAlgorithm, pcr: u8, value: &[u8]) -> ReplayError {
    let Some(mut register) = log.start_values(bank).pcr(pcr).copied() else {
        return ReplayError::Value { pcr };
    };
    if register.value() == value {
        return ReplayError::Longer { pcr };
    }
    for event in log.events().iter().filter(|event| event.is_extended() && event.pcr == u32::from(pcr)) {
        register.extend(event.digest(bank).unwrap_or_default());
        if register.value() == value {
            return ReplayError::Longer { pcr };
        }
    }
    if is_cut(register, bank, value) { ReplayError::Shorter { pcr } } else { ReplayError::Value { pcr } }
}

/// Whether well-known last events lead from the log's value to the quoted one.
fn is_cut(register: Register, bank: HashAlgorithm, value: &[u8]) -> bool {
    meaning::LAST_EVENTS.iter().any(|last: &&[&[u8]]| {
        let mut register = register;
        last.iter().for_each(|data| register.extend(bank.hash(&[data])));
        register.value() == value
    })
}
