use std::fs;

use super::*;

const ACCESS: StreamId = StreamId::Access { epoch: 7 };

fn append(stream: StreamId, index: u64, text: &str) -> Append {
    Append { stream, index, frame: text.into() }
}

fn filled(dir: &Path) -> Store {
    let store = Store::open(dir).unwrap();
    store.write_boot(b"boot record").unwrap();
    store.append(vec![append(StreamId::Journal, 0, "first"), append(ACCESS, 0, "read")]).unwrap();
    store
        .append(vec![append(StreamId::Journal, 1, "second"), append(StreamId::Journal, 2, "third")])
        .unwrap();
    store
}

fn assert_filled(store: &Store) {
    assert_eq!(store.heads().unwrap(), [(StreamId::Journal, 3), (ACCESS, 1)]);
    assert_eq!(store.read_frames(StreamId::Journal, 0).unwrap(), [&b"first"[..], b"second", b"third"]);
    assert_eq!(store.read_frames(ACCESS, 0).unwrap(), [b"read"]);
    assert_eq!(store.read_boot().unwrap().unwrap(), b"boot record");
}

/// The files as they are now, as a kill would leave them.
fn snapshot(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            snapshot(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn h4_what_was_acknowledged_is_there_after_a_kill_and_after_a_close() {
    let dir = tempfile::tempdir().unwrap();
    let (open, killed) = (dir.path().join("open"), dir.path().join("killed"));
    let store = filled(&open);
    snapshot(&open, &killed);
    assert_filled(&Store::open(&killed).unwrap());
    drop(store);
    assert_filled(&Store::open(&open).unwrap());
}

#[test]
fn h4_a_second_writer_is_fenced() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    for index in [0, 2, 4, u64::MAX] {
        let result = store.append(vec![append(StreamId::Journal, index, "other")]);
        assert_eq!(result, Err(StorageFailure::Conflict), "{index}");
    }
    assert_filled(&store);
    store.append(vec![append(StreamId::Journal, 3, "fourth")]).unwrap();
}

#[test]
fn a_request_is_stored_as_a_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    for (last, error) in [
        (append(ACCESS, 2, "gap"), StorageFailure::Conflict),
        (append(StreamId::Journal, 3, "same index twice"), StorageFailure::Conflict),
        (append(ACCESS, 1, ""), StorageFailure::TooLarge),
        (
            Append { stream: ACCESS, index: 1, frame: vec![0; JOURNAL_FRAME_LEN + 1] },
            StorageFailure::TooLarge,
        ),
    ] {
        let appends = vec![append(StreamId::Journal, 3, "fine by itself"), last];
        assert_eq!(store.append(appends), Err(error));
        assert_filled(&store);
    }
    assert_eq!(store.failure(), None, "a refused request is no failure of the store");
    drop(store);
    assert_filled(&Store::open(dir.path()).unwrap());
}

#[test]
fn too_many_appends_and_too_large_a_boot_record_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let appends = |count: usize| (0..).take(count).map(|i| append(ACCESS, i, ".")).collect::<Vec<_>>();
    assert_eq!(store.append(appends(APPENDS + 1)), Err(StorageFailure::TooLarge));
    assert_eq!(store.write_boot(&vec![0; BOOT_LEN + 1]), Err(StorageFailure::TooLarge));
    store.append(appends(APPENDS)).unwrap();
    store.write_boot(&vec![0; BOOT_LEN]).unwrap();
}

#[test]
fn reads_come_in_pages_and_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.append((0..600).map(|i| append(StreamId::Journal, i, &i.to_string())).collect()).unwrap();
    let mut from = 0;
    while from < 600 {
        let page = store.read_frames(StreamId::Journal, from).unwrap();
        assert!((1..=READ_FRAMES).contains(&page.len()));
        for frame in page {
            assert_eq!(frame, from.to_string().into_bytes());
            from += 1;
        }
    }
    assert!(store.read_frames(StreamId::Journal, 600).unwrap().is_empty());
    assert!(store.read_frames(StreamId::Journal, u64::MAX).unwrap().is_empty());
    assert!(store.read_frames(ACCESS, 0).unwrap().is_empty());
}

#[test]
fn a_page_of_the_largest_frames_fits_into_one_reply() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for index in 0..5 {
        let frame = vec![1; JOURNAL_FRAME_LEN];
        store.append(vec![Append { stream: StreamId::Journal, index, frame }]).unwrap();
    }
    let page = store.read_frames(StreamId::Journal, 0).unwrap();
    assert_eq!(page.len(), 1);
    let reply = vouchsafe_protocol::link::StorageReply::Frames(page);
    let reply = vouchsafe_protocol::codec::encode(&reply).unwrap();
    vouchsafe_protocol::frame::enclose(&reply, LINK_FRAME_LEN).unwrap();
}

