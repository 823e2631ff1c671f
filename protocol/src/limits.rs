//! Every limit on untrusted input, with its unit and its reason.

/// Largest introduction message in bytes: an SNP report, three certificates, an EK chain and an event log.
pub const INTRODUCTION_FRAME_LEN: usize = 256 * 1024;
/// Largest session frame in bytes: one secret of [`KV_VALUE_LEN`] and its envelope.
pub const SESSION_FRAME_LEN: usize = KV_VALUE_LEN + 64 * 1024;
/// Largest frame to an agent in bytes: an auditor gets journal frames as they are stored, and one of those may
/// be larger than any request.
pub const REPLY_FRAME_LEN: usize = JOURNAL_FRAME_LEN + 64 * 1024;
/// Largest message on the storage link in bytes: a group commit of both streams.
pub const LINK_FRAME_LEN: usize = 16 * 1024 * 1024;
/// Largest sealed journal frame in bytes; a group commit is cut before it grows past this.
pub const JOURNAL_FRAME_LEN: usize = 4 * 1024 * 1024;
/// Largest secret value in bytes.
pub const KV_VALUE_LEN: usize = 1024 * 1024;
/// Versions that a secret can be set to keep, and versions named in one request.
pub const KV_VERSIONS: usize = 256;
/// Versions kept of a secret where no setting says otherwise; the oldest is destroyed beyond it.
pub const KV_VERSIONS_DEFAULT: u16 = 16;
/// Fields of a secret: bounds what a merge walks over.
pub const KV_FIELDS: usize = 256;
/// Items of custom metadata of a secret: what a page of a listing tool can show.
pub const KV_CUSTOM: usize = 32;
/// Largest item of custom metadata in bytes.
pub const KV_CUSTOM_LEN: usize = 512;
/// Prefixes with settings of their own; each write looks at most at [`PATH_SEGMENTS`] of them.
pub const KV_PREFIXES: usize = 10_000;
/// Shortest and longest life of a version in seconds: 100 years.
pub const KV_LIFE_SECS: std::ops::RangeInclusive<u64> = 1..=100 * 366 * 86_400;
/// Shortest and longest time between two rotations in seconds: 10 years.
pub const KV_PERIOD_SECS: std::ops::RangeInclusive<u64> = 60..=10 * 366 * 86_400;
/// Longest generated secret, in characters of a password or bytes before hexadecimal digits.
pub const KV_GENERATED_LEN: u16 = 256;
/// Classes of characters in the rule of a password.
pub const KV_CLASSES: usize = 8;
/// Secrets that one session watches.
pub const KV_WATCHES: usize = 64;
/// Largest canonical path in bytes.
pub const PATH_LEN: usize = 512;
/// Largest number of segments in a path: bounds every walk over it.
pub const PATH_SEGMENTS: usize = 32;
/// Largest name (role, anchor, release, operator) in bytes.
pub const NAME_LEN: usize = 64;
/// Entries in one page of a listing.
pub const LIST_PAGE: usize = 1000;
/// Largest DER certificate in bytes; AMD's and TPM vendors' stay under 2 KiB.
pub const CERTIFICATE_LEN: usize = 8 * 1024;
/// Certificates in one piece of evidence or chain.
pub const CERTIFICATES: usize = 8;
/// Largest TPM structure in bytes (TPMS_ATTEST, TPMT_SIGNATURE, TPM2B_PUBLIC); TPM buffers stay under 4 KiB.
pub const TPM_STRUCTURE_LEN: usize = 4 * 1024;
/// Largest revocation list in bytes; AMD's are under 1 KiB.
pub const CRL_LEN: usize = 64 * 1024;
/// Largest HCL report in bytes: what its NV index can hold is 2,600.
pub const HCL_REPORT_LEN: usize = 8 * 1024;
/// Largest boot event log in bytes; real ones stay under 128 KiB. On the introduction path
/// [`INTRODUCTION_FRAME_LEN`] bounds it further.
pub const EVENT_LOG_LEN: usize = 1024 * 1024;
/// Largest IMA log in bytes: some ten thousand measurements. On the introduction path
/// [`INTRODUCTION_FRAME_LEN`] bounds it further.
pub const IMA_LOG_LEN: usize = 1024 * 1024;
/// PCR values in one quote: a TPM has 24.
pub const PCRS: usize = 24;
/// Roles in one vault.
pub const ROLES: usize = 10_000;
/// Accept or allow rules in one role.
pub const RULES_PER_ROLE: usize = 64;
/// Reference values in one rule.
pub const REFERENCE_VALUES: usize = 4096;
/// Files in the allow-list for an IMA log: 512 KiB of digests, so that a role still fits a session frame.
pub const IMA_FILES: usize = 16_384;
/// Longest kernel command line in bytes (COMMAND_LINE_SIZE is 2,048 on x86, at most 4,096 elsewhere).
pub const COMMAND_LINE_LEN: usize = 4096;
/// Operators pinned at initialisation.
pub const OPERATORS: usize = 16;
/// Challenge lifetime in seconds.
pub const CHALLENGE_SECS: u64 = 60;
/// Length of a challenge in bytes: 12 nonce, 72 sealed, 16 tag.
pub const CHALLENGE_LEN: usize = 100;
/// Consumed challenges remembered; beyond it introductions are refused until some expire.
pub const CONSUMED_CHALLENGES: usize = 100_000;
/// Requests a session may have unsigned.
pub const UNSIGNED_REQUESTS: u64 = 32;
/// Seconds the oldest unsigned request may be old before the session must carry a signature.
pub const UNSIGNED_SECS: u64 = 1;
/// Seconds of grace on top of [`UNSIGNED_SECS`] for the network; then the session ends.
pub const UNSIGNED_GRACE_SECS: u64 = 4;
/// Requests of one session in flight.
pub const PIPELINE_DEPTH: usize = 64;
/// Frames the store returns to one read.
pub const READ_FRAMES: usize = 256;
/// Largest record of seen evidence in bytes: a report or a quote with its PCRs; logs are kept only below it.
pub const SEEN_LEN: usize = 16 * 1024;
/// Largest sum of all records of seen evidence in bytes; the oldest are forgotten beyond it.
pub const SEEN_TOTAL_LEN: usize = 32 * 1024 * 1024;
/// Largest sum of the records of one platform in bytes, so that none pushes out those of all others: 64 of the largest,
/// and some 500 of reports.
pub const SEEN_PLATFORM_LEN: usize = 64 * SEEN_LEN;
/// Records in one page of seen evidence: 1 MiB at most.
pub const SEEN_PAGE: usize = 64;
/// Attestation keys of TPMs whose clocks are remembered; beyond it those seen longest ago are forgotten.
pub const TPM_CLOCKS: usize = 65_536;
/// Shortest and longest nonce of an attestation result in bytes (RFC 9711, section 4.1).
pub const RESULT_NONCE_LEN: std::ops::RangeInclusive<usize> = 8..=64;
/// Leases in one vault.
pub const LEASES: u32 = 2_000_000;
/// Decisions on revocation in force at a time; further ones wait until some have been cleaned up after.
pub const REVOCATIONS: usize = 256;
/// Items in one request to use a transit key: bounds the work between two other requests.
pub const TRANSIT_ITEMS: usize = 256;
/// Transit keys in one vault.
pub const TRANSIT_KEYS: usize = 100_000;
/// Versions kept per transit key; beyond it there is no rotation until some are trimmed.
pub const TRANSIT_VERSIONS: usize = 1000;
/// Largest context of a derived key in bytes: the name of a tenant or of a record.
pub const TRANSIT_CONTEXT_LEN: usize = 1024;
/// Largest associated data of one item in bytes; hash what is longer.
pub const TRANSIT_AAD_LEN: usize = 16 * 1024;
/// Shortest and longest time between two rotations of a transit key in seconds: an hour, 10 years.
pub const ROTATE_EVERY_SECS: std::ops::RangeInclusive<u64> = 3600..=10 * 366 * 86_400;
/// Shortest and longest data key in bytes.
pub const DATA_KEY_LEN: std::ops::RangeInclusive<u8> = 16..=64;
/// Shortest and longest HMAC key that can be imported, in bytes: a block of SHA-256 at most (RFC 2104, section 3).
pub const HMAC_KEY_LEN: std::ops::RangeInclusive<usize> = 32..=64;
/// Fewest and most random bytes in one request.
pub const RANDOM_LEN: std::ops::RangeInclusive<u32> = 1..=4096;
/// Shortest and longest derived key in bytes.
pub const DERIVED_KEY_LEN: std::ops::RangeInclusive<u8> = 32..=64;
/// Labels of the derive engine that were rotated or configured.
pub const DERIVE_LABELS: usize = 100_000;
