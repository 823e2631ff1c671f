//! Boot event logs as bytes: one change to a log that parses, one refusal.

use vouchsafe_attestation::log::{Digests, EVENTS, EventKind, EventLog, EventLogError, LOG_LEN};
use vouchsafe_crypto::verify::HashAlgorithm;

use crate::log_builder::{LogBuilder, LogEvent, SHA1, SHA256, header};

/// TPM_ALG_ID and digest of each bank.
type DigestList = Vec<(u16, Vec<u8>)>;

fn two_events() -> LogBuilder {
    LogBuilder::of(vec![LogEvent::separator(0), LogEvent::of(4, EventKind::EFI_ACTION, b"started")])
}

fn refusal(log: &LogBuilder) -> EventLogError {
    EventLog::parse(&log.encode()).unwrap_err()
}

#[test]
fn both_formats_parse() {
    let mut log = two_events();
    let bytes = log.encode();
    let agile = EventLog::parse(&bytes).unwrap();
    assert!(agile.is_crypto_agile() && agile.has_bank(HashAlgorithm::Sha256));
    assert_eq!((agile.record_count(), agile.events().len(), agile.algorithms()), (3, 2, &[SHA1, SHA256][..]));
    let event = agile.events()[1];
    assert_eq!(
        (event.number, event.pcr, event.kind, event.data),
        (3, 4, EventKind::EFI_ACTION, &b"started"[..])
    );
    assert_eq!(event.digest(HashAlgorithm::Sha256).unwrap(), HashAlgorithm::Sha256.digest(&[b"started"]));
    assert_eq!(event.digest(HashAlgorithm::Sha384), None);
    assert_eq!(
        event.digests.iter().map(|(id, digest)| (id, digest.len())).collect::<Vec<_>>(),
        [(4, 20), (11, 32)]
    );
    assert!(matches!(event.digests, Digests::Agile(list) if list.len() == 2 + 20 + 2 + 32));
    log.header = None;
    let bytes = log.encode();
    let old = EventLog::parse(&bytes).unwrap();
    assert!(!old.is_crypto_agile() && !old.has_bank(HashAlgorithm::Sha256));
    let numbers: Vec<u32> = old.events().iter().map(|event| event.number).collect();
    assert_eq!((old.record_count(), numbers), (2, vec![1, 2]));
    let digest = old.events()[1].digest(HashAlgorithm::DangerousSha1).unwrap();
    assert_eq!(digest, HashAlgorithm::DangerousSha1.digest(&[b"started"]));
}

#[test]
fn a_log_of_every_shorter_length_is_refused_or_ends_between_events() {
    for mut log in [two_events(), LogBuilder { header: None, ..two_events() }] {
        let whole = log.encode();
        let mut ends = Vec::new();
        while log.events.pop().is_some() {
            ends.push(log.encode().len());
        }
        for len in 0..whole.len() {
            let verdict = EventLog::parse(&whole[..len]);
            // The old format has no log without an event.
            // Zeros behind an event are padding.
            let is_end =
                |end: &usize| *end > 0 && *end <= len && whole[*end..len].iter().all(|byte| *byte == 0);
            let between = ends.iter().any(is_end);
            assert_eq!(verdict.is_ok(), between, "{len}");
        }
    }
}

#[test]
fn a_log_that_is_empty_or_too_long_is_refused() {
    assert_eq!(EventLog::parse(&[]).unwrap_err(), EventLogError::Empty);
    let mut log = two_events();
    let rest = LOG_LEN - log.encode().len();
    log.events[1].data.resize(7 + rest, 0);
    assert_eq!(log.encode().len(), LOG_LEN);
    assert!(EventLog::parse(&log.encode()).is_ok());
    log.events[1].data.push(0);
    assert_eq!(refusal(&log), EventLogError::TooLong);
}

