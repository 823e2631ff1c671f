//! What every orderly boot's log has: one change to such a log, with the values that the TPM would then hold, one
//! refusal.

use vouchsafe_attestation::log::{BootError, EventKind, EventLog, Guid, confirm};
use vouchsafe_crypto::verify::HashAlgorithm;

use crate::log_builder::{EXIT_SUCCESS, LogBuilder, LogEvent, variable};

/// The verdict on a log that replays.
fn verdict(log: &LogBuilder) -> Result<(), BootError> {
    verdict_on(log, &log.all())
}

fn verdict_on(log: &LogBuilder, quoted: &[(u8, [u8; 32])]) -> Result<(), BootError> {
    let bytes = log.encode();
    let parsed = EventLog::parse(&bytes).unwrap();
    confirm(&parsed, HashAlgorithm::Sha256, quoted.iter().copied()).unwrap().measured_boot().map(|_| ())
}

fn changed(change: impl Fn(&mut LogBuilder)) -> (LogBuilder, Result<(), BootError>) {
    let mut log = LogBuilder::orderly();
    change(&mut log);
    let verdict = verdict(&log);
    (log, verdict)
}

fn is_separator(event: &LogEvent, pcr: u32) -> bool {
    event.pcr == pcr && event.kind == EventKind::SEPARATOR
}

/// Puts an event right behind another.
fn insert_behind(log: &mut LogBuilder, event: LogEvent, fits: impl Fn(&LogEvent) -> bool) -> u32 {
    let place = log.events.iter().position(fits).unwrap() + 1;
    log.events.insert(place, event);
    u32::try_from(place).unwrap() + 2
}

#[test]
fn the_log_of_an_orderly_boot_is_accepted() {
    assert_eq!(verdict(&LogBuilder::orderly()), Ok(()));
    let ones = |log: &mut LogBuilder| {
        *log.find(|event| is_separator(event, 3)) = LogEvent::of(3, EventKind::SEPARATOR, &[0xff; 4]);
    };
    assert_eq!(changed(ones).1, Ok(()));
}

#[test]
fn t9_an_all_zero_digest_in_the_bank_is_refused() {
    for pcr in [4, 12] {
        let (log, verdict) = changed(|log| log.find(|event| event.pcr == pcr).digests[1].1.fill(0));
        let number = log.number(|event| event.pcr == pcr);
        assert_eq!(verdict, Err(BootError::ZeroDigest { number }));
    }
    // Of an event that extends nothing it says nothing: firmware fills such digests with zeros.
    for pcr in [0, 4] {
        let (_, verdict) = changed(|log| {
            let mut note = LogEvent::of(pcr, EventKind::NO_ACTION, b"note");
            note.digests.iter_mut().for_each(|(_, digest)| digest.fill(0));
            log.events.insert(1, note);
        });
        assert_eq!(verdict, Ok(()), "{pcr}");
    }
    // In the other bank it is nobody's business.
    assert_eq!(changed(|log| log.find(|event| event.pcr == 4).digests[0].1.fill(0)).1, Ok(()));
}

#[test]
fn t7_an_error_separator_is_refused() {
    for data in [[1, 0, 0, 0], [0, 0, 0, 1]] {
        // Whatever it is called, and whatever it logs.
        for kind in [EventKind::SEPARATOR, EventKind::POST_CODE] {
            let (_, verdict) = changed(|log| {
                *log.find(|event| is_separator(event, 2)) = LogEvent::measured(2, kind, &data, b"no memory");
            });
            assert_eq!(verdict, Err(BootError::ErrorSeparator { pcr: 2 }));
        }
    }
}

#[test]
fn t7_a_spoofed_separator_is_refused() {
    for data in [&b"other"[..], &[0; 3], &[2, 0, 0, 0]] {
        let (log, verdict) = changed(|log| {
            let place = log.events.iter().position(|event| is_separator(event, 1)).unwrap();
            log.events.insert(place, LogEvent::of(1, EventKind::SEPARATOR, data));
        });
        let number = log.number(|event| is_separator(event, 1));
        assert_eq!(verdict, Err(BootError::SeparatorSpoofed { number }));
    }
    // Right data over another digest does not help.
    let (log, verdict) = changed(|log| {
        let place = log.events.iter().position(|event| is_separator(event, 1)).unwrap();
        log.events.insert(place, LogEvent::measured(1, EventKind::SEPARATOR, b"other", &[0; 4]));
    });
    let number = log.number(|event| is_separator(event, 1));
    assert_eq!(verdict, Err(BootError::SeparatorSpoofed { number }));
}

