//! What the machine and the host give an enclave besides frames.

use vouchsafe_enclave::BootRecord;
use vouchsafe_platform::sealed;
use vouchsafe_platform::snp::cert_table::CertTable;

use crate::{Target, ignore};

pub(crate) const TARGETS: &[Target] = &[
    ("boot-record", boot_record),
    ("sealed-root", |data| ignore(sealed::decode(data))),
    ("certificate-table", |data| ignore(CertTable::parse(data))),
];

fn boot_record(data: &[u8]) {
    if let Ok(record) = BootRecord::decode(data) {
        assert_eq!(record.encode().as_deref(), Ok(data), "one encoding");
    }
}