#[test]
fn too_many_events_are_refused() {
    let mut log = LogBuilder::of(vec![LogEvent::separator(0); EVENTS]);
    assert!(EventLog::parse(&log.encode()).is_ok());
    log.events.push(LogEvent::separator(0));
    assert_eq!(refusal(&log), EventLogError::TooManyEvents);
}

#[test]
fn lengths_beyond_the_log_are_refused_and_not_allocated() {
    let log = two_events();
    let mut bytes = log.encode();
    let at = bytes.len() - 7 - 4;
    bytes[at..at + 4].fill(0xff);
    assert_eq!(EventLog::parse(&bytes).unwrap_err(), EventLogError::Truncated { number: 3 });
}

#[test]
fn a_malformed_header_is_refused() {
    let broken = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut log = two_events();
        change(log.header.as_mut().unwrap());
        refusal(&log)
    };
    // Major version, size of UINTN, a byte missing, a byte too many, vendor information longer than the rest.
    assert_eq!(broken(&|header| header[21] = 1), EventLogError::Header);
    assert_eq!(broken(&|header| header[23] = 0), EventLogError::Header);
    assert_eq!(broken(&|header| header[23] = 3), EventLogError::Header);
    assert_eq!(broken(&|header| header.truncate(header.len() - 1)), EventLogError::Header);
    assert_eq!(broken(&|header| header.truncate(20)), EventLogError::Header);
    assert_eq!(broken(&|header| header.push(0)), EventLogError::Header);
    assert_eq!(broken(&|header| *header.last_mut().unwrap() = 1), EventLogError::Header);
    // 32-bit firmware.
    let mut log = two_events();
    log.header.as_mut().unwrap()[23] = 1;
    assert!(EventLog::parse(&log.encode()).is_ok());
    let mut log = two_events();
    let header = log.header.as_mut().unwrap();
    *header.last_mut().unwrap() = 2;
    header.extend(b"ab");
    assert_eq!(EventLog::parse(&log.encode()).unwrap().vendor_info(), b"ab");
}

#[test]
fn t9_a_header_with_impossible_algorithms_is_refused() {
    let announced =
        |algorithms: &[(u16, u16)]| refusal(&LogBuilder { header: Some(header(algorithms)), ..two_events() });
    for algorithms in [
        &[][..],
        &[(SHA1, 20), (SHA1, 20)],
        &[(SHA1, 20), (SHA256, 20)],
        &[(SHA1, 0)],
        &[(0x7777, 32)],
        &[(SHA1, 20); 9],
    ] {
        assert_eq!(announced(algorithms), EventLogError::Algorithms, "{algorithms:?}");
    }
    let mut log = two_events();
    let mut header = header(&[(SHA1, 20), (SHA256, 32)]);
    header[24..28].fill(0xff);
    log.header = Some(header.clone());
    assert_eq!(refusal(&log), EventLogError::Algorithms);
    // One more than there are: refused by their number, not for want of bytes.
    header[24..28].copy_from_slice(&9u32.to_le_bytes());
    log.header = Some(header);
    assert_eq!(refusal(&log), EventLogError::Algorithms);
}

#[test]
fn every_registered_algorithm_may_be_announced() {
    let all = [(4, 20), (0x0b, 32), (0x0c, 48), (0x0d, 64), (0x12, 32), (0x27, 32), (0x28, 48), (0x29, 64)];
    let mut log = LogBuilder { header: Some(header(&all)), ..two_events() };
    log.events[1].digests = all.iter().map(|(id, len)| (*id, vec![1; usize::from(*len)])).collect();
    let bytes = log.encode();
    let parsed = EventLog::parse(&bytes).unwrap();
    assert_eq!(parsed.algorithms().len(), 8);
    let digests = parsed.events()[1].digests.iter().map(|(id, digest)| (id, digest.len() as u16));
    assert!(digests.eq(all));
    assert_eq!(parsed.events()[1].digest(HashAlgorithm::Sha512), Some(&[1; 64][..]));
}

