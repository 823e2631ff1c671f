//! From bytes to events: exact, bounded, believing nothing.

use vouchsafe_crypto::verify::HashAlgorithm;

use super::error::EventLogError;
use super::event::{Digests, Event};
use super::header::{SIGNATURE, algorithm_id, digest_len, read_header};
use super::kind::EventKind;
use super::{EVENTS, LOG_LEN, PCR_COUNT};
use crate::bytes::{Reader, WrongLength};

/// Signature of the event that gives PCR 0's start value (TCG_EfiStartupLocalityEvent, section 10.4.5.3).
const STARTUP_LOCALITY: &[u8; 16] = b"StartupLocality\0";
/// Bytes of an event before its first field of varying length: what padding must at least be long.
const AGILE_HEAD_LEN: usize = 12;
const SHA1_HEAD_LEN: usize = 32;

/// A boot event log, parsed and not believed. Borrows from its bytes.
#[derive(Clone, Debug)]
pub struct EventLog<'a> {
    algorithms: Vec<u16>,
    header: Option<&'a [u8]>,
    events: Vec<Event<'a>>,
    startup_locality: Option<u8>,
}

impl<'a> EventLog<'a> {
    /// Parses a whole log, crypto-agile (TCG_PCR_EVENT2, section 10.2.2) or of the old SHA-1 format
    /// (TCG_PCClientPCREvent, section 10.2.1). The first event says which.
    ///
    /// Steps: 1. bounded, not empty; 2. a header of exactly the announced form; 3. events up to the end, each for
    /// a PCR that exists, with at least one digest unless it extends nothing, each of an announced algorithm and each
    /// once; 4. behind the last event nothing but padding, as a log has that was read as a whole memory region: all
    /// zero, or all ones and at least as long as the head of an event; 5. no two startup localities that differ.
    ///
    /// # Errors
    /// [`EventLogError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, EventLogError> {
        // Step 1.
        if bytes.len() > LOG_LEN {
            return Err(EventLogError::TooLong);
        }
        if bytes.is_empty() {
            return Err(EventLogError::Empty);
        }
        // Step 2.
        let mut at = Reader(bytes);
        let first = sha1_event(&mut at, 1)?;
        let mut log = if first.kind == EventKind::NO_ACTION && first.data.starts_with(SIGNATURE) {
            let (algorithms, vendor_info) = read_header(first.data)?;
            Self { algorithms, header: Some(vendor_info), events: Vec::new(), startup_locality: None }
        } else {
            let algorithms = vec![algorithm_id(HashAlgorithm::DangerousSha1)];
            let mut log = Self { algorithms, header: None, events: Vec::new(), startup_locality: None };
            log.push(first)?;
            log
        };
        // Steps 3 to 5.
        let mut number = 1;
        while !at.0.is_empty() && !log.is_padding(at.0) {
            number += 1;
            let event = if log.is_crypto_agile() {
                log.agile_event(&mut at, number)?
            } else {
                sha1_event(&mut at, number)?
            };
            log.push(event)?;
        }
        Ok(log)
    }

    /// Events in the order of the log, without the header.
    #[must_use]
    pub fn events(&self) -> &[Event<'a>] {
        &self.events
    }

    /// Events with the header, where there is one.
    #[must_use]
    pub fn record_count(&self) -> usize {
        self.events.len() + usize::from(self.is_crypto_agile())
    }

    /// TPM_ALG_ID of each announced algorithm; SHA-1 alone in the old format.
    #[must_use]
    pub fn algorithms(&self) -> &[u16] {
        &self.algorithms
    }

    /// Whether events have a digest for a bank.
    #[must_use]
    pub fn has_bank(&self, bank: HashAlgorithm) -> bool {
        self.algorithms.contains(&algorithm_id(bank))
    }

    /// Whether the log begins with a crypto-agile header.
    #[must_use]
    pub fn is_crypto_agile(&self) -> bool {
        self.header.is_some()
    }

    /// What the firmware's vendor put into the header.
    #[must_use]
    pub fn vendor_info(&self) -> &'a [u8] {
        self.header.unwrap_or_default()
    }

    /// The locality that the log says TPM2_Startup came from: 0, 3, or 4 with an H-CRTM. Decides the start value of
    /// PCR 0.
    #[must_use]
    pub fn startup_locality(&self) -> Option<u8> {
        self.startup_locality
    }

    fn push(&mut self, event: Event<'a>) -> Result<(), EventLogError> {
        let number = event.number;
        if self.events.len() == EVENTS {
            return Err(EventLogError::TooManyEvents);
        }
        let unindexed = event.kind == EventKind::NO_ACTION && event.pcr == u32::MAX;
        if event.pcr >= u32::from(PCR_COUNT) && !unindexed {
            return Err(EventLogError::Pcr { number, pcr: event.pcr });
        }
        if event.kind == EventKind::NO_ACTION
            && let Some(locality) = event.data.strip_prefix(STARTUP_LOCALITY)
        {
            let ([locality @ (0 | 3 | 4)], 0) = (locality, event.pcr) else {
                return Err(EventLogError::StartupLocality { number });
            };
            if self.startup_locality.is_some_and(|earlier| earlier != *locality) {
                return Err(EventLogError::StartupLocality { number });
            }
            self.startup_locality = Some(*locality);
        }
        self.events.push(event);
        Ok(())
    }

    fn is_padding(&self, rest: &[u8]) -> bool {
        let head_len = if self.is_crypto_agile() { AGILE_HEAD_LEN } else { SHA1_HEAD_LEN };
        let ones = || rest.len() >= head_len && rest.iter().all(|byte| *byte == u8::MAX);
        rest.iter().all(|byte| *byte == 0) || ones()
    }

    fn agile_event(&self, at: &mut Reader<'a>, number: u32) -> Result<Event<'a>, EventLogError> {
        let truncated = |_: WrongLength| EventLogError::Truncated { number };
        let (pcr, kind) = (at.u32_le().map_err(truncated)?, EventKind(at.u32_le().map_err(truncated)?));
        let count = at.u32_le().map_err(truncated)?;
        let may_be_none = kind == EventKind::NO_ACTION;
        if (count == 0 && !may_be_none)
            || usize::try_from(count).map_or(true, |count| count > self.algorithms.len())
        {
            return Err(EventLogError::DigestCount { number, count });
        }
        let list = at.0;
        // A bit per announced algorithm; there are at most eight.
        let (mut seen, mut list_len) = (0u8, 0);
        for _ in 0..count {
            let algorithm = at.u16_le().map_err(truncated)?;
            let place = self.algorithms.iter().position(|id| *id == algorithm);
            let (Some(place), Some(len)) = (place, digest_len(algorithm)) else {
                return Err(EventLogError::DigestAlgorithm { number, algorithm });
            };
            if seen & (1 << place) != 0 {
                return Err(EventLogError::DigestTwice { number });
            }
            seen |= 1 << place;
            at.take(len).map_err(truncated)?;
            list_len += 2 + len;
        }
        let digests = Digests::Agile(list.get(..list_len).unwrap_or_default());
        let data = sized(at).map_err(truncated)?;
        Ok(Event { number, pcr, kind, digests, data })
    }
}

fn sha1_event<'a>(at: &mut Reader<'a>, number: u32) -> Result<Event<'a>, EventLogError> {
    let truncated = |_: WrongLength| EventLogError::Truncated { number };
    let (pcr, kind) = (at.u32_le().map_err(truncated)?, EventKind(at.u32_le().map_err(truncated)?));
    let (digest, rest) = at.0.split_first_chunk::<20>().ok_or(EventLogError::Truncated { number })?;
    at.0 = rest;
    let data = sized(at).map_err(truncated)?;
    Ok(Event { number, pcr, kind, digests: Digests::Sha1(digest), data })
}

/// A 4-byte little-endian length and that many bytes.
fn sized<'a>(at: &mut Reader<'a>) -> Result<&'a [u8], WrongLength> {
    let len = at.u32_le()?;
    at.take(usize::try_from(len).map_err(|_| WrongLength)?)
}
