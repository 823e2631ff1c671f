//! The form of an HCL report: every field has one accepted value, or follows from the length of the claims.

use vouchsafe_attestation::azure::{HclError, HclReport};
use vouchsafe_simulation::hcl::{HCL_NV_LEN, HclBuilder, hcl_field as field, report_data};

const CLAIMS: &[u8] = b"{\"keys\":[]}";

fn builder() -> HclBuilder {
    HclBuilder::new(&[0xa5; 1184], CLAIMS)
}

fn refusal(bytes: &[u8]) -> HclError {
    HclReport::parse(bytes).unwrap_err()
}

/// The refusal of a right report with one field set.
fn with(offset: usize, value: u32) -> HclError {
    let mut bytes = builder().encode();
    bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    refusal(&bytes)
}

#[test]
fn both_layouts_are_read() {
    for (version, data_version) in [(1, 1), (2, 1), (1, 2), (2, 2)] {
        for padded_len in [0, HCL_NV_LEN, 4096] {
            let hcl = HclBuilder { version, data_version, padded_len, capabilities: 7, ..builder() };
            let bytes = hcl.encode();
            let read = HclReport::parse(&bytes).unwrap();
            assert_eq!((read.version(), read.data_version()), (version, data_version));
            assert_eq!(read.snp_report(), [0xa5; 1184]);
            assert_eq!(read.claims(), CLAIMS);
        }
    }
}

#[test]
fn s16_every_field_of_an_hcl_report_has_its_own_refusal() {
    assert_eq!(with(field::SIGNATURE, 0), HclError::Magic);
    for version in [0, 3, u32::MAX] {
        assert_eq!(with(field::VERSION, version), HclError::Version { version });
        assert_eq!(with(field::DATA_VERSION, version), HclError::DataVersion { version });
    }
    // Key release, a wrapped key, and nonsense.
    for request_type in [0, 1, 3, u32::MAX] {
        assert_eq!(with(field::REQUEST_TYPE, request_type), HclError::RequestType { request_type });
    }
    for offset in [field::STATUS, field::RESERVED, field::RESERVED + 4, field::RESERVED + 8] {
        assert_eq!(with(offset, 1), HclError::Reserved);
        assert_eq!(with(offset, 1 << 31), HclError::Reserved);
    }
    // VBS, a machine without a TEE, TDX, and nonsense.
    for report_type in [0, 1, 3, 4, u32::MAX] {
        assert_eq!(with(field::REPORT_TYPE, report_type), HclError::ReportType { report_type });
    }
    // Metadata that nobody signed chooses no algorithm.
    for hash_type in [0, 2, 3, u32::MAX] {
        assert_eq!(with(field::HASH_TYPE, hash_type), HclError::HashType { hash_type });
    }
}

#[test]
fn s16_lengths_of_an_hcl_report_must_add_up() {
    let right = u32::try_from(CLAIMS.len()).unwrap();
    for len in [0, u32::MAX, u32::MAX - 19, 8192, right + 2000] {
        assert_eq!(with(field::CLAIMS_SIZE, len), HclError::ClaimsLength { len });
    }
    for len in [right - 1, right + 1] {
        assert_eq!(with(field::CLAIMS_SIZE, len), HclError::DataLength { len: right + 20 });
    }
    for len in [0, right, right + 19, right + 21, u32::MAX] {
        assert_eq!(with(field::DATA_SIZE, len), HclError::DataLength { len });
    }
    for len in [0, 1236 + right - 1, 1236 + right + 1, 2600, u32::MAX] {
        assert_eq!(with(field::REPORT_SIZE, len), HclError::ReportLength { len });
    }
}

#[test]
fn s16_every_length_of_an_hcl_report_is_refused_or_whole() {
    let whole = HclBuilder { padded_len: 0, ..builder() }.encode();
    for data_version in [1, 2] {
        let whole = HclBuilder { padded_len: 0, data_version, ..builder() }.encode();
        for len in 0..whole.len() {
            let refused = refusal(&whole[..len]);
            let expected = matches!(refused, HclError::Length { .. } | HclError::ClaimsLength { .. });
            assert!(expected, "{len}: {refused:?}");
        }
    }
    // Zeros may follow, as an NV index has them; nothing else may.
    let mut longer = whole.clone();
    longer.resize(8192, 0);
    HclReport::parse(&longer).unwrap();
    for at in [whole.len(), whole.len() + 1, 8191] {
        let mut trailing = longer.clone();
        trailing[at] = 1;
        assert_eq!(refusal(&trailing), HclError::Trailing);
    }
    longer.push(0);
    assert_eq!(refusal(&longer), HclError::Length { len: 8193 });
}

#[test]
fn b4_claims_are_bound_by_all_of_report_data() {
    let bytes = builder().encode();
    let hcl = HclReport::parse(&bytes).unwrap();
    let right = report_data(CLAIMS);
    assert_eq!(hcl.check_report_data(&right), Ok(()));
    for at in 0..64 {
        let mut other = right;
        other[at] ^= 0x80;
        let expected = if at < 32 { HclError::ReportData } else { HclError::ReportDataTail };
        assert_eq!(hcl.check_report_data(&other), Err(expected));
    }
}

#[test]
fn no_bit_outside_the_signed_parts_is_free() {
    // The SNP report has its own signature; the claims have their hash in it. Here: everything else.
    let right = report_data(CLAIMS);
    let whole = builder().encode();
    for at in (0..32).chain(1216..whole.len()) {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            let verdict = HclReport::parse(&flipped).and_then(|hcl| hcl.check_report_data(&right));
            assert!(verdict.is_err(), "byte {at}, bit {bit}");
        }
    }
}
