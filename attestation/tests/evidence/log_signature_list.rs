//! EFI signature lists: every size that does not add up is refused (T8).

use vouchsafe_attestation::log::{Guid, SignatureKind, SignatureListError, signature_lists};

const SHA256: Guid = Guid::from_u128(0xc1c41626_504c_4092_aca9_41f936934328);
const X509: Guid = Guid::from_u128(0xa5c059a1_94e4_4aa7_87b5_ab155c2bf072);
const X509_SHA256: Guid = Guid::from_u128(0x3bd2a492_96c0_4079_b420_fcf98ef103ed);
const OTHER: Guid = Guid([7; 16]);

/// A list with these sizes in its head.
fn list(kind: Guid, sizes: [u32; 3], body: &[u8]) -> Vec<u8> {
    [&kind.0[..], &sizes.map(u32::to_le_bytes).concat(), body].concat()
}

/// A list of two hashes.
fn hashes() -> Vec<u8> {
    list(SHA256, [28 + 96, 0, 48], &[[1; 48], [2; 48]].concat())
}

fn verdict(bytes: &[u8]) -> Result<usize, SignatureListError> {
    signature_lists(bytes).try_fold(0, |count, list| Ok(count + list?.signatures().count()))
}

#[test]
fn lists_one_behind_another_are_read() {
    let certificate = list(X509, [28 + 116, 0, 116], &[3; 116]);
    let both = [hashes(), certificate].concat();
    let lists: Vec<_> = signature_lists(&both).map(Result::unwrap).collect();
    assert_eq!(
        lists.iter().map(|list| list.kind).collect::<Vec<_>>(),
        [SignatureKind::Sha256, SignatureKind::X509]
    );
    let first = lists[0].signatures().next().unwrap();
    assert_eq!((first.owner, first.data), (Guid([1; 16]), &[1; 32][..]));
    assert_eq!(lists[1].signatures().next().unwrap().data.len(), 100);
    assert_eq!(verdict(&both), Ok(3));
    assert_eq!(verdict(&[]), Ok(0));
    assert_eq!(verdict(&list(X509_SHA256, [28 + 64, 0, 64], &[4; 64])), Ok(1));
    assert_eq!(verdict(&list(SHA256, [28, 0, 48], &[])), Ok(0));
    // A header that an unknown type may have.
    assert_eq!(verdict(&list(OTHER, [28 + 3 + 17, 3, 17], &[5; 20])), Ok(1));
}

#[test]
fn t8_impossible_list_sizes_are_refused() {
    for size in [0, 1, 17, 27, 28 + 95, 28 + 97, u32::MAX] {
        let broken = list(SHA256, [size, 0, 48], &[1; 96]);
        let expected = if (28..28 + 96).contains(&size) {
            SignatureListError::SignatureLen
        } else {
            SignatureListError::ListLen
        };
        assert_eq!(verdict(&broken), Err(expected), "{size}");
    }
    let whole = hashes();
    for len in 1..whole.len() {
        assert_eq!(verdict(&whole[..len]), Err(SignatureListError::ListLen), "{len}");
    }
    // What stands behind a list is one, too.
    assert_eq!(verdict(&[hashes(), vec![0]].concat()), Err(SignatureListError::ListLen));
}

#[test]
fn t8_impossible_header_sizes_are_refused() {
    for (kind, size) in
        [(SHA256, 1), (SHA256, 17), (SHA256, 48), (SHA256, u32::MAX), (OTHER, 97), (OTHER, u32::MAX)]
    {
        assert_eq!(
            verdict(&list(kind, [28 + 96, size, 48], &[1; 96])),
            Err(SignatureListError::HeaderLen),
            "{size}"
        );
    }
    for kind in [X509, X509_SHA256] {
        assert_eq!(verdict(&list(kind, [28 + 65, 1, 64], &[1; 65])), Err(SignatureListError::HeaderLen));
    }
}

#[test]
fn t8_impossible_signature_sizes_are_refused() {
    for (kind, size) in [
        (SHA256, 0),
        (SHA256, 1),
        (SHA256, 17),
        (SHA256, 32),
        (SHA256, 96),
        (SHA256, u32::MAX),
        (X509, 0),
        (X509, 1),
        (X509, 16),
        (X509, 17),
        (X509, 95),
        (X509, u32::MAX),
        (X509_SHA256, 48),
        (OTHER, 0),
        (OTHER, 16),
        (OTHER, 17),
    ] {
        assert_eq!(
            verdict(&list(kind, [28 + 96, 0, size], &[1; 96])),
            Err(SignatureListError::SignatureLen),
            "{kind} {size}"
        );
    }
    // The smallest that has an owner and a byte.
    assert_eq!(verdict(&list(X509, [28 + 17, 0, 17], &[1; 17])), Ok(1));
    assert_eq!(verdict(&list(OTHER, [28 + 34, 0, 17], &[1; 34])), Ok(2));
}

#[test]
fn nothing_is_read_behind_an_error() {
    let broken = [list(SHA256, [28 + 48, 0, 0], &[1; 48]), hashes()].concat();
    assert_eq!(signature_lists(&broken).count(), 1);
}
