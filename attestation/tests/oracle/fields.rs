//! Fields of ATTESTATION_REPORT by offset (AMD 56860, revision 1.58, table 23), written down for the second time: the
//! generator must not share the verifier's idea of where things are.

pub const LEN: usize = 0x4a0;
pub const VERSION: usize = 0x00;
pub const GUEST_SVN: usize = 0x04;
pub const POLICY: usize = 0x08;
pub const FAMILY_ID: usize = 0x10;
pub const IMAGE_ID: usize = 0x20;
pub const VMPL: usize = 0x30;
pub const SIGNATURE_ALGO: usize = 0x34;
pub const CURRENT_TCB: usize = 0x38;
pub const PLATFORM_INFO: usize = 0x40;
pub const FLAGS: usize = 0x48;
pub const MEASUREMENT: usize = 0x90;
pub const HOST_DATA: usize = 0xc0;
pub const ID_KEY_DIGEST: usize = 0xe0;
pub const AUTHOR_KEY_DIGEST: usize = 0x110;
pub const REPORT_ID: usize = 0x140;
pub const REPORT_ID_MA: usize = 0x160;
pub const REPORTED_TCB: usize = 0x180;
pub const CHIP_ID: usize = 0x1a0;
pub const COMMITTED_TCB: usize = 0x1e0;
pub const LAUNCH_TCB: usize = 0x1f0;
pub const LAUNCH_MITIGATIONS: usize = 0x1f8;
pub const CURRENT_MITIGATIONS: usize = 0x200;
pub const R: usize = 0x2a0;
pub const S: usize = 0x2e8;
pub const SIGNATURE_RESERVED: usize = 0x330;

/// First and last byte of each reserved span; CPUID before version 3 and mitigations before version 5 besides.
pub const RESERVED: [usize; 9] = [0x4c, 0x4f, 0x18b, 0x19f, 0x1eb, 0x1ef, 0x208, 0x250, 0x29f];