#[test]
fn t6_a_retyped_separator_is_refused() {
    let (log, verdict) = changed(|log| log.find(|event| is_separator(event, 7)).kind = EventKind::EFI_ACTION);
    let number = log.number(|event| event.pcr == 7 && event.kind == EventKind::EFI_ACTION);
    assert_eq!(verdict, Err(BootError::SeparatorRetyped { number }));
    // Contents of the S-CRTM may be four zero bytes. That does not spare PCR 0 its separator.
    let zeros = LogEvent::measured(0, EventKind::S_CRTM_CONTENTS, &[0; 4], b"FIT");
    let contents = |log: &mut LogBuilder| log.events.insert(0, zeros.clone());
    assert_eq!(changed(contents).1, Ok(()));
    let instead =
        |log: &mut LogBuilder| log.find(|event| is_separator(event, 0)).kind = EventKind::S_CRTM_CONTENTS;
    assert_eq!(changed(instead).1, Err(BootError::SeparatorMissing { pcr: 0 }));
    let elsewhere = |log: &mut LogBuilder| {
        log.events.insert(0, LogEvent { pcr: 2, ..zeros.clone() });
    };
    assert_eq!(changed(elsewhere).1, Err(BootError::SeparatorRetyped { number: 2 }));
}

#[test]
fn t7_a_second_separator_is_refused() {
    for pcr in 0..8 {
        for data in [[0; 4], [0xff; 4]] {
            let (_, verdict) = changed(|log| {
                insert_behind(log, LogEvent::of(pcr, EventKind::SEPARATOR, &data), |event| {
                    is_separator(event, pcr)
                });
            });
            assert_eq!(verdict, Err(BootError::SeparatorTwice { pcr: u8::try_from(pcr).unwrap() }));
        }
    }
}

#[test]
fn t7_a_missing_separator_is_refused() {
    for pcr in 0..8 {
        let log = {
            let mut log = LogBuilder::orderly();
            log.events.retain(|event| !is_separator(event, pcr));
            log
        };
        let pcr = u8::try_from(pcr).unwrap();
        assert_eq!(verdict(&log), Err(BootError::SeparatorMissing { pcr }));
        // Of a PCR that was not quoted nothing is known.
        let others: Vec<_> = log.all().into_iter().filter(|(quoted, _)| *quoted != pcr).collect();
        assert_eq!(verdict_on(&log, &others), Ok(()));
    }
}

#[test]
fn t7_events_behind_the_separator_that_cannot_be_there_are_refused() {
    let refused = [
        (0, EventKind::S_CRTM_VERSION),
        (0, EventKind::EFI_PLATFORM_FIRMWARE_BLOB2),
        (1, EventKind::POST_CODE),
        (2, EventKind::EFI_VARIABLE_BOOT),
        (3, EventKind::EFI_VARIABLE_DRIVER_CONFIG),
        (4, EventKind::EFI_VARIABLE_DRIVER_CONFIG),
        (5, EventKind::EFI_BOOT_SERVICES_APPLICATION),
        (7, EventKind::EFI_VARIABLE_DRIVER_CONFIG),
        (7, EventKind(0x4001_0001)),
    ];
    for (pcr, kind) in refused {
        let event = LogEvent::of(pcr, kind, b"late");
        let (log, verdict) = changed(|log| {
            insert_behind(log, event.clone(), |event| is_separator(event, pcr));
        });
        let number = log.number(|event| event.data == b"late");
        assert_eq!(verdict, Err(BootError::AfterSeparator { number }), "{pcr} {kind:?}");
        // Before it they may.
        let (_, verdict) = changed(|log| {
            let place = log.events.iter().position(|event| is_separator(event, pcr)).unwrap();
            log.events.insert(place, event.clone());
        });
        assert_eq!(verdict, Ok(()), "{pcr} {kind:?}");
    }
    let accepted = [
        (1, EventKind::CPU_MICROCODE),
        (1, EventKind::EFI_ACTION),
        (1, EventKind::EFI_VARIABLE_BOOT),
        (1, EventKind::EFI_VARIABLE_BOOT2),
        (1, EventKind::EFI_HANDOFF_TABLES),
        (1, EventKind::EFI_HANDOFF_TABLES2),
        (1, EventKind::EVENT_TAG),
        (1, EventKind::NONHOST_CONFIG),
        (1, EventKind::PLATFORM_CONFIG_FLAGS),
        (1, EventKind::TABLE_OF_DEVICES),
        (2, EventKind::EFI_SPDM_FIRMWARE_BLOB),
        (2, EventKind::EFI_SPDM_FIRMWARE_CONFIG),
        (2, EventKind::EFI_SPDM_DEVICE_POLICY),
        (2, EventKind::EFI_SPDM_DEVICE_AUTHORITY),
        (2, EventKind::EFI_BOOT_SERVICES_DRIVER),
        (2, EventKind::EFI_RUNTIME_SERVICES_DRIVER),
        (4, EventKind::EFI_BOOT_SERVICES_DRIVER),
        (4, EventKind::ACTION),
        (4, EventKind::COMPACT_HASH),
        (4, EventKind::IPL),
        (5, EventKind::EFI_GPT_EVENT2),
        (5, EventKind::EFI_VARIABLE_BOOT),
        (5, EventKind::EFI_VARIABLE_BOOT2),
        (5, EventKind::EVENT_TAG),
        (5, EventKind::IPL),
        (5, EventKind::IPL_PARTITION_DATA),
        (6, EventKind::COMPACT_HASH),
        (7, EventKind::EFI_ACTION),
    ];
    for (pcr, kind) in accepted {
        let (_, verdict) = changed(|log| {
            insert_behind(log, LogEvent::of(pcr, kind, b"late"), |event| is_separator(event, pcr));
        });
        assert_eq!(verdict, Ok(()), "{pcr} {kind:?}");
    }
}