#[test]
fn an_event_for_a_pcr_that_no_tpm_has_is_refused() {
    for pcr in [24, 0x0100_0000, u32::MAX] {
        let mut log = two_events();
        log.events[1].pcr = pcr;
        assert_eq!(refusal(&log), EventLogError::Pcr { number: 3, pcr });
    }
    let mut log = two_events();
    log.events[1].pcr = 23;
    assert!(EventLog::parse(&log.encode()).is_ok());
    // An event about no PCR at all (an NV index, say) is logged with index -1 and never extended.
    log.events[1].pcr = u32::MAX;
    log.events[1].kind = EventKind::NO_ACTION;
    assert!(EventLog::parse(&log.encode()).is_ok());
}

#[test]
fn t9_digests_that_are_not_those_announced_are_refused() {
    let broken = |change: &dyn Fn(&mut DigestList)| {
        let mut log = two_events();
        change(&mut log.events[1].digests);
        refusal(&log)
    };
    assert_eq!(broken(&|digests| digests.clear()), EventLogError::DigestCount { number: 3, count: 0 });
    assert_eq!(
        broken(&|digests| digests.push((SHA1, vec![0; 20]))),
        EventLogError::DigestCount { number: 3, count: 3 }
    );
    assert_eq!(
        broken(&|digests| digests[0] = (0x000c, vec![0; 48])),
        EventLogError::DigestAlgorithm { number: 3, algorithm: 0x000c }
    );
    assert_eq!(broken(&|digests| digests[0] = digests[1].clone()), EventLogError::DigestTwice { number: 3 });
    // Fewer than announced is a matter of the bank that is asked for.
    let mut log = two_events();
    log.events[1].digests.remove(0);
    assert!(EventLog::parse(&log.encode()).is_ok());
    log.events[1].digests.reverse();
    assert!(EventLog::parse(&log.encode()).is_ok());
}

#[test]
fn impossible_startup_localities_are_refused() {
    let with = |events: Vec<LogEvent>| {
        let bytes = LogBuilder::of(events).encode();
        EventLog::parse(&bytes).map(|log| log.startup_locality())
    };
    for locality in [0, 3, 4] {
        assert_eq!(with(vec![LogEvent::startup_locality(locality)]), Ok(Some(locality)));
    }
    let refused = |number| Err(EventLogError::StartupLocality { number });
    for locality in [1, 2, 5, 255] {
        assert_eq!(with(vec![LogEvent::startup_locality(locality)]), refused(2));
    }
    assert_eq!(with(vec![LogEvent::startup_locality(3), LogEvent::startup_locality(3)]), Ok(Some(3)));
    assert_eq!(with(vec![LogEvent::startup_locality(3), LogEvent::startup_locality(0)]), refused(3));
    let mut elsewhere = LogEvent::startup_locality(3);
    elsewhere.pcr = 1;
    assert_eq!(with(vec![elsewhere]), refused(2));
    let mut longer = LogEvent::startup_locality(3);
    longer.data.push(0);
    assert_eq!(with(vec![longer]), refused(2));
    // The same data in an event that is extended is no locality.
    let mut extended = LogEvent::startup_locality(5);
    extended.kind = EventKind::POST_CODE;
    assert_eq!(with(vec![extended]), Ok(None));
}

#[test]
fn padding_of_a_whole_memory_region_is_passed_over() {
    for (log, head_len) in [(two_events(), 12), (LogBuilder { header: None, ..two_events() }, 32)] {
        for byte in [0, 0xff] {
            let padded = |len| [log.encode(), vec![byte; len]].concat();
            assert_eq!(EventLog::parse(&padded(head_len)).unwrap().events().len(), 2);
            assert_eq!(EventLog::parse(&padded(4096)).unwrap().events().len(), 2);
            // Of ones, less than the head of an event is an event that was cut.
            assert_eq!(EventLog::parse(&padded(head_len - 1)).is_ok(), byte == 0);
            let mut mixed = padded(4096);
            *mixed.last_mut().unwrap() = 1;
            assert!(EventLog::parse(&mixed).is_err(), "{byte}");
        }
    }
}
