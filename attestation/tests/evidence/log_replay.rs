//! Replay: what a log leads to, and how it differs from what was quoted.

use vouchsafe_attestation::log::{EventKind, EventLog, ReplayError, compare, confirm};
use vouchsafe_crypto::verify::HashAlgorithm;
use vouchsafe_protocol::policy::BootPhase;

use crate::log_builder::{LogBuilder, LogEvent, SHA1, SHA256, ZERO_SEPARATOR, sha256};

const BANK: HashAlgorithm = HashAlgorithm::Sha256;

/// What confirming a log against one value comes to.
fn verdict(log: &LogBuilder, pcr: u8, value: [u8; 32]) -> Result<bool, ReplayError> {
    let bytes = log.encode();
    let log = EventLog::parse(&bytes).unwrap();
    confirm(&log, BANK, [(pcr, value)]).map(|replayed| replayed.is_confirmed(pcr))
}

#[test]
fn an_orderly_log_leads_to_the_values_of_the_tpm() {
    let log = LogBuilder::orderly();
    let bytes = log.encode();
    let parsed = EventLog::parse(&bytes).unwrap();
    let replayed = confirm(&parsed, BANK, log.all()).unwrap();
    assert!((0..24).all(|pcr| replayed.is_confirmed(pcr)));
    assert_eq!(replayed.boot_phase(), BootPhase::Firmware);
    assert_eq!(replayed.events(4).unwrap().count(), 4);
    let replay = parsed.replay(BANK).unwrap();
    assert_eq!([4, 10, 24].map(|pcr| replay.event_count(pcr)), [4, 0, 0]);
    assert_eq!(replay.value(18), Some(&[0xff; 32][..]), "PCRs of a dynamic launch start with ones");
    assert_eq!(replay.value(24), None);
}

#[test]
fn the_other_bank_is_replayed_with_its_own_digests() {
    let log = LogBuilder::of(vec![LogEvent::separator(1)]);
    let bytes = log.encode();
    let parsed = EventLog::parse(&bytes).unwrap();
    let sha1 = HashAlgorithm::DangerousSha1;
    let value = sha1.digest(&[&[0; 20], &sha1.digest(&[ZERO_SEPARATOR])]);
    assert!(confirm(&parsed, sha1, [(1, value)]).unwrap().is_confirmed(1));
}

#[test]
fn events_that_are_not_extended_are_not_replayed() {
    let mut log = LogBuilder::orderly();
    let values = log.all();
    let mut no_action = LogEvent::of(4, EventKind::NO_ACTION, b"note");
    no_action.pcr = 4;
    log.events.insert(3, no_action);
    let bytes = log.encode();
    assert!(confirm(&EventLog::parse(&bytes).unwrap(), BANK, values).is_ok());
}

#[test]
fn the_startup_locality_decides_where_pcr_0_starts() {
    let start = |locality: u8| {
        let mut start = [0; 32];
        start[31] = locality;
        start
    };
    for locality in [0, 3, 4] {
        let mut log = LogBuilder::orderly();
        log.events.insert(0, LogEvent::startup_locality(locality));
        assert_eq!(verdict(&log, 0, log.value_from(0, start(locality))), Ok(true));
        // Only PCR 0's.
        assert_eq!(verdict(&log, 1, log.value(1)), Ok(true));
        assert!(verdict(&log, 0, log.value_from(0, start(locality ^ 1))).is_err());
    }
    // An H-CRTM measured first says the same without the event.
    let mut log = LogBuilder::orderly();
    log.events.insert(0, LogEvent::of(0, EventKind::EFI_HCRTM_EVENT, b"HCRTM"));
    assert_eq!(verdict(&log, 0, log.value_from(0, start(4))), Ok(true));
    let mut behind_others = log.clone();
    behind_others.events.insert(0, LogEvent::of(1, EventKind::EFI_VARIABLE_BOOT, b"BootOrder"));
    behind_others.events.insert(0, LogEvent::of(0, EventKind::NO_ACTION, b"note"));
    assert_eq!(verdict(&behind_others, 0, behind_others.value_from(0, start(4))), Ok(true));
    log.events.swap(0, 1);
    assert_eq!(verdict(&log, 0, log.value_from(0, start(0))), Ok(true));
    // Without any event PCR 0 is as it was.
    assert_eq!(verdict(&LogBuilder::of(vec![LogEvent::separator(1)]), 0, start(0)), Ok(true));
}

#[test]
fn t7_the_log_of_another_boot_is_refused() {
    let log = LogBuilder::orderly();
    let mut other = LogBuilder::orderly();
    other.find(|event| event.pcr == 4).digests[1].1[0] ^= 1;
    assert_eq!(verdict(&other, 4, log.value(4)), Err(ReplayError::Value { pcr: 4 }));
}