#[test]
fn t7_a_secure_boot_variable_behind_the_separator_is_refused() {
    for name in ["SecureBoot", "PK", "KEK"] {
        let data = variable(Guid::GLOBAL, name, &[1]);
        let (log, verdict) = changed(|log| {
            let event = LogEvent::of(7, EventKind::EFI_VARIABLE_AUTHORITY, &data);
            insert_behind(log, event, |event| is_separator(event, 7));
        });
        let number =
            log.last_number() - log.events.iter().rev().position(|event| event.data == data).unwrap() as u32;
        assert_eq!(verdict, Err(BootError::AfterSeparator { number }), "{name}");
    }
}

#[test]
fn t7_events_behind_the_end_of_boot_services_are_refused() {
    for pcr in 0..8 {
        let (log, verdict) =
            changed(|log| log.events.push(LogEvent::of(pcr, EventKind::EFI_ACTION, b"late")));
        assert_eq!(verdict, Err(BootError::AfterExit { number: log.last_number() }));
    }
    let operating_system = |log: &mut LogBuilder| log.events.push(LogEvent::of(8, EventKind::IPL, b"late"));
    assert_eq!(changed(operating_system).1, Ok(()));
    // The end is found by its digest, in the PCR where it is measured.
    let (log, verdict) = changed(|log| {
        let end = log.find(|event| event.data == EXIT_SUCCESS);
        (end.kind, end.data) = (EventKind::EFI_GPT_EVENT, b"partitions".to_vec());
        log.events.push(LogEvent::application("late"));
    });
    assert_eq!(verdict, Err(BootError::AfterExit { number: log.last_number() }));
    let elsewhere = |log: &mut LogBuilder| {
        insert_behind(log, LogEvent::action(4, EXIT_SUCCESS), |event| is_separator(event, 4));
    };
    assert_eq!(changed(elsewhere).1, Ok(()));
    // A failed attempt is not the end.
    let failed = |log: &mut LogBuilder| {
        let failure = LogEvent::action(5, b"Exit Boot Services Returned with Failure");
        insert_behind(log, failure, |event| is_separator(event, 5));
    };
    assert_eq!(changed(failed).1, Ok(()));
}

#[test]
fn t7_four_zero_bytes_in_pcr_1_are_a_separator_only_if_called_one() {
    for kind in [EventKind::PLATFORM_CONFIG_FLAGS, EventKind::CPU_MICROCODE] {
        let (_, verdict) = changed(|log| {
            insert_behind(log, LogEvent::of(1, kind, &[0; 4]), |event| is_separator(event, 1));
        });
        assert_eq!(verdict, Ok(()));
    }
    // In its place there is none.
    let (_, verdict) = changed(|log| {
        *log.find(|event| is_separator(event, 1)) = LogEvent::of(1, EventKind::CPU_MICROCODE, &[0; 4]);
    });
    assert_eq!(verdict, Err(BootError::SeparatorMissing { pcr: 1 }));
}