#[test]
fn streams_of_many_epochs_are_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for epoch in [0, 1, 255, 256, u64::MAX] {
        let stream = StreamId::Access { epoch };
        store.append(vec![append(stream, 0, "a"), append(stream, 1, "b")]).unwrap();
    }
    let heads = store.heads().unwrap();
    assert_eq!(heads.len(), 5);
    drop(store);
    assert_eq!(Store::open(dir.path()).unwrap().heads().unwrap(), heads);
}

#[test]
fn h10_after_a_failed_write_nothing_is_written_but_reading_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let full = io::Error::from(io::ErrorKind::StorageFull);
    assert_eq!(store.durable(Err(fjall::Error::Io(full))), Err(StorageFailure::NoSpace));
    // A later cause does not replace the first.
    let other = io::Error::from(io::ErrorKind::Other);
    assert_eq!(store.durable(Err(fjall::Error::Io(other))), Err(StorageFailure::NoSpace));
    let next = vec![append(StreamId::Journal, 3, "fourth")];
    assert_eq!(store.append(next.clone()), Err(StorageFailure::NoSpace));
    assert_eq!(store.write_boot(b"new"), Err(StorageFailure::NoSpace));
    assert_eq!(store.failure(), Some(StorageFailure::NoSpace));
    assert_filled(&store);
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_filled(&store);
    store.append(next).unwrap();
}

#[test]
fn h10_errors_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let failure = |kind| store.disk.failure(&fjall::Error::Io(io::Error::from(kind)));
    assert_eq!(failure(io::ErrorKind::StorageFull), StorageFailure::NoSpace);
    assert_eq!(failure(io::ErrorKind::QuotaExceeded), StorageFailure::NoSpace);
    assert_eq!(failure(io::ErrorKind::PermissionDenied), StorageFailure::Io);
}

/// The embedded store alone would cut its log at some of these bytes, and open.
#[test]
fn h2_every_damaged_byte_of_the_log_is_noticed_or_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (open, damaged) = (dir.path().join("open"), dir.path().join("damaged"));
    let _store = filled(&open);
    let log = fs::read_dir(&open)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "jnl"))
        .unwrap();
    let bytes = fs::read(&log).unwrap();
    let used = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    assert!(used > 100);
    let pristine = dir.path().join("pristine");
    snapshot(&open, &pristine);
    let log_name = log.file_name().unwrap();
    // The rest is zero either way; without it a copy is small.
    let bytes = bytes.get(..used).unwrap();
    fs::write(pristine.join(log_name), bytes).unwrap();
    let (mut refused, mut lost) = (0, 0);
    for position in 0..used {
        snapshot(&pristine, &damaged);
        let mut bytes = bytes.to_vec();
        bytes[position] ^= 1;
        fs::write(damaged.join(log_name), bytes).unwrap();
        match Store::open(&damaged) {
            Err(OpenError::Lost { .. }) => lost += 1,
            Err(_) => refused += 1,
            Ok(store) => assert_filled(&store),
        }
        fs::remove_dir_all(&damaged).unwrap();
    }
    assert!(refused > 0 && lost > 0, "{refused} {lost}");
}

#[test]
fn h2_a_shortened_log_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()));
    fs::write(dir.path().join("acknowledged"), [7u64.to_be_bytes(), (!7u64).to_be_bytes()].concat()).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Lost { acknowledged: 7, found: 5, .. }), "{error}");
    // What a power cut garbled says nothing.
    fs::write(dir.path().join("acknowledged"), [9; 16]).unwrap();
    assert_filled(&Store::open(dir.path()).unwrap());
}

#[test]
fn a_hostile_host_can_edit_and_drop_frames() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    store.dangerous_replace(StreamId::Journal, 1, b"forged".to_vec()).unwrap();
    store.dangerous_truncate(StreamId::Journal, 2).unwrap();
    assert_eq!(store.dangerous_replace(StreamId::Journal, 2, vec![1]), Err(StorageFailure::Conflict));
    assert_eq!(store.dangerous_truncate(StreamId::Journal, 3), Err(StorageFailure::Conflict));
    store.dangerous_truncate(ACCESS, 0).unwrap();
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.heads().unwrap(), [(StreamId::Journal, 2)]);
    assert_eq!(store.read_frames(StreamId::Journal, 0).unwrap(), [&b"first"[..], b"forged"]);
}