#[test]
fn t7_a_log_longer_than_the_pcr_is_refused() {
    let log = LogBuilder::orderly();
    for extra in 1..3 {
        let mut longer = LogBuilder::orderly();
        longer.events.extend(vec![LogEvent::application("appended"); extra]);
        assert_eq!(verdict(&longer, 4, log.value(4)), Err(ReplayError::Longer { pcr: 4 }));
    }
    // Down to a PCR that was never extended at all.
    assert_eq!(verdict(&log, 4, [0; 32]), Err(ReplayError::Longer { pcr: 4 }));
}

#[test]
fn t7_a_log_shorter_than_the_pcr_is_refused() {
    let log = LogBuilder::orderly();
    for cut in [1, 2] {
        let mut shorter = LogBuilder::orderly();
        shorter.events.truncate(shorter.events.len() - cut);
        assert_eq!(verdict(&shorter, 5, log.value(5)), Err(ReplayError::Shorter { pcr: 5 }));
    }
    for separator in [[0; 4], [0xff; 4]] {
        let mut longer = LogBuilder::of(vec![LogEvent::of(1, EventKind::EFI_VARIABLE_BOOT, b"BootOrder")]);
        let shorter = longer.clone();
        longer.events.push(LogEvent::of(1, EventKind::SEPARATOR, &separator));
        assert_eq!(verdict(&shorter, 1, longer.value(1)), Err(ReplayError::Shorter { pcr: 1 }));
    }
    // Without any event nothing can be compared: not confirmed, and refused as soon as somebody asks for it.
    assert_eq!(verdict(&log, 15, [1; 32]), Ok(false));
    let bytes = log.encode();
    let parsed = EventLog::parse(&bytes).unwrap();
    let replayed = confirm(&parsed, BANK, [(4, log.value(4)), (15, [1; 32])]).unwrap();
    assert_eq!(replayed.only(&[4, 15]).unwrap_err(), ReplayError::Shorter { pcr: 15 });
    // Nor can what was not quoted, or is no PCR.
    assert_eq!(replayed.only(&[4, 5]).unwrap_err(), ReplayError::Shorter { pcr: 5 });
    assert_eq!(replayed.only(&[24]).unwrap_err(), ReplayError::Shorter { pcr: 24 });
    assert!(replayed.events(15).is_none() && replayed.events(24).is_none());
}

#[test]
fn t9_a_log_without_the_quoted_bank_is_refused() {
    let mut log = LogBuilder::orderly();
    log.header = None;
    assert_eq!(verdict(&log, 4, log.value(4)), Err(ReplayError::BankAbsent));
}

#[test]
fn t9_an_event_without_a_digest_for_the_bank_is_refused() {
    let mut log = LogBuilder::orderly();
    let value = log.value(4);
    let event = log.find(|event| event.pcr == 12);
    event.digests.retain(|(id, _)| *id == SHA1);
    let number = log.number(|event| event.pcr == 12);
    assert_eq!(verdict(&log, 4, value), Err(ReplayError::DigestMissing { number }));
    // One that is not extended needs none.
    let mut log = LogBuilder::orderly();
    let mut note = LogEvent::of(0, EventKind::NO_ACTION, b"note");
    note.digests.retain(|(id, _)| *id == SHA1);
    log.events.push(note);
    assert_eq!(verdict(&log, 4, value), Ok(true));
}

#[test]
fn t6_retyped_reordered_and_duplicated_events_do_not_replay() {
    let log = LogBuilder::orderly();
    let mut unextended = LogBuilder::orderly();
    unextended.find(|event| event.pcr == 4).kind = EventKind::NO_ACTION;
    assert_eq!(verdict(&unextended, 4, log.value(4)), Err(ReplayError::Value { pcr: 4 }));
    let mut swapped = LogBuilder::orderly();
    let places: Vec<usize> =
        (0..swapped.events.len()).filter(|place| swapped.events[*place].pcr == 4).collect();
    swapped.events.swap(places[0], places[1]);
    assert_eq!(verdict(&swapped, 4, log.value(4)), Err(ReplayError::Value { pcr: 4 }));
    let mut twice = LogBuilder::orderly();
    let copy = twice.events[places[0]].clone();
    twice.events.insert(places[0], copy);
    assert_eq!(verdict(&twice, 4, log.value(4)), Err(ReplayError::Value { pcr: 4 }));
    let mut moved = LogBuilder::orderly();
    moved.events[places[0]].pcr = 23;
    assert_eq!(verdict(&moved, 4, log.value(4)), Err(ReplayError::Value { pcr: 4 }));
    // Data and type do not change what a log leads to; nor does the order between PCRs.
    let mut relabelled = LogBuilder::orderly();
    relabelled.find(|event| event.pcr == 4).data = b"anything".to_vec();
    relabelled.find(|event| event.pcr == 12).kind = EventKind::POST_CODE;
    relabelled.events.sort_by_key(|event| event.pcr);
    assert_eq!(verdict(&relabelled, 4, log.value(4)), Ok(true));
}

#[test]
fn the_phases_of_systemd_continue_pcr_11() {
    let log = LogBuilder::orderly();
    let bytes = log.encode();
    let parsed = EventLog::parse(&bytes).unwrap();
    let mut value = log.value(11);
    for (text, phase) in [
        ("enter-initrd", BootPhase::Initrd),
        ("leave-initrd", BootPhase::InitrdLeft),
        ("sysinit", BootPhase::SystemInitialised),
        ("ready", BootPhase::Ready),
    ] {
        value = sha256(&[value, sha256(text.as_bytes())].concat());
        let replayed = confirm(&parsed, BANK, [(11, value)]).unwrap();
        assert_eq!((replayed.boot_phase(), replayed.is_confirmed(11)), (phase, true));
    }
    // Behind the last, out of order, or in another PCR they explain nothing.
    let after = |value: [u8; 32], text: &str| sha256(&[value, sha256(text.as_bytes())].concat());
    assert_eq!(verdict(&log, 11, after(value, "shutdown")), Err(ReplayError::Value { pcr: 11 }));
    assert_eq!(verdict(&log, 11, after(log.value(11), "ready")), Err(ReplayError::Value { pcr: 11 }));
    assert_eq!(verdict(&log, 12, after(log.value(12), "enter-initrd")), Err(ReplayError::Value { pcr: 12 }));
}

#[test]
fn two_values_for_one_pcr_confirm_nothing() {
    let log = LogBuilder::orderly();
    let bytes = log.encode();
    let parsed = EventLog::parse(&bytes).unwrap();
    for quoted in [[(4, log.value(4)), (4, [1; 32])], [(4, [1; 32]), (4, log.value(4))]] {
        assert_eq!(confirm(&parsed, BANK, quoted).unwrap_err(), ReplayError::Value { pcr: 4 });
    }
    for quoted in [[(15, [0; 32]), (15, [1; 32])], [(15, [1; 32]), (15, [0; 32])]] {
        assert!(!confirm(&parsed, BANK, quoted).unwrap().is_confirmed(15));
    }
}

#[test]
fn a_caller_may_look_at_some_pcrs_alone() {
    let log = LogBuilder::orderly();
    let bytes = log.encode();
    let parsed = EventLog::parse(&bytes).unwrap();
    let quoted = [(4, log.value(4)), (9, [9; 32]), (5, [5; 32])];
    assert_eq!(confirm(&parsed, BANK, quoted).unwrap_err(), ReplayError::Value { pcr: 5 });
    let replayed = compare(&parsed, BANK, quoted).unwrap();
    assert!(replayed.only(&[4]).unwrap().is_confirmed(4));
    assert!(!replayed.only(&[]).unwrap().is_confirmed(4));
    assert_eq!(replayed.only(&[4, 5]).unwrap_err(), ReplayError::Value { pcr: 5 });
}

#[test]
fn a_value_of_another_length_is_no_value() {
    let log = LogBuilder::orderly();
    let bytes = log.encode();
    let parsed = EventLog::parse(&bytes).unwrap();
    let value = log.value(4);
    assert!(confirm(&parsed, BANK, [(4, &value[..31])]).is_err());
    assert!(confirm(&parsed, BANK, [(4, [&value[..], &[0]].concat())]).is_err());
    assert_eq!(parsed.algorithms(), [SHA1, SHA256]);
}

#[test]
fn t6_a_phase_that_the_log_has_as_an_event_counts_as_reached() {
    let mut log = LogBuilder::orderly();
    // In another PCR, or without being extended, it is none.
    log.events.push(LogEvent::of(12, EventKind::IPL, b"ready"));
    log.events.push(LogEvent::of(11, EventKind::NO_ACTION, b"ready"));
    for text in [&b"leave-initrd"[..], b"enter-initrd"] {
        log.events.push(LogEvent::of(11, EventKind::IPL, text));
    }
    let bytes = log.encode();
    let parsed = EventLog::parse(&bytes).unwrap();
    let replayed = confirm(&parsed, BANK, [(11, log.value(11))]).unwrap();
    assert_eq!(replayed.boot_phase(), BootPhase::InitrdLeft);
    // What is found behind the log does not take it back.
    let value = sha256(&[log.value(11), sha256(b"enter-initrd")].concat());
    let replayed = confirm(&parsed, BANK, [(11, value)]).unwrap();
    assert_eq!(replayed.boot_phase(), BootPhase::InitrdLeft);
}
